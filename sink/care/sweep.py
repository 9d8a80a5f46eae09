"""The sweep: remove the objects that no commit names. A worker may be running.

Writer epochs make this safe. The sweep takes an epoch of its own, which ends earlier compactions, and it ends the
replays whose objects it finds. Of workers it removes only the objects of superseded ones. None of these writers can
commit any more. The objects of the running worker stay, since an upload may be in progress.
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
    from collections.abc import Iterator, Sequence

    from kernel.base.settings import Settings
    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse
    from sink.claim import Claim
    from sink.leftovers import Leftovers
    from sink.manifest import LandingObject

_log = structlog.get_logger()


@dataclass(frozen=True)
class Swept:
    """How many objects and bytes a sweep has removed; `doubt` is the reason if it may not remove anything."""

    objects: int
    bytes: int
    doubt: str | None

    def lines(self) -> Iterator[str]:
        """The report for a person."""
        yield self.doubt or f"removed {self.objects} objects of {self.bytes} bytes that no commit names"


@dataclass(frozen=True)
class Cleared:
    """The landing after a sweep: the sweep's epoch, the manifest, and the objects in the store at that time.

    `is_older` says that the warehouse may be an older copy, which must not be changed.
    """

    epoch: int
    manifest: Manifest
    archive: Archive
    swept: Swept
    is_older: bool


def sweep(settings: Settings, store: ObjectStore, warehouse: Warehouse) -> Swept:
    """Remove the objects that were replaced, and those of writers that can no longer commit them.

    Raises:
        BatteryError: store or warehouse cannot be used, or a replay, a compaction or another sweep is running.
    """
    with exclusive_lock(settings, "sweep"):
        return clear(settings, store, warehouse, "sweep").swept


def clear(settings: Settings, store: ObjectStore, warehouse: Warehouse, what: str) -> Cleared:
    """Sweep, and return what a compaction needs to continue from there.

    Args:
        settings: the width of the windows, if the warehouse has none yet.
        store: where the objects are.
        warehouse: where the landing tables are.
        what: the name of the caller, for messages; the caller holds `exclusive_lock`.

    Raises:
        ForeignStoreError: the store belongs to another pipeline.
        BatteryError: store or warehouse cannot be used.
    """
    with warehouse.connect(f"begin a {what}", read_only=True) as connection:
        require_tables(connection)
    claim = claim_store(store, warehouse)
    has_newer_copy = mark_beyond(store, warehouse) is not None
    epoch, manifest, leftovers = _begin(settings, warehouse, list(landing_objects(store)), claim, what)
    # Listed again: while the first list was made, a running worker may have committed what it did not hold yet.
    archive = Archive(store)
    missing = sorted(_keys(manifest) - {landed.key for landed in archive.stored})
    doubt = _doubt(leftovers, missing, has_newer_copy=has_newer_copy)
    if doubt:
        _log.warning(doubt)
        is_older = bool(leftovers.unknown) or has_newer_copy
        return Cleared(epoch, manifest, archive, Swept(0, 0, doubt), is_older)
    unfinished = [landed for objects in leftovers.unfinished.values() for landed in objects]
    for landed in unfinished:
        store.delete(landed.key)
    remove_retired(warehouse, store, [landed.key for landed in leftovers.retired])
    removed = [*unfinished, *leftovers.retired]
    swept = Swept(len(removed), sum(landed.size for landed in removed), None)
    return Cleared(epoch, manifest, archive, swept, is_older=False)


def _begin(
    settings: Settings, warehouse: Warehouse, stored: Sequence[LandingObject], claim: Claim, what: str
) -> tuple[int, Manifest, Leftovers]:
    """Take a writer epoch, and read the manifest and the leftovers, in one transaction."""
    try:
        with warehouse.judge(f"begin a {what}") as connection, transaction(connection):
            width = window_width(connection) or settings.window_seconds
            epoch = take_epoch(connection, Writer.COMPACTION, claim.epoch_above(stored), width)
            manifest = read_manifest(connection)
            named = _keys(manifest)
            end_replays(connection, {landed.epoch for landed in stored if landed.key not in named}, epoch)
            return epoch, manifest, find_leftovers(connection, stored, epoch, claim.spared)
    except duckdb.Error as error:
        raise BatteryError(f"cannot begin a {what}: {str(error).splitlines()[0]}; start it again") from error


def _keys(manifest: Manifest) -> set[str]:
    return {committed.key for commit in manifest.commits for committed in commit.objects}


def _doubt(leftovers: Leftovers, missing: Sequence[str], *, has_newer_copy: bool) -> str | None:
    """Why nothing may be removed; None if leftovers may be."""
    if leftovers.unknown:
        return (
            f"nothing was removed: the store holds objects of commits that the WAREHOUSE does not know, such as "
            f"{leftovers.unknown[0].key}, so it may be an older copy; use the right one"
        )
    if has_newer_copy:
        return (
            "nothing was removed: another copy of the WAREHOUSE has written to the OBJECT_STORE since, so this one "
            "may be older; use the right one"
        )
    if missing:
        return (
            f"nothing was removed: the store lacks objects of the manifest, such as {missing[0]}, so the WAREHOUSE may "
            "be an older copy; `battery verify` says what is missing"
        )
    return None
