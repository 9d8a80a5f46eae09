"""Files that may hold workbooks: how they are found in a folder, what they are called, and what is refused."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

from kernel.base.errors import BatteryError
from kernel.base.plain import one_line
from kernel.edges.file_records import SourceFile
from producer.readers.registry import readable_suffixes

if TYPE_CHECKING:
    from producer.readers.mapping_file import MappingFile

ZIP_SUFFIX: Final = ".zip"

_SYSTEM_FILES: Final = frozenset({"__macosx", "thumbs.db", "desktop.ini"})

NAME_BYTES: Final = 200
"""The most bytes of a workbook's name; file systems allow 255."""


class BadSourceError(BatteryError):
    """A source that cannot be read at all; says what it is and what a source may be."""


class UnreadableSourceError(BadSourceError):
    """A source that the disk fails to read; a later attempt may succeed."""


@dataclass(frozen=True)
class Refusal:
    """A source or a workbook that is refused; `line` says why.

    `sha256` is the checksum of the refused content; None if it could not be read, or if the same content may be taken
    later. `file` is what goes on record; None if the source is not a file, or if the job of the file names it.
    """

    line: str
    sha256: str | None = None
    file: SourceFile | None = None


@dataclass(frozen=True)
class PassedOver:
    """The files of a folder or a ZIP that are not workbooks: how many, and the first by name, each with the reason.

    `below` is the common start of their places, in this listing and in any later one; `archives` are the places of ZIPs
    in the folder, which report their own members.
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
        """Its entry for the record, with its checksum if that is known."""
        return SourceFile(self.origin, place_of(self.path), sha256)


@dataclass(frozen=True)
class Signature:
    """What changes about a file when it is written to or replaced."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> Signature:
        """The signature of a file.

        Raises:
            OSError: the file cannot be looked at.
        """
        status = path.stat()
        return cls(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True)
class Content:
    """A file with its checksum, and its signature at that time."""

    path: Path
    sha256: str
    signature: Signature

    @classmethod
    def of(cls, path: Path) -> Content:
        """The content of a file as it is now.

        Raises:
            OSError: it cannot be read.
        """
        signature = Signature.of(path)
        return cls(path, checksum(path), signature)

    def is_unchanged(self) -> bool:
        """Whether the file has not changed since its checksum was taken."""
        try:
            return Signature.of(self.path) == self.signature
        except OSError:
            return False


@dataclass(frozen=True)
class WorkbookFile:
    """A file of readings on disk: `name` is its base name, `origin` says where it came from.

    `archive` is the ZIP or packed file that it was unpacked from, `mapping` the mapping file that says what its columns
    are, where there is one for it.
    """

    content: Content
    name: str
    origin: str
    archive: Content | None = None
    mapping: MappingFile | None = None

    @property
    def version(self) -> str:
        """What a refusal is of: the checksum of the content, with that of its mapping file if it has one."""
        return self.content.sha256 if self.mapping is None else f"{self.content.sha256}+{self.mapping.digest}"

    @property
    def on_record(self) -> SourceFile:
        """Its entry for the record."""
        if self.archive is None:
            return SourceFile(self.origin, place_of(self.content.path), self.version)
        member = self.origin.partition(f"{one_line(self.archive.path.name)}!")[2]
        return SourceFile(self.origin, f"{place_of(self.archive.path)}!{member}", self.version)


def is_publishable(suffix: str) -> bool:
    """Whether files with this suffix are published: those that a reader reads, and ZIPs of them."""
    return suffix.lower() == ZIP_SUFFIX or suffix.lower() in readable_suffixes()


def checksum(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def place_of(path: Path) -> str:
    """The real path of a file or a folder as text, the same for every path that leads to it."""
    return one_line(os.path.realpath(path))


class Listing(NamedTuple):
    """The files below a folder: workbooks and ZIPs, others, and a line for each folder that cannot be opened."""

    files: list[Path]
    closed_folders: list[str]
    others: list[Path]


def in_folder(folder: Path) -> Listing:
    """List the workbooks and ZIPs below a folder, by name, and what is passed over.

    Hidden files, lock files of open spreadsheets and files of the system are left out.
    """
    files: list[Path] = []
    others: list[Path] = []
    closed_folders: list[str] = []

    def note(error: OSError) -> None:
        closed_folders.append(f"the folder {one_line(str(error.filename))} cannot be opened: {error.strerror}")

    for place, folders, names in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not is_hidden(name)]
        for path in (Path(place, name) for name in names if not is_hidden(name)):
            if os.path.isfile(path):  # noqa: PTH113  # Path.is_file may raise
                (files if is_publishable(path.suffix) else others).append(path)
    return Listing(sorted(files), closed_folders, sorted(others))


def is_hidden(name: str) -> bool:
    """Whether a file or folder belongs to the system or to a program, so that nobody means to publish it."""
    return name.startswith((".", "~$")) or name.lower() in _SYSTEM_FILES


def as_text(name: str) -> str:
    """A file's name as a store can hold it: `one_line` of at most `NAME_BYTES` bytes that keeps its ending."""
    whole = one_line(name)
    if len(whole.encode()) <= NAME_BYTES:
        return whole
    suffix = PurePosixPath(whole).suffix[:8]
    return whole.encode()[: NAME_BYTES - len(suffix.encode())].decode("utf-8", "ignore") + suffix
