"""From what a user names to workbook files on disk: paths, folders, ZIPs, URLs and CALCE data sets.

A ZIP from outside is not trusted: all of its members are judged before the first is unpacked.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from battery.errors import BatteryError
from producer.bounds import UNSOUND
from producer.datasets import CALCE, dataset_url, download

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WORKBOOKS: Final = frozenset({".xlsx", ".xls"})
NAME_BYTES: Final = 200
"""Most bytes of a workbook's name; file systems end at 255."""

PUBLISHABLE: Final = WORKBOOKS | {".zip"}
_URL: Final = re.compile(r"^https?://", re.IGNORECASE)
_ENCRYPTED: Final = 0x1


class BadSourceError(BatteryError):
    """A source that cannot be read at all; says what it is and what a source may be."""


@dataclass(frozen=True)
class File:
    """A workbook or a ZIP as it lies on disk; `origin` is how a user knows it."""

    path: Path
    origin: str


@dataclass(frozen=True)
class Found:
    """A workbook on disk: `name` is its base name, `origin` says where it came from, `archive` in which ZIP."""

    path: Path
    name: str
    origin: str
    archive: Path | None = None


def require_source(source: str) -> None:
    """Tell whether a user can have meant this at all, before anything is opened.

    Raises:
        BadSourceError: it is no file, folder, URL or data set.
    """
    if _URL.match(source):
        try:
            whole = bool(urlsplit(source).hostname) and urlsplit(source).port != 0
        except ValueError:
            whole = False
        if not whole:
            raise BadSourceError(f"{source} is no complete URL")
    elif not os.path.exists(source) and dataset_url(source) is None:  # noqa: PTH110  # Path.exists raises for long names
        raise BadSourceError(
            f"there is no {source}; SOURCE is an .xlsx, .xls or .zip file, a folder, an http(s) URL, or one of the "
            f"CALCE data sets {', '.join(CALCE)}"
        )
    elif os.path.isfile(source) and Path(source).suffix.lower() not in PUBLISHABLE:  # noqa: PTH113
        raise BadSourceError(f"{source} is neither a workbook (.xlsx, .xls) nor a ZIP nor a folder")


def require_sources(sources: Sequence[str]) -> None:
    """Refuse a command line none of whose sources can be one; a batch with some that can goes on without the others.

    Raises:
        BadSourceError: says of each what is wrong.
    """
    problems = []
    for source in sources:
        try:
            require_source(source)
        except BadSourceError as error:
            problems.append(str(error))
    if len(problems) == len(sources):
        raise BadSourceError("; ".join(problems))


def find_files(source: str, download_dir: Path) -> list[File]:
    """Find the workbooks and ZIPs that a source names.

    Args:
        source: a workbook, a ZIP, a folder, an http(s) URL or the name of a CALCE data set.
        download_dir: where downloads are kept.

    Raises:
        BadSourceError: there is no such source, or nothing in it.
        DownloadError: a download failed.
    """
    require_source(source)
    path = Path(source)
    url = source if _URL.match(source) else (None if path.exists() else dataset_url(source))
    if url is not None:
        path = download(url, download_dir)
    if not path.is_dir():
        return [File(path, as_text(path.name))]
    found = in_folder(path)
    if not found:
        raise BadSourceError(f"the folder {path} holds no workbook (.xlsx, .xls) and no ZIP")
    return [File(file, as_text(str(file.relative_to(path)))) for file in found]


def workbooks_of(file: File, scratch: Path, zip_max_bytes: int) -> Iterator[Found]:
    """The workbook that a file is, or those in a ZIP, which are unpacked one by one as they are asked for.

    Args:
        file: what `find_files` has found.
        scratch: the caller's temporary folder, for unpacking.
        zip_max_bytes: what a ZIP may unpack to.

    Raises:
        BadSourceError: the ZIP is broken or unsafe, or holds no workbook.
    """
    if file.path.suffix.lower() in WORKBOOKS or (file.path.suffix.lower() != ".zip" and _is_workbook(file.path)):
        yield Found(file.path, as_text(file.path.name), file.origin)
    else:
        yield from _in_zip(file, scratch, zip_max_bytes)


