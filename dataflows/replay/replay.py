"""Replay: the tables built anew, from the log or the archive, beside the live ones, which then give way in one swap.

The fold is the one of the flow and so is the landing; what differs is only where messages come from and where
results go. The live tables are compared with, not trusted: what the log says holds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np
import structlog

from dataflows.fold.states import Cells
from dataflows.forward import fold
from dataflows.replay.feeds import ArchiveFeed, LogFeed
from dataflows.replay.swap import ReplayWorkspace, attach_replay, remove_replaced, replay_workspace, reserve, swap
from kernel.base.errors import BatteryError
from kernel.base.faults import Point, fault_point
from kernel.base.progress import Progress
from kernel.contract.reading import instrument_range
from kernel.edges.consumer import offset_at
from kernel.edges.kafka import open_topic
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
    from collections.abc import Iterator, Mapping, Sequence

    import duckdb

    from dataflows.replay.feeds import Feed
    from kernel.base.settings import Settings
    from kernel.contract.batch import Batch
    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse
    from sink.care.compare import Comparison
    from sink.claim import Claim

_log = structlog.get_logger()

EPOCH_WAIT_SECONDS: Final = 5.0
"""How long, on top of a commit interval, a running worker may take to close its epoch."""

TICK_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Start:
    """From where on a replay reads the log itself; what landed before comes from the archive.

    `beginning` reads it whole; `archive` not at all; `offsets` from an offset of some partitions, `time` from a moment
    (UTC) of all.
    """

    beginning: bool = False
    archive: bool = False
    offsets: Mapping[int, int] = field(default_factory=dict)
    time: datetime | None = None

    def at(self, offsets: Sequence[str], moment: str | None) -> Start:
        """The same with offsets, each as `PARTITION:OFFSET`, and a moment in ISO 8601 (UTC unless it says otherwise).

        Raises:
            BatteryError: one of them cannot be read.
        """
        found: dict[int, int] = {}
        for text in offsets:
            partition, separator, offset = text.partition(":")
            if not separator or not partition.isdecimal() or not offset.isdecimal():
                raise BatteryError(f"--from-offset {text} is not PARTITION:OFFSET, such as 0:1500")
            found[int(partition)] = int(offset)
        if moment is None:
            return replace(self, offsets=found)
        try:
            time = datetime.fromisoformat(moment)
        except ValueError:
            raise BatteryError(f"--from-time {moment} is not a time such as 2026-11-25T08:00:00") from None
        return replace(self, offsets=found, time=time if time.tzinfo else time.replace(tzinfo=UTC))


class Outcome(StrEnum):
    """How a replay ended."""

    IDENTICAL = "identical"
    DIFFERENT = "different"
    SWAPPED = "swapped"


@dataclass(frozen=True)
class Report:
    """What a replay found: its own figures, and how the live tables differ.

    `ahead` counts cells of which it has messages that had not landed yet; `damaged` names objects that are not what was
    committed.
    """

    outcome: Outcome
    messages: int
    rows: int
    ahead: int
    comparison: Comparison
    damaged: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """The report for a person."""
        yield f"replayed {self.rows} rows in {self.messages} messages"
        if self.ahead:
            yield f"of {self.ahead} cells it has messages that had not landed yet: a worker ended within an epoch"
        for table in self.comparison.tables:
            yield f"{table.table} differs: {table.live_rows} rows live, {table.replayed_rows} replayed"
            if table.only_live or table.only_replayed:
                yield f"  rows: {table.only_live} only live, {table.only_replayed} only replayed"
            for name, count in table.columns.items():
                yield f"  {name}: {count} rows differ"
        for reason, (live, replayed) in self.comparison.reasons.items():
            yield f"quarantined as {reason}: {live} rows live, {replayed} replayed"
        if self.comparison.spans:
            yield "_commits differs: it accounts for other messages or rows"
        for wrong in self.damaged:
            yield f"object {wrong}"
        if self.outcome is Outcome.IDENTICAL:
            yield "identical: the live tables are what the messages say; nothing was changed"
        elif self.outcome is Outcome.DIFFERENT:
            yield "different: nothing was changed, for this was a dry run"
        else:
            yield "swapped: the replayed tables are live now; `battery transform` brings the models up to date"


def replay(settings: Settings, start: Start, *, dry_run: bool = False) -> Report:
    """Build the landing tables anew, validate and compare them, and swap them in where the live ones differ.

    The worker may keep running; it goes on from the new tables by itself.

    Args:
        settings: where everything is.
        start: from where on to read the log.
        dry_run: compare, but change nothing.

    Raises:
        BatteryError: what landed cannot be had again from there, or the result does not add up; the live tables are
            as they were.
    """
    warehouse, store = open_warehouse(settings), open_store(settings)
    with replay_workspace(settings) as place, structlog.contextvars.bound_contextvars(tables="replayed"):
        epoch, live, claim = reserve(warehouse, store, settings.window_seconds)
        if start.archive and not live.commits:
            raise BatteryError(
                "the WAREHOUSE holds no manifest, so nothing says which objects are whole and in what order; bring a "
                "copy of it back, or use `battery replay --from-beginning`"
            )
        build = _Build(settings, place, epoch, _feeds(settings, start, live, store))
        build.go_on(live)
        build.validate()
        fault_point(Point.REPLAY_BUILT)
        damaged = _damaged(live, store)
        return _Ending(settings, warehouse, store, claim, place, build, epoch, damaged, dry_run=dry_run).reach()


def _feeds(settings: Settings, start: Start, live: Manifest, store: ObjectStore) -> list[Feed]:
    if start.archive:
        return [ArchiveFeed(store)]
    if live.spread:
        raise BatteryError(
            f"cell {live.spread[0]} came over more than one partition of a log, so its messages have no order there; "
            "`battery replay --from-archive` takes all in the order in which they landed"
        )
    topic = open_topic(settings)
    if start.beginning:
        others = sorted({topic_id for topic_id, _ in live.reached} - {topic.topic_id})
        if others:
            raise BatteryError(
                f"the WAREHOUSE holds readings of {len(others)} other logs than topic {topic.name} "
                f"({topic.topic_id}), such as {others[0]}, which this log cannot give again; `battery replay "
                "--from-archive` takes all from the objects, --from-offset 0:0 those of the other logs; to forget "
                "them, use a new WAREHOUSE, OBJECT_STORE and RECOVERY_DIR"
            )
        return [LogFeed(settings, topic, dict.fromkeys(topic.partitions))]
    if start.time is not None:
        moment = int(start.time.timestamp() * 1000)
        beyond = {part: live.reached.get((topic.topic_id, part), -1) + 1 for part in topic.partitions}
        found = {part: offset_at(settings, topic, part, moment) for part in topic.partitions}
        offsets = {part: beyond[part] if offset is None else offset for part, offset in found.items()}
    else:
        offsets = dict(start.offsets)
    absent = sorted(set(offsets) - set(topic.partitions))
    if absent:
        raise BatteryError(f"topic {topic.name} has no partition {absent[0]}; it has {list(topic.partitions)}")
    _log.info("reading the log", **{f"partition_{part}": f"from {offset}" for part, offset in offsets.items()})
    return [ArchiveFeed(store, topic, offsets), LogFeed(settings, topic, offsets)]


class _Build:
    """Folds what the feeds bring into tables and objects of its own."""

    def __init__(self, settings: Settings, place: ReplayWorkspace, epoch: int, feeds: Sequence[Feed]) -> None:
        self._window_seconds = settings.window_seconds
        self._ranges = instrument_range(settings.instrument_max_voltage_v, settings.instrument_max_current_a)
        self._place = place
        self._feeds = feeds
        self._cells = Cells()
        self._topic_id: str | None = None
        self.reached: dict[tuple[str, int], int] = {}
        self.messages = 0
        self.rows = 0
        landing = Landing(place.store, place.appended_to, settings.window_seconds, above=epoch - 1, private=True)
        landing.begin()
        self._lane = Lane(landing, 0, 1, settings.commit_max_rows)

    def go_on(self, live: Manifest) -> None:
        """Fold what has landed and has not been folded yet."""
        total = sum(span.rows for commit in live.commits for span in commit.spans)
        with Progress("replaying", "rows", total=max(total - self.rows, 0) or None) as progress:
            for feed in self._feeds:
                for batch in feed.read(live):
                    before = self.rows
                    self._fold(batch)
                    progress.advance(self.rows - before)
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
        """Count everything that was built again from its source.

        Raises:
            BatteryError: it does not add up.
        """
        with self._place.warehouse.connect("validate a replay", read_only=True) as connection:
            checks = landing_checks(connection, self._place.store)
            found = connection.execute(
                'select coalesce(sum(s."rows"), 0) from (select distinct "commit", unnest(offsets) as s from _commits)'
            ).fetchone()
        wrong = [f"{check.name}: {check.detail}" for check in checks if not check.ok]
        if found is None or found[0] != self.rows:
            wrong.append(f"{self.rows} rows were folded, {found[0] if found else 0} are accounted for")
        if wrong:
            raise BatteryError(f"the replay does not add up, the live tables are as they were: {'; '.join(wrong)}")


class _Ending:
    """Brings a replay to where the live tables stand, compares the two, and swaps if they differ."""

    def __init__(
        self,
        settings: Settings,
        warehouse: Warehouse,
        store: ObjectStore,
        claim: Claim,
        place: ReplayWorkspace,
        build: _Build,
        epoch: int,
        damaged: tuple[str, ...],
        *,
        dry_run: bool,
    ) -> None:
        self._settings = settings
        self._warehouse = warehouse
        self._store = store
        self._claim = claim
        self._place = place
        self._build = build
        self._epoch = epoch
        self._damaged = damaged
        self._dry_run = dry_run
        self._differs = False
        self._has_tried = False
        self._uploaded: set[str] = set()
        self._waits_until = time.monotonic() + settings.commit_interval_seconds + EPOCH_WAIT_SECONDS

    def reach(self) -> Report:
        """Try until it is done: while a worker goes on landing, the live tables move."""
        try:
            while True:
                with attach_replay(self._warehouse, self._place) as connection:
                    live = read_manifest(connection)
                    is_early = self._is_behind(live) or self._is_ahead(connection, live)
                    report = None if is_early else self._end(connection, live)
                if report is not None:
                    break
                self._prepare(live)
        except (KeyboardInterrupt, SystemExit):
            # Not once a swap was tried: only the warehouse knows how that ended. The next replay clears up then.
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
        """In the middle of an epoch some cells have landed and others are about to; wait for a running worker."""
        return bool(live.reached) and time.monotonic() < self._waits_until and ahead_of_live(connection) > 0

    def _end(self, connection: duckdb.DuckDBPyConnection, live: Manifest) -> Report | None:
        """Compare and, when all objects are in the store, swap; None when there is more to do before."""
        _require_all(connection)
        ahead, found = ahead_of_live(connection) if live.reached else 0, compare(connection)
        same_width = window_width(connection) == self._settings.window_seconds
        outcome = None
        if found.identical and same_width and not self._damaged:
            outcome = Outcome.IDENTICAL
        elif self._dry_run:
            outcome = Outcome.DIFFERENT
        elif self._uploaded == {stored.key for stored in self._place.store.list("")}:
            self._has_tried = True
            outcome = Outcome.SWAPPED if swap(connection, self._epoch, live, self._settings.window_seconds) else None
        self._differs = outcome is None
        if outcome is None:
            return None
        return Report(outcome, self._build.messages, self._build.rows, ahead, found, self._damaged)

    def _prepare(self, live: Manifest) -> None:
        if self._is_behind(live):
            before = dict(self._build.reached)
            self._build.go_on(live)
            if self._build.reached == before:
                raise BatteryError(
                    "the live tables have progressed beyond what their manifest accounts for, and are as they were; "
                    "`battery replay --from-beginning` goes by the log"
                )
        elif not self._differs:
            time.sleep(TICK_SECONDS)
        if self._differs:
            for stored in self._place.store.list(""):
                if stored.key not in self._uploaded:
                    self._uploaded.add(stored.key)  # before it is there, so that it is removed in any case
                    put_once(self._store, stored.key, self._place.store.get(stored.key))
            fault_point(Point.REPLAY_STORED)


def _require_all(connection: duckdb.DuckDBPyConnection) -> None:
    """A replay may hold more than has landed, or judge it otherwise, but never miss a message.

    Raises:
        BatteryError: it does.
    """
    missing = messages_missing(connection)
    if missing:
        partition, offset = missing[0]
        raise BatteryError(
            f"the replay misses messages of which the live tables hold rows, such as partition {partition}, offset "
            f"{offset}; the live tables are as they were. `battery replay --from-beginning` goes by the log, "
            "--from-archive by the objects of the manifest"
        )


def _damaged(live: Manifest, store: ObjectStore) -> tuple[str, ...]:
    archive, wrong = Archive(store), []
    for found in (found for commit in live.commits for found in commit.objects):
        try:
            archive.rows(found)
        except DamagedObjectError as error:
            wrong.append(str(error))
    return tuple(wrong)
