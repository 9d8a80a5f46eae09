"""What a ZIP holds, checked and unpacked one by one; it runs in a child, since a ZIP from outside is not trusted.

All members are checked before the first is unpacked. zipfile writes no more than the size that a member declares.
"""

from __future__ import annotations

import hashlib
import lzma
import re
import stat
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EINVAL
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Final

from kernel.base.errors import BatteryError
from kernel.base.plain import one_line
from producer.files import BadSourceError, UnreadableSourceError, is_hidden
from producer.passed_over import MOST_NAMED, MOST_SAID, holds
from producer.readers.formats import recognise
from producer.readers.mapping_file import (
    MAPPING_BYTES,
    OWN_SUFFIX,
    SHARED_NAME,
    MappingFile,
    as_mapping_text,
    is_mapping,
)
from producer.readers.registry import is_told_by_content
from producer.readers.sample import HEAD_BYTES, FileSample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.files import File

MEMORY_BYTES: Final = 256 * 1024**2
"""The memory limit of unpacking, bytes: a hundred times what the packing methods of ordinary ZIPs need."""

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

_ENCRYPTED: Final = 0x1
_CHUNK: Final = 256 * 1024


@dataclass(frozen=True)
class Bounds:
    """Limits of unpacking: the bytes of a whole ZIP and of a workbook in it, and the suffixes of workbooks."""

    zip_max_bytes: int
    workbook_max_bytes: int
    suffixes: tuple[str, ...]


@dataclass(frozen=True)
class Member:
    """A workbook from a ZIP: its name in the ZIP, the path it was unpacked to, and its checksum."""

    member: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class MappingMembers:
    """The mapping files of a ZIP, each by its name there with its text; they come before what they are for."""

    texts: tuple[tuple[str, str], ...]

    def of(self, member: str) -> MappingFile | None:
        """The mapping file for a member: its own, or that of its folder."""
        texts, place = dict(self.texts), PurePosixPath(member)
        for beside, insists in ((f"{member}{OWN_SUFFIX}", True), (str(place.with_name(SHARED_NAME)), False)):
            if beside in texts:
                return MappingFile(PurePosixPath(beside).name, texts[beside], insists)
        return None


@dataclass(frozen=True)
class BadMember:
    """A workbook of a ZIP that is refused, and why; the others are unpacked all the same."""

    member: str
    problem: str


@dataclass(frozen=True)
class OtherMembers:
    """Members of a ZIP that are no workbooks: how many, and the first of them by name."""

    count: int
    members: tuple[str, ...]


def is_package(file: File) -> bool:
    """Whether a ZIP is one file of readings itself, as Neware's .ndax is: labs and servers call those .zip, too."""
    try:
        with zipfile.ZipFile(file.path) as archive:
            names = archive.namelist()
    except (*UNSOUND, OSError):  # whoever unpacks it says what is wrong
        return False
    return any(name.lower().endswith(".ndc") for name in names)


def holds_workbook(file: File) -> bool:
    """Whether a file is no ZIP, or one that is a workbook: a server may call it anything.

    Raises:
        BadSourceError: it is a broken ZIP.
    """
    if not zipfile.is_zipfile(file.path):
        return True  # an .xls, or something that its reader will name
    try:
        with zipfile.ZipFile(file.path) as archive:
            return "[Content_Types].xml" in archive.namelist()
    except UNSOUND as error:
        raise _unsound(file, error) from None


def unpack(file: File, folder: Path, bounds: Bounds) -> Iterator[MappingMembers | Member | BadMember | OtherMembers]:
    """Unpack what may be readings in a ZIP on demand, each into a folder of its own below `folder`.

    Raises:
        BadSourceError: the ZIP is broken or unsafe, or holds nothing that may be readings.
        BatteryError: what was unpacked cannot be written.
    """
    try:
        with zipfile.ZipFile(file.path) as archive:
            workbooks, others, mappings = _members(file.origin, archive, bounds)
            yield _texts(archive, mappings)
            for number, member in enumerate(workbooks):
                if member.file_size > bounds.workbook_max_bytes:
                    limit = f"WORKBOOK_MAX_BYTES={bounds.workbook_max_bytes}"
                    yield BadMember(str(inside(member)), f"unpacks to {member.file_size} bytes, more than {limit}")
                    continue
                with _naming_full_disk(folder):
                    target = Path(mkdtemp(dir=folder)) / f"member-{number}{inside(member).suffix}"
                try:
                    yield Member(str(inside(member)), target, _copy(archive, member, target))
                except (*UNSOUND, OSError) as error:
                    target.unlink(missing_ok=True)
                    if isinstance(error, OSError) and error.errno is not None:  # bz2's over damaged content have none
                        raise
                    yield BadMember(str(inside(member)), f"is damaged ({error}); download or copy the ZIP again")
                except MemoryError:
                    target.unlink(missing_ok=True)
                    yield BadMember(str(inside(member)), f"takes more than {MEMORY_BYTES} bytes of memory to unpack")
            yield others
    except UNSOUND as error:
        raise _unsound(file, error) from None
    except OSError as error:
        if error.errno == EINVAL:  # an offset before the start of the file
            raise _unsound(file, error) from None
        raise UnreadableSourceError(f"{file.origin}: cannot be read: {error.strerror or error}") from None


