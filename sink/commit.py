"""The commit protocol: objects first, then one warehouse transaction. The commit is that transaction.

The warehouse decides what has landed. Rows, aggregates, progress and the state of each cell's fold change together or
not at all. A process that dies in between leaves at most objects that no commit names. `sink` has a figure of it.
"""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

import duckdb
import structlog

from kernel.base.errors import BatteryError
from kernel.base.faults import LostConnectionError, Point, fault_point
from kernel.contract.reading import LANDED
from kernel.edges.warehouse import (
    ATTEMPTS,
    Postgres,
    PostgresSession,
    lacks_memory,
    lift_memory_limit,
    persistent,
    transaction,
)
from sink.claim import Mark, write_mark
from sink.draft import Draft
from sink.manifest import manifest_rows
from sink.postgres.fill import fill_tables, stage_commit
from sink.repeats import LANDED_BEFORE
from sink.run import RunStart
from sink.tables import FILL, FILL_STATES, REPEATED
from sink.writers import require_current

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa

    from kernel.contract.results import Cleaned, States
    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse
    from sink.draft import Stored
    from sink.peers import Peers
    from sink.run import Standing

_log = structlog.get_logger()

REMOVED: Final = (
    "the WAREHOUSE holds no landing tables any more: it was removed under the running worker; bring it back, or "
    "rebuild it with `battery adopt` and `battery replay --from-beginning`, then start again"
)


_SECOND_TIME: Final = (
    "refused to land messages a second time: the worker's state is behind the warehouse; start it again"
)


class OverviewPlace(Protocol):
    """Where the overview of the warehouse is left, as `sink.care.overview.OverviewFile` does."""

    def take(self, connection: duckdb.DuckDBPyConnection, *, now: bool = True) -> None:
        """Take it from the open warehouse: `now`, or where the last one is old enough. It raises nothing."""
        ...

    def write(self) -> None:
        """Write what was taken, once the warehouse is closed. It raises nothing."""
        ...


