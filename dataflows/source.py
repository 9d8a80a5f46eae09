"""The topic source: one partition, one reader, one item a poll.

Bytewax's own Kafka source emits an item a message, follows a topic by its name and skips an offset that is gone. This
one hands over a whole poll at once, knows the log by its id, refuses to skip, and tells the consumer group its position
so that ordinary lag tools work.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from dataflows.continuity import Continuity
from dataflows.lag import Lag
from dataflows.polling import PartitionConsumer
from dataflows.position import OLDER_COPY, Position, Snapshot  # old recovery stores hold `dataflows.source.Position`
from dataflows.topic_check import TopicCheck
from kernel.base.errors import BatteryError, record_errors
from kernel.base.faults import Point, fault_point
from kernel.contract.batch import MOST_ROWS
from kernel.contract.poll import Poll
from kernel.edges.kafka import NoBrokerError, Topic, TopicWatch, find_topic, open_topic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dataflows.health import Pulse
    from dataflows.metrics import Metrics
    from dataflows.summary import Tally
    from kernel.base.settings import Settings

_log = structlog.get_logger()

IDLE: Final = timedelta(milliseconds=20)
"""Pause after an empty poll."""

BUSY_POLL_SECONDS: Final = 0.05
"""How long a poll may gather messages, s."""


class PartitionReader(StatefulSourcePartition[Poll, Snapshot]):
    """Reads one partition of a log, an epoch after the other.

    Bytewax asks a source for more only when all of the epoch before is done, in every process, whether that epoch
    brought anything or not. So the reader beats the pulse when it is asked for the first item of an epoch.

    Args:
        settings: where the broker is, whether to stop at the end, and whether to accept a loss.
        topic: the log.
        partition: which of its partitions.
        start: where reading begins.
        landed: the last offset that has landed; -1 for none.
        stopping: whether this process was asked to stop.
        check: whether the topic is still this log.
        pulse: beats when an epoch is done.
        metrics: counts what was read, and the lag.
        on_poll: called after each poll of a run that stops at the end, with the partition, how many messages it has
            read, and how many are left; None before a fetch has told where the log ends.
    """

    def __init__(
        self,
        settings: Settings,
        topic: Topic,
        partition: int,
        start: Position,
        landed: int,
        stopping: Callable[[], bool],
        check: TopicCheck,
        pulse: Pulse | None = None,
        metrics: Metrics | None = None,
        on_poll: Callable[[int, int, int | None], None] | None = None,
    ) -> None:
        self._metrics = metrics
        self._pulse = pulse
        self._partition = partition
        self._until_end = settings.stream_until_end
        self._stopping = stopping
        self._check = check
        self._on_poll = on_poll if self._until_end else None
        self._position = start.complete()
        self._landed = landed
        self._held: deque[Poll] = deque()
        self._committable = self._position.passed_over
        self._lag = Lag(landed, start.next_offset)
        self._epoch_has_messages = False
        self._epoch_has_ended = False
        self._is_idle = False
        self._idle_since: float | None = None
        self._continuity = Continuity(topic, partition, check, start, landed, accept_loss=settings.accept_lost_offsets)
        self._consumer = PartitionConsumer(settings, topic, partition, self._continuity.doubt)
        if start.next_offset is None:
            self._consumer.start_at_oldest()
        else:
            self._consumer.start(start.next_offset, start.leader_epoch)

    @record_errors
    def next_batch(self) -> list[Poll]:
        """One item with the messages of a poll, or as many of them as are cleaned at a time; none when there are none.

        Raises:
            StopIteration: asked to stop, or the end was reached and that is where to stop.
            StartAgainError: the topic has more partitions than this run reads.
            BatteryError: messages that never landed are gone, the topic was recreated, or the broker failed
                for good.
        """
        if self._stopping() or self._is_done():
            raise StopIteration
        if self._epoch_has_ended:
            self._epoch_has_ended = False
            self._close_epoch()
            fault_point(Point.NEXT_EPOCH)
        self._check.require_unchanged()
        if not self._held and (polled := self._poll()):
            self._held.extend(polled.pieces(MOST_ROWS))
        self._is_idle = not (self._held and self._continuity.is_same_log())
        if not self._is_idle:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = time.monotonic()
        if self._is_idle:
            if self._on_poll is not None and self._consumer.end is not None:
                self._on_poll(self._partition, 0, 0)
            return []
        poll = self._held.popleft()
        first, last = poll.offsets[0], poll.offsets[-1]
        self._continuity.require_not_overwritten(self._position, first)
        self._position = self._continuity.require_no_gap(self._position, first, self._consumer)
        self._position = self._position.read(last, poll.leader_epoch)
        self._epoch_has_messages = True
        if self._on_poll is not None:
            log_end = self._consumer.fetched_end()
            self._on_poll(self._partition, len(poll), None if log_end is None else max(0, log_end - (last + 1)))
        fault_point(Point.POLLED)
        return [poll]

    @property
    def quiet_seconds(self) -> float:
        """For how long polls have brought nothing, s; 0 while messages are being cleaned."""
        idle_since = self._idle_since
        return 0.0 if idle_since is None else time.monotonic() - idle_since

    def next_awake(self) -> datetime | None:
        """Rest a moment when nothing came."""
        return datetime.now(UTC) + IDLE if self._is_idle and not self._is_done() else None

    @record_errors
    def snapshot(self) -> Snapshot:
        """Where to continue. Also tells the consumer group the position that has landed for certain: one epoch ago.

        Raises:
            BatteryError: the topic was recreated; the epoch must not land.
        """
        if self._epoch_has_messages:
            self._epoch_has_messages = False
            self._continuity.require_same_log()
        if not self._held and not self._continuity.is_gap_possible:
            self._pass_over()
        if self._committable is not None:
            self._consumer.report(self._committable)
        self._committable = self._position.passed_over
        self._lag.end_epoch((poll.offsets for poll in self._held), self._position.next_offset or 0)
        self._epoch_has_ended = True
        return self._position.snapshot

    def close(self) -> None:
        """Tell the group the last position too: nothing starts from there, it is for lag tools."""
        if self._position.passed_over is not None:
            self._consumer.report(self._position.passed_over)
        self._consumer.close()

    def _is_done(self) -> bool:
        return self._until_end and self._consumer.end is not None and not self._held

    def _close_epoch(self) -> None:
        """What the epoch has read has landed, in this process and in every other one."""
        self._lag.close_epoch()
        self._show_lag()
        if self._pulse is not None:
            self._pulse.beat()
        if self._metrics is not None:
            self._metrics.epoch_closed(self._partition)
        self._check.look()

    def _pass_over(self) -> None:
        """Move on over offsets that held no message: markers of transactions, and messages of aborted ones."""
        received = self._consumer.received()
        offset = max(received.offset, -1 if self._consumer.end is None else self._consumer.end)
        if self._position.next_offset is None and offset > self._landed:  # the log has held no message so far
            self._position = self._position.begun(self._landed + 1)
        if self._position.next_offset is not None and offset > self._position.next_offset:
            epoch = received.leader_epoch if received.offset == offset else self._position.leader_epoch
            self._position = self._position.passed(offset, epoch)

    def _poll(self) -> Poll:
        if self._consumer.has_expired:
            self._continuity.doubt_offsets(self._position)
            self._consumer.start_at_oldest()
        try:
            poll = self._consumer.poll(0 if self._is_idle else BUSY_POLL_SECONDS)
        except BatteryError:
            with suppress(NoBrokerError):
                self._check.require_same()  # that the topic was recreated is the better reason
            raise
        if self._consumer.has_news:
            self._lag.read(poll.offsets)
            if self._metrics is not None:
                self._metrics.read(self._partition, len(poll))
            self._show_lag()
        end = self._consumer.end
        if not poll and end is not None and self._continuity.is_gap_possible and self._continuity.is_same_log():
            # The log ended before anything was read of it.
            self._position = self._continuity.require_no_gap(self._position, end, self._consumer)
        return poll

    def _show_lag(self) -> None:
        """Set the metrics to how many messages have not landed, as far as the last fetch has told."""
        if self._metrics is None:
            return
        messages = self._lag.messages(None if self._consumer.end is not None else self._consumer.fetched_end())
        if messages is not None:
            self._metrics.reached(self._partition, self._lag.next_to_land, messages)


class TopicSource(FixedPartitionedSource[Poll, Snapshot]):
    """All partitions of the topic, each from where the pipeline left it.

    Args:
        settings: where the broker is, and what the topic is called.
        committed: returns the last committed offset of each (topic id, partition).
        stopping: whether this process was asked to stop.
        pulse: beats when an epoch is done.
        metrics: counts what is read, and the lag.
        tally: counts what this run reads.
        connected: called when Bytewax asks for the partitions, in a cluster once all processes are connected.
    """

    def __init__(
        self,
        settings: Settings,
        committed: Callable[[], Mapping[tuple[str, int], int]],
        stopping: Callable[[], bool],
        pulse: Pulse | None = None,
        metrics: Metrics | None = None,
        tally: Tally | None = None,
        connected: Callable[[], None] | None = None,
    ) -> None:
        self._connected = connected
        self._settings = settings
        self._pulse = pulse
        self._metrics = metrics
        self._tally = tally
        self._topic: Topic | None = None
        self._check: TopicCheck | None = None
        self._committed = committed
        self._stopping = stopping
        self._own_partitions: set[int] = set()
        self._readers: list[PartitionReader] = []

    def quiet_seconds(self) -> float:
        """For how long no partition of this process has brought anything, s."""
        return min((reader.quiet_seconds for reader in self._readers), default=0.0)

    def is_near(self, part: int) -> bool:
        """Whether a part of another step runs in this process.

        Bytewax deals out the parts of every step among the workers in the same order, so part k runs where partition k
        is read; partitions are counted round where the step has more parts.
        """
        return part % len(self._log().partitions) in self._own_partitions

    @property
    def topic_id(self) -> str:
        """The id of the log that this run reads."""
        return self._log().topic_id

    @record_errors
    def list_parts(self) -> list[str]:
        """One part a partition."""
        if self._connected is not None:
            self._connected()
        return [str(partition) for partition in self._log().partitions]

    @record_errors
    def build_part(
        self,
        step_id: str,  # noqa: ARG002
        for_part: str,
        resume_state: Snapshot | Position | None,
    ) -> PartitionReader:
        """Continue at the recovered offset of this very log; a log never seen is read from its first message.

        Raises:
            BatteryError: the recovery store is ahead of the warehouse, so reading on would lose readings.
        """
        topic, partition = self._log(), int(for_part)
        self._own_partitions.add(partition)
        position = Position(topic.topic_id, None) if resume_state is None else Position.of(resume_state)
        if position.topic_id != topic.topic_id:
            _log.info("the topic is a new log, reading it from the start", topic=topic.name, topic_id=topic.topic_id)
            position = Position(topic.topic_id, None)
        start = position.next_offset
        committed = self._committed().get((topic.topic_id, partition), -1)
        if position.must_have_landed > committed + 1:
            raise BatteryError(
                f"topic {topic.name}, partition {partition}: RECOVERY_DIR={self._settings.recovery_dir} continues at "
                f"offset {start}, but WAREHOUSE={self._settings.warehouse} holds nothing after offset {committed}; "
                f"{OLDER_COPY}"
            )
        _log.info("reading", topic=topic.name, partition=partition, start="beginning" if start is None else start)
        if self._tally is not None:
            self._tally.expect(partition)
        reader = PartitionReader(
            self._settings,
            topic,
            partition,
            position,
            committed,
            self._stopping,
            self._check_of(topic),
            self._pulse,
            self._metrics,
            None if self._tally is None else self._tally.read,
        )
        self._readers.append(reader)
        return reader

    def _log(self) -> Topic:
        """The log that this run reads, asked for once; a topic that nobody has made yet is made."""
        if self._topic is None:
            self._topic = open_topic(self._settings, create=True)
        return self._topic

    def _check_of(self, topic: Topic) -> TopicCheck:
        """The check of the topic, which all partitions of this process share."""
        if self._check is None:
            self._check = TopicCheck(topic, lambda: find_topic(self._settings), TopicWatch(self._settings))
        return self._check
