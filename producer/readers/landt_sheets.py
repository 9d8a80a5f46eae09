"""LANDT's workbooks: which of their sheets hold records, in the layouts that its software writes."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, islice, pairwise
from typing import TYPE_CHECKING, Final

from producer.readers.sheets.book import Sheet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from producer.readers.sheets.parsed import ParsedSheets

HEADER_ROWS: Final = 30
"""So many rows of a sheet may stand before its header."""

_NUMBERED: Final = frozenset({"record", "index"})
"""The titles of the column with the numbers of the records."""


def record_sheets(sheets: ParsedSheets) -> Iterator[tuple[Sheet, int]]:
    """The sheets of records, each with the number of the first row below its header.

    A test that is too long for one sheet goes on in others, which have no header. Some exports put cycles side by side:
    each is a sheet of its own here.
    """
    header: Sequence[object] = ()
    for name in sheets.names:
        header, first_row, parts = _records_in(sheets, name, header)
        while parts:
            yield parts.pop(0), first_row


def _records_in(sheets: ParsedSheets, name: str, header: Sequence[object]) -> tuple[Sequence[object], int, list[Sheet]]:
    """The header of a sheet, the number of the first row below it, and its records; none where it has none.

    A sheet without a header may continue the one before, whose header it then has, and which it leaves to the next.
    """
    rows = sheets.rows(name)
    before = list(islice(rows, HEADER_ROWS))
    at = next((index for index, row in enumerate(before) if is_header(row)), None)
    if at is not None:
        cells = list(chain.from_iterable(chain(before[at + 1 :], rows)))
        _empty_layers(cells, len(before[at]))
        return before[at], at + 2, _side_by_side(Sheet(name, before[at], cells))
    if header and before and name.casefold().startswith("record"):
        width = max(len(header), len(before[0]))
        titles, *further = (_to_width(row, width) for row in chain([header], before, rows))
        return header, 1, [Sheet(name, titles, list(chain.from_iterable(further)))]
    return header, 1, []


def _side_by_side(sheet: Sheet) -> list[Sheet]:
    """The records of each cycle where they stand side by side; otherwise all of them.

    Where one cycle is shorter than another, numbers of records and nothing else fill up its columns; they are left out.
    """
    starts = [at for at, cell in enumerate(sheet.header) if str(cell).strip().casefold() in _NUMBERED]
    if len(starts) == 1:
        return [sheet]
    parts = []
    for start, end in pairwise([*starts, len(sheet.header)]):
        empty = [""] * (end - start)
        rows = (sheet.row(row)[start:end] for row in range(sheet.row_count))
        kept = (row if any(cell != "" for cell in row[1:]) else empty for row in rows)
        parts.append(replace(sheet, header=sheet.header[start:end], cells=list(chain.from_iterable(kept))))
    return parts


def _to_width(row: Sequence[object], width: int) -> list[object]:
    """A row with empty cells at its end where others are longer."""
    return [*row, *[""] * (width - len(row))]


def is_header(row: Sequence[object]) -> bool:
    """Whether a row has the titles of records."""
    titles = {str(cell).strip().casefold() for cell in row}
    return bool(titles & _NUMBERED) and all(
        any(title.startswith(start) for title in titles) for start in ("testtime", "voltage/", "current/")
    )


def is_layer(row: Sequence[object]) -> bool:
    """Whether a row has the titles of steps, which some exports write between the records."""
    return {"index", "mode", "period"} <= {str(cell).strip().casefold() for cell in row}


def _empty_layers(cells: list[object], width: int) -> None:
    """Empty the rows of steps, and of repeated titles, among those of records, so that rows keep their numbers.

    Only a row that begins with a text can be one of titles, or end the steps.
    """
    steps: int | None = None
    for number, first in enumerate(cells[::width]):
        if not isinstance(first, str):
            continue
        row = cells[number * width : (number + 1) * width]
        if not isinstance(next((cell for cell in row if cell != ""), None), str):
            continue
        if is_header(row):
            begin, steps = number if steps is None else steps, None
            cells[begin * width : (number + 1) * width] = [""] * ((number + 1 - begin) * width)
        elif steps is None and is_layer(row):
            steps = number
    if steps is not None:
        cells[steps * width :] = [""] * (len(cells) - steps * width)
