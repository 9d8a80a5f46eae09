"""From what a user names to workbook files on disk: paths, folders, ZIPs, URLs and CALCE data sets.

A ZIP from outside is not trusted: all of its members are judged before the first is unpacked.
"""

from __future__ import annotations

import re
import shutil
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from battery.errors import BatteryError
from producer.datasets import CALCE, dataset_url, download

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKBOOKS: Final = frozenset({".xlsx", ".xls"})
_URL: Final = re.compile(r"^https?://", re.IGNORECASE)
_ENCRYPTED: Final = 0x1


class BadSourceError(BatteryError):
    """A source that cannot be read at all; says what it is and what a source may be."""


@dataclass(frozen=True)
class Found:
    """A workbook on disk: `name` is its base name, `origin` says where it came from, `archive` in which ZIP."""

    path: Path
    name: str
    origin: str
    archive: Path | None = None


def find_workbooks(source: str, *, scratch: Path, download_dir: Path, zip_max_bytes: int) -> Iterator[Found]:
    """Find the workbooks that a source names; members of a ZIP are unpacked one by one as they are asked for.

    Args:
        source: a workbook, a ZIP, a folder, an http(s) URL or the name of a CALCE data set.
        scratch: the caller's temporary folder, for unpacking.
        download_dir: where downloads are kept.
        zip_max_bytes: what a ZIP may unpack to.

    Raises:
        BadSourceError: there is no such source, or a ZIP is broken or unsafe.
        BatteryError: a download failed.
    """
    path = Path(source)
    url = source if _URL.match(source) else (None if path.exists() else dataset_url(source))
    if url is not None:
        path = download(url, download_dir)
    if not path.exists():
        raise BadSourceError(
            f"there is no {source}; SOURCE is an .xlsx, .xls or .zip file, a folder, an http(s) URL, or one of the "
            f"CALCE data sets {', '.join(CALCE)}"
        )
    if path.is_dir():
        yield from _in_folder(path, scratch, zip_max_bytes)
    elif path.suffix.lower() == ".zip":
        yield from _in_zip(path, scratch, zip_max_bytes)
    elif path.suffix.lower() in WORKBOOKS:
        yield Found(path, path.name, path.name)
    else:
        raise BadSourceError(f"{path} is neither a workbook (.xlsx, .xls) nor a ZIP nor a folder")


def _in_folder(folder: Path, scratch: Path, zip_max_bytes: int) -> Iterator[Found]:
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.suffix.lower() in WORKBOOKS | {".zip"}
        and not any(part.startswith((".", "~$")) for part in path.relative_to(folder).parts)
    ]
    if not found:
        raise BadSourceError(f"the folder {folder} holds no workbook (.xlsx, .xls) and no ZIP")
    for path in found:
        if path.suffix.lower() == ".zip":
            yield from _in_zip(path, scratch, zip_max_bytes)
        else:
            yield Found(path, path.name, str(path.relative_to(folder)))


def _in_zip(path: Path, scratch: Path, zip_max_bytes: int) -> Iterator[Found]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = _judged(path, archive, zip_max_bytes)
            for number, member in enumerate(members):
                name = PurePosixPath(member.filename).name
                folder = scratch / f"{path.stem}-{number}"
                folder.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed, (folder / name).open("wb") as file:
                    shutil.copyfileobj(packed, file)
                yield Found(folder / name, name, f"{path.name}!{member.filename}", path)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError) as error:
        raise BadSourceError(f"{path} is no sound ZIP ({error}); download or copy it again") from None
    except OSError as error:
        raise BadSourceError(f"{path} cannot be read: {error.strerror or error}") from None


def _judged(path: Path, archive: zipfile.ZipFile, zip_max_bytes: int) -> list[zipfile.ZipInfo]:
    """The workbooks of an archive, which is refused whole when any member is unsafe."""
    workbooks = []
    for member in archive.infolist():
        inside = PurePosixPath(member.orig_filename.replace("\\", "/"))
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