def inside(member: zipfile.ZipInfo) -> PurePosixPath:
    """The path of a member in its archive; old Windows tools write backslashes."""
    return PurePosixPath(member.orig_filename.replace("\\", "/"))


def _unsound(file: File, error: Exception) -> BadSourceError:
    return BadSourceError(f"{file.origin} is not a valid ZIP ({error}); download or copy it again")


def _copy(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> str:
    """Unpack a member to a file and return its checksum; zipfile stops at the declared size, which was checked."""
    digest = hashlib.sha256()
    with archive.open(member) as packed:
        with _naming_full_disk(target.parent):
            file = target.open("wb")
        with file:
            while chunk := packed.read(_CHUNK):
                digest.update(chunk)
                with _naming_full_disk(target.parent):
                    file.write(chunk)
                    file.flush()
    return digest.hexdigest()


@contextmanager
def _naming_full_disk(folder: Path) -> Iterator[None]:
    """Turn an error of the disk into one that names it, so that it is not taken for a damaged ZIP."""
    try:
        yield
    except OSError as error:
        raise BatteryError(f"{folder}: cannot unpack there, {error}; TMPDIR names another place") from None


def _texts(archive: zipfile.ZipFile, mappings: list[zipfile.ZipInfo]) -> MappingMembers:
    texts = []
    for member in mappings:
        with archive.open(member) as packed:
            texts.append((str(inside(member)), as_mapping_text(packed.read(MAPPING_BYTES + 1))))
    return MappingMembers(tuple(texts))


def _members(
    origin: str, archive: zipfile.ZipFile, bounds: Bounds
) -> tuple[list[zipfile.ZipInfo], OtherMembers, list[zipfile.ZipInfo]]:
    """What may be readings in an archive, its other members, and mapping files; an unsafe member refuses all of it."""
    workbooks, others, mappings = [], [], []
    names = {str(inside(member)) for member in archive.infolist()}
    for member in archive.infolist():
        place = inside(member)
        _require_safe(origin, member)
        if member.is_dir() or any(map(is_hidden, place.parts)):
            continue
        suffix = place.suffix.lower()
        if is_mapping(place.name):
            mappings.append(member)
        elif suffix in bounds.suffixes or is_told_by_content(suffix) or f"{place}{OWN_SUFFIX}" in names:
            workbooks.append(member)
        else:
            others.append(str(place))
    size = sum(member.file_size for member in archive.infolist())
    if size > bounds.zip_max_bytes:
        raise BadSourceError(
            f"{origin} is refused: it unpacks to {size} bytes, more than ZIP_MAX_BYTES={bounds.zip_max_bytes}"
        )
    if not workbooks:
        instead = holds(map(one_line, sorted(others)), len(others)) or "; it holds no file at all"
        raise BadSourceError(f"{origin} holds no file of readings{instead}{_format_of_one(archive, others)}")
    return workbooks, OtherMembers(len(others), tuple(sorted(others)[:MOST_NAMED])), mappings


def _require_safe(origin: str, member: zipfile.ZipInfo) -> None:
    place = inside(member)
    if not member.orig_filename.isprintable():
        raise BadSourceError(f"{origin} is refused: its member {member.orig_filename!r} has an unprintable name")
    if place.is_absolute() or ".." in place.parts or re.match(r"^[A-Za-z]:", str(place)):
        raise BadSourceError(f"{origin} is refused: its member {member.orig_filename!r} points outside the archive")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise BadSourceError(f"{origin} is refused: its member {member.orig_filename!r} is a link")
    if member.flag_bits & _ENCRYPTED:
        raise BadSourceError(f"{origin} is refused: its member {member.orig_filename!r} is encrypted")


def _format_of_one(archive: zipfile.ZipFile, others: list[str]) -> str:
    """What one of the first members is, with advice; nothing where none is of a kind that is known."""
    for name in sorted(others)[:MOST_SAID]:
        member = next(one for one in archive.infolist() if str(inside(one)) == name)
        with archive.open(member) as file:
            kind = recognise(FileSample(inside(member).suffix.lower(), file.read(HEAD_BYTES)))
        if kind:
            return f"; {one_line(name)} {kind.said_of(inside(member).name, is_packed=True)}"
    return ""
