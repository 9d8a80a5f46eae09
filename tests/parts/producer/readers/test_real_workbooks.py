"""What the reader makes of the real workbooks of two cells and of one of four channels, which it reads once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.readers.arbin import read_workbook

if TYPE_CHECKING:
    from pathlib import Path

    from producer.readers.base import Workbook


@pytest.fixture(scope="module")
def books(shared_data: Path) -> dict[Path, Workbook]:
    paths = [path for cell in ("CS2_35", "CS2_34") for path in sorted((shared_data / "calce" / cell).glob("*.xls*"))]
    return {path: read_workbook(path) for path in [*paths, shared_data / "foreign" / "arbin_four_channels.xlsx"]}


def test_all_real_workbooks_of_cs2_35_are_read(books: dict[Path, Workbook]) -> None:
    read = [book for path, book in books.items() if path.parent.name == "CS2_35"]
    assert sum(book.row_count for book in read) == 266_914
    assert {book.cell_id for book in read} == {"CS2_35"}
    ids = [test.test_id for book in read for test in book.tests]
    assert (len(ids), len(set(ids))) == (25, 24)


def test_no_real_workbook_is_in_doubt_about_its_units(books: dict[Path, Workbook]) -> None:
    assert [note for book in books.values() for note in book.notes] == []
