"""Sheets of workbooks as tables: the cells below a header, column by column, as numbers, times, dates or texts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from producer.readers.base import BadWorkbookError
from producer.readers.sheets.cells import BadCellError
from producer.readers.sheets.duration import clock_seconds, is_duration, seconds_of
from producer.readers.tables.table import Table
from producer.readers.tables.titles import QUANTITIES, TIMES, Column, TitleError, columns_of
from producer.readers.units import SAME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from producer.readers.sheets.book import Sheet
    from producer.readers.tables.titles import Finder, Names

_NUMBERS: Final = frozenset({float, int, bool})


def sheet_table(
    sheet: Sheet,
    names: Names | Finder,
    file: str,
    *,
    needed: Sequence[str],
    since_1904: bool = False,
    first_row: int = 2,
) -> tuple[Table, dict[str, Column]]:
    """The table of a sheet of readings; rows without any cell are left out.

    Args:
        sheet: its header and its cells.
        names: what the format calls its columns.
        file: what to call the file in errors.
        needed: quantities without which the sheet holds no readings.
        since_1904: whether the workbook counts days from 1904.
        first_row: the number of the first row below the header.

    Returns:
        The table of the columns that names claim, and for each quantity its column.

    Raises:
        BadWorkbookError: a needed column is missing, a cell cannot be taken, or there is no row.
    """
    titles = [" ".join(str(cell).split()) for cell in sheet.header]
    try:
        found = columns_of(titles, names)
    except TitleError as error:
        raise BadWorkbookError(file, str(error), sheet=sheet.name, column=error.title) from None
    missing = [one for one in needed if one not in found]
    if missing:
        raise BadWorkbookError(
            file,
            f"has no column for {', '.join(one.replace('_', ' ') for one in missing)}, only {', '.join(titles[:20])}; "
            "export it with these columns",
            sheet=sheet.name,
        )
    rows: Sequence[int] = range(sheet.row_count)
    if needed and "" in sheet.column(titles.index(found[needed[0]].title)):  # a row without any cell has none here
        rows = [row for row in rows if any(cell != "" for cell in sheet.row(row))]
    if not rows:
        raise BadWorkbookError(file, "has a header but no readings", sheet=sheet.name)
    is_whole = len(rows) == sheet.row_count
    columns: dict[str, pa.ChunkedArray] = {}
    for quantity, column in found.items():
        cells = sheet.column(titles.index(column.title))
        if not is_whole:
            cells = [cells[row] for row in rows]
        try:
            array = array_of(cells, quantity, column, since_1904=since_1904)
        except BadCellError as error:
            row = first_row + rows[error.index]
            raise BadWorkbookError(file, str(error), sheet=sheet.name, column=column.title, row=row) from None
        columns[column.title] = pa.chunked_array([array])
        if quantity in TIMES and column.unit is None:
            found[quantity] = replace(column, unit=SAME)
    table = Table(file, columns, sheet.name, first_row, None if is_whole else [first_row + row for row in rows])
    return table, found


def array_of(cells: Sequence[object], quantity: str, column: Column, *, since_1904: bool) -> pa.Array:
    """The cells of one column: s for times, timestamps for dates, texts where the quantity is one, else numbers.

    Raises:
        BadCellError: a cell is none of what its column holds.
    """
    kinds = set(map(type, cells))  # for most columns this alone tells what to do, without a look at each cell
    are_numbers = _are(_NUMBERS, cells, kinds)
    if quantity in TIMES and not are_numbers and (column.unit is None or any(map(is_duration, cells))):
        return _durations(cells, kinds, since_1904=since_1904)
    if QUANTITIES[quantity] is not None or quantity == "date_time":
        if are_numbers:
            return pa.array(_or_null(cells, kinds), pa.float64())
        if quantity == "date_time" and _are({datetime}, cells, kinds):
            return pa.array(_or_null(cells, kinds), pa.timestamp("us"))
    return pa.array(cells if kinds == {str} else [_text(cell) for cell in cells], pa.string())


def _are(wanted: AbstractSet[type], cells: Sequence[object], kinds: AbstractSet[type]) -> bool:
    """Whether all cells are of some types, or empty."""
    return kinds <= wanted or (kinds <= wanted | {str} and not any(cell for cell in cells if isinstance(cell, str)))


def _or_null(cells: Sequence[object], kinds: AbstractSet[type]) -> Sequence[object]:
    """Cells with None in place of the empty ones."""
    return [None if cell == "" else cell for cell in cells] if str in kinds else cells


def _durations(cells: Sequence[object], kinds: AbstractSet[type], *, since_1904: bool) -> pa.Array:
    seconds = clock_seconds(pa.array(cells, pa.string())) if kinds == {str} else None
    return pa.array(seconds_of(cells, since_1904=since_1904) if seconds is None else seconds, pa.float64())


def _text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.isoformat(" ")
    return cell.isoformat() if isinstance(cell, date | time) else str(cell)
