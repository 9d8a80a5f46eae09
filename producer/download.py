"""Downloads that resume after a broken line, keep to limits, and show no secrets of their URLs."""

from __future__ import annotations

import hashlib
import json
import re
import time
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import requests
import structlog
import urllib3
from filelock import FileLock, Timeout
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from kernel.base.masking import mask_urls
from kernel.base.progress import Progress
from producer.answer import Answer, DownloadError, DownloadLimitError
from producer.files import checksum
from producer.readers.registry import recognising
from producer.readers.sample import FileSample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producer.answer import DownloadLimits

_log = structlog.get_logger()

NAME_CHARS: Final = 100
"""Most characters of a downloaded file's name."""

PARTIAL_DAYS: Final = 7
"""How long a partial download is kept, so that the same command can resume it."""

_ZIPS: Final = (b"PK\x03\x04", b"PK\x05\x06")
"""How ZIPs begin, with members or without."""

_PARTIAL: Final = 206
_RANGE_NOT_SATISFIABLE: Final = 416


def download(url: str, folder: Path, limits: DownloadLimits) -> Path:
    """Fetch a file once, and never again while its checksum, kept beside it, still agrees.

    Every URL has its own folder in `folder`, since two servers may give different files the same name.

    Raises:
        DownloadError: the server cannot be reached, refuses, breaks off, takes too long, or sends too much, or neither
            a workbook nor a ZIP; or `folder` cannot be written.
    """
    try:
        _remove_stale(folder)
        path = folder / _digest(url)[:12] / _file_name(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path, limits):
            return _downloaded(url, path, limits)
    except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
        raise DownloadError(
            f"cannot download {mask_urls(url)} to DOWNLOAD_DIR={folder}: {_reason(error, url)}"
        ) from None


@contextmanager
def _locked(path: Path, limits: DownloadLimits) -> Iterator[None]:
    """Lock a file, so that one process at a time fetches it."""
    lock = path.with_name(f"{path.name}.lock")
    try:
        with FileLock(lock, timeout=limits.total_seconds):
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
    except Timeout:
        raise DownloadError(f"another process has been downloading {path} for {limits.total_seconds:g} s") from None


def _downloaded(url: str, path: Path, limits: DownloadLimits) -> Path:
    sums = path.with_name(f"{path.name}.sha256")
    if path.exists() and sums.exists():
        if sums.read_text().split()[:1] == [checksum(path)]:
            _log.info("already downloaded", file=str(path))
            return path
        _log.warning("the file no longer has its checksum, downloading it again", file=str(path))
        path.unlink()
    part, memory = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.json")
    try:
        _fetch(url, part, memory, limits)
    except DownloadLimitError:
        part.unlink(missing_ok=True)
        memory.unlink(missing_ok=True)
        raise
    sample = FileSample.of(part)
    if not sample.head.startswith(_ZIPS) and not recognising(sample):
        part.unlink()
        raise DownloadError(
            f"{mask_urls(url)} sent neither a ZIP nor a workbook but something else, perhaps a log-in page"
        )
    sums.write_text(f"{checksum(part)}  {path.name}\n")
    part.rename(path)
    return path


