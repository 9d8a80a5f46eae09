"""Unpacking workbooks from a ZIP, one by one, in a child process, since a ZIP from outside is not trusted.

All members are checked before the first is unpacked. zipfile writes no more than the size that a member declares. The
child has a limit on its memory, since a packing method may ask for any amount.
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
from typing import TYPE_CHECKING, Final, Self

from kernel.base.errors import BatteryError
from kernel.base.plain import one_line
from kernel.edges.file_records import SourceFile
from producer.child import Child, Limits, WorkEndedError
from producer.files import (
    ZIP_SUFFIX,
    BadSourceError,
    Content,
    PassedOver,
    Refusal,
    Signature,
    UnreadableSourceError,
    WorkbookFile,
    as_text,
    is_hidden,
    is_publishable,
    place_of,
)
from producer.passed_over import MOST_NAMED, MOST_SAID, holds, why_member
from producer.readers.formats import NDAX, recognise
from producer.readers.registry import ReaderClashError, readable_suffixes, reader_of
from producer.readers.sample import HEAD_BYTES, FileSample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from kernel.base.settings import Settings
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
class BadMember:
    """A workbook of a ZIP that is refused, and why; the others are unpacked all the same."""

    member: str
    problem: str


@dataclass(frozen=True)
class OtherMembers:
    """Members of a ZIP that are no workbooks: how many, and the first of them by name."""

    count: int
    members: tuple[str, ...]


class Unpacker:
    """A child process that reads and unpacks ZIPs; it starts with the first one.

    Args:
        settings: what may be unpacked, and how long the child may take for a workbook.
        folder: a temporary folder for what is unpacked.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._bounds = Bounds(settings.zip_max_bytes, settings.workbook_max_bytes, readable_suffixes())
        self._seconds = settings.reader_timeout_seconds
        self._folder = folder
        self._child = Child(Limits(MEMORY_BYTES, self._seconds), folder, __name__)

    def __enter__(self) -> Self:
        """Nothing more to do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the child, even if it is at work."""
        self._child.end()

    def is_workbook(self, file: File) -> bool:
        """Whether a file is a workbook and not a ZIP of workbooks, by its suffix, or else by its content.

        Raises:
            BadSourceError: the file is broken, or takes too much memory or time.
        """
        suffix = file.path.suffix.lower()
        if is_publishable(suffix):
            return suffix != ZIP_SUFFIX
        try:
            return bool(self._child.result(holds_workbook, file)) or reader_of(file.path, file.origin) is not None
        except (ReaderClashError, OSError):  # it is refused when it is to be read
            return True
        except WorkEndedError as error:
            raise BadSourceError(f"{file.origin}: {self._problem(error)}") from None

    def workbooks_of(self, file: File, content: Content) -> Iterator[WorkbookFile | Refusal | PassedOver]:
        """The workbooks of a ZIP, each unpacked on demand, and the members that are refused or passed over.

        Raises:
            BatteryError: what was unpacked cannot be written.
        """
        try:
            for result in self._child.results(unpack, file, self._folder, self._bounds):
                if isinstance(result, Member):
                    unpacked = Content(result.path, result.sha256, Signature.of(result.path))
                    name = as_text(PurePosixPath(result.member).name)
                    yield WorkbookFile(unpacked, name, f"{file.origin}!{as_text(result.member)}", content)
                elif isinstance(result, BadMember):
                    line = f"{file.origin}!{as_text(result.member)}: {result.problem}"
                    sha256 = f"{content.sha256}!{result.member}"
                    yield Refusal(line, sha256, _on_record(file, result.member, sha256))
                elif isinstance(result, OtherMembers):
                    others = [(_on_record(file, member), why_member(member)) for member in result.members]
                    yield PassedOver(f"{place_of(file.path)}!", result.count, tuple(others))
        except UnreadableSourceError as error:
            yield Refusal(str(error), None, file.on_record(content.sha256))
        except BadSourceError as error:
            yield Refusal(str(error), content.sha256, file.on_record(content.sha256))
        except WorkEndedError as error:
            line, lasts = f"{file.origin}: {self._problem(error)}", error.cause == "memory"
            yield Refusal(line, content.sha256 if lasts else None, file.on_record(content.sha256))

    def _problem(self, error: WorkEndedError) -> str:
        match error.cause:
            case "memory":
                return f"reading it took more than {MEMORY_BYTES} bytes of memory; unpack it yourself"
            case "time":
                return f"a part of it took longer to unpack than READER_TIMEOUT_SECONDS={self._seconds:g}"
        return f"it is not a valid ZIP ({error.detail}); download or copy it again"


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


