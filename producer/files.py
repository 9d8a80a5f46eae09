"""Files that may hold workbooks: which of a folder's do, what they are called, and what is refused."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from battery.errors import BatteryError

WORKBOOKS: Final = frozenset({".xlsx", ".xls"})
PUBLISHABLE: Final = WORKBOOKS | {".zip"}

NAME_BYTES: Final = 200
"""Most bytes of a workbook's name; file systems end at 255."""


class BadSourceError(BatteryError):
    """A source that cannot be read at all; says what it is and what a source may be."""


class UnreadableSourceError(BadSourceError):
    """A source that its disk does not give; the same content may be fine another time."""


@dataclass(frozen=True)
class Refusal:
    """A source or a workbook that cannot be taken, in one line that says why.

    `sha256` is the content that was refused; None where it could not be read, or where the same content may be taken
    another time.
    """

    line: str
    sha256: str | None = None


@dataclass(frozen=True)
class File:
    """A workbook or a ZIP as it lies on disk; `origin` is how a user knows it."""

    path: Path
    origin: str


@dataclass(frozen=True)
class Signature:
    """What tells whether a file has been written to, or replaced, since it was last looked at."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> Signature:
        """That of a file.

        Raises:
            OSError: it cannot be looked at.
        """
        status = path.stat()
        return cls(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True)
class Content:
    """A file whose checksum was taken, and what it was like then."""

    path: Path
    sha256: str
    signature: Signature

    @classmethod
    def of(cls, path: Path) -> Content:
        """That of a file as it is now.

        Raises:
            OSError: it cannot be read.
        """
        signature = Signature.of(path)
        return cls(path, checksum(path), signature)

    def is_unchanged(self) -> bool:
        """Whether the file still is what the checksum was taken of."""
        try:
            return Signature.of(self.path) == self.signature
        except OSError:
            return False


@dataclass(frozen=True)
class WorkbookFile:
    """A workbook on disk: `name` is its base name, `origin` says where it came from, `archive` out of which ZIP."""

    content: Content
    name: str
    origin: str
    archive: Content | None = None


def checksum(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def in_folder(folder: Path) -> tuple[list[Path], list[str]]:
    """The workbooks and ZIPs below a folder, by name, and a line for each folder that cannot be looked into.

    Hidden files and those of open spreadsheets do not count.
    """
    files, closed_folders = [], []

    def note(error: OSError) -> None:
        closed_folders.append(f"the folder {one_line(str(error.filename))} cannot be looked into: {error.strerror}")

    for place, folders, names in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not _hidden(name)]
        files += [
            path
            for path in (Path(place, name) for name in names if not _hidden(name))
            if path.suffix.lower() in PUBLISHABLE and os.path.isfile(path)  # noqa: PTH113  # Path.is_file may raise
        ]
    return sorted(files), closed_folders


def _hidden(name: str) -> bool:
    return name.startswith((".", "~$"))


def as_text(name: str) -> str:
    """A file's name as a store can hold it: `one_line` of at most `NAME_BYTES` bytes that keeps its ending."""
    whole = one_line(name)
    if len(whole.encode()) <= NAME_BYTES:
        return whole
    suffix = PurePosixPath(whole).suffix[:8]
    return whole.encode()[: NAME_BYTES - len(suffix.encode())].decode("utf-8", "ignore") + suffix


def one_line(name: str) -> str:
    """A name or path as one line of UTF-8 text: some are in other encodings, some hold line breaks."""
    whole = os.fsencode(name).decode("utf-8", "replace")
    return "".join("\N{REPLACEMENT CHARACTER}" if _breaks_lines(letter) else letter for letter in whole)


def _breaks_lines(letter: str) -> bool:
    return unicodedata.category(letter) in {"Cc", "Zl", "Zp"}