def in_folder(folder: Path) -> list[Path]:
    """The workbooks and ZIPs below a folder, by name; hidden files and those of open spreadsheets do not count."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.suffix.lower() in PUBLISHABLE
        and not any(part.startswith((".", "~$")) for part in path.relative_to(folder).parts)
    ]


def as_text(name: str) -> str:
    """A file's name as UTF-8 text that a store can hold: some are in other encodings, some very long."""
    whole = os.fsencode(name).decode("utf-8", "replace")
    if len(whole.encode()) <= NAME_BYTES:
        return whole
    suffix = PurePosixPath(whole).suffix[:8]
    return whole.encode()[: NAME_BYTES - len(suffix.encode())].decode("utf-8", "ignore") + suffix


def _is_workbook(path: Path) -> bool:
    """What a file without a telling name is: a server may call it anything."""
    if not zipfile.is_zipfile(path):
        return True  # an .xls, or something that its reader will name
    with zipfile.ZipFile(path) as archive:
        return "[Content_Types].xml" in archive.namelist()


def _in_zip(file: File, scratch: Path, zip_max_bytes: int) -> Iterator[Found]:
    path = file.path
    try:
        with zipfile.ZipFile(path) as archive:
            members = _judged(path, archive, zip_max_bytes)
            for number, member in enumerate(members):
                name = _inside(member).name
                unpacked = Path(tempfile.mkdtemp(dir=scratch)) / f"member-{number}{_inside(member).suffix}"
                with archive.open(member) as packed, unpacked.open("wb") as target:
                    shutil.copyfileobj(packed, target)
                yield Found(unpacked, as_text(name), f"{file.origin}!{member.filename}", path)
    except UNSOUND as error:
        raise BadSourceError(f"{path} is no sound ZIP ({error}); download or copy it again") from None
    except OSError as error:
        raise BadSourceError(f"{path} cannot be read: {error.strerror or error}") from None


def _inside(member: zipfile.ZipInfo) -> PurePosixPath:
    """Where a member lies in its archive; old Windows tools write backslashes."""
    return PurePosixPath(member.orig_filename.replace("\\", "/"))


def _judged(path: Path, archive: zipfile.ZipFile, zip_max_bytes: int) -> list[zipfile.ZipInfo]:
    """The workbooks of an archive, which is refused whole when any member is unsafe."""
    workbooks = []
    for member in archive.infolist():
        inside = _inside(member)
        if not member.orig_filename.isprintable():
            raise BadSourceError(f"{path} is refused: its member {member.orig_filename!r} has a name that is no text")
        if inside.is_absolute() or ".." in inside.parts or re.match(r"^[A-Za-z]:", str(inside)):
            raise BadSourceError(f"{path} is refused: its member {member.orig_filename!r} points outside the archive")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise BadSourceError(f"{path} is refused: its member {member.orig_filename!r} is a link")
        if member.flag_bits & _ENCRYPTED:
            raise BadSourceError(f"{path} is refused: its member {member.orig_filename!r} is encrypted")
        hidden = any(part.startswith((".", "~$", "__MACOSX")) for part in inside.parts)
        if not member.is_dir() and not hidden and inside.suffix.lower() in WORKBOOKS:
            workbooks.append(member)
    # zipfile never unpacks more of a member than the directory declares, so the declared sizes are enough.
    size = sum(member.file_size for member in archive.infolist())
    if size > zip_max_bytes:
        raise BadSourceError(f"{path} is refused: it unpacks to {size} bytes, more than ZIP_MAX_BYTES={zip_max_bytes}")
    if not workbooks:
        raise BadSourceError(f"{path} holds no workbook (.xlsx, .xls)")
    return workbooks
