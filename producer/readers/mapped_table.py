"""The table that a mapping file describes: where its titles stand, what lies between them and the readings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from producer.readers.base import BadWorkbookError
from producer.readers.mapping import folded
from producer.readers.sheets.book import Sheet
from producer.readers.tables.parquets import open_parquet, parquet_table
from producer.readers.tables.texts import Text, delimiter_of, read_table, titles_in
from producer.readers.tables.titles import QUANTITIES, base_and_unit
from producer.readers.tables.workbooks import sheet_table
from producer.readers.unit_rows import units_below
from producer.readers.zones import zone_of

if TYPE_CHECKING:
    from collections.abc import Mapping as Pairs
    from pathlib import Path

    from producer.readers.mapping import Mapping
    from producer.readers.sheets.parsed import ParsedSheets
    from producer.readers.tables.table import Table
    from producer.readers.tables.titles import Column

NEEDED: Final = ("current", "voltage")
TITLE_ROWS: Final = 60
"""So many rows of a sheet are looked at for the titles."""

_DECIMAL_COMMA: Final = r"^\s*[+-]?\d*(,\d+)?([eE][+-]?\d+)?\s*$"
_THOUSANDS: Final = r"^\s*-?\d{1,3}(,\d{3})+\s*$"


@dataclass(frozen=True)
class MappedTable:
    """A table, the column of each quantity, what was assumed of their units, and the zone that its dates say."""

    table: Table
    found: dict[str, Column]
    assumed: tuple[str, ...] = ()
    zone: str = ""


def open_table(path: Path, name: str, mapping: Mapping, *, is_parquet: bool) -> MappedTable:
    """Read the table that a mapping describes from Parquet or text.

    Args:
        path: where the file is.
        name: what to call it in errors.
        mapping: what its columns are.
        is_parquet: whether it is Parquet.

    Raises:
        BadWorkbookError: it has no such columns, or a value of them cannot be taken.
        UnreadableWorkbookError: its disk does not give it.
    """
    return _parquet(path, name, mapping) if is_parquet else _zoned(_text(path, name, mapping))


def table_of_sheets(sheets: ParsedSheets, name: str, mapping: Mapping) -> MappedTable:
    """Read the table that a mapping describes from an open workbook; otherwise as `open_table`.

    Raises:
        BadWorkbookError: no sheet has such columns, or a value of them cannot be taken.
        CalamineError: a sheet is damaged.
    """
    sheet, titles_at = _sheet(sheets, name, mapping)
    width = len(sheet.header)
    titles = [" ".join(str(cell).split()) for cell in sheet.header]
    units = units_below(mapping, titles, [str(cell) for cell in sheet.cells[:width]])
    left_out = _left_out(mapping, titles_at, units)
    sheet, first_row = replace(sheet, cells=sheet.cells[left_out * width :]), titles_at + 1 + left_out
    finder = partial(mapping.find, units=units)
    table, found = sheet_table(sheet, finder, name, needed=NEEDED, since_1904=sheets.since_1904, first_row=first_row)
    return _zoned(MappedTable(table, found, _said_of(mapping, units)))


def _zoned(read: MappedTable) -> MappedTable:
    dates = read.found.get("date_time")
    return read if dates is None else replace(read, zone=zone_of(read.table.columns[dates.title]))


def _parquet(path: Path, name: str, mapping: Mapping) -> MappedTable:
    table, found = parquet_table(path, name, mapping.find, needed=NEEDED)
    if "date_time" not in found:
        return MappedTable(table, found)
    title = found["date_time"].title
    with open_parquet(path, name) as parquet:  # what was read has lost it
        zone = getattr(parquet.schema_arrow.field(title).type, "tz", None)
    return MappedTable(table, found, zone="UTC" if zone else zone_of(table.columns[title]))


def _text(path: Path, name: str, mapping: Mapping) -> MappedTable:
    text = Text.of(path, name)
    header = _header(text, mapping)
    delimiter = mapping.delimiter or delimiter_of(text.head[header])
    titles, below = (titles_in(line, delimiter) for line in [*text.head[header : header + 2], ""][:2])
    units = units_below(mapping, titles, below)
    skip = _left_out(mapping, header + 1, units)
    finder = partial(mapping.find, units=units)
    table, found = read_table(text, header, finder, needed=NEEDED, delimiter=delimiter, skip=skip)
    if delimiter == ",":
        table = replace(table, columns=_with_points(table, found))
    return MappedTable(table, found, _said_of(mapping, units))


def _with_points(table: Table, found: Pairs[str, Column]) -> dict[str, pa.ChunkedArray]:
    """The columns, with a point for the decimal comma of those numbers that stand in quotes between commas."""
    columns = dict(table.columns)
    numeric = [
        one.title for quantity, one in found.items() if QUANTITIES[quantity] is not None and one.unit is not None
    ]
    texts = [title for title in numeric if pa.types.is_string(columns[title].type)]
    commas = [pc.filter(columns[title], pc.match_substring(columns[title], ",")) for title in texts]
    commas = [one for one in commas if len(one)]
    are_decimals = all(pc.all(pc.match_substring_regex(columns[title], _DECIMAL_COMMA)).as_py() for title in texts)
    are_thousands = all(pc.all(pc.match_substring_regex(one, _THOUSANDS)).as_py() for one in commas)
    if are_decimals and not are_thousands:
        columns |= {title: pc.replace_substring(columns[title], ",", ".") for title in texts}
    return columns


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


def _sheet(sheets: ParsedSheets, name: str, mapping: Mapping) -> tuple[Sheet, int]:
    """The sheet with the columns, from its titles on, and the number of their row."""
    if mapping.sheet is not None and mapping.sheet not in sheets.names:
        raise BadWorkbookError(
            name, f"has no sheet {mapping.sheet}, which {mapping.file} names, only {', '.join(sheets.names)}"
        )
    seen: list[str] = []
    for sheet_name in sheets.names if mapping.sheet is None else [mapping.sheet]:
        rows = sheets.rows(sheet_name)
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
