"""The reader of LANDT's exports: workbooks with a sheet of records, and texts.

One counter is for both directions: it holds its value in a rest, goes on where the same direction resumes, and begins
again where it changes. Times may be seconds, or durations as text, time and timedelta in one column.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from itertools import chain, islice, pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from producer.readers.base import BadWorkbookError, Workbook
from producer.readers.make import as_test
from producer.readers.names import cell_id_of
from producer.readers.record import CHARGE, DISCHARGE, REST, Record, record_of
from producer.readers.sheets.book import OLE, ZIP, Sheet, open_book
from producer.readers.sheets.epoch import counts_from_1904
from producer.readers.tables.parts import Part, cells_of
from producer.readers.tables.texts import Text, read_table
from producer.readers.tables.titles import WRITTEN
from producer.readers.tables.workbooks import sheet_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from python_calamine import CalamineWorkbook

    from producer.readers.base import ReadOptions
    from producer.readers.sample import FileSample
    from producer.readers.tables.table import Table
    from producer.readers.tables.titles import Column

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
_HEADER_ROWS: Final = 30
"""So many rows of a sheet may stand before its header."""

_STATED: Final = {"cell model": "cell_model", "cell id": "item", "test": "test_name"}
_NUMBERED: Final = frozenset({"record", "index"})
"""The titles of the column with the numbers of the records."""

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
        lines = text.lstrip().split("\n", _HEADER_ROWS)[:_HEADER_ROWS]
        is_newer = any(re.match(_NEWER_HEADER, line, re.IGNORECASE) for line in lines)
        return is_newer or re.match(_HEADER, lines[0], re.IGNORECASE) is not None

    def read(self, path: Path, options: ReadOptions) -> Workbook:
        """Read a file whole.

        Raises:
            BadWorkbookError: it has no records, lacks a column, or a cell of it cannot be taken.
            UnreadableWorkbookError: its disk does not give it.
            UndatedWorkbookError: its dates may be in several orders.
        """
        found = _from_workbook(path, options) if _is_workbook(path) else [_from_text(path, options)]
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
    return any(name.strip().casefold() in _SHEETS or _is_header(row) or _is_layer(row) for name, row in headers)


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


def _from_text(path: Path, options: ReadOptions) -> tuple[Part, Record, dict[str, str]]:
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


def _from_workbook(path: Path, options: ReadOptions) -> list[tuple[Part, Record, dict[str, str]]]:
    """The tests of a workbook, each with the name of its first sheet as the channel.

    A sheet whose numbers of records go on where those before ended belongs to the same test.
    """
    with open_book(path, options.name) as book:
        sheets = list(_record_sheets(book))
        names = ", ".join(book.sheet_names)
    if not sheets:
        problem = f"has no sheet with the titles of records, such as {_TITLES}, only {names}; export the records"
        raise BadWorkbookError(options.name, problem)
    since_1904 = counts_from_1904(path)
    tests: list[tuple[Part, list[Record]]] = []
    for sheet, first_row in sheets:
        table, found = sheet_table(
            sheet, NAMES, options.name, needed=NEEDED, since_1904=since_1904, first_row=first_row
        )
        record = _record(table, found, options)
        if tests and (tests[-1][0].channel == sheet.name or _goes_on(tests[-1][1][-1], record)):
            tests[-1][1].append(record)
        else:
            tests.append((Part(table, channel=sheet.name), [record]))
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


def _record_sheets(book: CalamineWorkbook) -> Iterator[tuple[Sheet, int]]:
    """The sheets of records, each with the number of the first row below its header.

    A test that is too long for one sheet goes on in others, which have no header. Some exports put cycles side by side:
    each is a sheet of its own here.
    """
    header: Sequence[object] = ()
    for name in book.sheet_names:
        rows = book.get_sheet_by_name(name).iter_rows()
        before = list(islice(rows, _HEADER_ROWS))
        at = next((index for index, row in enumerate(before) if _is_header(row)), None)
        if at is not None:
            header = before[at]
            records = _without_layers(chain(before[at + 1 :], rows), header)
            for titles, cells in _side_by_side(header, records):
                yield Sheet(name, titles, cells), at + 2
        elif header and before and name.casefold().startswith("record"):
            width = max(len(header), len(before[0]))
            titles, *further = (_to_width(row, width) for row in chain([header], before, rows))
            yield Sheet(name, titles, list(chain.from_iterable(further))), 1


def _side_by_side(
    header: Sequence[object], rows: Iterable[Sequence[object]]
) -> Iterator[tuple[Sequence[object], list[object]]]:
    """The header and the cells of each cycle where they stand side by side; otherwise of all records.

    Where one cycle is shorter than another, numbers of records and nothing else fill up its columns; they are left out.
    """
    starts = [at for at, cell in enumerate(header) if str(cell).strip().casefold() in _NUMBERED]
    if len(starts) == 1:
        yield header, list(chain.from_iterable(rows))
        return
    whole = list(rows)
    for start, end in pairwise([*starts, len(header)]):
        empty = [""] * (end - start)
        parts = (row[start:end] for row in whole)
        kept = (part if any(cell != "" for cell in part[1:]) else empty for part in parts)
        yield header[start:end], list(chain.from_iterable(kept))


def _to_width(row: Sequence[object], width: int) -> list[object]:
    """A row with empty cells at its end where others are longer."""
    return [*row, *[""] * (width - len(row))]


def _is_header(row: Sequence[object]) -> bool:
    titles = {str(cell).strip().casefold() for cell in row}
    return bool(titles & _NUMBERED) and all(
        any(title.startswith(start) for title in titles) for start in ("testtime", "voltage/", "current/")
    )


def _is_layer(row: Sequence[object]) -> bool:
    """Whether a row has the titles of steps, which some exports write between the records."""
    return {"index", "mode", "period"} <= {str(cell).strip().casefold() for cell in row}


def _without_layers(rows: Iterable[Sequence[object]], header: Sequence[object]) -> Iterator[Sequence[object]]:
    """The rows of records; those of steps, and repeated titles, become empty, so that rows keep their numbers."""
    empty = [""] * len(header)
    of_steps = False
    for row in rows:
        if isinstance(next((cell for cell in row if cell != ""), None), str):
            is_header, is_layer = _is_header(row), _is_layer(row)
            of_steps = (of_steps or is_layer) and not is_header
            yield empty if is_header or of_steps else row
        else:
            yield empty if of_steps else row


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
