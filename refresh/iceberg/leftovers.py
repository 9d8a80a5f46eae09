"""What publishers and forgotten states leave beside the metadata of a table, removed once nobody can need it.

A publisher that was killed or overtaken leaves the files of its snapshot. A state that the table has forgotten leaves
its own. Only files in the table's own folder are looked at, and no object of the pipeline is in there.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, cast

import structlog
from pyarrow.fs import FileSelector, FileType

from refresh.iceberg.files import StoreIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyiceberg.table import Table

_log = structlog.get_logger()

GRACE: Final = timedelta(days=1)
"""How old a file must be: longer than any publisher takes, and than any query that began on a state now forgotten."""

EVERY: Final = 50
"""After so many snapshots of a table its folder is looked through."""

_HINT: Final = "version-hint.text"


def is_due(table: Table) -> bool:
    """Whether the newest snapshot of a table is one after which its folder is looked through."""
    head = table.current_snapshot()
    return head is not None and (head.sequence_number or 1) % EVERY == 0


def remove_leftovers(table: Table, now: datetime | None = None) -> int:
    """Remove the metadata files that no state of a table needs and that are older than the grace.

    Args:
        table: in its newest state.
        now: the time, with a zone; by default that of the clock.

    Returns:
        How many were removed.

    Raises:
        OSError: the store does not answer.
    """
    io, before = cast("StoreIO", table.io), (now or datetime.now(UTC)) - GRACE
    scheme, place, folder = StoreIO.parse_location(f"{table.location()}/metadata", io.properties)
    needed = {address.rpartition("/")[2] for address in _needed(table)}
    removed = 0
    files = io.fs_by_scheme(scheme, place)
    for found in files.get_file_info(FileSelector(folder, allow_not_found=True)):
        if found.type is FileType.File and found.base_name not in needed and found.mtime < before:
            files.delete_file(found.path)
            removed += 1
    if removed:
        _log.info("removed metadata that no state of the Iceberg table needs", table=table.name()[-1], files=removed)
    return removed


def _needed(table: Table) -> Iterator[str]:
    """The addresses of all files that a state of the table needs."""
    metadata = table.metadata
    yield from (_HINT, table.metadata_location)
    yield from (entry.metadata_file for entry in metadata.metadata_log)
    yield from (statistics.statistics_path for statistics in metadata.statistics)
    yield from (statistics.statistics_path for statistics in metadata.partition_statistics)
    for snapshot in metadata.snapshots:
        yield snapshot.manifest_list
        yield from (manifest.manifest_path for manifest in snapshot.manifests(table.io))
