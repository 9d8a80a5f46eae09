"""Offsets of a partition: where its log begins, how much waits in it, and which offsets hold no message.

An offset is not a message: the markers that end transactions, and messages of transactions that were aborted, take
offsets and are never delivered. So lag is what a consumer has still to pass over, and not a difference of two offsets.
Once such offsets have expired, the log does not show whether they held messages; the worker that passed over them
remembers them (`Stretch`), in the recovery store and with the offset of the consumer group.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException, TopicPartition

from kernel.base.errors import BatteryError
from kernel.edges.consumer import OffsetGoneError, fetch, oldest, open_consumer
from kernel.edges.kafka import REPLY_SECONDS, NoBrokerError

if TYPE_CHECKING:
    from confluent_kafka import Consumer

    from kernel.base.settings import Settings
    from kernel.edges.kafka import Topic

COUNTED_BYTES: Final = 8 * 1024**2
"""So many bytes of what waits are counted message by message; the rest is counted by offsets."""

AROUND_MESSAGE: Final = 100
"""Bytes that a message counts in addition to its value."""


@dataclass(frozen=True)
class Stretch:
    """Offsets of a partition, from `first` up to and without `end`.

    >>> Stretch(3, 5).behind(4), Stretch(3, 5).behind(5)
    (5, 5)
    """

    first: int
    end: int

    def behind(self, offset: int) -> int:
        """The first offset from the given one on that is outside of the stretch."""
        return self.end if self.first <= offset < self.end else offset


@dataclass(frozen=True)
class Passed:
    """Offsets that were passed over without a message: from `after`, behind the last message, to the next one to read.

    The offsets of `empty`, the last part, held no message. Those before them were given up.
    """

    after: int
    empty: Stretch

    @property
    def all(self) -> Stretch:
        """All of it."""
        return Stretch(self.after, self.empty.end)


@dataclass(frozen=True)
class Waiting:
    """What a partition holds from an offset on: `messages` messages before its `end`, the first of them at `first`.

    Where there are none, `first` is the end. `gone` offsets of those asked for are no longer in the log, may have held
    messages, and were not given up. `unreadable` offsets follow the end: they belong to an open transaction, or stand
    behind one.
    """

    first: int
    end: int
    messages: int
    gone: int = 0
    unreadable: int = 0


def waiting(settings: Settings, topic: Topic, partition: int, start: int | None) -> Waiting:
    """Look what a partition holds, which reads `COUNTED_BYTES` of it at most.

    Args:
        settings: where the broker is.
        topic: the log.
        partition: which of its partitions.
        start: the offset to count from; None for the oldest.

    Raises:
        BatteryError: the broker stopped answering.
    """
    consumer = open_consumer(settings)
    place = TopicPartition(topic.name, partition)
    first, reached, messages, size, gone = None, 0, 0, 0, 0
    try:
        consumer.assign([oldest(consumer, topic.name, partition) if start is None else _at(place, start)])
        deadline = time.monotonic() + REPLY_SECONDS
        while time.monotonic() < deadline:
            try:
                poll, end = fetch(consumer, topic, partition, start)
            except OffsetGoneError:
                lost = missing(consumer, topic, partition, start or 0, or_given_up=True)
                gone = lost.end - lost.first if lost else 0
                consumer.assign([oldest(consumer, topic.name, partition)])
                continue
            if poll:
                first = poll.offsets[0] if first is None else first
                reached = poll.offsets[-1] + 1
                messages += len(poll)
                size += sum(len(value or b"") + AROUND_MESSAGE for value in poll.values)
            _low, high = consumer.get_watermark_offsets(place, cached=True)
            if end is not None:
                return Waiting(end if first is None else first, end, messages, gone, _unreadable(consumer, place, end))
            if first is not None and size > COUNTED_BYTES:
                return Waiting(first, high, messages + max(0, high - reached), gone)
        raise BatteryError(
            f"topic {topic.name}, partition {partition}: the broker at {settings.kafka_bootstrap_servers} "
            f"sent nothing for {REPLY_SECONDS:.0f} s"
        )
    finally:
        consumer.close()


def _at(place: TopicPartition, offset: int) -> TopicPartition:
    return TopicPartition(place.topic, place.partition, offset)


def _unreadable(consumer: Consumer, place: TopicPartition, end: int) -> int:
    """How many offsets follow the end that nobody may read yet.

    What was written since that end was told is none of them, so the broker is asked again where reading ends. The
    embedded broker answers wrongly, before the end that it has told, and has no transactions to wait for.
    """
    _low, high = consumer.get_watermark_offsets(place, cached=True)
    if high <= end:
        return 0
    try:
        _low, now = consumer.get_watermark_offsets(place, timeout=REPLY_SECONDS)
    except KafkaException:
        return 0
    return max(0, high - now) if now >= end else 0


def oldest_offset(consumer: Consumer, topic: str, partition: int) -> int:
    """The offset that a partition's log begins with, whether a message stands there or not.

    Raises:
        NoBrokerError: the broker does not answer.
    """
    try:
        low, _high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=REPLY_SECONDS)
    except KafkaException as error:
        raise NoBrokerError(
            f"topic {topic}, partition {partition}: the broker does not tell where the log begins: "
            f"{error.args[0].str()}"
        ) from None
    return int(low)


def missing(consumer: Consumer, topic: Topic, partition: int, due: int, *, or_given_up: bool = False) -> Stretch | None:
    """The offsets from `due` on that the log no longer has and that may have held messages; None where there are none.

    With `or_given_up`, without those that a worker was told to give up.

    Raises:
        NoBrokerError: the broker does not answer.
    """
    oldest = oldest_offset(consumer, topic.name, partition)
    if oldest > due and (passed := reported(consumer, topic, partition)):
        due = (passed.all if or_given_up else passed.empty).behind(due)
    return Stretch(due, oldest) if oldest > due else None


def log_start(settings: Settings, topic: Topic, partition: int) -> int:
    """As `oldest_offset`, for somebody without a consumer."""
    consumer = open_consumer(settings)
    try:
        return oldest_offset(consumer, topic.name, partition)
    finally:
        consumer.close()


def report(consumer: Consumer, topic: Topic, partition: int, passed: Passed) -> None:
    """Tell the consumer group up to where a partition has been read, and what was passed over just before that.

    That no message stands there is a fact of the log, whoever has seen it; so its id goes with it. It is sent and not
    waited for.

    Raises:
        KafkaException: the client cannot send it.
    """
    metadata = f"{topic.topic_id}:{passed.after}:{passed.empty.first}"
    place = TopicPartition(topic.name, partition, passed.empty.end, metadata=metadata)
    consumer.commit(offsets=[place], asynchronous=True)


def reported(consumer: Consumer, topic: Topic, partition: int) -> Passed | None:
    """What `report` has told the group last; None where nothing was told, or of another log, or nobody answers."""
    try:
        (committed,) = consumer.committed([TopicPartition(topic.name, partition)], timeout=REPLY_SECONDS)
    except KafkaException:
        return None
    topic_id, *offsets = (committed.metadata or "").split(":")
    if committed.error is not None or topic_id != topic.topic_id:
        return None
    if len(offsets) != _OFFSETS or not all(offset.isdecimal() for offset in offsets):
        return None
    after, first = map(int, offsets)
    return Passed(after, Stretch(first, committed.offset))


_OFFSETS: Final = 2
"""How many stand in the metadata."""
