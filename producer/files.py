"""Files that may hold workbooks: how they are found in a folder, what they are called, and what is refused."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

from kernel.base.errors import BatteryError
from kernel.base.plain import one_line
from kernel.edges.file_records import SourceFile
from producer.readers.mapping_file import is_mapping, mapping_beside
from producer.readers.registry import is_told_by_content, readable_suffixes, recognising
from producer.readers.sample import FileSample

if TYPE_CHECKING:
    from producer.readers.mapping_file import MappingFile

ZIP_SUFFIX: Final = ".zip"

PACKED_SUFFIXES: Final = (".gz", ".bz2")
"""Endings of files that are one other file, packed."""

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
    """A file of readings, a ZIP or a packed file as it lies on disk; `origin` is how a user knows it.

    `is_found` says that it was found in a folder: nobody named it, so it need not hold readings.
    """

    path: Path
    origin: str
    is_found: bool = False

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
    """Whether files with this suffix are published: those that a reader reads, ZIPs of them, and packed ones."""
    return suffix.lower() in {ZIP_SUFFIX, *PACKED_SUFFIXES} or suffix.lower() in readable_suffixes()


def unpacked_name(name: str) -> str:
    """The name of what a packed file holds.

    >>> unpacked_name("CELL_1.csv.gz")
    'CELL_1.csv'
    """
    return PurePosixPath(name).stem


def is_readable(path: Path, *, insists: bool = False, is_named: bool = False) -> bool:
    """Whether there is a reader for a file, by its name, its content, or a mapping file beside it.

    Args:
        path: where it lies.
        insists: whether the user names a reader or a mapping, so that the content need not show whose it is, but only
            that it may be a table.
        is_named: whether the user names the file, so that its content is looked at whatever its ending is.
    """
    suffix = path.suffix.lower()
    mapping = mapping_beside(path)
    if mapping is not None and mapping.insists:
        return True
    if suffix in PACKED_SUFFIXES and not is_named:
        inner = PurePosixPath(path.stem).suffix
        return not inner or is_told_by_content(inner) or (inner != ZIP_SUFFIX and is_publishable(inner))
    if is_publishable(suffix):
        return True
    may_be_told = is_named or is_told_by_content(suffix)
    return may_be_told and _is_told(path, takes_tables=insists or mapping is not None, is_named=is_named)


def _is_told(path: Path, *, takes_tables: bool, is_named: bool) -> bool:
    try:
        if _is_recognised(path, Signature.of(path)):
            return True
        return takes_tables and (is_named or FileSample.of(path).may_be_table)
    except OSError:
        return False


@lru_cache(4096)
def _is_recognised(path: Path, signature: Signature) -> bool:  # noqa: ARG001  # what was said of a file as it is now
    return bool(recognising(FileSample.of(path)))


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
    """The files below a folder: those that are read, others, and a line for each folder that cannot be opened."""

    files: list[Path]
    closed_folders: list[str]
    others: list[Path]


def in_folder(folder: Path, *, insists: bool = False) -> Listing:
    """List the files of readings and ZIPs below a folder, by name, and what is passed over.

    Hidden files, lock files of open spreadsheets, files of the system and mapping files are left out.

    Args:
        folder: the folder.
        insists: whether the user names a reader or a mapping, so that the content need not show whose a file is.
    """
    files: list[Path] = []
    others: list[Path] = []
    closed_folders: list[str] = []

    def note(error: OSError) -> None:
        closed_folders.append(f"the folder {one_line(str(error.filename))} cannot be opened: {error.strerror}")

    for place, folders, names in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not is_hidden(name)]
        for path in (Path(place, name) for name in names if not is_hidden(name) and not is_mapping(name)):
            if os.path.isfile(path):  # noqa: PTH113  # Path.is_file may raise
                (files if is_readable(path, insists=insists) else others).append(path)
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
