"""Which files were not taken, as the object store has them on record: for the status, the command and the dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kernel.edges.file_records import FileRecords, FileState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel.edges.file_records import FileRecord
    from kernel.edges.objects import ObjectStore

LATEST: Final = 3
"""So many files are named in a status."""


@dataclass(frozen=True)
class FilesStatus:
    """How many files are on record as refused and as passed over, and the latest of them.

    `unknown` holds the complaint where the object store does not answer; the numbers are None then.
    """

    refused: int | None
    passed_over: int | None
    latest: tuple[FileRecord, ...] = ()
    unknown: str | None = None

    def lines(self) -> Iterator[str]:
        """The figures for a person."""
        if self.unknown:
            yield f"files        which were refused is unknown: {self.unknown}"
            return
        yield f"files        {self.refused} refused, {self.passed_over} passed over"
        for record in self.latest:
            yield f"  {record}"
        more = (self.refused or 0) + (self.passed_over or 0) - len(self.latest)
        if more > 0:
            yield f"  and {more} more: `battery quarantine list`"


def files_status(store: ObjectStore | None) -> FilesStatus:
    """What is on record in a store, which may not be there yet.

    Raises:
        BatteryError: the store does not answer.
    """
    found = [record for record in read_files(store) if record.state is not FileState.DISMISSED]
    refused = [record for record in found if record.state is FileState.REFUSED]
    return FilesStatus(len(refused), len(found) - len(refused), tuple(refused or found)[:LATEST])


def read_files(store: ObjectStore | None) -> list[FileRecord]:
    """What is on record in a store, the latest first, what was dismissed included.

    Raises:
        BatteryError: the store does not answer.
    """
    return [] if store is None else FileRecords(store).all()
