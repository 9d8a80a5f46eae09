"""Looking at the beginning of a table that somebody asks about, in a child process within the limits of readers."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

from kernel.base.errors import BatteryError
from producer.child import Child, Limits, WorkEndedError
from producer.files import PACKED_SUFFIXES, ZIP_SUFFIX
from producer.readers.base import BadWorkbookError
from producer.readers.look import ARBIN, look
from producer.readers.registry import recognising
from producer.readers.sample import FileSample

if TYPE_CHECKING:
    from kernel.base.settings import Settings
    from producer.readers.look import Look


def look_at(path: Path, settings: Settings) -> tuple[Look | None, str | None]:
    """The beginning of a table, and the name of the reader that takes the file, if any.

    Returns:
        The table, None for what is none but has a reader, such as a binary file; and the reader, None where only a
        mapping file can tell how the file is read.

    Raises:
        BatteryError: there is no such file, it is no table, or looking at it takes too much memory or time.
    """
    if not path.is_file():
        raise BatteryError(f"there is no file {path}; FILE is a table of readings")
    if path.suffix.lower() in {ZIP_SUFFIX, *PACKED_SUFFIXES}:
        raise BatteryError(f"{path.name} is packed; unpack it, and ask for the columns of what is in it")
    reader = _recognising(path)
    try:
        found = _look(path, settings)
    except BadWorkbookError:
        if reader in {None, ARBIN}:  # it claims any workbook, damaged ones as well
            raise
        return None, reader
    return found, found.reader if found.sheet is not None or not found.titles else reader


def _recognising(path: Path) -> str | None:
    """The reader that is sure of a file by its content; of a workbook only its sheets tell, which `look` opens."""
    try:
        claims = recognising(FileSample.of(path))
    except OSError:  # whoever reads it next says what is wrong
        return None
    return claims[0].reader.name if claims else None


def _look(path: Path, settings: Settings) -> Look:
    with TemporaryDirectory(prefix="battery-columns-") as folder:
        child = Child(
            Limits(settings.reader_memory_bytes, settings.reader_timeout_seconds), Path(folder), look.__module__
        )
        try:
            return cast("Look", child.result(look, path))
        except WorkEndedError as error:
            detail = f" ({error.detail})" if error.detail else ""
            raise BatteryError(f"{path.name}: looking at it ended early: {error.cause}{detail}") from None
        finally:
            child.end()