def _on_record(file: File, member: str, sha256: str | None = None) -> SourceFile:
    """A member of a ZIP as it goes on record."""
    name = as_text(member)
    return SourceFile(f"{file.origin}!{name}", f"{place_of(file.path)}!{name}", sha256)


def unpack(file: File, folder: Path, bounds: Bounds) -> Iterator[Member | BadMember | OtherMembers]:
    """Unpack the workbooks of a ZIP on demand, each into a folder of its own below `folder`.

    Raises:
        BadSourceError: the ZIP is broken or unsafe, or holds no workbook.
        BatteryError: what was unpacked cannot be written.
    """
    try:
        with zipfile.ZipFile(file.path) as archive:
            workbooks, others = _members(file.origin, archive, bounds)
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


def _contents(archive: zipfile.ZipFile, others: list[str], suffixes: tuple[str, ...]) -> str:
    """What an archive without a workbook holds: its files, the format of one of them, and advice."""
    if any(PurePosixPath(name).suffix.lower() == ".ndc" for name in others):
        return str(NDAX)
    instead = holds(map(one_line, sorted(others)), len(others)) or " and no other file"
    line = f"holds no workbook ({', '.join(suffixes)}){instead}"
    for name in sorted(others)[:MOST_SAID]:
        member = next(one for one in archive.infolist() if str(inside(one)) == name)
        with archive.open(member) as file:
            kind = recognise(FileSample(inside(member).suffix.lower(), file.read(HEAD_BYTES)))
        if kind:
            return f"{line}; {one_line(name)} {kind}"
    return line


def _members(origin: str, archive: zipfile.ZipFile, bounds: Bounds) -> tuple[list[zipfile.ZipInfo], OtherMembers]:
    """The workbooks of an archive and its other members; one unsafe member refuses the whole archive."""
    workbooks, others = [], []
    for member in archive.infolist():
        place = inside(member)
        if not member.orig_filename.isprintable():
            raise BadSourceError(f"{origin} is refused: its member {member.orig_filename!r} has an unprintable name")
        if place.is_absolute() or ".." in place.parts or re.match(r"^[A-Za-z]:", str(place)):
            raise BadSourceError(f"{origin} is refused: its member {member.orig_filename!r} points outside the archive")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise BadSourceError(f"{origin} is refused: its member {member.orig_filename!r} is a link")
        if member.flag_bits & _ENCRYPTED:
            raise BadSourceError(f"{origin} is refused: its member {member.orig_filename!r} is encrypted")
        if member.is_dir() or any(map(is_hidden, place.parts)):
            continue
        if place.suffix.lower() in bounds.suffixes:
            workbooks.append(member)
        else:
            others.append(str(place))
    size = sum(member.file_size for member in archive.infolist())
    if size > bounds.zip_max_bytes:
        raise BadSourceError(
            f"{origin} is refused: it unpacks to {size} bytes, more than ZIP_MAX_BYTES={bounds.zip_max_bytes}"
        )
    if not workbooks:
        raise BadSourceError(f"{origin} {_contents(archive, others, bounds.suffixes)}")
    return workbooks, OtherMembers(len(others), tuple(sorted(others)[:MOST_NAMED]))
