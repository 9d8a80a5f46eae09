"""The topic source: one partition, one reader, one item a poll.

Bytewax's own Kafka source emits an item a message, follows a topic by its name and jumps when an offset is gone.
This one hands over a whole poll at once, knows the log by its id, refuses to jump, and tells the consumer group
where it stands so that ordinary lag tools work.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from dataflows.lag import Lag
from dataflows.topic_check import TopicCheck
from kernel.base.errors import BatteryError, record_errors
from kernel.base.faults import Point, fault_point
from kernel.contract.batch import MOST_ROWS
from kernel.contract.poll import Poll
from kernel.edges.consumer import POLL_MESSAGES, POLL_ROWS, oldest, open_consumer, passed, poll_of
from kernel.edges.kafka import TRANSIENT, NoBrokerError, Topic, TopicWatch, find_topic, open_topic
from kernel.edges.offsets import Passed, Stretch, missing, report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from confluent_kafka import Message as KafkaMessage

    from dataflows.health import Pulse
    from dataflows.metrics import Metrics
    from dataflows.summary import Tally
    from kernel.base.settings import Settings

_log = structlog.get_logger()

IDLE: Final = timedelta(milliseconds=20)
"""Pause after an empty poll."""

CLOSE_SECONDS: Final = 1.5
"""How long the end of a run may wait for the consumer group to take the last position."""

BUSY_POLL_SECONDS: Final = 0.05
"""How long a poll may gather messages."""


Snapshot = tuple[str, int | None, int | None, int | None, int | None]
"""The fields of a position, in their order, as the recovery store keeps them: values that need no class of ours."""


@dataclass(frozen=True)
class Position:
    """Where a partition continues: the next offset to read of the log `topic_id`, None for its first message.

    `leader_epoch` is that of what stands before it, where the broker tells: what was read under a leader that no longer
    counts may be another message by now. `after` is the offset behind the last message read, and no offset from
    `empty_from` on held a message: both are the next one but where offsets without a message were passed over since.
    (Positions of earlier versions have neither.)
    """

    topic_id: str
    next_offset: int | None
    leader_epoch: int | None = None
    after: int | None = None
    empty_from: int | None = None

    @classmethod
    def of(cls, snapshot: Snapshot | Position) -> Position:
        """The position that a recovery store holds: earlier versions stored the object itself, which this one reads."""
        return snapshot.complete() if isinstance(snapshot, Position) else cls(*snapshot)

    @property
    def snapshot(self) -> Snapshot:
        """What the recovery store is to hold."""
        return self.topic_id, self.next_offset, self.leader_epoch, self.after, self.empty_from

    def read(self, last: int, leader_epoch: int | None) -> Position:
        """Behind a message."""
        return replace(self, next_offset=last + 1, leader_epoch=leader_epoch, after=last + 1, empty_from=last + 1)

    def passed(self, offset: int, leader_epoch: int | None) -> Position:
        """Further on, where no message stood between."""
        return replace(self, next_offset=offset, leader_epoch=leader_epoch)

    def given_up(self, oldest: int, landed: int) -> Position:
        """At the oldest offset that the log has, where nobody knows what stood between it and the last one landed."""
        after = landed + 1 if self.after is None else self.after
        return replace(self, next_offset=oldest, leader_epoch=None, after=after, empty_from=oldest)

    def complete(self) -> Position:
        """With what positions of earlier versions lack: they stand behind the last message read."""
        if self.after is not None:
            return self
        return replace(self, after=self.next_offset, empty_from=self.next_offset)

    @property
    def must_have_landed(self) -> int:
        """The offset up to which a warehouse must hold all messages for reading to go on here."""
        return self.after or 0

    @property
    def passed_over(self) -> Passed | None:
        """What was passed over just before the next offset; None where nothing has been read."""
        if self.next_offset is None or self.after is None or self.empty_from is None:
            return None
        return Passed(self.after, Stretch(self.empty_from, self.next_offset))


class PartitionReader(StatefulSourcePartition[Poll, Snapshot]):
    """Reads one partition of a log from `start` on; `landed` is the last offset that landed.

    Where it is to stop at the end, it tells `tell` of each poll: its partition, how many messages it has read, and how
    many are left, None before a fetch has said where the log ends.

    It beats the pulse when an epoch is done: Bytewax asks a source for more only when all of the epoch before is done,
    in every process, whether that epoch brought anything or not.

    A topic may be deleted and created again under a running reader, and nothing in a message tells its log. So the
    log's id is asked for again whenever the connection broke, and before an epoch with messages closes.
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
        tell: Callable[[int, int, int | None], None] | None = None,
    ) -> None:
        self._metrics = metrics
        self._pulse = pulse
        self._topic = topic
        self._partition = partition
        self._until_end = settings.stream_until_end
        self._accept_loss = settings.accept_lost_offsets
        self._stopping = stopping
        self._check = check
        self._tell = tell if self._until_end else None
        self._at = start.complete()
        self._landed = landed
        self._due = None if start.next_offset is not None else landed + 1
        self._held: deque[Poll] = deque()
        self._committable = self._at.passed_over
        self._lag = Lag(landed, start.next_offset)
        self._closed = self._seen = landed + 1
        self._end: int | None = None
        self._rows_each = 1
        self._expired = False
        self._doubtful = False
        self._has_read = False
        self._has_heard = False
        self._epoch_has_closed = False
        self._idle = False
        self._consumer = open_consumer(settings, self._doubt)
        self._assign(start.next_offset)

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
        if self._epoch_has_closed:
            self._epoch_has_closed = False
            self._note_closed_epoch()
            fault_point(Point.NEXT_EPOCH)
        self._check.require_unchanged()
        if not self._held and (polled := self._poll()):
            self._held.extend(polled.pieces(MOST_ROWS))
        self._idle = not (self._held and self._is_same_log())
        if self._idle:
            if self._tell is not None and self._end is not None:
                self._tell(self._partition, 0, 0)
            return []
        poll = self._held.popleft()
        first, last = poll.offsets[0], poll.offsets[-1]
        self._require_no_other(first)
        if self._due is not None:
            self._require_unbroken(first, self._due)
            self._due = None
        self._has_read = True
        self._at = self._at.read(last, poll.leader_epoch)
        if self._tell is not None:
            self._tell(self._partition, len(poll), self._left(last + 1))
        fault_point(Point.POLLED)
        return [poll]

    def next_awake(self) -> datetime | None:
        """Rest a moment when nothing came."""
        return datetime.now(UTC) + IDLE if self._idle and not self._is_done() else None

    @record_errors
    def snapshot(self) -> Snapshot:
        """Where to continue; tells the consumer group what the epoch before this one has committed for certain.

        Raises:
            BatteryError: the topic was recreated; the epoch must not land.
        """
        if self._has_read:
            self._has_read = False
            try:
                self._check.require_same()
                self._doubtful = False
            except NoBrokerError:
                self._doubtful = True  # what was read came before the connection broke; ask when more comes
        if not self._held and self._due is None:
            self._pass_over()
        if self._committable is not None:
            self._report(self._committable)
        self._committable = self._at.passed_over
        self._seen = self._at.next_offset or 0
        self._lag.end_epoch(poll.offsets for poll in self._held)
        self._epoch_has_closed = True
        return self._at.snapshot

    def close(self) -> None:
        """Tell the group the last position too: nothing starts from there, it is for lag tools.

        A group that has no coordinator at the moment, as when its broker is down, is not waited for.
        """
        if self._at.passed_over is not None:
            self._report(self._at.passed_over)
        closing = threading.Thread(target=self._consumer.close, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)

    def _is_done(self) -> bool:
        return self._until_end and self._end is not None and not self._held

    def _note_closed_epoch(self) -> None:
        """What the epoch has read has landed, here and in every other process."""
        self._closed = max(self._closed, self._seen)
        self._lag.close_epoch()
        self._tell_lag()
        if self._pulse is not None:
            self._pulse.beat()
        if self._metrics is not None:
            self._metrics.epoch_closed(self._partition)
        self._check.look()

    def _pass_over(self) -> None:
        """Go on behind what was received, and held no message: markers of transactions, messages of aborted ones."""
        received = passed(self._consumer, self._topic.name, self._partition)
        offset = max(received.offset, -1 if self._end is None else self._end)
        if self._at.next_offset is None and offset > self._landed:  # nothing has come, and nothing was there
            due = self._landed + 1
            self._at = replace(self._at, next_offset=due, after=due, empty_from=due)
        if self._at.next_offset is not None and offset > self._at.next_offset:
            epoch = received.leader_epoch if received.offset == offset else self._at.leader_epoch
            self._at = self._at.passed(offset, epoch)

    def _left(self, reached: int) -> int | None:
        """How many messages there are from an offset to where the last fetch saw the log end; asks no broker."""
        _low, end = self._consumer.get_watermark_offsets(TopicPartition(self._topic.name, self._partition), cached=True)
        return max(0, end - reached) if end >= 0 else None

    def _poll(self) -> Poll:
        if self._expired:
            # Whether anything is lost depends on what had landed, and on the log being the same.
            self._expired, self._doubtful = False, True
            self._due = max(self._at.next_offset or 0, self._landed + 1)
            self._assign(None)
        received: list[KafkaMessage] = []
        ended = False
        most = max(1, min(POLL_MESSAGES, POLL_ROWS // self._rows_each))
        for found in self._consumer.consume(most, timeout=0 if self._idle else BUSY_POLL_SECONDS):
            fault = found.error()
            if fault is None:
                received.append(found)
                self._end = None
            elif fault.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                ended, self._end = True, found.offset()
            else:
                self._judge(fault)
        poll = poll_of(self._topic.topic_id, self._partition, received)
        self._note(poll, ended=ended)
        if poll:
            self._rows_each = max(1, int(poll.weights.mean()))
        if not poll and self._end is not None and self._due is not None and self._is_same_log():
            self._require_unbroken(self._end, self._due)  # the log ended before anything was read of it
            self._due = None
        return poll

    def _note(self, poll: Poll, *, ended: bool) -> None:
        """Count what a poll has brought: messages, or the end of the log."""
        self._lag.read(poll.offsets)
        if poll or ended:
            self._has_heard = True
            if self._metrics is not None:
                self._metrics.read(self._partition, len(poll))
            self._tell_lag()

    def _tell_lag(self) -> None:
        """Tell how many messages have not landed; of those that are still in the log, the last fetch has told."""
        if self._metrics is None or not self._has_heard:
            return
        high = None
        if self._end is None:
            place = TopicPartition(self._topic.name, self._partition)
            with suppress(KafkaException):  # as the client has heard nothing of the partition yet
                _low, told = self._consumer.get_watermark_offsets(place, cached=True)
                high = told if told >= 0 else None  # negative where no fetch has told it yet
        self._metrics.reached(self._partition, self._closed, self._lag.messages(high))

    def _is_same_log(self) -> bool:
        """Ask, where there is doubt; without an answer what was polled is held until there is one."""
        if self._doubtful:
            try:
                self._check.require_same()
                self._doubtful = False
            except NoBrokerError as error:
                _log.warning("holding messages until the broker says what log they are from", error=str(error))
                return False
        return True

    def _assign(self, offset: int | None) -> None:
        if offset is None:
            place = oldest(self._consumer, self._topic.name, self._partition)
        else:
            # With the epoch the broker is asked where that leader's log ended, and is read on from there if before.
            epoch = -1 if self._at.leader_epoch is None else self._at.leader_epoch
            place = TopicPartition(self._topic.name, self._partition, offset, leader_epoch=epoch)
        self._consumer.assign([place])

    def _doubt(self, fault: KafkaError) -> None:
        self._doubtful = True
        _log.warning("the connection to the broker broke", partition=self._partition, error=fault.str())

    def _require_unbroken(self, first: int, due: int) -> None:
        """The log must still hold the first message that has not landed.

        Args:
            first: where the oldest message stands, or the end where there is none.
            due: the first offset that has neither landed nor was passed over.
        """
        gone = missing(self._consumer, self._topic, self._partition, due) if first > due else None
        if gone is None:  # the offsets between hold no message
            return
        if gone.first == 0 and self._at.next_offset is None:
            _log.warning("the log no longer holds its first messages", partition=self._partition, oldest=gone.end)
        else:
            self._lose(f"offsets {gone.first} to {min(first, gone.end) - 1} are")
        self._at = self._at.given_up(min(first, gone.end), self._landed)

    def _require_no_other(self, first: int) -> None:
        """A log that goes on before where it was left has lost what had been read, and holds other messages there."""
        due = self._at.next_offset
        if due is not None and first < due:
            raise BatteryError(
                f"topic {self._topic.name}, partition {self._partition}: offsets {first} to {due - 1} had been "
                "read and hold other messages now (a broker that did not have them became the partition's leader?); "
                "build the tables from what the log holds with `battery replay --from-beginning`, remove "
                "RECOVERY_DIR, and start again"
            )

    def _lose(self, what: str) -> None:
        """Messages that never landed are gone: that is for a person to decide."""
        place = f"topic {self._topic.name}, partition {self._partition}: {what} gone (retention?) and had not landed"
        if not self._accept_loss:
            raise BatteryError(
                f"{place}; publish the files again with `battery produce --again`, then run once with "
                "ACCEPT_LOST_OFFSETS=true to go on from the oldest message"
            )
        _log.warning("going on without messages that never landed", lost=place)

    def _judge(self, fault: KafkaError) -> None:
        if fault.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            self._expired, self._end = True, None
        elif fault.code() in TRANSIENT or fault.retriable():
            _log.warning("the broker does not answer, waiting for it", partition=self._partition, error=fault.str())
        else:
            with suppress(NoBrokerError):
                self._check.require_same()
            raise BatteryError(f"topic {self._topic.name}, partition {self._partition}: {fault.str()}")

    def _report(self, passed_over: Passed) -> None:
        try:
            report(self._consumer, self._topic, self._partition, passed_over)
        except KafkaException as error:  # lag tools lose sight for a while; the landing does not depend on it
            _log.warning("could not tell the consumer group", partition=self._partition, error=str(error))


class TopicSource(FixedPartitionedSource[Poll, Snapshot]):
    """All partitions of the topic, each from where the pipeline left it.

    Bytewax asks for its parts before anything else, and in a cluster once all processes are connected: then it calls
    `connected`.
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
        self._here: set[int] = set()

    def is_near(self, part: int) -> bool:
        """Whether a part of another step is in this process as well, one that Bytewax deals out among all workers.

        It deals out all parts in the same order, so part k is where partition k is, or where that would be if the
        topic had as many.
        """
        return part % len(self._log().partitions) in self._here

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
        self._here.add(partition)
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
                "bring that warehouse back, or rebuild it with `battery replay --from-beginning`, then start again"
            )
        _log.info("reading", topic=topic.name, partition=partition, start="beginning" if start is None else start)
        if self._tally is not None:
            self._tally.expect(partition)
        return PartitionReader(
            self._settings,
            topic,
            partition,
            position,
            committed,
            self._stopping,
            self._checked(topic),
            self._pulse,
            self._metrics,
            None if self._tally is None else self._tally.read,
        )

    def _log(self) -> Topic:
        """The log that this run reads, asked for once; a topic that nobody has made yet is made."""
        if self._topic is None:
            self._topic = open_topic(self._settings, create=True)
        return self._topic

    def _checked(self, topic: Topic) -> TopicCheck:
        """What asks whether the topic is still the same, for all partitions of this process."""
        if self._check is None:
            self._check = TopicCheck(topic, lambda: find_topic(self._settings), TopicWatch(self._settings))
        return self._check
