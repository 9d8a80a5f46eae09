"""The commit protocol: objects first, then one warehouse transaction. The commit is that transaction.

The warehouse decides what has landed. Rows, aggregates, progress and the state of each cell's fold change together or
not at all. A process that dies in between leaves at most objects that no commit names. `sink` has a figure of it.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa
import structlog

from kernel.base.errors import BatteryError
from kernel.base.faults import LostConnectionError, Point, fault_point
from kernel.contract.reading import LANDED
from kernel.edges.warehouse import ATTEMPTS, lacks_memory, lift_memory_limit, persistent, transaction
from sink.claim import Mark, claim_store, spare_others, write_mark
from sink.draft import Draft
from sink.leftovers import find_leftovers
from sink.manifest import (
    Commit,
    landing_objects,
)
from sink.repeats import LANDED_BEFORE
from sink.tables import FILL, FILL_STATES, REPEATED, create_tables
from sink.writers import Writer, require_current, require_new_run, run_epoch, take_epoch, window_width

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kernel.contract.results import Cleaned, States
    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse
    from sink.claim import Claim
    from sink.draft import Stored
    from sink.leftovers import Leftovers
    from sink.manifest import LandingObject
    from sink.peers import Peers

_log = structlog.get_logger()

JOIN_PAUSE_SECONDS: Final = 0.2
"""Time between two looks of a process of a cluster at whether the run has begun, in s."""

REMOVED: Final = (
    "the WAREHOUSE holds no landing tables any more: it was removed under the running worker; bring it back, or "
    "rebuild it with `battery adopt` and `battery replay --from-beginning`, then start again"
)

_SPAN: Final = pa.struct(
    [
        ("topic_id", pa.string()),
        ("partition", pa.int32()),
        ("first", pa.int64()),
        ("last", pa.int64()),
        ("rows", pa.int64()),
    ]
)
_COMMITS: Final = pa.schema(
    [
        ("commit", pa.string()),
        ("lane", pa.int32()),
        ("seq", pa.int64()),
        ("writer_epoch", pa.int64()),
        ("object_key", pa.string()),
        ("kind", pa.string()),
        ("rows", pa.int64()),
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("offsets", pa.list_(_SPAN)),
        ("committed_at", pa.timestamp("us")),
    ]
)


@dataclass(frozen=True)
class Standing:
    """What had landed when a run began.

    `states` holds the state of each cell as JSON, `committed` the last committed offset of each (topic id, partition),
    `next_seq` the number of the next commit of each lane.
    """

    epoch: int
    states: Mapping[str, str]
    committed: Mapping[tuple[str, int], int]
    next_seq: Mapping[int, int]


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
    ) -> None:
        self._store = store
        self._warehouse = warehouse
        self._window_seconds = window_seconds
        self._run_id = run_id
        self._peers = peers
        self._above = above
        self._private = private
        self._on_commit = on_commit
        self._epoch = 0
        self._commits = 0
        self._leftovers: list[str] = []
        self._lock = threading.Lock()
        self._needs_memory = False

    def begin(self) -> Standing:
        """Take a new writer epoch, which ends every older run, and read what has landed.

        In a cluster the first process does so. The others wait until it has; they list no store and remove nothing.

        The epoch exceeds those of all objects in the store, so that a new warehouse on an old store overwrites
        nothing. Objects of unfinished commits are found here. They are removed after the first commit of this run, when
        it is certain that store and warehouse belong together.

        Raises:
            ForeignStoreError: the store belongs to another pipeline.
            BatteryError: store or warehouse cannot be used; or a run of this id has begun before; or the run of this
                process has ended, or does not begin in time.
        """
        try:
            if self._peers is not None and not self._peers.begin_here:
                standing = self._wait_for_run(self._peers)
                _log.info("joined a run", writer_epoch=self._epoch, cells=len(standing.states))
                return standing
            claim = None if self._private else self._claim()
            stored = list(landing_objects(self._store))
            retry = persistent(duckdb.TransactionException, duckdb.ConstraintException)
            standing = retry(self._begin, stored, claim)
            self._leave_mark()
        except duckdb.Error as error:
            raise BatteryError(f"cannot begin a run: {str(error).splitlines()[0]}; start it again") from error
        _log.info("began a run", writer_epoch=self._epoch, cells=len(standing.states), leftovers=len(self._leftovers))
        return standing

    def _claim(self) -> Claim:
        return spare_others(self._store, self._warehouse, claim_store(self._store, self._warehouse))

    def _leave_mark(self) -> None:
        """Leave the mark that tells this warehouse from copies of it; if the store is down, the next commit does so."""
        if not self._private:
            try:
                write_mark(self._store, Mark(self._epoch, self._commits))
            except BatteryError as error:
                _log.warning("the mark of this warehouse could not be left in the OBJECT_STORE", error=str(error))

    def _begin(self, stored: Sequence[LandingObject], claim: Claim | None) -> Standing:
        with self._warehouse.connect("begin a run") as connection, transaction(connection):
            create_tables(connection)
            self._require_width(connection)
            if self._run_id:
                require_new_run(connection, self._run_id)
            above = max(self._above, claim.epoch_above(stored) if claim else 0)
            self._epoch = take_epoch(connection, Writer.WORKER, above, self._window_seconds, self._run_id)
            if claim is not None:
                self._leftovers = _removable(find_leftovers(connection, stored, self._epoch, claim.spared))
            return _standing(connection, self._epoch)

    def _wait_for_run(self, peers: Peers) -> Standing:
        """Wait until the run has begun.

        Only the pauses count as waiting time: a process that holds the warehouse delays the first process, too.
        """
        for _ in range(max(1, round(peers.patience / JOIN_PAUSE_SECONDS))):
            standing = self._join(peers.run_id)
            if standing is not None:
                return standing
            time.sleep(JOIN_PAUSE_SECONDS)
        raise BatteryError(
            f"process {peers.process} at {peers.addresses[peers.process]} has waited {peers.patience:g} s "
            f"(CLUSTER_TIMEOUT_SECONDS) for {peers.beginner} to begin the run RUN_ID={peers.run_id}; see what that one "
            "says and that both have the same RUN_ID and WAREHOUSE, then start all again with a new RUN_ID"
        )

    def _join(self, run_id: str) -> Standing | None:
        """What has landed, once the run has begun; None before."""
        with (
            suppress(duckdb.CatalogException, duckdb.BinderException),  # before that, tables may be missing
            self._warehouse.connect("join a run") as connection,
            transaction(connection),
        ):
            epoch = run_epoch(connection, run_id)
            if epoch is not None:
                self._require_width(connection)
                self._epoch = epoch
                return _standing(connection, epoch)
        return None

    def _require_width(self, connection: duckdb.DuckDBPyConnection) -> None:
        width = window_width(connection)
        if width is not None and width != self._window_seconds:
            raise BatteryError(
                f"WINDOW_SECONDS={self._window_seconds}, but the windows in the warehouse are {width} s wide; set it "
                "back, or build them anew with `battery replay --from-beginning`"
            )

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
                with self._warehouse.connect("commit") as connection:
                    if self._needs_memory:
                        lift_memory_limit(connection)
                    self._land(connection, staged, states)
                    fault_point(Point.AFTER_COMMIT)

        def attempt_with_memory() -> None:
            # Most commits need little memory. One of very many cells needs more; it gets it, and so do later ones.
            try:
                attempt()
            except duckdb.Error as error:
                self._needs_memory |= lacks_memory(error)
                raise

        try:
            with self._lock:
                persistent(duckdb.Error, LostConnectionError)(attempt_with_memory)
                self._commits += 1
                self._leave_mark()
                for key in self._leftovers:
                    self._store.delete(key)
                self._leftovers = []
        except (duckdb.Error, LostConnectionError) as error:
            raise BatteryError(f"commit {commit} failed {ATTEMPTS} times: {str(error).splitlines()[0]}") from error

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
                raise BatteryError(
                    "refused to land messages a second time: the worker's state is behind the warehouse; start it again"
                )
            for statement in FILL:
                connection.execute(statement)
                fault_point(Point.IN_TRANSACTION)
            connection.register("staged_states", states())
            connection.execute(FILL_STATES)
            fault_point(Point.IN_TRANSACTION)
            fault_point(Point.BEFORE_COMMIT)

    def _has_landed(self, commit: str) -> bool:
        with self._warehouse.connect("look up a commit") as connection:
            count = connection.execute('select count(*) from _commits where "commit" = ?', [commit]).fetchone()
        return count is not None and count[0] > 0


def _standing(connection: duckdb.DuckDBPyConnection, epoch: int) -> Standing:
    states = dict(connection.execute("select cell_id, state from _cell_state").fetchall())
    progress = connection.execute(
        'select topic_id, "partition", max("offset") from _progress group by topic_id, "partition"'
    ).fetchall()
    seqs = dict(connection.execute("select lane, max(seq) + 1 from _commits group by lane").fetchall())
    return Standing(epoch, states, {(topic, part): last for topic, part, last in progress}, seqs)


def _removable(leftovers: Leftovers) -> list[str]:
    """Keys of the objects that a run may remove after its first commit.

    Replays and compactions remove their own objects.
    """
    if leftovers.unknown:
        return []
    return [left.key for left in (*leftovers.retired, *leftovers.unfinished[Writer.WORKER])]


def rows_by_reason(quarantined: pa.Table) -> dict[str, int]:
    """The number of quarantined rows by reason; one row of the table may stand for a run of duplicates."""
    sums = quarantined.group_by("reason").aggregate([("row_count", "sum")])
    return dict(zip(sums["reason"].to_pylist(), sums["row_count_sum"].to_pylist(), strict=True))


def manifest_rows(commit: Commit, committed_at: datetime) -> pa.Table:
    """The rows of `_commits` that name a commit, one for each object; `committed_at` is UTC without a zone."""
    return pa.Table.from_pylist(
        [
            {
                "commit": commit.commit,
                "lane": commit.lane,
                "seq": commit.seq,
                "writer_epoch": commit.epoch,
                "object_key": committed.key,
                "kind": committed.kind,
                "rows": committed.rows,
                "bytes": committed.size,
                "sha256": committed.sha256,
                "offsets": [vars(span) for span in commit.spans],
                "committed_at": committed_at,
            }
            for committed in commit.objects
        ],
        schema=_COMMITS,
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
