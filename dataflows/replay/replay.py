"""Replay: build the landing tables again from the log or the archive, and swap them in where the live ones differ.

A replay uses the fold and the landing of the flow. Only the source of its messages and the place of its results
differ. The live tables are compared with the result; where the two differ, the messages are right.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import numpy as np
import structlog

from dataflows.fold.states import GroupStates
from dataflows.forward import fold
from dataflows.replay.report import Outcome, Report
from dataflows.replay.start import open_feeds
from dataflows.replay.swap import ReplayWorkspace, attach_replay, remove_replaced, replay_workspace, reserve, swap
from kernel.base.errors import BatteryError
from kernel.base.faults import Point, fault_point
from kernel.base.progress import Progress
from kernel.contract.reading import instrument_range
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from sink.care.archive import Archive
from sink.care.compare import ahead_of_live, compare, messages_missing
from sink.care.verify import landing_checks
from sink.commit import Landing
from sink.draft import put_once
from sink.lanes import Lane
from sink.manifest import Manifest, read_manifest
from sink.parquet import DamagedObjectError
from sink.writers import window_width

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import duckdb

    from dataflows.replay.feeds import Feed
    from dataflows.replay.start import Start
    from kernel.base.settings import Settings
    from kernel.contract.batch import Batch
    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse
    from sink.claim import Claim

_log = structlog.get_logger()

EPOCH_WAIT_SECONDS: Final = 5.0
"""How much longer than a commit interval a running worker may take to close its epoch, in s."""

TICK_SECONDS: Final = 0.1
"""Time between two looks at the live tables while a worker is landing, in s."""


def replay(settings: Settings, start: Start, *, dry_run: bool = False) -> Report:
    """Build the landing tables again, validate and compare them, and swap them in where the live ones differ.

    The worker may keep running; after a swap it continues from the new tables by itself.

    Args:
        settings: where log, store and warehouse are.
        start: where to begin to read the log.
        dry_run: compare, but change nothing.

    Raises:
        BatteryError: what has landed cannot be read again from there, or the result is inconsistent; the live tables
            have not changed.
    """
    warehouse, store = open_warehouse(settings), open_store(settings)
    with replay_workspace(settings) as workspace, structlog.contextvars.bound_contextvars(tables="replayed"):
        epoch, live, claim = reserve(warehouse, store, settings.window_seconds)
        if start.archive and not live.commits:
            raise BatteryError(
                "the WAREHOUSE holds no manifest, so nothing says which objects are whole and in what order; bring a "
                "copy of it back, or use `battery replay --from-beginning`"
            )
        build = _Build(settings, workspace, epoch, open_feeds(settings, start, live, store))
        build.fold_landed(live)
        build.validate()
        fault_point(Point.REPLAY_BUILT)
        damaged = _damaged(live, store)
        return _Completion(settings, warehouse, store, claim, workspace, build, epoch, damaged, dry_run=dry_run).run()


class _Build:
    """Folds what the feeds give into the tables and objects of the workspace."""

    def __init__(self, settings: Settings, workspace: ReplayWorkspace, epoch: int, feeds: Sequence[Feed]) -> None:
        self._window_seconds = settings.window_seconds
        self._ranges = instrument_range(settings.instrument_max_voltage_v, settings.instrument_max_current_a)
        self._workspace = workspace
        self._feeds = feeds
        self._cells = GroupStates()
        self._topic_id: str | None = None
        self.reached: dict[tuple[str, int], int] = {}
        self.messages = 0
        self.rows = 0
        landing = Landing(
            workspace.store, workspace.appended_to, settings.window_seconds, above=epoch - 1, private=True
        )
        landing.begin()
        self._lane = Lane(landing, 0, 1, settings.commit_max_rows)

    def fold_landed(self, live: Manifest) -> None:
        """Fold what has landed and has not been folded yet."""
        total = sum(span.rows for commit in live.commits for span in commit.spans)
        with Progress("replaying", "rows", total=max(total - self.rows, 0) or None) as progress:
            for feed in self._feeds:
                for batch in feed.read(live):
                    rows_before = self.rows
                    self._fold(batch)
                    progress.advance(self.rows - rows_before)
        self._lane.snapshot()

    def _fold(self, batch: Batch) -> None:
        if batch.topic_id != self._topic_id:
            self._lane.snapshot()  # a commit is of one log
            self._topic_id = batch.topic_id
        for cleaned in fold(self._cells, batch, self._window_seconds, self._ranges):
            self.messages += cleaned.messages
            self.rows += sum(span.rows for span in cleaned.spans)
            self._lane.write_batch([cleaned])
        for partition in np.unique(batch.partition).tolist():
            log = batch.topic_id, partition
            last = int(batch.offset[batch.partition == partition].max())
            self.reached[log] = max(last, self.reached.get(log, -1))

    def validate(self) -> None:
        """Check that the new tables agree with their objects, with each other, and with what was folded.

        Raises:
            BatteryError: they do not.
        """
        with self._workspace.warehouse.connect("validate a replay", read_only=True) as connection:
            checks = landing_checks(connection, self._workspace.store)
            ((accounted,),) = connection.execute(
                'select coalesce(sum(s."rows"), 0) '
                'from (select distinct "commit", unnest(offsets) as s from internal._commits)'
            ).fetchall()
        wrong = [f"{check.name}: {check.detail}" for check in checks if not check.ok]
        if accounted != self.rows:
            wrong.append(f"{self.rows} rows were folded, {accounted} are accounted for")
        if wrong:
            raise BatteryError(f"the replay does not add up, the live tables are as they were: {'; '.join(wrong)}")


class _Completion:
    """Brings a replay as far as the live tables, compares the two, and swaps if they differ."""

    def __init__(
        self,
        settings: Settings,
        warehouse: Warehouse,
        store: ObjectStore,
        claim: Claim,
        workspace: ReplayWorkspace,
        build: _Build,
        epoch: int,
        damaged: Mapping[str, str],
        *,
        dry_run: bool,
    ) -> None:
        self._settings = settings
        self._warehouse = warehouse
        self._store = store
        self._claim = claim
        self._workspace = workspace
        self._build = build
        self._epoch = epoch
        self._damaged = damaged
        self._dry_run = dry_run
        self._differs = False
        self._has_tried = False
        self._uploaded: set[str] = set()
        self._waits_until = time.monotonic() + settings.commit_interval_seconds + EPOCH_WAIT_SECONDS

    def run(self) -> Report:
        """Try again until it is done, since the live tables change while a worker is landing."""
        try:
            while True:
                with attach_replay(self._warehouse, self._workspace, self._damaged) as connection:
                    live = read_manifest(connection)
                    is_early = self._is_behind(live) or self._is_ahead(connection, live)
                    report = None if is_early else self._compare_and_swap(connection, live)
                if report is not None:
                    break
                self._catch_up(live)
        except (KeyboardInterrupt, SystemExit):
            # After an attempt to swap only the warehouse knows how it ended; the next replay removes the objects then.
            for key in () if self._has_tried else self._uploaded:
                self._store.delete(key)
            raise
        if report.outcome is Outcome.SWAPPED:
            _log.info("swapped", writer_epoch=self._epoch, objects=len(self._uploaded))
            try:
                remove_replaced(self._warehouse, self._store, self._claim)
            except BatteryError as error:
                _log.warning("replaced objects stay until the next run of the worker", error=str(error))
        return report

    def _is_behind(self, live: Manifest) -> bool:
        return any(last > self._build.reached.get(log, -1) for log, last in live.reached.items())

    def _is_ahead(self, connection: duckdb.DuckDBPyConnection, live: Manifest) -> bool:
        """Whether the replay holds messages that a running worker may be about to land, in the middle of an epoch."""
        return bool(live.reached) and time.monotonic() < self._waits_until and ahead_of_live(connection) > 0

    def _compare_and_swap(self, connection: duckdb.DuckDBPyConnection, live: Manifest) -> Report | None:
        """Compare and, if all objects are in the store, swap; None if there is more to do first."""
        _require_all_messages(connection)
        ahead, comparison = ahead_of_live(connection) if live.reached else 0, compare(connection)
        same_width = window_width(connection) == self._settings.window_seconds
        outcome = None
        if comparison.identical and same_width and not self._damaged:
            outcome = Outcome.IDENTICAL
        elif self._dry_run:
            outcome = Outcome.DIFFERENT
        elif self._uploaded == {stored.key for stored in self._workspace.store.list("")}:
            self._has_tried = True
            width = self._settings.window_seconds
            outcome = Outcome.SWAPPED if swap(self._warehouse, connection, self._epoch, live, width) else None
        self._differs = outcome is None
        if outcome is None:
            return None
        return Report(outcome, self._build.messages, self._build.rows, ahead, comparison, tuple(self._damaged.values()))

    def _catch_up(self, live: Manifest) -> None:
        """Fold what has landed meanwhile, wait for the worker, or upload the objects, whichever is due."""
        if self._is_behind(live):
            reached = dict(self._build.reached)
            self._build.fold_landed(live)
            if self._build.reached == reached:
                raise BatteryError(
                    "the live tables have progressed beyond what their manifest accounts for, and are as they were; "
                    "`battery replay --from-beginning` goes by the log"
                )
        elif not self._differs:
            time.sleep(TICK_SECONDS)
        if self._differs:
            for stored in self._workspace.store.list(""):
                if stored.key not in self._uploaded:
                    self._uploaded.add(stored.key)  # before the upload, so that the object is removed in any case
                    put_once(self._store, stored.key, self._workspace.store.get(stored.key))
            fault_point(Point.REPLAY_STORED)


def _require_all_messages(connection: duckdb.DuckDBPyConnection) -> None:
    """Refuse a replay that misses a message; it may hold more than has landed, or judge it differently.

    Raises:
        BatteryError: it misses one.
    """
    missing = messages_missing(connection)
    if missing:
        partition, offset = missing[0]
        raise BatteryError(
            f"the replay misses messages of which the live tables hold rows, such as partition {partition}, offset "
            f"{offset}; the live tables are as they were. `battery replay --from-beginning` goes by the log, "
            "--from-archive by the objects of the manifest"
        )


def _damaged(live: Manifest, store: ObjectStore) -> dict[str, str]:
    """The objects that are not as committed, by their keys, each with what is wrong with it."""
    archive, wrong = Archive(store), {}
    for committed in (committed for commit in live.commits for committed in commit.objects):
        try:
            archive.rows(committed)
        except DamagedObjectError as error:
            wrong[committed.key] = str(error)
    return wrong
