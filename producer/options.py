"""How to publish files, and what came of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from producer.file_progress import SILENT
from producer.readers.names import cell_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from producer.file_progress import FileProgress
    from producer.files import WorkbookFile
    from producer.kept import Kept
    from producer.notes import LandedOffsets
    from producer.readers.mapping_file import MappingFile


@dataclass(frozen=True)
class Options:
    """How to publish.

    `cell_id` overrides the cell of file names, `channel_cells` that of a channel. `encoding` is a key of `ENCODINGS`.
    `speed` replays readings at that many times real time (None: at once). `again` also publishes what this log already
    has, and reads what was refused before. `processes` is how many workbooks are read at a time.

    `reader` is the name of the reader to insist on, `mapping` a mapping file for all files: one that insists, or one
    for those that no reader recognises. `cell_pattern` is a regular expression with a group `cell`, which finds the
    cell in a file's name or, if not there, in its path; `cell_id` comes before it.

    `leave_refused` leaves alone what was refused before. `landed` returns the offsets that have landed, as
    `Publication.has_landed` takes them: what was published to an earlier log and has landed is then skipped.
    `progress` is told what becomes of each file. `kept` has processes and a client that are kept between
    publications; None for some that are started for this one and ended with it.
    """

    cell_id: str | None = None
    encoding: str = "arrow"
    speed: float | None = None
    again: bool = False
    processes: int = 1
    leave_refused: bool = False
    landed: Callable[[], LandedOffsets] | None = None
    channel_cells: Mapping[str, str] = field(default_factory=dict)
    reader: str | None = None
    mapping: MappingFile | None = None
    cell_pattern: str | None = None
    progress: FileProgress = SILENT
    kept: Kept | None = None

    def cell_of(self, file: WorkbookFile) -> str:
        """The cells that a file is published as, as far as they are known before it is read."""
        cell_id = self.cell_id or self.cell_in_name(file) or cell_id_of(file.name)
        return " ".join([cell_id, *self._named_channels])

    def cell_in_name(self, file: WorkbookFile) -> str | None:
        """The cell that `cell_pattern` finds in a file's name, or else in its path; None where it does not."""
        if self.cell_pattern is None:
            return None
        pattern = re.compile(self.cell_pattern)
        match = pattern.search(file.name) or pattern.search(file.origin)
        return (match["cell"] or None) if match else None

    @property
    def insists(self) -> bool:
        """Whether the user names a reader or a mapping, so that a file's content need not show whose it is."""
        return self.reader is not None or self.mapping is not None

    @property
    def asked_how(self) -> str | None:
        """What the user named that a refusal depends on, as one text; None for nothing."""
        reader = [] if self.reader is None else [f"reader={self.reader}"]
        return " ".join([*([self.cell_asked] if self.cell_asked else []), *reader]) or None

    @property
    def cell_asked(self) -> str | None:
        """The cells that the user named, as one text; None for none."""
        return " ".join([*([self.cell_id] if self.cell_id else []), *self._named_channels]) or None

    @property
    def _named_channels(self) -> list[str]:
        return [f"{channel}={cell}" for channel, cell in sorted(self.channel_cells.items())]


@dataclass
class Summary:
    """The outcome of a batch: numbers of workbooks, rows and messages that were sent, and of skipped workbooks.

    Of the skipped ones, `landed` were published to an earlier log, and the others to this one. `failed` has a line for
    each source or workbook that was refused, `left_alone` one for each that was refused before, and `remarks` one for
    each workbook of several cells or whose bytes are another cell's. `passed_over` names the first of the `others`
    files, which are of another kind.
    """

    topic_id: str = ""
    workbooks: int = 0
    skipped: int = 0
    landed: int = 0
    rows: int = 0
    messages: int = 0
    failed: list[str] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    others: int = 0
    remarks: list[str] = field(default_factory=list)
