"""The start of a run: it takes a writer epoch, or joins the one that another process of its cluster has taken.

A writer epoch ends every older run, and its start shows what has landed. `sink.commit` commits under it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb

from kernel.base.errors import BatteryError
from kernel.edges.warehouse import PostgresSession, persistent, transaction
from sink.claim import claim_store, require_claimed, require_rows, spare_others
from sink.leftovers import find_leftovers
from sink.manifest import landing_objects
from sink.postgres.texts import unescape
from sink.tables import create_tables
from sink.writers import Writer, pipeline_id, require_new_run, run_epoch, take_epoch, window_width

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Judge, Warehouse
    from sink.claim import Claim
    from sink.leftovers import Leftovers
    from sink.manifest import LandingObject
    from sink.peers import Peers

JOIN_PAUSE_SECONDS: Final = 0.2
"""Time between two looks of a process of a cluster at whether the run has begun, in s."""


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


@dataclass(frozen=True)
class RunStart:
    """Starts a run of the worker on a warehouse, or joins it.

    Args:
        warehouse: where the landing tables are.
        window_seconds: the width of the windows, s.
        run_id: joins the processes of one run, which are one writer.
    """

    warehouse: Warehouse
    window_seconds: int
    run_id: str | None

    def begin(self, store: ObjectStore, above: int, *, private: bool) -> tuple[Standing, list[str]]:
        """Take a new writer epoch.

        Args:
            store: where the objects are.
            above: an epoch that the new one must exceed. It also exceeds those of all objects in the store.
            private: whether no other process can reach the store; it is not claimed then.

        Returns:
            What has landed, and the keys of objects that the run may remove after its first commit.

        Raises:
            ForeignStoreError: the store belongs to another pipeline, or is not the one that holds the rows.
            BatteryError: store or warehouse cannot be used, or a run of this id has begun before.
        """
        if not private:
            require_rows(store, self.warehouse)
        claim = None if private else spare_others(store, self.warehouse, claim_store(store, self.warehouse))
        stored = list(landing_objects(store))
        retry = persistent(duckdb.TransactionException, duckdb.ConstraintException)
        return retry(self._begin, stored, claim, above)

    def _begin(self, stored: Sequence[LandingObject], claim: Claim | None, above: int) -> tuple[Standing, list[str]]:
        with self.warehouse.judge("begin a run") as connection, transaction(connection):
            create_tables(connection)
            self._require_width(connection)
            if self.run_id:
                require_new_run(connection, self.run_id)
            above = max(above, claim.epoch_above(stored) if claim else 0)
            epoch = take_epoch(connection, Writer.WORKER, above, self.window_seconds, self.run_id)
            removable = [] if claim is None else _removable(find_leftovers(connection, stored, epoch, claim.spared))
            return _standing(connection, epoch), removable

    def join(self, store: ObjectStore, peers: Peers) -> Standing:
        """Wait until another process of the cluster has begun the run, over the store that this process reaches.

        Only the pauses count as waiting time: a process that holds the warehouse delays the first process, too.

        Raises:
            ForeignStoreError: the store is not that of the run.
            BatteryError: the run has ended, or does not begin in time, or store or warehouse cannot be used.
        """
        for _ in range(max(1, round(peers.patience / JOIN_PAUSE_SECONDS))):
            joined = self._join(peers.run_id)
            if joined is not None:
                standing, pipeline = joined
                require_claimed(store, pipeline)
                return standing
            time.sleep(JOIN_PAUSE_SECONDS)
        raise BatteryError(
            f"process {peers.process} at {peers.addresses[peers.process]} has waited {peers.patience:g} s "
            f"(CLUSTER_TIMEOUT_SECONDS) for {peers.beginner} to begin the run RUN_ID={peers.run_id}; see what that one "
            "says and that both have the same RUN_ID and WAREHOUSE, then start all again with a new RUN_ID"
        )

    def _join(self, run_id: str) -> tuple[Standing, str] | None:
        """What has landed, once the run has begun, and the id of the pipeline; None before."""
        with (
            suppress(duckdb.CatalogException, duckdb.BinderException),  # before that, tables may be missing
            self.warehouse.judge("join a run") as connection,
            transaction(connection),
        ):
            epoch = run_epoch(connection, run_id)
            if epoch is not None:
                self._require_width(connection)
                return _standing(connection, epoch), pipeline_id(connection) or ""
        return None

    def _require_width(self, connection: Judge) -> None:
        width = window_width(connection)
        if width is not None and width != self.window_seconds:
            raise BatteryError(
                f"WINDOW_SECONDS={self.window_seconds}, but the windows in the warehouse are {width} s wide; set it "
                "back, or rebuild them with `battery replay --from-beginning`"
            )


def _standing(connection: Judge, epoch: int) -> Standing:
    found = connection.execute("select cell_id, state from internal._cell_state").fetchall()
    if isinstance(connection, PostgresSession):
        found = [(unescape(cell_id), unescape(state)) for cell_id, state in found]
    states = dict(found)
    progress = connection.execute(
        'select topic_id, "partition", max("offset") from internal._progress group by topic_id, "partition"'
    ).fetchall()
    seqs = dict(connection.execute("select lane, max(seq) + 1 from internal._commits group by lane").fetchall())
    return Standing(epoch, states, {(topic, part): last for topic, part, last in progress}, seqs)


def _removable(leftovers: Leftovers) -> list[str]:
    """Keys of the objects that a run may remove after its first commit.

    Replays and compactions remove their own objects.
    """
    if leftovers.unknown:
        return []
    return [left.key for left in (*leftovers.retired, *leftovers.unfinished[Writer.WORKER])]
