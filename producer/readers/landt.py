"""The reader of LANDT's exports: workbooks with a sheet of records, and texts.

One counter is for both directions: it holds its value in a rest, goes on where the same direction resumes, and begins
again where it changes. Times may be seconds, or durations as text, time and timedelta in one column.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from producer.readers.base import BadWorkbookError, Workbook
from producer.readers.landt_sheets import HEADER_ROWS, is_header, is_layer, record_sheets
from producer.readers.make import as_test
from producer.readers.names import cell_id_of
from producer.readers.record import CHARGE, DISCHARGE, REST, Record, record_of
from producer.readers.sheets.book import OLE, ZIP, open_book
from producer.readers.sheets.parsed import ParsedSheets
from producer.readers.tables.parts import Part, cells_of
from producer.readers.tables.texts import Text, read_table
from producer.readers.tables.titles import WRITTEN
from producer.readers.tables.workbooks import sheet_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from producer.readers.base import ReadOptions
    from producer.readers.sample import FileSample
    from producer.readers.tables.table import Table
    from producer.readers.tables.titles import Column

    _Found: TypeAlias = tuple[Part, Record, dict[str, str]]
    """A table, its record, and what the file states of it."""

NAMES: Final = {
    "record": ("data_point", ""),
    "index": ("data_point", ""),
    "testtime": ("test_time", ""),
    "steptime": ("step_time", ""),
    "systime": ("date_time", ""),
    "current": ("current", WRITTEN),
    "voltage": ("voltage", WRITTEN),
    "capacity": ("capacity", WRITTEN),
    "energy": ("energy", WRITTEN),
    "auxtemp": ("temperature", "C"),
    "cycleindex": ("cycle", ""),
    "cycleno": ("cycle", ""),
    "cycle": ("cycle", ""),
    "stepindex": ("step", ""),
    "stepno": ("step", ""),
    "step": ("step", ""),
    "stepstate": ("state", ""),
    "stepstatus": ("state", ""),
    "state": ("state", ""),
}
"""Energies and capacities per mass, such as SpeCap/mAh/g, are none of them."""

NEWER_NAMES: Final = {
    "channelindex": ("data_point", ""),
    "cycleindex": ("cycle", ""),
    "stepindex": ("step", ""),
    "datetimeisostring": ("date_time", ""),
    "testtimes": ("test_time", "s"),
    "steptimes": ("step_time", "s"),
    "currenta": ("current", "A"),
    "currentma": ("current", "mA"),
    "voltagev": ("voltage", "V"),
    "chargecapacityah": ("charge_capacity", "Ah"),
    "dischargecapacityah": ("discharge_capacity", "Ah"),
    "chargeenergywh": ("charge_energy", "Wh"),
    "dischargeenergywh": ("discharge_energy", "Wh"),
    "temperature1c": ("temperature", "C"),
    "stepname": ("state", ""),
}
"""Titles such as test_time_s, of a newer text; its channel_index counts the readings."""

NEEDED: Final = ("current", "voltage", "test_time")

_HEADER: Final = r'^"?(Record|Index)"?[,;\t](.*[,;\t])?"?TestTime\b.*\bVoltage\b'
_NEWER_HEADER: Final = r"^(?=.*\bchannel_index\b)(?=.*\btest_time_s\b)(?=.*\bvoltage_V\b)"
_TITLES: Final = "Record, TestTime, Current/mA and Voltage/V"
_STATED: Final = {"cell model": "cell_model", "cell id": "item", "test": "test_name"}
_SHEETS: Final = frozenset({"record-tab", "cycle-tab"})
_REST: Final = re.compile(r"^R(est)?$", re.IGNORECASE)
_LETTER: Final = re.compile(r"^(?P<first>[CD])_|(?P<last>[CD])$", re.IGNORECASE)
_WORD: Final = re.compile(r"(?P<dis>dis|d)?(charge|chg)", re.IGNORECASE)


@dataclass(frozen=True)
class LandtReader:
    """Reads LANDT's workbooks and text exports; see `producer.readers.base.Reader`."""

    name: str = "landt"
    suffixes: tuple[str, ...] = ()

    def recognises(self, sample: FileSample) -> bool:
        """Tell whether a file is surely a text of this format, by its first line; `claims_sheets` tells workbooks."""
        text = sample.text
        if text is None:
            return False
        lines = text.lstrip().split("\n", HEADER_ROWS)[:HEADER_ROWS]
        is_newer = any(re.match(_NEWER_HEADER, line, re.IGNORECASE) for line in lines)
        return is_newer or re.match(_HEADER, lines[0], re.IGNORECASE) is not None

    def read(self, path: Path, options: ReadOptions) -> Workbook:
        """Read a file whole.

        Raises:
            BadWorkbookError: it has no records, lacks a column, or a cell of it cannot be taken.
            UnreadableWorkbookError: its disk does not give it.
            UndatedWorkbookError: its dates may be in several orders.
        """
        if not _is_workbook(path):
            return self._workbook([_from_text(path, options)], options)
        with open_book(path, options.name) as book:
            return self.read_sheets(ParsedSheets(book, path), options)

    def read_sheets(self, sheets: ParsedSheets, options: ReadOptions) -> Workbook:
        """Read an open workbook; see `producer.readers.sheets.parsed.SheetReader`."""
        return self._workbook(_from_workbook(sheets, options), options)

    def _workbook(self, found: Sequence[_Found], options: ReadOptions) -> Workbook:
        parts = [part if len(found) > 1 else replace(part, channel="") for part, *_ in found]
        tests = [
            as_test(record, cell, options.name, self.name, metadata=stated, channel=part.channel)
            for (_, record, stated), part, cell in zip(found, parts, cells_of(parts, options), strict=True)
        ]
        tests.sort(key=lambda test: (test.started_at, test.cell_id))
        return Workbook(options.name, options.cell_id or cell_id_of(options.name), tuple(tests))


