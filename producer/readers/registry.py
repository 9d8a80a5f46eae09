"""Which readers are installed, and which of them reads a file.

Readers are entry points of the group `battery.readers`, in this package or in another one:

    [project.entry-points."battery.readers"]
    arbin = "producer.readers.arbin:READER"

The look-up reads the metadata of all installed packages, so a process does it once. A child that reads files never does
it, since its parent names the entry point of the reader.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from kernel.base.errors import BatteryError
from kernel.base.plain import one_line
from producer.readers.sample import FileSample

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint
    from pathlib import Path

    from producer.readers.base import Reader

GROUP: Final = "battery.readers"

TABLE: Final = "table"
"""The reader that reads whatever a mapping file describes."""

TOLD_BY_CONTENT: Final = frozenset({".csv", ".txt", ".tsv", ".dat", ".asc", ".parquet"})
"""Endings that say nothing of a format: such a file is read where a reader recognises its content, or by a mapping."""

_NUMBERED: Final = re.compile(r"\.\d{3}")


class ReaderClashError(BatteryError):
    """Two readers claim the same file."""


@dataclass(frozen=True)
class RegisteredReader:
    """A reader, its entry point as `module:object`, and the package that provides it, with its version."""

    reader: Reader
    entry_point: str
    package: str

    @property
    def module(self) -> str:
        """The module to import for it."""
        return self.entry_point.partition(":")[0].strip()


@cache
def registered_readers() -> tuple[RegisteredReader, ...]:
    """All installed readers, by name.

    Raises:
        BatteryError: there is none, one cannot be loaded, or two have the same name.

    >>> [registered.reader.name for registered in registered_readers()][:3]
    ['arbin', 'arbin-res', 'basytec']
    """
    from importlib.metadata import entry_points  # noqa: PLC0415  # a child that reads, or unpacks, never looks them up

    readers = sorted((_loaded(entry) for entry in entry_points(group=GROUP)), key=lambda one: one.reader.name)
    if not readers:
        raise BatteryError(
            f"no reader of files is installed (entry points {GROUP}); install battery-pipeline again, from a checkout "
            "with `make setup`"
        )
    for name, count in Counter(one.reader.name for one in readers).items():
        if count > 1:
            packages = " and ".join(one.package for one in readers if one.reader.name == name)
            raise BatteryError(f"the reader {name} is registered by {packages}; uninstall one of them")
    return tuple(readers)


def _loaded(entry: EntryPoint) -> RegisteredReader:
    package = "an unknown package" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
    try:
        reader = entry.load()
    except Exception as error:
        reason = one_line(f"{type(error).__name__}: {error}")
        raise BatteryError(
            f"the reader {entry.name} of {package} cannot be loaded ({reason}); update or uninstall {package}"
        ) from error
    missing = [name for name in ("name", "suffixes", "recognises", "read") if not hasattr(reader, name)]
    if missing:
        raise BatteryError(
            f"the reader {entry.name} of {package} ({entry.value}) has no {', '.join(missing)}; update or uninstall "
            f"{package}"
        )
    return RegisteredReader(reader, entry.value, package)


def readable_suffixes() -> tuple[str, ...]:
    """The suffixes of the files that readers read, in lower case with a dot; that of ZIPs is not among them.

    >>> readable_suffixes()[:2]
    ('.xlsx', '.xls')
    """
    return tuple(dict.fromkeys(suffix for one in registered_readers() for suffix in one.reader.suffixes))


def is_told_by_content(suffix: str) -> bool:
    """Whether only the content tells whose files with this ending are; numbers such as .022 are endings of Maccor's.

    >>> is_told_by_content(".CSV"), is_told_by_content(".022"), is_told_by_content(".xlsx")
    (True, True, False)
    """
    return suffix.lower() in TOLD_BY_CONTENT or _NUMBERED.fullmatch(suffix) is not None


def reader_named(name: str) -> RegisteredReader:
    """The reader of that name.

    Raises:
        BatteryError: there is none.
    """
    readers = {one.reader.name: one for one in registered_readers()}
    if name not in readers:
        raise BatteryError(f"there is no reader {one_line(name)}; the readers are {', '.join(readers)}")
    return readers[name]


def recognising(sample: FileSample) -> list[RegisteredReader]:
    """The readers that are sure of a file by its content, whatever its suffix."""
    return [one for one in registered_readers() if one.reader.recognises(sample)]


def reader_of(path: Path, name: str) -> RegisteredReader | None:
    """The reader of a file: the one that recognises its content, or else the one for its suffix.

    Args:
        path: where the file is.
        name: what to call it in an error.

    Returns:
        The reader; None where no reader claims the file.

    Raises:
        OSError: the file cannot be read.
        ReaderClashError: two readers claim it.
    """
    sample = FileSample.of(path)
    claims = recognising(sample) or [one for one in registered_readers() if sample.suffix in one.reader.suffixes]
    if len(claims) > 1:
        claimants = " and ".join(f"{one.reader.name} ({one.package})" for one in claims)
        raise ReaderClashError(f"{name}: several readers claim this file: {claimants}; uninstall all but one of them")
    return claims[0] if claims else None
