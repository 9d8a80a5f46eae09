"""Looking at the beginning of a table that somebody asks about, in a child process within the limits of readers."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

from kernel.base.errors import BatteryError
from producer.child import Child, Limits, WorkEndedError
from producer.files import PACKED_SUFFIXES, ZIP_SUFFIX
from producer.readers.look import look
from producer.readers.registry import reader_of

if TYPE_CHECKING:
    from kernel.base.settings import Settings
    from producer.readers.proposal import Look


def look_at(path: Path, settings: Settings) -> tuple[Look, str | None]:
    """The beginning of a table, and the name of the reader that recognises its content, if any.

    A workbook is opened by whoever reads workbooks, so its reader is told by its sheets alone, and not here.

    Raises:
        BatteryError: there is no such file, it is no table, or looking at it takes too much memory or time.
    """
    if not path.is_file():
        raise BatteryError(f"there is no file {path}; FILE is a table of readings")
    if path.suffix.lower() in {ZIP_SUFFIX, *PACKED_SUFFIXES}:
        raise BatteryError(f"{path.name} is packed; unpack it, and ask for the columns of what is in it")
    with TemporaryDirectory(prefix="battery-columns-") as folder:
        child = Child(
            Limits(settings.reader_memory_bytes, settings.reader_timeout_seconds), Path(folder), look.__module__
        )
        try:
            found = cast("Look", child.result(look, path))
        except WorkEndedError as error:
            detail = f" ({error.detail})" if error.detail else ""
            raise BatteryError(f"{path.name}: looking at it ended early: {error.cause}{detail}") from None
        finally:
            child.end()
    try:
        registered = reader_of(path, path.name)
    except (BatteryError, OSError):
        registered = None
    return found, None if registered is None or found.sheet is not None else registered.reader.name
