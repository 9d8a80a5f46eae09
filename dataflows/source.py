"""The topic source: one partition, one reader, one item a poll.

Bytewax's own Kafka source emits an item a message, follows a topic by its name and jumps when an offset is gone.
This one hands over a whole poll at once, knows the log by its id, refuses to jump, and tells the consumer group
where it stands so that ordinary lag tools work.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from battery.errors import BatteryError
from battery.topic import POLL_MESSAGES, TRANSIENT, Message, Topic, message_of, open_consumer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from battery.settings import Settings

_log = structlog.get_logger()

IDLE: Final = timedelta(milliseconds=20)
"""Pause after an empty poll."""

BUSY_POLL_SECONDS: Final = 0.05
"""How long a poll may gather messages."""


@dataclass(frozen=True)
class Position:
    """Where a partition continues: the next offset to read of the log `topic_id`, None for its first message."""

    topic_id: str
    next_offset: int | None


class PartitionReader(StatefulSourcePartition[list[Message], Position]):
    """Reads one partition from a position on."""

    def __init__(
        self, settings: Settings, topic: Topic, partition: int, start: int | None, stopping: Callable[[], bool]
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._until_end = settings.stream_until_end
        self._stopping = stopping
        self._next = start
        self._committable = start
        self._idle = False
        self._ended = False
        self._consumer = open_consumer(settings)
        self._consumer.assign(
            [TopicPartition(topic.name, partition, OFFSET_BEGINNING if start is None else start)],
        )

    def next_batch(self) -> list[list[Message]]:
        """One item with all messages that a poll brings, none when there are none.

        Raises:
            StopIteration: asked to stop, or the end was reached and that is where to stop.
            BatteryError: the offset to read is gone, or the broker failed for good.
        """
        if self._stopping() or (self._until_end and self._ended):
            raise StopIteration
        messages: list[Message] = []
        for received in self._consumer.consume(POLL_MESSAGES, timeout=BUSY_POLL_SECONDS):
            fault = received.error()
            if fault is None:
                messages.append(message_of(self._topic.topic_id, received))
                self._ended = False
            else:
                self._judge(fault)
        if messages:
            self._next = messages[-1].offset + 1
        self._idle = not messages
        return [messages] if messages else []

    def next_awake(self) -> datetime | None:
        """Rest a moment when nothing came."""
        return datetime.now(UTC) + IDLE if self._idle and not self._ended else None

    def snapshot(self) -> Position:
        """Where to continue; tells the consumer group what the epoch before this one has committed for certain."""
        if self._committable is not None:
            self._report(self._committable)
        self._committable = self._next
        return Position(self._topic.topic_id, self._next)

    def close(self) -> None:
        """Tell the group the last position too: nothing starts from there, it is for lag tools."""
        if self._next is not None:
            self._report(self._next)
        self._consumer.close()

    def _judge(self, fault: KafkaError) -> None:
        if fault.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            self._ended = True
        elif fault.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            raise BatteryError(
                f"topic {self._topic.name}, partition {self._partition}: offset {self._next} is gone (retention?), "
                "readings would be lost; let the topic keep its messages longer and publish the missing files again "
                "with `battery produce --again`, then remove RECOVERY_DIR to continue from the oldest message"
            )
        elif fault.code() in TRANSIENT or fault.retriable():
            _log.warning("the broker does not answer, waiting for it", partition=self._partition, error=fault.str())
        else:
            raise BatteryError(f"topic {self._topic.name}, partition {self._partition}: {fault.str()}")

    def _report(self, offset: int) -> None:
        try:
            self._consumer.commit(
                offsets=[TopicPartition(self._topic.name, self._partition, offset)], asynchronous=True
            )
        except KafkaException as error:  # lag tools lose sight for a while; the landing does not depend on it
            _log.warning("could not tell the consumer group", partition=self._partition, error=str(error))


class TopicSource(FixedPartitionedSource[list[Message], Position]):
    """All partitions of the topic, each from where the pipeline left it."""

    def __init__(
        self,
        settings: Settings,
        open_topic: Callable[[], Topic],
        committed: Callable[[], Mapping[tuple[str, int], int]],
        stopping: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._open_topic = open_topic
        self._committed = committed
        self._stopping = stopping

    def list_parts(self) -> list[str]:
        """One part a partition."""
        return [str(partition) for partition in self._open_topic().partitions]

    def build_part(self, step_id: str, for_part: str, resume_state: Position | None) -> PartitionReader:  # noqa: ARG002
        """Continue at the recovered offset of this very log; a log never seen is read from its first message.

        Raises:
            BatteryError: the recovery store is ahead of the warehouse, so reading on would lose readings.
        """
        topic, partition = self._open_topic(), int(for_part)
        if resume_state is not None and resume_state.topic_id != topic.topic_id:
            _log.info("the topic is a new log, reading it from the start", topic=topic.name, topic_id=topic.topic_id)
            resume_state = None
        start = None if resume_state is None else resume_state.next_offset
        committed = self._committed().get((topic.topic_id, partition), -1)
        if start is not None and start > committed + 1:
            raise BatteryError(
                f"topic {topic.name}, partition {partition}: RECOVERY_DIR={self._settings.recovery_dir} continues at "
                f"offset {start}, but WAREHOUSE={self._settings.warehouse} holds nothing after offset {committed}; "
                "bring that warehouse back, or remove RECOVERY_DIR to read the log again from its start"
            )
        _log.info("reading", topic=topic.name, partition=partition, start="beginning" if start is None else start)
        return PartitionReader(self._settings, topic, partition, start, self._stopping)