def _fetch(url: str, part: Path, memory: Path, limits: DownloadLimits) -> None:
    """Fetch into `part`; resume where an earlier attempt at the same version of the file broke off."""
    shown = mask_urls(url)
    try:
        earlier = json.loads(memory.read_text()) if part.exists() else {}
    except (OSError, ValueError):  # there is none, or the machine went down while it was being written
        earlier = {}
    done = part.stat().st_size if earlier.get("url_sha256") == _digest(url) and earlier.get("version") else 0
    headers = {"Accept-Encoding": "identity"}
    if done:
        headers |= {"Range": f"bytes={done}-", "If-Range": earlier["version"]}
    with Answer(url, headers, limits) as answer:
        try:
            head = answer.head()
            if head.status_code == _RANGE_NOT_SATISFIABLE:
                part.unlink()
                raise DownloadError(f"{shown} has changed while it was being downloaded; run the command again")
            done = done if head.status_code == _PARTIAL else 0
            total = _announced(head, shown, done, limits)
            memory.write_text(json.dumps({"url_sha256": _digest(url), "version": _version(head)}))
            with (
                part.open("ab" if done else "wb") as file,
                Progress(f"downloading {shown}", "bytes", total) as progress,
            ):
                progress.advance(done)
                for chunk in answer.chunks():
                    done += len(chunk)
                    if done > limits.max_bytes:
                        raise _too_large(shown, limits)
                    file.write(chunk)
                    progress.advance(len(chunk))
        except (requests.ConnectionError, requests.Timeout) as error:
            raise DownloadError(
                f"cannot download {shown}: {_reason(error, url)}; run the command again to go on, or copy the file "
                "here yourself"
            ) from None
        except (requests.RequestException, ProtocolError, ReadTimeoutError) as error:
            raise DownloadError(f"{shown} broke off: {_reason(error, url)}; run the command again to go on") from None
    if total is not None and done != total:
        raise DownloadError(f"{shown} broke off after {done} of {total} bytes; run the command again to go on")
    memory.unlink()


def _announced(head: requests.Response, shown: str, done: int, limits: DownloadLimits) -> int | None:
    """The size of a file in bytes as its server announces it; None where the server does not.

    Raises:
        DownloadError: there is no such file, it is packed, or it is too large.
    """
    if not head.ok:
        raise DownloadError(f"{shown} answers {head.status_code} {head.reason}")
    if packing := head.headers.get("Content-Encoding"):
        raise DownloadError(f"{shown} sends it packed ({packing}), although it was asked not to")
    length = head.headers.get("Content-Length")
    total = done + int(length) if length else None
    if total is not None and total > limits.max_bytes:
        raise _too_large(shown, limits)
    return total


def _version(head: requests.Response) -> str | None:
    """What identifies a version of a file; None for a weak validator, which does not promise the same bytes."""
    version = head.headers.get("ETag") or head.headers.get("Last-Modified")
    return None if (version or "").startswith("W/") else version


def _too_large(shown: str, limits: DownloadLimits) -> DownloadLimitError:
    return DownloadLimitError(
        f"{shown} has more than DOWNLOAD_MAX_BYTES={limits.max_bytes} bytes; nothing of it was kept: raise it if you "
        "trust the server"
    )


def _remove_stale(folder: Path) -> None:
    """Remove partial downloads that have not been resumed for `PARTIAL_DAYS`."""
    oldest = time.time() - PARTIAL_DAYS * 86_400
    for part in folder.glob("*/*.part*"):
        with suppress(OSError):  # another process was faster
            if part.stat().st_mtime < oldest:
                part.unlink()


def _digest(url: str) -> str:
    """What identifies a URL without showing what is in it."""
    return hashlib.sha256(url.encode()).hexdigest()


def _file_name(url: str) -> str:
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    name = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "download"
    return PurePosixPath(name).stem[:NAME_CHARS] + PurePosixPath(name).suffix[:8]


def _reason(error: Exception, url: str) -> str:
    """The innermost cause, without the URL's secrets and without what requests wraps around it."""
    cause: BaseException = error
    while cause.args and isinstance(cause.args[0], BaseException):
        cause = cause.args[0]
    cause = getattr(cause, "reason", None) or cause
    text = (cause.strerror if isinstance(cause, OSError) else None) or str(cause).rsplit(">: ", 1)[-1]
    text = (text.splitlines() or [type(error).__name__])[0]
    parts = urlsplit(url)
    for secret in (parts.netloc.rpartition("@")[0], parts.password, parts.query, parts.fragment):
        text = text.replace(secret, "***") if secret else text
    return re.sub(r"\?[^\s)]+", "?***", mask_urls(text))[:160]
