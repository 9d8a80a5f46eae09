"""The files that were not taken, from their records in the object store: for the status, the command, the dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kernel.edges.file_records import FileRecords, FileState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel.edges.file_records import FileRecord
    from kernel.edges.objects import ObjectStore

LATEST: Final = 3
"""How many files a status names."""


@dataclass(frozen=True)
class FilesStatus:
    """How many files were refused and passed over, and the latest of them.

    `unknown` is the error if the object store does not answer; the numbers are None then.
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
    """The files on record in a store, which may not exist yet.

    Raises:
        BatteryError: the store does not answer.
    """
    records = [record for record in read_files(store) if record.state is not FileState.DISMISSED]
    refused = [record for record in records if record.state is FileState.REFUSED]
    return FilesStatus(len(refused), len(records) - len(refused), tuple(refused or records)[:LATEST])


def read_files(store: ObjectStore | None) -> list[FileRecord]:
    """All records in a store, the latest first, dismissed files included.

    Raises:
        BatteryError: the store does not answer.
    """
    return [] if store is None else FileRecords(store).all()
