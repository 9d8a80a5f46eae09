"""Public data sets by name, and downloads that survive a broken line.

The CALCE Battery Research Group (University of Maryland) publishes the CS2 and CX2 cells as one ZIP each and asks
to be cited wherever the data is shown.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import requests
import structlog
import urllib3

from battery.errors import BatteryError
from battery.progress import Progress
from producer.raw import checksum

if TYPE_CHECKING:
    from pathlib import Path

_log = structlog.get_logger()

CALCE: Final = {
    name: f"https://web.calce.umd.edu/batteries/data/{name}.zip"
    for name in (
        *(f"CS2_{cell}" for cell in (33, 34, 35, 36, 37, 38)),
        *(f"CX2_{cell}" for cell in (16, 33, 34, 35, 36, 37, 38)),
    )
}
"""CALCE data sets and where they are published."""

CONNECT_SECONDS: Final = 10.0
READ_SECONDS: Final = 60.0
_WORKBOOKS: Final = (b"PK\x03\x04", b"PK\x05\x06", b"\xd0\xcf\x11\xe0")
"""How ZIPs, .xlsx (which are ZIPs) and .xls files begin."""

NAME_CHARS: Final = 100
"""Most characters of a downloaded file's name."""

_CHUNK: Final = 256 * 1024
_PARTIAL: Final = 206
_RANGE_NOT_SATISFIABLE: Final = 416


class DownloadError(BatteryError):
    """A download that failed; what has arrived is kept, and the same command goes on from there."""


def dataset_url(name: str) -> str | None:
    """The URL of a CALCE data set, whatever the case of its name; None when there is none of that name."""
    return CALCE.get(name.upper())


def download(url: str, folder: Path) -> Path:
    """Fetch a file once, and never again while its checksum, kept beside it, still agrees.

    Every URL has a folder of its own in `folder`: two servers may call different files the same.

    Raises:
        DownloadError: the server cannot be reached, refuses, breaks off, or sends neither a workbook nor a ZIP; or
            `folder` cannot be written.
    """
    try:
        return _downloaded(url, folder)
    except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
        raise DownloadError(f"cannot download {url} to DOWNLOAD_DIR={folder}: {_reason(error)}") from None


def _downloaded(url: str, folder: Path) -> Path:
    path = folder / hashlib.sha256(url.encode()).hexdigest()[:12] / _file_name(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    sums = path.with_name(f"{path.name}.sha256")
    if path.exists() and sums.exists():
        if sums.read_text().split()[:1] == [checksum(path)]:
            _log.info("already downloaded", file=str(path))
            return path
        _log.warning("the file no longer has its checksum, downloading it again", file=str(path))
        path.unlink()
    part = path.with_name(f"{path.name}.part")
    _fetch(url, part, path.with_name(f"{path.name}.part.json"))
    with part.open("rb") as file:
        if not file.read(4).startswith(_WORKBOOKS):
            part.unlink()
            raise DownloadError(f"{url} sent neither a ZIP nor a workbook but something else, perhaps a log-in page")
    sums.write_text(f"{checksum(part)}  {path.name}\n")
    part.rename(path)
    return path


def _fetch(url: str, part: Path, memory: Path) -> None:
    """Fetch into `part`, going on where an earlier attempt at the very same version of the file broke off."""
    try:
        known = json.loads(memory.read_text()) if part.exists() else {}
    except (OSError, ValueError):  # there is none, or it was being written when the machine went down
        known = {}
    done = part.stat().st_size if known.get("url") == url and known.get("version") else 0
    headers = {"Accept-Encoding": "identity"}
    if done:
        headers |= {"Range": f"bytes={done}-", "If-Range": known["version"]}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)) as answer:
            if answer.status_code == _RANGE_NOT_SATISFIABLE:
                part.unlink()
                raise DownloadError(f"{url} has changed while it was being downloaded; run the command again")
            if not answer.ok:
                raise DownloadError(f"{url} answers {answer.status_code} {answer.reason}")
            if answer.status_code != _PARTIAL:
                done = 0
            # A weak validator does not promise the same bytes, so it cannot be resumed from.
            version = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
            memory.write_text(
                json.dumps({"url": url, "version": None if (version or "").startswith("W/") else version})
            )
            length = answer.headers.get("Content-Length")
            total = done + int(length) if length else None
            with part.open("ab" if done else "wb") as file, Progress(f"downloading {url}", "bytes", total) as progress:
                progress.advance(done)
                for chunk in answer.iter_content(_CHUNK):
                    file.write(chunk)
                    progress.advance(len(chunk))
    except (requests.ConnectionError, requests.Timeout) as error:
        raise DownloadError(
            f"cannot download {url}: {_reason(error)}; run the command again to go on, or copy the file here yourself"
        ) from None
    except requests.RequestException as error:
        raise DownloadError(f"{url} broke off: {_reason(error)}; run the command again to go on") from None
    if total is not None and part.stat().st_size != total:
        raise DownloadError(
            f"{url} broke off after {part.stat().st_size} of {total} bytes; run the command again to go on"
        )
    memory.unlink()


def _file_name(url: str) -> str:
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    name = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "download"
    return PurePosixPath(name).stem[:NAME_CHARS] + PurePosixPath(name).suffix[:8]


def _reason(error: Exception) -> str:
    """The innermost cause; what requests wraps around it helps nobody."""
    cause: BaseException = error
    while cause.args and isinstance(cause.args[0], BaseException):
        cause = cause.args[0]
    cause = getattr(cause, "reason", None) or cause
    text = (cause.strerror if isinstance(cause, OSError) else None) or str(cause).rsplit(">: ", 1)[-1]
    return (text.splitlines() or [type(error).__name__])[0][:160]
