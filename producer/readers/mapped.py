"""The reader of any other table, as text, Parquet or workbook, by a mapping file that says what its columns are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from kernel.base.plain import one_line
from producer.readers.base import BadWorkbookError, UnreadableWorkbookError, Workbook
from producer.readers.make import as_test
from producer.readers.mapped_meaning import leave_out_still, mend_times, take_net, turn_one_way
from producer.readers.mapped_table import NEEDED, open_table, table_of_sheets
from producer.readers.mapping import MappingError, mapping_of
from producer.readers.mapping_file import columns_command
from producer.readers.meaning.sign import NO_CURRENT
from producer.readers.meaning.steps import directions_of
from producer.readers.names import cell_id_of
from producer.readers.record import REST, record_of
from producer.readers.sheets.book import OLE, ZIP, open_book
from producer.readers.sheets.parsed import ParsedSheets
from producer.readers.tables.parquets import PARQUET
from producer.readers.tables.parts import cells_of, split, without_empty
from producer.readers.usual_states import USUAL_STATES

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from producer.readers.base import ReadOptions, Test
    from producer.readers.mapped_table import MappedTable
    from producer.readers.mapping import Mapping
    from producer.readers.record import Record
    from producer.readers.sample import FileSample
    from producer.readers.tables.parts import Part
    from producer.readers.tables.table import Table
    from producer.readers.tables.titles import Column


@dataclass(frozen=True)
class MappedReader:
    """Reads any table by a mapping file; see `producer.readers.base.Reader`.

    No content is surely a table of its kind, so it is asked where there is a mapping file, or the user names it.
    """

    name: str = "table"
    suffixes: tuple[str, ...] = ()

    def recognises(self, sample: FileSample) -> bool:  # noqa: ARG002  # it never claims a file
        """Tell whether a file is surely of this format, which no content says."""
        return False

    def read(self, path: Path, options: ReadOptions) -> Workbook:
        """Read a file whole.

        Raises:
            BadWorkbookError: there is no mapping file, it cannot be used, or a value of the table cannot be taken.
            UnreadableWorkbookError: its disk does not give it.
            UndatedWorkbookError: its dates may be in several orders.
        """
        start = _begins(path, options.name)
        if not start:
            raise BadWorkbookError(options.name, "the file is empty; export or copy it again")
        mapping, options = _mapping(path, options)
        if start.startswith((ZIP, OLE)):
            with open_book(path, options.name) as book:
                return _workbook(table_of_sheets(ParsedSheets(book, path), options.name, mapping), mapping, options)
        opened = open_table(path, options.name, mapping, is_parquet=start.startswith(PARQUET))
        return _workbook(opened, mapping, options)

    def read_sheets(self, sheets: ParsedSheets, options: ReadOptions) -> Workbook:
        """Read the table of an open workbook; see `producer.readers.sheets.parsed.SheetReader`."""
        mapping, options = _mapping(sheets.path, options)
        return _workbook(table_of_sheets(sheets, options.name, mapping), mapping, options)


READER: Final = MappedReader()


def _place(path: Path, name: str) -> str:
    """Where the command line finds the file; of an unpacked one its name."""
    return one_line(str(path)) if path.name == name else name


def _begins(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(8)
    except OSError as error:
        raise UnreadableWorkbookError(name, f"cannot be read: {error.strerror or error}") from None


def _mapping(path: Path, options: ReadOptions) -> tuple[Mapping, ReadOptions]:
    """The mapping that the user gives, and the options with the cell that it names.

    Raises:
        BadWorkbookError: there is none, or it cannot be used.
    """
    if options.mapping is None:
        raise BadWorkbookError(
            options.name,
            f"is a table without a mapping file; {columns_command(_place(path, options.name))} proposes one",
        )
    try:
        mapping = mapping_of(options.mapping)
    except MappingError as error:
        raise BadWorkbookError(options.name, str(error)) from None
    is_named = mapping.cell is not None and options.cell_id is None
    return mapping, replace(options, cell_id=mapping.cell) if is_named else options


def _workbook(opened: MappedTable, mapping: Mapping, options: ReadOptions) -> Workbook:
    opened = replace(opened, found=without_empty(opened.table, opened.found, needed=NEEDED))
    parts = split(opened.table, opened.found)
    cells = cells_of(parts, options)
    tests = [_test(part, cell, opened, mapping, options) for part, cell in zip(parts, cells, strict=True)]
    tests.sort(key=lambda test: (test.started_at, test.cell_id))
    return Workbook(options.name, options.cell_id or cell_id_of(options.name), tuple(tests))


def _test(part: Part, cell: str, opened: MappedTable, mapping: Mapping, options: ReadOptions) -> Test:
    found = opened.found
    table = part.table
    states = mapping.states or USUAL_STATES
    record = record_of(table, found, states=states, dates=mapping.dates or options.dates)
    record.assumed[:0] = opened.assumed
    if mapping.sign == "unsigned" and record.direction is None:
        column = found.get("state")
        raise table.error(
            column.title if column else None,
            f"says nowhere what charges and what discharges, and {mapping.file} has the sign unsigned; name the texts "
            "under states",
            None if column is None else 0,
        )
    if mapping.sign in {None, "unsigned"} and record.direction is not None:
        _refuse_untold(table, found["state"].title, record, states)
    if mapping.sign == "discharge positive":
        record.current = -record.current
    if mapping.sign in {"charge positive", "discharge positive"}:
        record.direction = directions_of(record.current)
    if mapping.counters in {"test", "cycle", "step"}:
        record.counters_of = mapping.counters
    record.net = mapping.counters == "net"
    leave_out_still(record)
    if mapping.sign is None:
        turn_one_way(record)
    if mapping.counters is None:
        take_net(record)
    if record.test_time is None and record.step_time is None:
        record.test_time = _times_of_dates(record, table, found)
        record.assumed.append("the file has no test times; they were taken from its dates")
    mend_times(record, table, found)
    in_utc = any("so UTC" in line for line in record.assumed)  # numbers that count from 1970
    zone = mapping.zone or ("UTC" if in_utc else opened.zone)
    return as_test(record, cell, options.name, READER.name, metadata={"time_zone": zone}, channel=part.channel)


def _refuse_untold(table: Table, title: str, record: Record, states: Collection[str]) -> None:
    """Refuse a state that says no direction while a current without a sign flows, since its charge would be lost.

    Raises:
        BadWorkbookError: there is one.
    """
    current, direction = record.current, record.direction
    flows = np.abs(current) > NO_CURRENT * np.abs(current).max(initial=0.0)
    silent = np.flatnonzero(flows & (direction == REST))
    texts = table.texts(title).take(pa.array(silent)).to_pylist() if len(silent) else []
    at = next((int(row) for row, text in zip(silent, texts, strict=True) if text.casefold() not in states), None)
    if at is not None:
        state = table.texts(title)[at].as_py()
        raise table.error(title, f"{state!r} says neither charge nor discharge; name it under states", at)


def _times_of_dates(
    record: Record, table: Table, found: dict[str, Column]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Seconds since the first date, shape (n,)."""
    dates, title = record.date_time, found["date_time"].title if "date_time" in found else None
    if dates is None or dates.null_count:
        at = None if dates is None else int(np.argmin(np.asarray(dates.is_valid())))
        raise table.error(title, "the cell is empty, and nothing else tells the time; every reading needs it", at)
    stamps = dates.cast(pa.int64()).to_numpy()
    seconds: np.ndarray[tuple[int], np.dtype[np.float64]] = (stamps - stamps[0]) / 1e6
    return seconds
