"""What the files of a report are called."""

from __future__ import annotations

from hashlib import sha256
from typing import Final
from urllib.parse import quote

LONGEST_NAME: Final = 120
"""Characters of a file name that come from the cell: file systems allow 255 bytes in all."""


def file_name(cell: str) -> str:
    """The stem of the file names of a cell: its id, percent-encoded, so that names differ and stay within the folder.

    A leading dot, which would hide the file, is encoded as well; the end of a long id is replaced by a checksum.
    """
    name = quote(cell, safe=" ")
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) <= LONGEST_NAME:
        return name
    checksum = sha256(cell.encode()).hexdigest()[:16]
    return f"{name[: LONGEST_NAME - len(checksum) - 1]}-{checksum}"
