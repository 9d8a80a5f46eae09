"""The beginning of any table: its titles and first rows, as text; for `battery columns`, in a child with limits."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field, replace
from io import StringIO
from itertools import islice
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from producer.readers.base import BadWorkbookError
from producer.readers.guesses import guess
from producer.readers.seen import Seen, has_decimal_commas, is_number, is_value, seen_in, seen_of
from producer.readers.sheets.book import OLE, ZIP, names_channels, open_book
from producer.readers.tables.parquets import PARQUET, open_parquet
from producer.readers.tables.texts import DELIMITERS, Text, titles_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from producer.readers.sheets.cells import Cell
    from producer.readers.sheets.claims import Heads

ARBIN: Final = "arbin"
"""The reader of workbooks with a sheet of a channel."""

ROWS: Final = 5
TITLE_ROWS: Final = 60
"""So many rows of a sheet are looked at for the titles."""

SAMPLED_ROWS: Final = 20_000
"""So many rows of a table are looked at for what its values tell."""

_SAMPLED_BYTES: Final = 8 * 1024**2
_CELL_LETTERS: Final = 40
_FEWEST: Final = 2
"""Titles that a row of them has at least: a time and what was measured."""


@dataclass(frozen=True)
class Look:
    """The beginning of a table: the titles with their row, from 1, and the first rows below, each cell as text.

    Attributes:
        titles: as the file writes them.
        rows: the first rows below, with one of units if there is one.
        header_row: the row of the titles, from 1.
        sheet: that of a workbook.
        delimiter: that of a text.
        seen: what the first 20,000 values of each column are; none where they were not looked at.
        other_sheets: sheets that have a table of their own.
        reader: the reader that takes the workbook, by its sheets.
    """

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    header_row: int = 1
    sheet: str | None = None
    delimiter: str | None = None
    seen: tuple[Seen, ...] = field(default=(), repr=False)
    other_sheets: tuple[str, ...] = ()
    reader: str | None = None

    def values(self, place: int) -> list[str]:
        """The first values of a column."""
        return [row[place] for row in self.rows if place < len(row)]


def look(path: Path) -> Look:
    """The beginning of a table.

    Raises:
        BadWorkbookError: it is damaged, or has no row of titles above rows with numbers.
        UnreadableWorkbookError: its disk does not give it.
    """
    name = path.name
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise BadWorkbookError(name, f"cannot be read: {error.strerror or error}") from None
    if start.startswith(PARQUET):
        return _parquet(path, name)
    if start.startswith((ZIP, OLE)):
        return _workbook(path, name)
    return _text(Text.of(path, name))


def _parquet(path: Path, name: str) -> Look:
    with open_parquet(path, name) as parquet:
        batch = next(parquet.iter_batches(batch_size=SAMPLED_ROWS, use_threads=False), None)
        titles = tuple(parquet.schema_arrow.names)
        if batch is None:
            return Look(titles, ())
        columns = [_in_microseconds(column) for column in batch.columns]
        first = zip(*(column.slice(0, ROWS).to_pylist() for column in columns), strict=True)
        rows = tuple(tuple(_shortened(_shown(value)) for value in row) for row in first)
        return Look(titles, rows, seen=tuple(map(seen_of, columns)))


def _in_microseconds(column: pa.Array) -> pa.Array:
    """Times and durations as Python can show them: it has no nanoseconds."""
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return column.cast(pa.duration("us"), safe=False) if pa.types.is_duration(column.type) else column


def _workbook(path: Path, name: str) -> Look:
    found: list[tuple[Look, Sequence[Sequence[object]]]] = []
    heads: list[tuple[str, Sequence[Cell]]] = []
    with open_book(path, name) as book:
        for sheet in book.sheet_names:
            cells = list(islice(book.get_sheet_by_name(sheet).iter_rows(), SAMPLED_ROWS))
            heads.append((sheet, cells[0] if cells else []))
            table = _table([[_shown(cell) for cell in row] for row in cells[:TITLE_ROWS]])
            if table is not None:
                found.append((Look(table.titles, table.rows, table.header_row, sheet), cells))
    reader = _reader_of(heads)
    if not found and reader is not None:
        return Look((), (), reader=reader)
    if not found:
        sheets = ", ".join(sheet for sheet, _ in heads)
        raise BadWorkbookError(
            name, f"has no sheet with a row of titles above rows with numbers, only {sheets}; export the readings"
        )
    best, below = max(found, key=lambda one: _rank(one[0]))
    rows = [[_shown(cell) for cell in row] for row in below[best.header_row :]]
    seen = seen_in(rows, len(best.titles), decimal=".")
    others = tuple(str(other.sheet) for other, _ in found if other is not best)
    return replace(best, seen=seen, other_sheets=others, reader=reader)


def _reader_of(heads: Heads) -> str | None:
    """The reader that takes a workbook, by the names and first rows of its sheets; None where only a mapping tells."""
    from producer.readers.sheets.claims import OF_ANY_TABLE, other_reader  # noqa: PLC0415  # it imports readers

    other = None if names_channels(sheet for sheet, _ in heads) else other_reader(heads)
    if other is OF_ANY_TABLE:
        return None
    return ARBIN if other is None else other.name


def _text(text: Text) -> Look:
    lines = list(text.head)
    best: Look | None = None
    for delimiter in (*DELIMITERS, " "):
        rows = [next(csv.reader([line], delimiter=delimiter), []) for line in lines]
        table = _table([[_shown(cell) for cell in row] for row in rows])
        if table is not None and (best is None or _rank(table) > _rank(best)):
            best = Look(table.titles, table.rows, table.header_row, delimiter=delimiter)
    if best is None:
        shown = next((line for line in lines if line.strip()), "")[:120]
        raise text.error(
            f"has no line of titles above lines with numbers; it begins {shown!r}; write titles above the columns, "
            "between tabs, semicolons or commas"
        )
    titles = titles_in(lines[best.header_row - 1], best.delimiter or ",")  # as whoever reads it calls them
    return replace(best, titles=tuple(titles), seen=_seen_in_text(text, best))


def _seen_in_text(text: Text, table: Look) -> tuple[Seen, ...]:
    letters = memoryview(text.utf8).cast("B")  # a copy of all of a large text would be as much memory again
    content = bytes(letters[:_SAMPLED_BYTES]).decode("utf-8", "replace")
    lines = content.replace("\r\n", "\n").replace("\r", "\n").split("\n")[table.header_row :][:SAMPLED_ROWS]
    if len(letters) > _SAMPLED_BYTES:
        lines = lines[:-1]  # it is cut off
    delimiter = table.delimiter or ","
    decimal = "," if delimiter != "," and has_decimal_commas(lines[:40]) else "."
    try:
        rows = list(csv.reader(StringIO("\n".join(lines)), delimiter=delimiter))
    except csv.Error:  # a cell of more than 128 KiB
        return ()
    return seen_in(rows, len(table.titles), decimal=decimal)


def _table(rows: Sequence[Sequence[str]]) -> Look | None:
    """The row of titles with the most that are known, or else the first, and what is below it.

    A row of units may stand between. None where no row of texts stands above rows with numbers.
    """
    candidates = []
    for at, row in enumerate(rows[:-1]):
        below = [cells for cells in rows[at + 1 : at + 4] if any(cell.strip() for cell in cells)]
        if any(looks_like_titles(row, cells) for cells in below):
            is_wide = sum(bool(cell.strip()) for cell in row) > _FEWEST
            candidates.append((_known(row), is_wide, -at))
    if not candidates:
        return None
    at = -max(candidates)[-1]
    titles = tuple(" ".join(cell.split()) for cell in rows[at])
    return Look(titles, tuple(tuple(map(_shortened, cells)) for cells in rows[at + 1 : at + 1 + ROWS]), at + 1)


def looks_like_titles(cells: Sequence[str], below: Sequence[str]) -> bool:
    """Whether a row holds titles: two or more texts, with as many cells below them of which some are numbers.

    Of two cells below, one may be a date or a duration.
    """
    filled = [cell.strip() for cell in cells if cell.strip()]
    if len(filled) < _FEWEST or any(map(is_value, filled)) or len(below) < len(filled):
        return False
    values = [cell.strip() for cell in below if is_value(cell.strip())]
    return len(values) >= _FEWEST and any(map(is_number, values))


def _rank(table: Look) -> tuple[int, int]:
    return _known(table.titles), len(table.titles)


def _known(titles: Sequence[str]) -> int:
    """How many quantities a row of titles names."""
    return len({guessed.quantity for title in titles if (guessed := guess(title))})


def _shown(value: object) -> str:
    return "" if value is None else " ".join(str(value).split())


def _shortened(text: str) -> str:
    return text if len(text) <= _CELL_LETTERS else f"{text[: _CELL_LETTERS - 1]}…"
