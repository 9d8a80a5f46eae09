"""The reader of BioLogic's .mpr files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from producer.readers.base import BadWorkbookError

if TYPE_CHECKING:
    from pathlib import Path

    from producer.readers.base import ReadOptions, Workbook
    from producer.readers.sample import FileSample


@dataclass(frozen=True)
class BiologicBinaryReader:
    """Reads BioLogic's .mpr files; see `producer.readers.base.Reader`."""

    name: str = "biologic-binary"
    suffixes: tuple[str, ...] = ()

    def recognises(self, sample: FileSample) -> bool:  # noqa: ARG002
        """Tell whether a file is surely of this format."""
        return False

    def read(self, path: Path, options: ReadOptions) -> Workbook:  # noqa: ARG002
        """Read a file whole.

        Raises:
            BadWorkbookError: it cannot be taken.
        """
        raise BadWorkbookError(options.name, "cannot be read yet")


READER: Final = BiologicBinaryReader()
