"""The sheets of an open workbook, each parsed once, though it is looked at before it is read.

Calamine parses a sheet whole before it gives the first row, and that is most of what a workbook costs. So a sheet that
was looked at to tell whose the workbook is waits here for whoever reads it.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol

from python_calamine import SheetVisibleEnum

from producer.readers.base import Reader
from producer.readers.sheets.epoch import counts_from_1904

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from python_calamine import CalamineSheet, CalamineWorkbook

    from producer.readers.base import ReadOptions, Workbook
    from producer.readers.sheets.cells import Cell

KEPT_CELLS: Final = 4_000_000
"""So many cells wait at most, of 24 bytes and their texts each, unless a single sheet has more."""


class ParsedSheets:
    """The sheets of an open workbook; what was looked at is kept until it, or a later one of those, is read.

    `book` is the workbook, and `path` where it is.

    Where that were too much, the largest is kept alone: a process that reads it has to hold it anyway, and parsing the
    others again costs least.
    """

    def __init__(self, book: CalamineWorkbook, path: Path) -> None:
        self.book = book
        self.path = path
        self._kept: dict[str, CalamineSheet] = {}

    @property
    def names(self) -> list[str]:
        """The names of the sheets, in the order of the workbook."""
        return self.book.sheet_names

    def first_row(self, name: str) -> Sequence[Cell]:
        """The first row of a sheet, empty where it has none; the sheet is kept for `rows`.

        Raises:
            CalamineError: the sheet is damaged.
        """
        sheet = self._kept.get(name)
        if sheet is None:
            sheet = self.book.get_sheet_by_name(name)
            self._keep(name, sheet)
        return next(sheet.iter_rows(), [])

    def rows(self, name: str) -> Iterator[Sequence[Cell]]:
        """All rows of a sheet, of one width; neither it nor those that were looked at before it are kept any longer.

        Raises:
            CalamineError: the sheet is damaged.
        """
        sheet = self._kept.get(name)
        while name in self._kept:
            del self._kept[next(iter(self._kept))]
        if sheet is None:
            sheet = self.book.get_sheet_by_name(name)
        return sheet.iter_rows()

    @cached_property
    def since_1904(self) -> bool:
        """Whether numbers of days count from 1904."""
        return counts_from_1904(self.path)

    def is_hidden(self, name: str) -> bool:
        """Whether a spreadsheet program does not show a sheet."""
        return any(
            sheet.name == name and sheet.visible is not SheetVisibleEnum.Visible for sheet in self.book.sheets_metadata
        )

    def _keep(self, name: str, sheet: CalamineSheet) -> None:
        kept = {**self._kept, name: sheet}
        if sum(map(_cells, kept.values())) > KEPT_CELLS:
            largest = max(kept, key=lambda one: _cells(kept[one]))
            kept = {largest: kept[largest]}
        self._kept = kept


def _cells(sheet: CalamineSheet) -> int:
    return sheet.height * sheet.width


class SheetReader(Reader, Protocol):
    """A reader that takes over a workbook that somebody else has opened."""

    def read_sheets(self, sheets: ParsedSheets, options: ReadOptions) -> Workbook:
        """Read a workbook whose sheets may have been looked at; otherwise as `Reader.read`.

        Args:
            sheets: those of the open workbook.
            options: what the user says about it.
        """
