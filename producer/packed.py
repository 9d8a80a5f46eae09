"""Unpacking a .gz or .bz2 file, which is one other file, in a child process and within a limit on what comes out."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import zlib
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Final

from kernel.base.errors import BatteryError
from producer.files import ZIP_SUFFIX, BadSourceError, UnreadableSourceError, as_text, unpacked_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from producer.files import File

_CHUNK: Final = 256 * 1024


def unpack_packed(file: File, folder: Path, most_bytes: int) -> Iterator[tuple[str, Path, str]]:
    """Unpack a .gz or .bz2 into a folder of its own below `folder`; one result, the name inside, path and checksum.

    Args:
        file: the packed file.
        folder: a temporary folder.
        most_bytes: WORKBOOK_MAX_BYTES.

    Raises:
        BadSourceError: it is damaged, unpacks to more, or holds a ZIP.
        BatteryError: what was unpacked cannot be written.
    """
    name = as_text(unpacked_name(file.path.name))
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ZIP_SUFFIX:
        raise BadSourceError(f"{file.origin} holds a ZIP, which is not opened in turn; unpack it first")
    target = _folder(folder) / f"member-0{suffix if suffix.isascii() and suffix.isprintable() else ''}"
    digest, size = hashlib.sha256(), 0
    try:
        with _opened(file) as packed, target.open("wb") as out:
            while chunk := packed.read(_CHUNK):
                size += len(chunk)
                _require_room(file, size, most_bytes)
                digest.update(chunk)
                _write(out, chunk, folder)
    except BaseException as error:
        target.unlink(missing_ok=True)
        if isinstance(error, EOFError | zlib.error) or (isinstance(error, OSError) and error.errno is None):
            kind = file.path.suffix.lower()
            raise BadSourceError(
                f"{file.origin} is not a valid {kind} file ({error}); download or copy it again"
            ) from None
        if isinstance(error, OSError):
            raise UnreadableSourceError(f"{file.origin}: cannot be read: {error.strerror or error}") from None
        raise
    yield name, target, digest.hexdigest()


def _require_room(file: File, size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise BadSourceError(f"{file.origin} unpacks to more than WORKBOOK_MAX_BYTES={most_bytes}; split it")


def _opened(file: File) -> gzip.GzipFile | bz2.BZ2File:
    return gzip.GzipFile(file.path) if file.path.suffix.lower() == ".gz" else bz2.BZ2File(file.path)


def _folder(folder: Path) -> Path:
    try:
        return Path(mkdtemp(dir=folder))
    except OSError as error:
        raise _full(folder, error) from None


def _write(out: IO[bytes], chunk: bytes, folder: Path) -> None:
    try:
        out.write(chunk)
        out.flush()
    except OSError as error:
        raise _full(folder, error) from None


def _full(folder: Path, error: OSError) -> BatteryError:
    return BatteryError(f"{folder}: cannot unpack there, {error}; TMPDIR names another place")
