"""The Kafka edge, second half: the messages of a log, read a partition at a time.

The end of a partition is learned from a fetch or an end-of-partition event, never from ListOffsets: the embedded broker
answers the first offset of the last batch there.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from kernel.base.errors import BatteryError
from kernel.contract.poll import Poll
from kernel.edges.kafka import REPLY_SECONDS, TRANSIENT, client, client_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from confluent_kafka import Message as KafkaMessage

    from kernel.base.settings import Settings
    from kernel.edges.kafka import Topic

POLL_MESSAGES: Final = 50_000
"""Most messages of a poll: with one reading each, what a poll costs for every cell in it is shared by so many."""

POLL_ROWS: Final = 100_000
"""About how many rows a poll holds at most, where messages hold many: they are in memory twice for a moment."""

POLL_SECONDS: Final = 0.05


class OffsetGoneError(BatteryError):
    """The log no longer has an offset, or has none that far; says where."""


def open_consumer(settings: Settings, on_disturbance: Callable[[KafkaError], None] | None = None) -> Consumer:
    """A consumer for `assign`: never commits by itself, says when a partition ends, refuses a missing offset.

    Args:
        settings: where the broker is.
        on_disturbance: called, during a poll, when the connection to a broker breaks; librdkafka mends it.
    """
    return client(
        Consumer,
        client_config(settings)
        | {
            "group.id": settings.kafka_consumer_group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": 16 * 1024,
            # A full queue would rest for a second, however soon there is room again.
            "fetch.queue.backoff.ms": 10,
        }
        | ({"error_cb": on_disturbance} if on_disturbance else {}),
    )


def oldest(consumer: Consumer, topic: str, partition: int) -> TopicPartition:
    """The place of a partition's oldest message, for `assign`.

    A client that does not know yet where the partition lies finds that message half a second later, so it is made to
    ask here. It must not know before it is given an offset: then it would not ask whether the log was cut since.
    """
    with suppress(KafkaException):  # without a broker it may come later
        consumer.list_topics(topic, timeout=1)
    return TopicPartition(topic, partition, OFFSET_BEGINNING)


def poll_of(topic_id: str, partition: int, received: Sequence[KafkaMessage]) -> Poll:
    """Take what the pipeline needs out of a client's messages of one partition, which may be none.

    >>> from confluent_kafka import Message
    >>> received = [Message(topic="battery_topic", partition=0, offset=7, key=b"A1", value=b"{}", timestamp=(1, 1000))]
    >>> poll = poll_of("AaIrMDGyfbCVVRnuIo/+9g", 0, received)
    >>> poll.offsets, poll.keys, poll.timestamps_ms
    ([7], [b'A1'], [1000])

    Raises:
        BatteryError: one of them has no place in the log.
    """
    offsets = [message.offset() for message in received]
    if None in offsets:
        raise BatteryError(f"topic {received[0].topic()}: the broker delivered a message without an offset")
    return Poll(
        topic_id,
        partition,
        cast("list[int]", offsets),
        [message.timestamp()[1] for message in received],
        # What a consumer is handed is bytes; the client's types know of producers too.
        cast("list[bytes | None]", [message.key() for message in received]),
        [tuple(cast("list[tuple[str, bytes | None]]", message.headers() or [])) for message in received],
        cast("list[bytes | None]", [message.value() for message in received]),
        received[-1].leader_epoch() if received else None,
    )


def read_log(
    settings: Settings, topic: Topic, partition: int, start: int | None = None, last: int | None = None
) -> Iterator[Poll]:
    """Read one partition from `start` (None: its oldest message) to `last`, or to where it ends now.

    Raises:
        OffsetGoneError: the log no longer has `start`.
        BatteryError: the broker stopped answering.
    """
    consumer = open_consumer(settings)
    try:
        consumer.assign([_place(consumer, topic, partition, start)])
        reached = None
        while True:
            poll, end = fetch(consumer, topic, partition, start)
            if (now := passed(consumer, topic.name, partition).offset) != reached:
                reached, deadline = now, time.monotonic() + REPLY_SECONDS
            wanted = poll if last is None else poll[: bisect_right(poll.offsets, last)]
            if wanted:
                yield wanted
            if end is not None or len(wanted) < len(poll) or (wanted and wanted.offsets[-1] == last):
                return
            if time.monotonic() > deadline:
                raise BatteryError(
                    f"topic {topic.name}, partition {partition}: the broker at {settings.kafka_bootstrap_servers} "
                    f"sent nothing for {REPLY_SECONDS:.0f} s"
                )
    finally:
        consumer.close()


def _place(consumer: Consumer, topic: Topic, partition: int, start: int | None) -> TopicPartition:
    return oldest(consumer, topic.name, partition) if start is None else TopicPartition(topic.name, partition, start)


def fetch(consumer: Consumer, topic: Topic, partition: int, start: int | None) -> tuple[Poll, int | None]:
    """Some messages of the one partition that a consumer was assigned, and where it ends, if that has been reached.

    Args:
        consumer: as `open_consumer` makes it.
        topic: the log.
        partition: which of its partitions.
        start: the offset that was assigned, for the complaint.

    Raises:
        OffsetGoneError: the log has no such offset.
        BatteryError: the broker refuses for good.
    """
    received: list[KafkaMessage] = []
    end = None
    for message in consumer.consume(POLL_MESSAGES, timeout=POLL_SECONDS):
        fault = message.error()
        if fault is None:
            received.append(message)
        elif fault.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            end = message.offset()
        elif fault.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            raise OffsetGoneError(f"topic {topic.name}, partition {partition}: offset {start} is gone")
        elif not fault.retriable() and fault.code() not in TRANSIENT:
            raise BatteryError(f"topic {topic.name}, partition {partition}, offset {start}: {fault.str()}")
    poll = poll_of(topic.topic_id, partition, received)
    if end is not None and poll:
        end = max(end, poll.offsets[-1] + 1)  # more has come since
    return poll, end


def passed(consumer: Consumer, topic: str, partition: int) -> TopicPartition:
    """Up to where a consumer has received a partition, with the leader epoch there; a negative offset before it has.

    It passes over offsets that hold no message: markers of transactions and messages of aborted ones.
    """
    (place,) = consumer.position([TopicPartition(topic, partition)])
    return place


def offset_at(settings: Settings, topic: Topic, partition: int, timestamp_ms: int) -> int | None:
    """The offset of the first message whose time stamp is not before a moment; None when there is none.

    The broker's index says where to look, and the messages decide: the embedded broker's index always says 0.

    Args:
        settings: where the broker is.
        topic: the log.
        partition: which of its partitions.
        timestamp_ms: the moment, in ms since 1970 UTC.

    Raises:
        BatteryError: the broker does not answer.
    """
    consumer = open_consumer(settings)
    try:
        (indexed,) = consumer.offsets_for_times(
            [TopicPartition(topic.name, partition, timestamp_ms)], timeout=REPLY_SECONDS
        )
    except KafkaException as error:
        raise BatteryError(f"topic {topic.name}, partition {partition}: {error.args[0].str()}") from None
    finally:
        consumer.close()
    if indexed.error is not None:
        raise BatteryError(f"topic {topic.name}, partition {partition}: {indexed.error.str()}")
    if indexed.offset < 0:  # beyond the end
        return None
    for poll in read_log(settings, topic, partition, indexed.offset or None):
        for offset, stamp_ms in zip(poll.offsets, poll.timestamps_ms, strict=True):
            if stamp_ms >= timestamp_ms:
                return offset
    return None
