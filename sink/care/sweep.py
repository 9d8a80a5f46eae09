"""The sweep: what no commit names goes, also while a worker is running.

It goes by what a writer epoch makes certain. The sweep takes one of its own, which ends compactions before it; replays
whose objects it finds are ended too; of workers only those count that others have superseded. None of them can commit
any more what is removed here. The worker that is running now keeps its own, for a PUT may be on its way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
import structlog

from kernel.base.errors import BatteryError
from kernel.base.locks import exclusive_lock
from kernel.edges.warehouse import transaction
from sink.care.archive import Archive
from sink.claim import claim_store, mark_beyond
from sink.leftovers import find_leftovers, remove_retired
from sink.manifest import Manifest, landing_objects, read_manifest
from sink.tables import require_tables
from sink.writers import Writer, end_replays, take_epoch, window_width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel.base.settings import Settings
    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse

_log = structlog.get_logger()


@dataclass(frozen=True)
class Swept:
    """What a sweep has removed, in objects and bytes; `doubt` says why it has removed nothing, where it had to."""

    objects: int
    bytes: int
    doubt: str | None

    def lines(self) -> Iterator[str]:
        """The report for a person."""
        yield self.doubt or f"removed {self.objects} objects of {self.bytes} bytes that no commit names"


@dataclass(frozen=True)
class Cleared:
    """Where the landing stands after a sweep: its epoch, the manifest, the objects that there were then.

    `is_older` tells that the warehouse may be an older copy, to which nothing should be done.
    """

    epoch: int
    manifest: Manifest
    archive: Archive
    swept: Swept
    is_older: bool


def sweep(settings: Settings, store: ObjectStore, warehouse: Warehouse) -> Swept:
    """Remove what was replaced, and what writers have left that will never commit it.

    Raises:
        BatteryError: store or warehouse cannot be used, or a replay, a compaction or another sweep is running.
    """
    with exclusive_lock(settings, "sweep"):
        return clear(settings, store, warehouse, "sweep").swept


def clear(settings: Settings, store: ObjectStore, warehouse: Warehouse, what: str) -> Cleared:
    """Sweep, and tell where the landing stands, for a compaction to go on from.

    Args:
        settings: how wide windows are where none was ever written.
        store: where the objects are.
        warehouse: where the landing tables are.
        what: who sweeps, for messages; holds the lock that `exclusive_lock` gives.

    Raises:
        ForeignStoreError: the store belongs to another pipeline.
        BatteryError: store or warehouse cannot be used.
    """
    with warehouse.connect(f"begin a {what}", read_only=True) as connection:
        require_tables(connection)
    claim = claim_store(store, warehouse)
    is_behind = mark_beyond(store, warehouse) is not None
    stored = list(landing_objects(store))
    try:
        with warehouse.connect(f"begin a {what}") as connection, transaction(connection):
            width = window_width(connection) or settings.window_seconds
            epoch = take_epoch(connection, Writer.COMPACTION, claim.epoch_above(stored), width)
            manifest = read_manifest(connection)
            named = {found.key for commit in manifest.commits for found in commit.objects}
            end_replays(connection, {found.epoch for found in stored if found.key not in named}, epoch)
            left = find_leftovers(connection, stored, epoch, claim.spared)
    except duckdb.Error as error:
        raise BatteryError(f"cannot begin a {what}: {str(error).splitlines()[0]}; start it again") from error
    # Listed anew: while the first list was made, a running worker may have committed what it did not hold yet.
    archive = Archive(store)
    missing = sorted(named - {found.key for found in archive.stored})
    doubt = None
    if left.unknown:
        doubt = (
            f"nothing was removed: the store holds objects of commits that the WAREHOUSE does not know, such as "
            f"{left.unknown[0].key}, so it may be an older copy; use the right one"
        )
    elif is_behind:
        doubt = (
            "nothing was removed: another copy of the WAREHOUSE has written to the OBJECT_STORE since, so this one "
            "may be older; use the right one"
        )
    elif missing:
        doubt = (
            f"nothing was removed: the store lacks objects of the manifest, such as {missing[0]}, so the WAREHOUSE may "
            "be an older copy; `battery verify` says what is missing"
        )
    if doubt:
        _log.warning(doubt)
        return Cleared(epoch, manifest, archive, Swept(0, 0, doubt), bool(left.unknown) or is_behind)
    unfinished = [found for some in left.unfinished.values() for found in some]
    for found in unfinished:
        store.delete(found.key)
    remove_retired(warehouse, store, [found.key for found in left.retired])
    gone = [*unfinished, *left.retired]
    return Cleared(epoch, manifest, archive, Swept(len(gone), sum(found.size for found in gone), None), is_older=False)
