"""How large an .xlsx workbook is, before it is opened: the reader takes memory for every cell up to the last one.

A stray cell in the last column of the last row makes a sheet of 17 billion cells, and a small file may unpack to
many gigabytes. Either would end the process, which no error handling can catch.
"""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

MAX_GRID: Final = 64 * 2**20
"""Most cells of a sheet, empty ones between others included: a full sheet of 64 columns. The reader takes 32 bytes
for each, so 2 GiB."""

_CHUNK: Final = 1024 * 1024
_OVERLAP: Final = 256
_ROW: Final = re.compile(rb"""<(?:\w+:)?row\b[^>]*?\br=["'](\d+)""")
_WIDE: Final = re.compile(rb"""\br=["']([A-Z]{2,3})(\d+)""")
_SHEET: Final = re.compile(r"^xl/worksheets/[^/]+\.xml$", re.IGNORECASE)


class TooLargeError(Exception):
    """The workbook would not fit; says what of it."""


def require_bounded(path: Path, max_bytes: int) -> None:
    """Judge an .xlsx workbook by what it would unpack to and by the extent of its sheets.

    Raises:
        TooLargeError: it is too large.
        zipfile.BadZipFile: it is no ZIP, hence no .xlsx; or it is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        size = sum(member.file_size for member in members)
        if size > max_bytes:
            raise TooLargeError(f"unpacks to {size} bytes, more than ZIP_MAX_BYTES={max_bytes}")
        for member in members:
            if _SHEET.match(member.filename):
                with archive.open(member) as sheet:
                    rows, columns, last = _extent(sheet)
                if rows * columns > MAX_GRID:
                    raise TooLargeError(
                        f"has a sheet of {rows} rows and {columns} columns (see cell {last}), more than {MAX_GRID} "
                        "cells; delete the stray cell or split the sheet"
                    )


def _extent(sheet: IO[bytes]) -> tuple[int, int, str]:
    """The last row and column of a sheet that have a cell, and the one furthest to the right."""
    rows, columns, last, before = 1, 26, "Z1", b""
    while chunk := sheet.read(_CHUNK):
        text = before + chunk
        rows = max(rows, *map(int, _ROW.findall(text)), 1)
        for letters, number in _WIDE.findall(text):
            rows = max(rows, int(number))
            column = 0
            for letter in letters:
                column = 26 * column + letter - ord("A") + 1
            if column > columns:
                columns, last = column, (letters + number).decode()
        before = text[-_OVERLAP:]
    return rows, columns, last