class Landing:
    """The landing tables and objects of one pipeline, as one writer of it writes them.

    Only one writer at a time can commit: `begin` takes a writer epoch, which ends every older writer.

    >>> from pathlib import Path
    >>> from kernel.edges.objects import FolderStore
    >>> from kernel.edges.warehouse import DuckDBFile
    >>> store, warehouse = FolderStore(Path("objects")), DuckDBFile(Path("lab.duckdb"), lock_timeout_seconds=10)
    >>> first, second = Landing(store, warehouse, window_seconds=600), Landing(store, warehouse, window_seconds=600)
    >>> first.begin()
    Standing(epoch=1, states={}, committed={}, next_seq={})
    >>> second.begin().epoch
    2
    >>> first.commit(lane=0, seq=1, results=[])
    Traceback (most recent call last):
    sink.writers.SupersededError: this run (writer epoch 1) was superseded by run 2: only one pipeline may write a \
warehouse; stop the other one, or this one

    Args:
        store: where the objects go.
        warehouse: where the landing tables are.
        window_seconds: the width of the windows, s.
        run_id: joins the processes of one run, which are one writer.
        peers: the processes of the run; the first one begins it, the others join.
        above: an epoch that this writer's epoch must exceed.
        private: whether no other process can reach the store, as in a replay before its swap; it is not claimed then.
        on_commit: called after each commit with the number of landed rows, and of quarantined rows by reason.
        overview: where to leave the overview of the warehouse now and then, for those who look while it is held.
    """

    def __init__(
        self,
        store: ObjectStore,
        warehouse: Warehouse,
        window_seconds: int,
        *,
        run_id: str | None = None,
        peers: Peers | None = None,
        above: int = 0,
        private: bool = False,
        on_commit: Callable[[int, Mapping[str, int]], None] | None = None,
        overview: OverviewPlace | None = None,
    ) -> None:
        self._store = store
        self._warehouse = warehouse
        self._start = RunStart(warehouse, window_seconds, run_id)
        self._peers = peers
        self._above = above
        self._private = private
        self._on_commit = on_commit
        self._overview = overview
        self._epoch = 0
        self._commits = 0
        self._leftovers: list[str] = []
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._needs_memory = False

    def begin(self) -> Standing:
        """Take a new writer epoch, which ends every older run, and read what has landed.

        In a cluster the first process does so. The others wait until it has, and make sure that they reach the same
        store; they list no objects and remove nothing.

        The epoch exceeds those of all objects in the store, so that a new warehouse on an old store overwrites
        nothing. Objects of unfinished commits are found here. They are removed after the first commit of this run, when
        it is certain that store and warehouse belong together.

        Raises:
            ForeignStoreError: the store belongs to another pipeline, or is not that of the run.
            BatteryError: store or warehouse cannot be used; or a run of this id has begun before; or the run of this
                process has ended, or does not begin in time.
        """
        try:
            if self._peers is not None and not self._peers.begin_here:
                standing = self._start.join(self._store, self._peers)
                self._epoch = standing.epoch
                _log.info("joined a run", writer_epoch=self._epoch, cells=len(standing.states))
                return standing
            standing, self._leftovers = self._start.begin(self._store, self._above, private=self._private)
            self._epoch = standing.epoch
            self._leave_mark()
        except duckdb.Error as error:
            raise BatteryError(f"cannot begin a run: {str(error).splitlines()[0]}; start it again") from error
        _log.info("began a run", writer_epoch=self._epoch, cells=len(standing.states), leftovers=len(self._leftovers))
        return standing

    def _leave_mark(self) -> None:
        """Leave the mark that tells this warehouse from copies of it; if the store is down, the next commit does so."""
        if not self._private:
            try:
                write_mark(self._store, Mark(self._epoch, self._commits))
            except BatteryError as error:
                _log.warning("the mark of this warehouse could not be left in the OBJECT_STORE", error=str(error))

    def _remove_leftovers(self) -> None:
        """Remove the objects that earlier runs have left; if the store is down, the next commit does so."""
        try:
            while self._leftovers:
                self._store.delete(self._leftovers[-1])
                self._leftovers.pop()
        except BatteryError as error:
            _log.warning("objects that earlier runs have left could not be removed", error=str(error))

    def commit(self, lane: int, seq: int, results: Sequence[Cleaned[States]]) -> None:
        """Land results of one lane in one commit, exactly once.

        Args:
            lane: the lane.
            seq: the number of the commit in its lane, one more than that of the commit before.
            results: in the order of the log.

        Raises:
            SupersededError, ReplayedError, BatteryError: as `land` does.
        """
        draft = self.draft(lane, seq)
        for result in results:
            draft.add(result)
        self.land(draft.store(), draft.states)

    def draft(self, lane: int, seq: int) -> Draft:
        """Start a commit of one lane: gather results in it, `store` it, and `land` what that returns."""
        return Draft(self._store, self._epoch, lane, seq, self._landed_rows)

    def _landed_rows(self, keys: pa.Table) -> pa.Table:
        """The landed rows of some readings, which are named by their keys.

        Raises:
            BatteryError: the warehouse failed.
        """

        def look_up() -> pa.Table:
            with self._warehouse.connect("look up repeated readings") as connection:
                connection.register("repeated_keys", keys)
                try:
                    return connection.execute(LANDED_BEFORE).to_arrow_table().cast(LANDED)
                except duckdb.CatalogException:
                    raise BatteryError(REMOVED) from None

        try:
            return persistent(duckdb.Error, LostConnectionError)(look_up)
        except (duckdb.Error, LostConnectionError) as error:
            raise BatteryError(
                f"{ATTEMPTS} look-ups of repeated readings failed: {str(error).splitlines()[0]}"
            ) from error

    def land(self, stored: Stored, states: Callable[[], pa.Table]) -> None:
        """Land a stored commit, exactly once. The commits of a lane must land in their order.

        Args:
            stored: the commit.
            states: returns the states of its cells; it is called last, and may wait for them.

        Raises:
            SupersededError, ReplayedError: a newer run has begun, or a replay has replaced the tables.
            BatteryError: the warehouse failed; nothing of the commit has landed, and the run may be started again.
        """
        commit, staged = stored.commit, stored.staged
        self._land_once(commit.commit, {**staged, "staged_commits": manifest_rows(commit, _now())}, states)
        landed = staged["staged_landed"].num_rows
        if self._on_commit is not None:
            self._on_commit(landed, rows_by_reason(staged["staged_quarantined"]))
        _log.info(
            "committed",
            commit=commit.commit,
            rows=landed,
            quarantined=sum(span.rows for span in commit.spans) - landed,
            offsets=" ".join(f"{span.partition}:{span.first}-{span.last}" for span in commit.spans),
            seconds=round(time.monotonic() - stored.started, 3),
        )

    def _land_once(self, commit: str, staged: Mapping[str, pa.Table], states: Callable[[], pa.Table]) -> None:
        """Run the transaction until it has succeeded, then remove the objects that earlier runs have left."""
        tried = False

        def attempt() -> None:
            # If a connection breaks after the COMMIT was sent, only the warehouse knows how it ended.
            nonlocal tried
            if not tried or not self._has_landed(commit):
                tried = True
                self._attempt(staged, states)

        def attempt_with_memory() -> None:
            # Most commits need little memory. One of very many cells needs more; it gets it, and so do later ones.
            try:
                attempt()
            except duckdb.Error as error:
                self._needs_memory |= lacks_memory(error)
                raise

        try:
            # The lanes of a process take turns where the warehouse would refuse, or delay, all but one.
            with nullcontext() if isinstance(self._warehouse, Postgres) else self._turn:
                persistent(duckdb.Error, LostConnectionError)(attempt_with_memory)
            with self._lock:
                self._commits += 1
                self._leave_mark()
                self._remove_leftovers()
        except (duckdb.Error, LostConnectionError) as error:
            raise BatteryError(f"commit {commit} failed {ATTEMPTS} times: {str(error).splitlines()[0]}") from error

    def _attempt(self, staged: Mapping[str, pa.Table], states: Callable[[], pa.Table]) -> None:
        """Run the transaction, and leave the overview of a warehouse that is a file."""
        with self._warehouse.judge("commit") as judge:
            if isinstance(judge, PostgresSession):
                self._land_in_postgres(judge, staged, states)
                fault_point(Point.AFTER_COMMIT)
                return
            if self._needs_memory:
                lift_memory_limit(judge)
            self._land(judge, staged, states)
            fault_point(Point.AFTER_COMMIT)
            if self._overview is not None:
                self._overview.take(judge, now=False)
        if self._overview is not None:
            self._overview.write()

    def _land(
        self, connection: duckdb.DuckDBPyConnection, staged: Mapping[str, pa.Table], states: Callable[[], pa.Table]
    ) -> None:
        for name, table in staged.items():
            connection.register(name, table)
        with transaction(connection):
            try:
                require_current(connection, self._epoch)
            except duckdb.CatalogException:
                raise BatteryError(REMOVED) from None
            repeated = connection.execute(REPEATED).fetchone()
            if repeated is None or repeated[0]:
                raise BatteryError(_SECOND_TIME)
            for statement in FILL:
                connection.execute(statement)
                fault_point(Point.IN_TRANSACTION)
            connection.register("staged_states", states())
            connection.execute(FILL_STATES)
            fault_point(Point.IN_TRANSACTION)
            fault_point(Point.BEFORE_COMMIT)

    def _land_in_postgres(
        self, session: PostgresSession, staged: Mapping[str, pa.Table], states: Callable[[], pa.Table]
    ) -> None:
        with transaction(session):
            try:
                require_current(session, self._epoch)
            except duckdb.CatalogException:
                raise BatteryError(REMOVED) from None
            if stage_commit(session, staged):
                raise BatteryError(_SECOND_TIME)
            fill_tables(session, staged, states)
            fault_point(Point.BEFORE_COMMIT)

    def _has_landed(self, commit: str) -> bool:
        with self._warehouse.judge("look up a commit") as connection:
            try:
                count = connection.execute(
                    'select count(*) from internal._commits where "commit" = ?', [commit]
                ).fetchone()
            except duckdb.CatalogException:
                raise BatteryError(REMOVED) from None
        return count is not None and count[0] > 0


def rows_by_reason(quarantined: pa.Table) -> dict[str, int]:
    """The number of quarantined rows by reason; one row of the table may stand for a run of duplicates."""
    sums = quarantined.group_by("reason").aggregate([("row_count", "sum")])
    return dict(zip(sums["reason"].to_pylist(), sums["row_count_sum"].to_pylist(), strict=True))


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
