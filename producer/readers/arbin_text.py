"""Arbin's text exports, of any vintage: what their columns are called, and how one is read.

MITS 7 to 10 write `Test_Time(s)` or `Test Time (s)`, its database `Test_Time`. Laboratories that publish such files
call their columns otherwise: Stanford and MIT write no units, Battery Archive has no steps, CALCE writes `Time_sec`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from producer.readers.base import Workbook
from producer.readers.make import as_test
from producer.readers.meaning.counters import AS_READ
from producer.readers.names import cell_id_of
from producer.readers.record import record_of
from producer.readers.sheets.cells import BadCellError
from producer.readers.sheets.clock import require_clock, require_days_as_days
from producer.readers.tables.parts import cells_of, rows_of, split
from producer.readers.tables.texts import DELIMITERS, Text, read_table, titles_in
from producer.readers.tables.titles import base_and_unit, base_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from producer.readers.base import ReadOptions
    from producer.readers.record import Record
    from producer.readers.sample import FileSample
    from producer.readers.tables.parts import Part
    from producer.readers.tables.table import Table
    from producer.readers.tables.titles import Column, Names

NAMES: Final[Names] = {
    "datapoint": ("data_point", ""),
    "testtime": ("test_time", "s"),
    "timesec": ("test_time", "s"),
    "steptime": ("step_time", "s"),
    "datetime": ("date_time", ""),
    "stepindex": ("step", ""),
    "step": ("step", ""),
    "cycleindex": ("cycle", ""),
    "cycle": ("cycle", ""),
    "current": ("current", "A"),
    "currentamp": ("current", "A"),
    "voltage": ("voltage", "V"),
    "voltagevolt": ("voltage", "V"),
    "chargecapacity": ("charge_capacity", "Ah"),
    "chargeah": ("charge_capacity", "Ah"),
    "dischargecapacity": ("discharge_capacity", "Ah"),
    "dischargeah": ("discharge_capacity", "Ah"),
    "chargeenergy": ("charge_energy", "Wh"),
    "dischargeenergy": ("discharge_energy", "Wh"),
    "dvdt": ("dvdt", "V/s"),
    "internalresistance": ("internal_resistance", "Ohm"),
    "acimpedance": ("ac_impedance", "Ohm"),
    "aciphaseangle": ("aci_phase_angle", "Deg"),
    "isfcdata": ("is_fc_data", ""),
    "testid": ("test", ""),
    "channelindex": ("channel", ""),
    "channelid": ("channel", ""),
    "channel": ("channel", ""),
}
"""What the vintages call their columns, but for temperatures; a file of one never has the name of another."""

ANY_VINTAGE: Final = (
    {"testtime", "cycleindex", "current", "voltage", "chargecapacity"},
    {"timesec", "currentamp", "voltagevolt"},
)
"""Columns that tell a header: those of Arbin's software and of its kin, and those of CALCE's text files.

LANDT has most of the first too, but one counter for both directions."""

_TEMPERATURES: Final = (r"cell_?temperature", r"(aux_?)?temperature", r"environment_?temperature")
"""Which temperature is taken, the first choice first: that of the cell is one, that of the chamber hardly."""

_NAMED: Final = re.compile(
    r"^(?P<test_name>.+)_Channel_(?P<channel>[\w.-]+?)(_Wb_\d+)?(_\d{1,2}_\d{1,2}_\d{2,4})?$", re.IGNORECASE
)
"""The name that MITS gives a text: test, channel, number of the part, and sometimes a date."""

_OF_STATISTICS: Final = {"vmaxoncycle", "dischargetime"}
"""Columns of MITS's statistics, which it writes beside the readings: one row with their titles for a cycle or step."""

_SLASHED: Final = re.compile(r"\w / \w")
"""How the Battery Data Format writes a unit, and no software of Arbin."""


def is_arbin_text(sample: FileSample) -> bool:
    """Whether a file begins as a text export of Arbin's cyclers does, in any encoding."""
    text = sample.text
    return text is not None and _header(text.split("\n")) is not None


def read_text(path: Path, options: ReadOptions, reader: str) -> Workbook:
    """Read a text export. It holds one test, but for tables of a database, which may hold those of several channels.

    Args:
        path: where the file is.
        options: what the user says about it.
        reader: the name of the reader, which goes with the test.

    Raises:
        BadWorkbookError: it has no header of any vintage, or a cell of it cannot be taken.
        UnreadableWorkbookError: its disk does not give it.
        UndatedWorkbookError: its dates may be in several orders.
    """
    text = Text.of(path, options.name)
    found = _header(text.head)
    if found is None:
        wanted = " and ".join(sorted(ANY_VINTAGE[0]))
        raise text.error(f"has no header of an Arbin export, which has {wanted}; export it again with its titles")
    at, delimiter = found
    titles = titles_in(text.head[at], delimiter)
    temperatures = _temperatures(titles)
    names = {**NAMES, **dict.fromkeys(temperatures[:1], ("temperature", "C"))}
    table, columns = read_table(text, at, names, needed=("test_time", "current", "voltage"), delimiter=delimiter)
    for base in temperatures[1:]:  # a logger's first channels may be connected to nothing
        if not table.is_empty(columns["temperature"].title):
            break
        more, of_more = read_table(text, at, {base: ("temperature", "C")}, needed=(), delimiter=delimiter)
        table, columns = replace(table, columns={**table.columns, **more.columns}), columns | of_more
    parts = [piece for part in split(table, columns) for piece in _one_after_the_other(part, columns)]
    records = [_record(part, columns, options) for part in parts]
    if not any(part.channel for part in parts) and _at_once(records):  # then their numbers tell the cells apart
        parts = [replace(part, channel=part.test) for part in parts]
    tests = [
        as_test(
            record, cell, options.name, reader, metadata=_metadata(part, record, options.name), channel=part.channel
        )
        for part, record, cell in zip(parts, records, cells_of(parts, options), strict=True)
    ]
    tests.sort(key=lambda test: (test.started_at, test.cell_id))
    return Workbook(options.name, options.cell_id or cell_id_of(options.name), tuple(tests))