READER: Final = LandtReader()


def claims_sheets(headers: Iterable[tuple[str, Sequence[object]]]) -> bool:
    """Whether a workbook is of this format, by the names of its sheets and their first rows."""
    return any(name.strip().casefold() in _SHEETS or is_header(row) or is_layer(row) for name, row in headers)


def direction_of(state: str) -> int | None:
    """What a state says that was done; None where it says nothing.

    >>> [direction_of(state) for state in ("C_CC", "D_CC", "RateD", "CCVC_C", "R", "Pulse", "discharge CC")]
    [1, -1, -1, 1, 0, None, -1]
    """
    if _REST.match(state):
        return REST
    if (word := _WORD.search(state)) is not None:
        return DISCHARGE if word["dis"] else CHARGE
    if (letter := _LETTER.search(state)) is None:
        return None
    return CHARGE if (letter["first"] or letter["last"]).upper() == "C" else DISCHARGE


def _is_workbook(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4).startswith((ZIP, OLE))
    except OSError:  # whoever reads it next says what is wrong
        return False


def _from_text(path: Path, options: ReadOptions) -> _Found:
    text = Text.of(path, options.name)
    header, names = text.find(_HEADER), NAMES
    if header is None:
        header, names = text.find(_NEWER_HEADER), NEWER_NAMES
    if header is None:
        raise text.error(f"has no line with the titles of records, such as {_TITLES}; export it with them")
    table, found = read_table(text, header, names, needed=NEEDED)
    return (
        Part(table),
        _record(table, found, options, "mdy" if names is NEWER_NAMES else None),
        _stated(text.head[:header]),
    )


def _stated(preamble: Sequence[str]) -> dict[str, str]:
    """What lines such as `cell id: A1,,,` state."""
    stated = {}
    for line in preamble:
        name, _, value = line.partition(":")
        key = _STATED.get(name.strip().casefold())
        if key:
            stated[key] = value.strip(' ,;\t"')
    return stated


def _from_workbook(sheets: ParsedSheets, options: ReadOptions) -> list[_Found]:
    """The tests of a workbook, each with the name of its first sheet as the channel.

    A sheet whose numbers of records go on where those before ended belongs to the same test.
    """
    tests: list[tuple[Part, list[Record]]] = []
    for sheet, first_row in record_sheets(sheets):
        name = sheet.name
        table, found = sheet_table(
            sheet, NAMES, options.name, needed=NEEDED, since_1904=sheets.since_1904, first_row=first_row
        )
        del sheet  # its cells go before those of the next come
        record = _record(table, found, options)
        if tests and (tests[-1][0].channel == name or _goes_on(tests[-1][1][-1], record)):
            tests[-1][1].append(record)
        else:
            tests.append((Part(table, channel=name), [record]))
    if not tests:
        names = ", ".join(sheets.names)
        problem = f"has no sheet with the titles of records, such as {_TITLES}, only {names}; export the records"
        raise BadWorkbookError(options.name, problem)
    return [(part, _joined(records), {}) for part, records in tests]


def _record(table: Table, found: dict[str, Column], options: ReadOptions, usual_dates: str | None = None) -> Record:
    texts = table.texts(found["state"].title) if "state" in found else pa.array([], pa.string())
    said = {state: direction_of(state) for state in texts.unique().to_pylist()}
    states = {state.casefold(): direction for state, direction in said.items() if direction is not None}
    record = record_of(table, found, states=states, dates=options.dates, usual_dates=usual_dates)
    if record.direction is not None and None in said.values():
        silent = pc.is_in(texts, value_set=pa.array([state for state, direction in said.items() if direction is None]))
        sign = np.sign(record.current).astype(np.int64)
        record.direction = np.where(silent.to_numpy(zero_copy_only=False), sign, record.direction)
    if "capacity" in record.counters:
        record.counters_of = "test"  # it falls where a direction ends and never where a step does
    return record


def _goes_on(before: Record, record: Record) -> bool:
    if before.data_point is None or record.data_point is None:
        return False
    return bool(record.data_point[0] > before.data_point[-1])


def _joined(records: Sequence[Record]) -> Record:
    """Records of one test, end to end; columns that one of them lacks are left out."""
    if len(records) == 1:
        return records[0]
    whole: dict[str, object] = {}
    for field in fields(Record):
        values = [getattr(record, field.name) for record in records]
        if any(value is None for value in values):
            continue
        if isinstance(values[0], np.ndarray):
            whole[field.name] = np.concatenate(values)
        elif isinstance(values[0], pa.Array):
            whole[field.name] = pa.concat_arrays(values)
    joined = Record(**whole)  # type: ignore[arg-type]
    joined.counters_of = records[0].counters_of
    for name in set.intersection(*(set(record.counters) for record in records)):
        joined.counters[name] = np.concatenate([record.counters[name] for record in records])
    for name in set.intersection(*(set(record.extra) for record in records)):
        joined.extra[name] = pa.concat_arrays([record.extra[name] for record in records])
    joined.assumed = list(dict.fromkeys(line for record in records for line in record.assumed))
    return joined
