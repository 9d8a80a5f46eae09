"""The reader of any other table, as text, Parquet or workbook, by a mapping file that says what its columns are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from kernel.base.plain import one_line
from producer.readers.base import BadWorkbookError, UnreadableWorkbookError, Workbook
from producer.readers.make import as_test
from producer.readers.mapped_meaning import leave_out_still, mend_times, take_net, turn_one_way
from producer.readers.mapping import MappingError, folded, mapping_of
from producer.readers.mapping_file import columns_command
from producer.readers.meaning.sign import NO_CURRENT
from producer.readers.meaning.steps import directions_of
from producer.readers.names import cell_id_of
from producer.readers.record import REST, record_of
from producer.readers.sheets.book import OLE, ZIP, Sheet, open_book
from producer.readers.sheets.epoch import counts_from_1904
from producer.readers.tables.parquets import PARQUET, parquet_table
from producer.readers.tables.parts import cells_of, split, without_empty
from producer.readers.tables.texts import Text, delimiter_of, read_table, titles_in
from producer.readers.tables.titles import base_and_unit
from producer.readers.tables.workbooks import sheet_table
from producer.readers.unit_rows import units_below
from producer.readers.usual_states import USUAL_STATES
from producer.readers.zones import zone_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from collections.abc import Mapping as Pairs
    from pathlib import Path

    from python_calamine import CalamineWorkbook

    from producer.readers.base import ReadOptions, Test
    from producer.readers.mapping import Mapping
    from producer.readers.record import Record
    from producer.readers.sample import FileSample
    from producer.readers.tables.parts import Part
    from producer.readers.tables.table import Table
    from producer.readers.tables.titles import Column

NEEDED: Final = ("current", "voltage")

TITLE_ROWS: Final = 60
"""So many rows of a sheet are looked at for the titles."""


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
        if options.mapping is None:
            raise BadWorkbookError(
                options.name,
                f"is a table without a mapping file; {columns_command(_place(path, options.name))} proposes one",
            )
        try:
            mapping = mapping_of(options.mapping)
        except MappingError as error:
            raise BadWorkbookError(options.name, str(error)) from None
        if mapping.cell is not None and options.cell_id is None:
            options = replace(options, cell_id=mapping.cell)
        table, found, assumed = _table(path, options.name, mapping, start)
        found = without_empty(table, found, needed=NEEDED)
        parts = split(table, found)
        cells = cells_of(parts, options)
        tests = [_test(part, found, cell, mapping, options, assumed) for part, cell in zip(parts, cells, strict=True)]
        tests.sort(key=lambda test: (test.started_at, test.cell_id))
        return Workbook(options.name, options.cell_id or cell_id_of(options.name), tuple(tests))


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


def _table(path: Path, name: str, mapping: Mapping, start: bytes) -> tuple[Table, dict[str, Column], tuple[str, ...]]:
    """The table, the column of each quantity, and what was assumed of their units."""
    if start.startswith(PARQUET):
        return *parquet_table(path, name, mapping.find, needed=NEEDED), ()
    if start.startswith((ZIP, OLE)):
        with open_book(path, name) as book:
            sheet, titles_at = _sheet(book, name, mapping)
            width = len(sheet.header)
            titles = [" ".join(str(cell).split()) for cell in sheet.header]
            units = units_below(mapping, titles, [str(cell) for cell in sheet.cells[:width]])
            left_out = _left_out(mapping, titles_at, units)
            sheet, first_row = replace(sheet, cells=sheet.cells[left_out * width :]), titles_at + 1 + left_out
            finder = partial(mapping.find, units=units)
            since_1904 = counts_from_1904(path)
            read = sheet_table(sheet, finder, name, needed=NEEDED, since_1904=since_1904, first_row=first_row)
            return *read, _said_of(mapping, units)
    text = Text.of(path, name)
    header = _header(text, mapping)
    delimiter = mapping.delimiter or delimiter_of(text.head[header])
    titles, below = (titles_in(line, delimiter) for line in [*text.head[header : header + 2], ""][:2])
    units = units_below(mapping, titles, below)
    skip = _left_out(mapping, header + 1, units)
    finder = partial(mapping.find, units=units)
    return (
        *read_table(text, header, finder, needed=NEEDED, delimiter=mapping.delimiter, skip=skip),
        _said_of(mapping, units),
    )


def _left_out(mapping: Mapping, titles_at: int, units: Pairs[str, str]) -> int:
    """How many rows below the titles, whose row is counted from 1, hold no readings."""
    return int(bool(units)) if mapping.data_row is None else max(0, mapping.data_row - titles_at - 1)


def _said_of(mapping: Mapping, units: Pairs[str, str]) -> tuple[str, ...]:
    """A line on the units that only the row below the titles says."""
    stated = {folded(one.title) for one in mapping.columns if one.unit is not None}
    told = [f"{title} in {unit}" for title, unit in units.items() if folded(title) not in stated and _is_bare(title)]
    return (f"the row below the titles names units: {', '.join(told)}",) if told else ()


def _is_bare(title: str) -> bool:
    return not base_and_unit(title)[1]


def _header(text: Text, mapping: Mapping) -> int:
    """The index of the line with the titles.

    Raises:
        BadWorkbookError: no line has them.
    """
    if mapping.header_row is not None:
        if mapping.header_row > len(text.head) or not text.head[mapping.header_row - 1].strip():
            raise text.error(f"has no line {mapping.header_row}, which {mapping.file} names as header_row")
        return mapping.header_row - 1
    for index, line in enumerate(text.head):
        if line.strip() and mapping.fits(titles_in(line, mapping.delimiter or delimiter_of(line))):
            return index
    wanted = ", ".join(column.title for column in mapping.columns)
    shown = next((line for line in text.head if line.strip()), "")[:200]
    raise text.error(f"no line has all columns that {mapping.file} names ({wanted}); the first line is {shown}")


def _sheet(book: CalamineWorkbook, name: str, mapping: Mapping) -> tuple[Sheet, int]:
    """The sheet with the columns, from its titles on, and the number of their row."""
    if mapping.sheet is not None and mapping.sheet not in book.sheet_names:
        raise BadWorkbookError(
            name, f"has no sheet {mapping.sheet}, which {mapping.file} names, only {', '.join(book.sheet_names)}"
        )
    seen: list[str] = []
    for sheet_name in book.sheet_names if mapping.sheet is None else [mapping.sheet]:
        rows = book.get_sheet_by_name(sheet_name).iter_rows()
        for number, row in enumerate(islice(rows, mapping.header_row or TITLE_ROWS), 1):
            if mapping.header_row is not None and number < mapping.header_row:
                continue
            titles = [str(cell) for cell in row]
            if mapping.fits(titles) or (mapping.header_row and mapping.sheet):
                return Sheet(sheet_name, row, list(chain.from_iterable(rows))), number
            seen += [] if seen else [title for title in titles if title.strip()]
    wanted = ", ".join(column.title for column in mapping.columns)
    raise BadWorkbookError(
        name,
        f"no row of a sheet has all columns that {mapping.file} names ({wanted}); the first row has {', '.join(seen)}",
    )


def _test(
    part: Part,
    found: dict[str, Column],
    cell: str,
    mapping: Mapping,
    options: ReadOptions,
    assumed: Sequence[str],
) -> Test:
    table = part.table
    states = mapping.states or USUAL_STATES
    record = record_of(table, found, states=states, dates=mapping.dates or options.dates)
    record.assumed[:0] = assumed
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
    zone = mapping.zone
    if not zone and "date_time" in found:
        zone = zone_of(table.columns[found["date_time"].title])
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
