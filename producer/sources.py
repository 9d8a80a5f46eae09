"""From what a user names to files on disk: paths, folders, ZIPs, URLs and CALCE data sets."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from kernel.base.masking import mask_urls
from kernel.base.plain import one_line
from kernel.edges.file_records import FileRecords, SourceFile
from kernel.edges.objects import open_store
from producer.answer import DownloadLimits
from producer.datasets import CALCE, dataset_url
from producer.download import download
from producer.files import BadSourceError, File, PassedOver, Refusal, in_folder, is_readable
from producer.passed_over import holds, passed_over
from producer.readers.formats import format_of
from producer.readers.registry import readable_suffixes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.base.settings import Settings

_URL: Final = re.compile(r"^https?://", re.IGNORECASE)


def require_source(source: str, *, insists: bool = False) -> None:
    """Check what a user named, before anything is opened.

    Args:
        source: what the user named.
        insists: whether the user names a reader or a mapping, so that the content need not show whose it is.

    Raises:
        BadSourceError: it is no file, folder, URL or data set.
    """
    shown = mask_urls(one_line(source))
    if _URL.match(source):
        try:
            complete = bool(urlsplit(source).hostname) and urlsplit(source).port != 0
        except ValueError:
            complete = False
        if not complete:
            raise BadSourceError(f"{shown} is not a complete URL")
    elif not os.path.exists(source) and dataset_url(source) is None:  # noqa: PTH110  # Path.exists raises for long names
        raise BadSourceError(
            f"there is no {shown}; SOURCE is a file of a cycler, a .zip, a folder, an http(s) URL, or one of the CALCE "
            f"data sets {', '.join(CALCE)}"
        )
    elif os.path.isfile(source) and not is_readable(Path(source), insists=insists, is_named=True):  # noqa: PTH113
        raise BadSourceError(f"{shown} {_description(Path(source))}")
    elif os.path.exists(source) and not os.path.isfile(source) and not os.path.isdir(source):  # noqa: PTH110,PTH112,PTH113
        raise BadSourceError(f"{shown} is neither a file nor a folder but a pipe or a device")


def _description(path: Path) -> str:
    try:
        return format_of(path) or f"is neither a file of readings ({', '.join(readable_suffixes())}) nor a ZIP"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def require_sources(sources: Sequence[str], *, insists: bool = False) -> None:
    """Refuse a command line without a usable source; a batch with at least one goes on without the others.

    Raises:
        BadSourceError: no source is usable; says what is wrong with each.
    """
    problems = []
    for source in sources:
        try:
            require_source(source, insists=insists)
        except BadSourceError as error:
            problems.append(str(error))
    if len(problems) == len(sources):
        raise BadSourceError("; ".join(problems))


def url_of(source: str) -> str | None:
    """Where to download what a source names; None where it lies on disk."""
    if _URL.match(source):
        return source
    return None if os.path.exists(source) else dataset_url(source)  # noqa: PTH110  # Path.exists raises for long names


def download_on_record(source: str) -> SourceFile | None:
    """The record of a download that failed, without the secrets of its URL; None if the source is no download."""
    url = url_of(source)
    shown = None if url is None else mask_urls(one_line(url))
    return None if shown is None else SourceFile(shown, shown)


def on_record(source: str) -> SourceFile | None:
    """The record of a source that is refused; None if it is neither a download nor a file."""
    if os.path.isfile(source):  # noqa: PTH113  # Path.is_file raises for long names
        return File(Path(source), one_line(Path(source).name)).on_record()
    return download_on_record(source)


def record_refused_sources(settings: Settings, sources: Sequence[str], cell_id: str | None) -> None:
    """Put on record the files of a command line that no reader reads; nothing else is done with them.

    Raises:
        BatteryError: the object store does not answer.
    """
    records = FileRecords(open_store(settings))
    for source in sources:
        try:
            require_source(source)
        except BadSourceError as error:
            if os.path.isfile(source) and (file := on_record(source)):  # noqa: PTH113
                records.refuse(file, str(error), cell_id)


def find_files(source: str, settings: Settings, *, insists: bool = False) -> list[File | Refusal | PassedOver]:
    """Find the files and ZIPs that a source names; of a folder, also what cannot be opened or is passed over.

    Args:
        source: a file of readings, a ZIP, a folder, an http(s) URL or the name of a CALCE data set.
        settings: where downloads are kept, and what they may take.
        insists: whether the user names a reader or a mapping, so that the content need not show whose a file is.

    Raises:
        BadSourceError: there is no such source, or nothing in it.
        DownloadError: a download failed.
    """
    require_source(source, insists=insists)
    path = Path(source)
    url = url_of(source)
    if url is not None:
        path = download(url, settings.download_dir, DownloadLimits.of(settings))
    if not path.is_dir():
        return [File(path, one_line(path.name))]
    listing = files, closed_folders, others = in_folder(path, insists=insists)
    ignored = passed_over(path, listing)
    if not files and not closed_folders:
        instead = holds((file.name for file, _ in ignored.files), ignored.count)
        line = f"the folder {one_line(str(path))} holds no file of readings and no ZIP{instead}"
        if not others:
            raise BadSourceError(line)
        return [Refusal(line), ignored]
    named = (File(file, one_line(str(file.relative_to(path))), is_found=True) for file in files)
    return [*map(Refusal, closed_folders), *named, ignored]