def _record(part: Part, columns: dict[str, Column], options: ReadOptions) -> Record:
    table, sorted_by = _in_order(part.table, columns)
    record = record_of(table, columns, dates=options.dates, usual_dates="mdy")
    record.assumed += sorted_by
    record.counters_of = AS_READ  # as in workbooks, so that a test is the same in each of its exports and their parts
    _require_clock(table, columns, record)
    if base_and_unit(columns["current"].title) == ("current", None):
        record.assumed.append("titles name no units; the numbers are taken as s, A, V, Ah, Wh, Ohm and degrees Celsius")
    if record.data_point is None:
        record.assumed.append("the file has no Data_Point; readings were numbered in their order")
    return record


def _one_after_the_other(part: Part, columns: dict[str, Column]) -> list[Part]:
    """The tests that scripts have put below each other: each begins again with its times and numbers of readings."""
    if "data_point" not in columns:
        return [part]
    table = part.table
    times = table.numbers(columns["test_time"].title, columns["test_time"].unit)
    numbers = table.numbers(columns["data_point"].title)
    begins = np.flatnonzero((np.diff(times) < 0) & (np.diff(numbers) < 0)) + 1
    if not len(begins) or len(np.unique(numbers)) == len(numbers):  # rows of one test in another order
        return [part]
    pieces = np.split(np.arange(len(table)), begins)
    rises = all((np.diff(numbers[at]) > 0).all() and (np.diff(times[at]) >= 0).all() for at in pieces)
    if not rises:
        return [part]
    label = f"{part.test}-" if part.test else ""
    return [replace(part, table=rows_of(table, at), test=f"{label}{nr}") for nr, at in enumerate(pieces, 1)]


def _in_order(table: Table, columns: dict[str, Column]) -> tuple[Table, list[str]]:
    """The rows by their numbers where times fall in the file's order but not in theirs, as rows of databases may."""
    times = table.numbers(columns["test_time"].title, columns["test_time"].unit)
    if "data_point" not in columns or not (np.diff(times) < 0).any():
        return table, []
    title = columns["data_point"].title
    numbers = table.numbers(title)
    order = np.argsort(numbers, kind="stable")
    if not ((np.diff(numbers[order]) > 0).all() and (np.diff(times[order]) >= 0).all()):
        return table, []
    return rows_of(table, order), [f"rows stand in no order of time; they were sorted by {title}"]


def _metadata(part: Part, record: Record, name: str) -> dict[str, str]:
    in_utc = any("so UTC" in line for line in record.assumed)  # numbers that count from 1970 have a zone, texts none
    told = {"channel": part.channel} if part.channel else {}
    return {**_said_by(name), **told, **({"time_zone": "UTC"} if in_utc else {})}


def _at_once(records: Sequence[Record]) -> bool:
    """Whether tests ran at the same time, by their dates, so not on the same cell; without dates they may have."""
    spans = []
    for record in records:
        dates = None if record.date_time is None else record.date_time.drop_null().cast(pa.int64()).to_numpy()
        if dates is None or not len(dates):
            return len(records) > 1
        spans.append((int(dates.min()), int(dates.max())))
    spans.sort()
    return any(before[1] > after[0] for before, after in pairwise(spans))


def _said_by(name: str) -> dict[str, str]:
    """What the name of a file says, as MITS gives it: test and channel, which a text states nowhere else."""
    match = _NAMED.match(PurePath(name).stem)
    return {} if match is None else match.groupdict()


def _header(lines: Iterable[str]) -> tuple[int, str] | None:
    """The index of the line with the titles, and what stands between them; None where there is no such line.

    A title may hold a tab between commas, so the mark that makes most titles counts.
    """
    for at, line in enumerate(lines):
        if "urrent" not in line and "URRENT" not in line:
            continue
        delimiter = max(DELIMITERS, key=line.count)
        bases = {base_of(base_and_unit(title)[0]) for title in titles_in(line, delimiter)}
        if bases >= _OF_STATISTICS or _SLASHED.search(line):
            continue
        if any(vintage <= bases for vintage in ANY_VINTAGE):
            return at, delimiter
    return None


def _temperatures(titles: Sequence[str]) -> list[str]:
    """The bases of the titles of temperatures, the first choice first."""
    found = []
    for wanted in _TEMPERATURES:
        pattern = re.compile(rf"^{wanted}[\s_]*\d*[\s_]*([(\[][^()\[\]]*[)\]])?[\s_]*\d*$", re.IGNORECASE)
        found += [
            base_and_unit(title)[0] for title in titles if pattern.match(" ".join(title.split()).replace(" ", "_"))
        ]
    return list(dict.fromkeys(found))


def _require_clock(table: Table, columns: dict[str, Column], record: Record) -> None:
    """Refuse clocks that none shows, as workbooks with such are refused."""
    if record.date_time is None or record.test_time is None:
        return
    try:
        clock = pa.chunked_array([record.date_time])
        require_clock(clock, record.test_time)
        require_days_as_days(clock, record.test_time)
    except BadCellError as error:
        raise table.error(columns["date_time"].title, str(error), error.index) from None
