"""How large an .xlsx workbook is, before it is opened: the reader takes memory for every cell up to the last one.

A stray cell in the last column of a long sheet makes billions of cells, and a small file may unpack to many
gigabytes. Either would end the process, which no error handling can catch.
"""

from __future__ import annotations

import lzma
import re
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

MAX_GRID: Final = 64 * 2**20
"""Most cells of a sheet, empty ones between others included: a full sheet of 64 columns. The reader takes 32 bytes
for each, so 2 GiB."""

MAX_BYTES: Final = 2 * 1024**3
"""Most bytes that an .xlsx may unpack to; a full sheet of an Arbin export takes 0.8 GB."""

UNSOUND: Final = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
"""What zipfile raises over a damaged or encrypted archive."""

_CHUNK: Final = 256 * 1024
_OVERLAP: Final = 1024
_LETTERS: Final = 26
_DIGITS: Final = 10
_NO_SHEET: Final = re.compile(r"(^|/)(sharedStrings|styles)\.xml$", re.IGNORECASE)
_BEYOND_Z: Final = re.compile(rb"""r\s*=\s*["'](?:[A-Za-z]{2,}\d|[A-Za-z]*\d{8})""")
_NOWHERE: Final = re.compile(rb"""\br\s*=\s*["'](?:[A-Za-z]{4,}\d|[A-Za-z]*\d{8})""")
_CELL: Final = re.compile(rb"""<(?:\w+:)?c\s[^>]*?\br\s*=\s*["']([A-Za-z]{1,3})(\d{1,7})["'][^>]*>""")


class TooLargeError(Exception):
    """The workbook would not fit; says what of it."""


def require_bounded(path: Path, max_bytes: int = MAX_BYTES) -> None:
    """Judge an .xlsx workbook by what it would unpack to and by the extent of its sheets.

    Raises:
        TooLargeError: it is too large.
        BadZipFile: or another of `UNSOUND`: it is no ZIP, hence no .xlsx; or it is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > max_bytes:
            raise TooLargeError(f"unpacks to {size} bytes, more than the {max_bytes} allowed")
        for member in archive.infolist():
            if not member.filename.lower().endswith(".xml") or _NO_SHEET.search(member.filename):
                continue
            with archive.open(member) as sheet:
                wide = _is_wide(sheet)
            if not wide:
                continue  # 26 columns fit, however long they are
            with archive.open(member) as sheet:
                rows, columns, last = _extent(sheet)
            if rows * columns > MAX_GRID:
                raise TooLargeError(
                    f"has a sheet of {rows} rows and {columns} columns (see cell {last}), more than {MAX_GRID} cells; "
                    "delete the stray cell or split the sheet"
                )


def _is_wide(sheet: IO[bytes]) -> bool:
    """Tell quickly whether anything stands beyond column Z, or beyond any row."""
    before = b""
    while chunk := sheet.read(_CHUNK):
        text = before + chunk
        if _may_be_wide(text) and _BEYOND_Z.search(text):
            return True
        before = chunk[-_OVERLAP:]
    return False


def _may_be_wide(text: bytes) -> bool:
    """Tell for all bytes at once whether a value in quotes begins as `_BEYOND_Z` wants it.

    A sheet of numbers has an attribute for every cell, and the expression alone takes as long as to unpack them twice.
    """
    code = np.frombuffer(text, np.uint8)
    letter = ((code | 0x20) - np.uint8(ord("a"))) < _LETTERS
    quote = (code == ord('"')) | (code == ord("'"))
    lettered = quote[:-1] & letter[1:]  # a quote, and a letter behind it
    if (lettered[:-1] & letter[2:]).any():
        return True
    digits = (code - np.uint8(ord("0"))) < _DIGITS
    for run in (1, 2, 4):  # from here on 2, then 4, then 8 digits that begin at a place
        digits = digits[:-run] & digits[run:]
    return bool((quote[: len(digits) - 1] & digits[1:]).any() or (lettered[: len(digits) - 2] & digits[2:]).any())


def _extent(sheet: IO[bytes]) -> tuple[int, int, str]:
    """The last row and column of a sheet that have a cell with content, and the cell furthest to the right."""
    rows, columns, last, before = 1, 1, "A1", b""
    while chunk := sheet.read(_CHUNK):
        text = before + chunk
        if nowhere := _NOWHERE.search(text):
            raise TooLargeError(f"has a cell where no sheet has one ({nowhere[0][:40].decode()}…); export it again")
        for cell in _CELL.finditer(text):
            if cell[0].endswith(b"/>"):
                continue  # formatted and empty: the reader passes it over
            rows, column = max(rows, int(cell[2])), 0
            for letter in cell[1].upper():
                column = 26 * column + letter - ord("A") + 1
            if column > columns:
                columns, last = column, (cell[1] + cell[2]).decode()
        before = text[-_OVERLAP:]
    return rows, columns, last
