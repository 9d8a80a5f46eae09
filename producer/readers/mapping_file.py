"""Mapping files: where one lies that says how to read a table, and its text.

A table of no known format is read by a mapping file: YAML that says what its columns are. `<file>.mapping.yaml` beside
a file is for that file and comes before everything; `mapping.yaml` is for all files of its folder, or folder of a ZIP,
that no reader recognises. `producer/readers/mapping.py` reads the text. This module imports the standard library alone.
"""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

OWN_SUFFIX: Final = ".mapping.yaml"
SHARED_NAME: Final = "mapping.yaml"
MAPPING_BYTES: Final = 64 * 1024
"""A mapping is a page of text; more than this is something else."""


def columns_command(place: str) -> str:
    """The command that proposes a mapping file for a table, as a person can paste it into a shell.

    >>> print(columns_command("lab/a.csv"), columns_command("run 7.csv"))
    `battery columns lab/a.csv` `battery columns 'run 7.csv'`
    """
    return f"`battery columns {shlex.quote(place)}`"


@dataclass(frozen=True)
class MappingFile:
    """The text of a mapping file, what to call it, and whether it insists: it is then taken whatever the content is."""

    name: str
    text: str
    insists: bool = False

    @property
    def digest(self) -> str:
        """A checksum of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    @classmethod
    def of(cls, path: Path, *, insists: bool) -> MappingFile:
        """Read a mapping file; one that is too large or no text becomes a text that is refused when it is used.

        Raises:
            OSError: it cannot be read.
        """
        with path.open("rb") as file:
            content = file.read(MAPPING_BYTES + 1)
        return cls(path.name, as_mapping_text(content), insists)


def as_mapping_text(content: bytes) -> str:
    """The text of a mapping file; one that cannot be a mapping becomes a line of YAML that says why."""
    if len(content) > MAPPING_BYTES:
        return f"'is larger than {MAPPING_BYTES} bytes, which no mapping is'"
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "'is no UTF-8 text; save it as such'"


def is_mapping(name: str) -> bool:
    """Whether a file is a mapping file, by its name."""
    lowered = PurePosixPath(name).name.lower()
    return lowered == SHARED_NAME or lowered.endswith(OWN_SUFFIX)


def mapping_beside(path: Path) -> MappingFile | None:
    """The mapping file for a file of a folder: its own, or that of the folder; None for none."""
    for beside, insists in ((path.with_name(path.name + OWN_SUFFIX), True), (path.with_name(SHARED_NAME), False)):
        try:
            return MappingFile.of(beside, insists=insists)
        except OSError:
            continue
    return None
