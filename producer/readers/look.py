"""The beginning of any table: its titles and first rows, as text; for `battery columns`, in a child with limits."""

from __future__ import annotations

import csv
from itertools import islice
from typing import TYPE_CHECKING, Final

from producer.readers.base import BadWorkbookError
from producer.readers.proposal import Look, guess, looks_like_titles
from producer.readers.sheets.book import OLE, ZIP, open_book
from producer.readers.tables.parquets import PARQUET, open_parquet
from producer.readers.tables.texts import DELIMITERS, Text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ROWS: Final = 5
TITLE_ROWS: Final = 60
"""So many rows are looked at for the titles."""

_CELL_LETTERS: Final = 40


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
        batch = next(parquet.iter_batches(batch_size=ROWS, use_threads=False), None)
        rows = (
            []
            if batch is None
            else [tuple(_shortened(_shown(value)) for value in row.values()) for row in batch.to_pylist()]
        )
        return Look(tuple(parquet.schema_arrow.names), tuple(rows))


def _workbook(path: Path, name: str) -> Look:
    found: list[Look] = []
    with open_book(path, name) as book:
        sheets = list(book.sheet_names)
        for sheet in sheets:
            rows = [
                [_shown(cell) for cell in row] for row in islice(book.get_sheet_by_name(sheet).iter_rows(), TITLE_ROWS)
            ]
            table = _table(rows)
            if table is not None:
                found.append(Look(table.titles, table.rows, table.header_row, sheet))
    if not found:
        raise BadWorkbookError(
            name,
            f"has no sheet with a row of titles above rows with numbers, only {', '.join(sheets)}; export the readings",
        )
    return max(found, key=lambda one: _known(one.titles))


def _text(text: Text) -> Look:
    lines = list(text.head)
    best: Look | None = None
    for delimiter in DELIMITERS:
        rows = [next(csv.reader([line], delimiter=delimiter), []) for line in lines]
        table = _table([[_shown(cell) for cell in row] for row in rows])
        if table is not None and (best is None or _rank(table) > _rank(best)):
            best = Look(table.titles, table.rows, table.header_row, delimiter=delimiter)
    if best is None:
        shown = next((line for line in lines if line.strip()), "")[:120]
        raise text.error(f"has no line of titles above lines with numbers; it begins {shown!r}")
    return best


def _table(rows: Sequence[Sequence[str]]) -> Look | None:
    """The row of titles with the most that are known, or else the first, and what is below it.

    A row of units may stand between. None where no row of texts stands above rows with numbers.
    """
    candidates = []
    for at, row in enumerate(rows[:-1]):
        below = [cells for cells in rows[at + 1 : at + 4] if any(cell.strip() for cell in cells)]
        if any(looks_like_titles(row, cells) for cells in below):
            candidates.append((_known(row), -at))
    if not candidates:
        return None
    at = -max(candidates)[1]
    titles = tuple(" ".join(cell.split()) for cell in rows[at])
    return Look(titles, tuple(tuple(map(_shortened, cells)) for cells in rows[at + 1 : at + 1 + ROWS]), at + 1)


def _rank(table: Look) -> tuple[int, int]:
    return _known(table.titles), len(table.titles)


def _known(titles: Sequence[str]) -> int:
    """How many quantities a row of titles names."""
    return len({guessed.quantity for title in titles if (guessed := guess(title))})


def _shown(value: object) -> str:
    return "" if value is None else " ".join(str(value).split())


def _shortened(text: str) -> str:
    return text if len(text) <= _CELL_LETTERS else f"{text[: _CELL_LETTERS - 1]}…"
