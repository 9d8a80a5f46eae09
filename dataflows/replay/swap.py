"""The workspace of a replay, with tables and objects of its own, and the swap that makes them the live ones.

Nothing here changes the live tables before the swap, which is one transaction. One replay runs at a time.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb
import structlog

from kernel.base.errors import BatteryError
from kernel.base.faults import Point, fault_point
from kernel.base.locks import exclusive_lock
from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import SPARING, DuckDBFile, Postgres, PostgresSession, is_snapshot, transaction
from sink.care.compare import KEYS, REPLAYED
from sink.claim import Claim, claim_store, spare_others
from sink.leftovers import find_leftovers, removable_keys, remove_retired
from sink.manifest import Manifest, epoch_of, landing_objects, read_manifest
from sink.postgres.replace import replace_rows
from sink.tables import create_tables, full_name
from sink.writers import Writer, end_workers, require_current, take_epoch, window_width

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from kernel.base.settings import Settings
    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Judge, Warehouse

_log = structlog.get_logger()

SWAPPED: Final = (*KEYS, "_commits")
"""The tables that a swap replaces."""

LOCK_SECONDS: Final = 60.0
"""How long a replay waits for the lock of its own file, in s: an earlier connection may take a moment to end."""


@dataclass(frozen=True)
class ReplayWorkspace:
    """Where a replay builds: a warehouse and a store of its own, in a folder.

    `appended_to` is the same warehouse, opened with limits that leave memory to the fold.
    """

    folder: Path
    warehouse: DuckDBFile
    appended_to: DuckDBFile
    store: FolderStore

    @property
    def file(self) -> Path:
        """The DuckDB file that holds the replayed tables."""
        return self.folder / "battery.duckdb"


@contextmanager
def replay_workspace(settings: Settings) -> Iterator[ReplayWorkspace]:
    """Make an empty workspace in REPLAY_DIR, and remove it when the block ends.

    Raises:
        BatteryError: REPLAY_DIR cannot be used, or another replay, a compaction or a sweep is running there.
    """
    with exclusive_lock(settings, "replay") as root:
        folder = root / "in-progress"
        shutil.rmtree(folder, ignore_errors=True)  # of a replay that was killed
        folder.mkdir()
        try:
            yield ReplayWorkspace(
                folder,
                DuckDBFile(folder / "battery.duckdb", LOCK_SECONDS),
                DuckDBFile(folder / "battery.duckdb", LOCK_SECONDS, SPARING),
                FolderStore(folder / "objects"),
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def reserve(warehouse: Warehouse, store: ObjectStore, window_seconds: int) -> tuple[int, Manifest, Claim]:
    """Take a writer epoch for a replay, and read what has landed; running workers go on.

    Landing tables are created where they are missing. Objects that a killed replay has left in the store are removed.

    Returns:
        The epoch, the manifest of the live tables, and the claim on the store.

    Raises:
        ForeignStoreError: the store belongs to another pipeline.
        BatteryError: store or warehouse cannot be used.
    """
    claim = spare_others(store, warehouse, claim_store(store, warehouse))
    stored = list(landing_objects(store))
    try:
        with warehouse.judge("begin a replay") as connection, transaction(connection):
            create_tables(connection)
            epoch = take_epoch(
                connection,
                Writer.REPLAY,
                claim.epoch_above(stored),
                window_width(connection) or window_seconds,
            )
            manifest = read_manifest(connection)
            leftovers = find_leftovers(connection, stored, epoch, claim.spared)
    except duckdb.Error as error:
        raise BatteryError(f"cannot begin a replay: {str(error).splitlines()[0]}") from error
    named = {committed.key for commit in manifest.commits for committed in commit.objects}
    # An older copy of the warehouse names objects that are gone, or does not know the writer of some: remove nothing.
    is_newest = named <= {landed.key for landed in stored} and not leftovers.unknown
    for landed in (*leftovers.retired, *leftovers.unfinished[Writer.REPLAY]) if is_newest else ():
        store.delete(landed.key)
    return epoch, manifest, claim


@contextmanager
def attach_replay(
    warehouse: Warehouse, workspace: ReplayWorkspace, damaged: Collection[str] = ()
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Connect to the live tables, with the replayed ones attached as the database `replayed__`, read-only.

    Args:
        warehouse: the live tables.
        workspace: the replayed ones.
        damaged: keys of objects that cannot be read. Where the objects are the table, it lacks their rows.

    Raises:
        BatteryError: the warehouse cannot be opened, or fails.
    """
    try:
        with warehouse.connect("compare and swap a replay") as connection:
            path = str(workspace.file).replace("'", "''")
            connection.execute(f"attach '{path}' as {REPLAYED} (read_only)")
            if isinstance(warehouse, Postgres):
                warehouse.leave_out(connection, damaged)
            try:
                yield connection
            finally:
                if is_snapshot(connection):
                    connection.rollback()  # of the transaction that has seen the replay
                connection.execute(f"detach database if exists {REPLAYED}")
    except duckdb.Error as error:
        raise BatteryError(
            f"the warehouse failed: {str(error).splitlines()[0]}; the live tables are as they were"
        ) from error


def swap(
    warehouse: Warehouse,
    connection: duckdb.DuckDBPyConnection,
    epoch: int,
    compared: Manifest,
    window_seconds: int,
) -> bool:
    """Replace the live tables by the replayed ones, in one transaction; running workers start again from them.

    Args:
        warehouse: the live tables.
        connection: from `attach_replay`.
        epoch: from `reserve`.
        compared: the manifest of the live tables that the replay was compared with.
        window_seconds: width of the replayed windows, s.

    Returns:
        Whether it happened; it does not if the live tables have changed since they were compared.

    Raises:
        SupersededError: another replay has begun.
    """
    with ExitStack() as stack:
        # A DuckDB file is held already, by the connection that has the replay attached.
        is_apart = isinstance(warehouse, Postgres)
        judge: Judge = stack.enter_context(warehouse.judge("swap a replay")) if is_apart else connection
        judge.begin()
        try:
            require_current(judge, epoch)
            end_workers(judge, epoch, window_seconds)
            if read_manifest(judge) != compared:
                judge.rollback()
                return False
            if isinstance(judge, PostgresSession):
                replace_rows(judge, connection)
            else:
                _replace_tables(judge)
            fault_point(Point.REPLAY_SWAPPING)
            judge.commit()
        except BaseException:
            with suppress(duckdb.Error):  # a connection that broke has nothing to roll back
                judge.rollback()
            raise
    fault_point(Point.REPLAY_SWAPPED)
    return True


def _replace_tables(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "insert into internal._retired select distinct object_key from internal._commits "
        "where object_key not in (select object_key from replayed__.internal._commits)"
    )
    for table in SWAPPED:
        connection.execute(f"drop table {full_name(table)}")
    create_tables(connection)
    for table in SWAPPED:
        replayed = full_name(table, REPLAYED)
        connection.execute(f"insert into {full_name(table)} select * from {replayed}")  # noqa: S608  # our own names


def remove_replaced(warehouse: Warehouse, store: ObjectStore, claim: Claim) -> int:
    """Remove the objects that a swap has replaced, unless they may be another pipeline's; returns their number."""
    with warehouse.judge("look up replaced objects") as connection:
        retired = {key for key in removable_keys(connection) if epoch_of(key) > claim.spared}
    remove_retired(warehouse, store, retired)
    return len(retired)
