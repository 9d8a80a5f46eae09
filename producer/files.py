"""Files that may hold workbooks: which of a folder's do, what they are called, and what is refused."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from kernel.base.errors import BatteryError
from kernel.base.plain import one_line
from kernel.edges.file_records import SourceFile
from producer.readers.registry import readable_suffixes

ZIP_SUFFIX: Final = ".zip"

_OF_THE_SYSTEM: Final = frozenset({"__macosx", "thumbs.db", "desktop.ini"})

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
    another time. `file` is what goes on record; None where it is no file, or its job says which.
    """

    line: str
    sha256: str | None = None
    file: SourceFile | None = None


@dataclass(frozen=True)
class PassedOver:
    """What of a folder or a ZIP is no workbook: how many files, the first of them by name, and why each.

    `below` is how their places begin, in this listing and in any later one; `archives` are places of ZIPs there, which
    tell of their members themselves.
    """

    below: str
    count: int
    files: tuple[tuple[SourceFile, str], ...]
    archives: frozenset[str] = frozenset()


@dataclass(frozen=True)
class File:
    """A workbook or a ZIP as it lies on disk; `origin` is how a user knows it."""

    path: Path
    origin: str

    def on_record(self, sha256: str | None = None) -> SourceFile:
        """What goes on record of it, with its checksum where that is known."""
        return SourceFile(self.origin, place_of(self.path), sha256)


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

    @property
    def on_record(self) -> SourceFile:
        """What goes on record of it."""
        if self.archive is None:
            return SourceFile(self.origin, place_of(self.content.path), self.content.sha256)
        member = self.origin.partition(f"{one_line(self.archive.path.name)}!")[2]
        return SourceFile(self.origin, f"{place_of(self.archive.path)}!{member}", self.content.sha256)


def is_publishable(suffix: str) -> bool:
    """Whether files that end so are looked for: those that some reader reads, and ZIPs of them."""
    return suffix.lower() == ZIP_SUFFIX or suffix.lower() in readable_suffixes()


def checksum(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def place_of(path: Path) -> str:
    """Where a file or a folder lies, as text that is the same for whatever path leads there."""
    return one_line(os.path.realpath(path))


class Listing(NamedTuple):
    """What lies below a folder: workbooks and ZIPs, a line for each folder that is closed, and files of other kinds."""

    files: list[Path]
    closed_folders: list[str]
    others: list[Path]


def in_folder(folder: Path) -> Listing:
    """The workbooks and ZIPs below a folder, by name, and what is passed over.

    Hidden files, those of open spreadsheets and those that systems leave do not count.
    """
    files: list[Path] = []
    others: list[Path] = []
    closed_folders: list[str] = []

    def note(error: OSError) -> None:
        closed_folders.append(f"the folder {one_line(str(error.filename))} cannot be looked into: {error.strerror}")

    for place, folders, names in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not is_hidden(name)]
        for path in (Path(place, name) for name in names if not is_hidden(name)):
            if os.path.isfile(path):  # noqa: PTH113  # Path.is_file may raise
                (files if is_publishable(path.suffix) else others).append(path)
    return Listing(sorted(files), closed_folders, sorted(others))


def is_hidden(name: str) -> bool:
    """Whether a file or folder is the system's or a program's own: nobody means it to be read."""
    return name.startswith((".", "~$")) or name.lower() in _OF_THE_SYSTEM


def as_text(name: str) -> str:
    """A file's name as a store can hold it: `one_line` of at most `NAME_BYTES` bytes that keeps its ending."""
    whole = one_line(name)
    if len(whole.encode()) <= NAME_BYTES:
        return whole
    suffix = PurePosixPath(whole).suffix[:8]
    return whole.encode()[: NAME_BYTES - len(suffix.encode())].decode("utf-8", "ignore") + suffix
