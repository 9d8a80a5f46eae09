"""Opening a workbook: what the library did not expect is the file's fault, or a want of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.readers.base import BadWorkbookError
from producer.readers.sheets import book
from producer.readers.sheets.book import ZIP, open_book

if TYPE_CHECKING:
    from pathlib import Path


class PanicException(BaseException):  # so it is called where Rust code panics
    """What the library raises over content that it did not expect."""


@pytest.fixture
def panicking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workbook over which the library panics."""

    def panic(*_: object) -> None:
        raise PanicException("assertion `left == right` failed")

    monkeypatch.setattr(book, "_by_name_or_content", panic)
    path = tmp_path / "a.xlsx"
    path.write_bytes(ZIP)
    return path


def test_a_panic_is_a_line_about_the_file(panicking: Path) -> None:
    with (
        pytest.raises(BadWorkbookError, match=r"^a\.xlsx: is truncated or damaged \(assertion"),
        open_book(panicking, "a.xlsx"),
    ):
        pass


def test_a_panic_where_memory_is_short_is_no_fault_of_the_file(
    panicking: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "_LITTLE_BYTES", 2**62)
    with pytest.raises(MemoryError), open_book(panicking, "a.xlsx"):
        pass
