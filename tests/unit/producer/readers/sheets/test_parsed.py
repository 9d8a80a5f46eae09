"""Sheets that are looked at before they are read: parsed once, and not kept for longer than needed."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Self, cast

import openpyxl
import pytest
from python_calamine import CalamineWorkbook
from support.twins import landt, neware, table
from support.twins.cell import twin_cell

from producer.readers.arbin import READER
from producer.readers.base import ReadOptions
from producer.readers.landt import READER as LANDT
from producer.readers.mapped import READER as TABLE
from producer.readers.mapping_file import MappingFile
from producer.readers.neware import READER as NEWARE
from producer.readers.sheets import book as book_module
from producer.readers.sheets import parsed
from producer.readers.sheets.book import open_book
from producer.readers.sheets.parsed import ParsedSheets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from python_calamine import CalamineSheet, SheetMetadata

    from producer.readers.base import Reader

SIZES = {"small": 2, "large": 9, "middle": 4}
"""Rows of the sheets of a workbook, of one cell each."""


class CountedBook:
    """An open workbook that counts how often each of its sheets is parsed."""

    def __init__(self, book: CalamineWorkbook, counts: Counter[str]) -> None:
        self._book, self._counts = book, counts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._book.close()

    @property
    def sheet_names(self) -> list[str]:
        return self._book.sheet_names

    @property
    def sheets_metadata(self) -> list[SheetMetadata]:
        return self._book.sheets_metadata

    def get_sheet_by_name(self, name: str) -> CalamineSheet:
        self._counts[name] += 1
        return self._book.get_sheet_by_name(name)


@pytest.fixture
def counts() -> Counter[str]:
    """How often each sheet was parsed."""
    return Counter()


@pytest.fixture
def sheets(tmp_path: Path, counts: Counter[str]) -> Iterator[ParsedSheets]:
    """The sheets of a workbook of `SIZES`."""
    path = tmp_path / "A.xlsx"
    book = openpyxl.Workbook(write_only=True)
    for name, rows in SIZES.items():
        sheet = book.create_sheet(name)
        for row in range(rows):
            sheet.append([row])
    book.save(path)
    with open_book(path, path.name) as opened:
        yield ParsedSheets(cast("CalamineWorkbook", CountedBook(opened, counts)), path)


def test_a_sheet_that_was_looked_at_is_read_without_parsing_it_again(
    sheets: ParsedSheets, counts: Counter[str]
) -> None:
    assert [sheets.first_row(name) for name in sheets.names] == [[0.0]] * 3
    assert sheets.first_row("large") == [0.0]
    assert {name: len(list(sheets.rows(name))) for name in sheets.names} == SIZES
    assert counts == dict.fromkeys(SIZES, 1)


def test_a_sheet_that_was_read_is_not_kept_and_neither_are_those_before_it(
    sheets: ParsedSheets, counts: Counter[str]
) -> None:
    for name in sheets.names:
        sheets.first_row(name)
    for name in ("large", "large", "small", "middle"):
        assert len(list(sheets.rows(name))) == SIZES[name]
    assert counts == {"small": 2, "large": 2, "middle": 1}


def test_where_all_would_be_too_much_the_largest_is_kept(
    sheets: ParsedSheets, counts: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsed, "KEPT_CELLS", 5)
    for name in sheets.names:
        sheets.first_row(name)
    assert {name: len(list(sheets.rows(name))) for name in sheets.names} == SIZES
    assert counts == {"small": 2, "large": 1, "middle": 2}


def written(folder: Path, kind: str) -> tuple[Path, ReadOptions]:
    """A workbook of the simulated cell for the reader of that name, and what is said about it."""
    path, cell = folder / "CELL_1.xlsx", twin_cell(1)
    if kind == "neware":
        neware.records(path, cell)
    elif kind == "landt":
        landt.write_workbook(path, landt.records(cell))
    else:
        table.write_workbook(path, table.columns_of(cell))
    return path, ReadOptions(path.name, mapping=MappingFile("a.yaml", table.MAPPING) if kind == "table" else None)


@pytest.mark.parametrize("kind", ["neware", "landt", "table"])
def test_a_workbook_that_is_handed_on_is_opened_and_parsed_once(
    tmp_path: Path, counts: Counter[str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    opened: list[str] = []

    def from_path(path: str) -> CountedBook:
        opened.append(path)
        return CountedBook(CalamineWorkbook.from_path(path), counts)

    monkeypatch.setattr(book_module, "CalamineWorkbook", SimpleNamespace(from_path=from_path))
    path, options = written(tmp_path, kind)
    (test,) = READER.read(path, options).tests
    assert (test.about.reader, test.readings.num_rows) == (kind, len(twin_cell(1)))
    assert opened == [str(path)]
    assert counts
    assert set(counts.values()) == {1}


@pytest.mark.parametrize("reader", [NEWARE, LANDT, TABLE], ids=lambda reader: reader.name)
def test_a_reader_that_is_insisted_on_opens_the_workbook_itself(tmp_path: Path, reader: Reader) -> None:
    path, options = written(tmp_path, reader.name)
    assert reader.read(path, options) == READER.read(path, options)
