"""The day from which a workbook counts the days of its numbers: most from 1900, those of old Macs from 1904."""

from __future__ import annotations

import mmap
import re
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_WORKBOOK: Final = "xl/workbook.xml"
_TARGET: Final = re.compile(rb"""<Relationship\b(?=[^>]*/officeDocument["'])[^>]*\bTarget\s*=\s*["']/?([^"']+)["']""")
_FLAG: Final = re.compile(rb"""<(?:\w+:)?workbookPr\b[^>]*\bdate1904\s*=\s*["'](?:1|true|on)["']""")
_RECORD: Final = re.compile(rb"\x22\x00\x02\x00([\x00\x01])\x00\x0e\x00\x02\x00")
"""DATEMODE of an .xls, which always stands before PRECISION."""
_PART_BYTES: Final = 1024**2


def counts_from_1904(path: Path) -> bool:
    """Whether a workbook, .xlsx or .xls, counts days from 1904-01-01; False where it does not say.

    Raises:
        OSError: it cannot be read.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            record = _RECORD.search(content)
            return record is not None and record[1] == b"\x01"
    try:
        with zipfile.ZipFile(path) as archive:
            target = _TARGET.search(_start(archive, "_rels/.rels"))
            return _FLAG.search(_start(archive, target[1].decode() if target else _WORKBOOK)) is not None
    except (zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError, RuntimeError, UnicodeDecodeError):
        return False  # the workbook was read without this part


def _start(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as part:
        return part.read(_PART_BYTES)
