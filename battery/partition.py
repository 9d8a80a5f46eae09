"""The Kafka edge, second half: the messages of a log, read a partition at a time.

The end of a partition is learned from a fetch or an end-of-partition event, never from ListOffsets: the embedded broker
answers the first offset of the last batch there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from battery.errors import BatteryError
from battery.topic import REPLY_SECONDS, TRANSIENT, client, client_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from confluent_kafka import Message as KafkaMessage

    from battery.settings import Settings
    from battery.topic import Topic

POLL_MESSAGES: Final = 10_000
POLL_SECONDS: Final = 0.05


class OffsetGoneError(BatteryError):
    """The log no longer has an offset, or has none that far; says where."""


@dataclass(frozen=True)
class Message:
    """One message as the broker keeps it.

    `timestamp_ms` is the message's Kafka time stamp, in ms since 1970 UTC; `leader_epoch` says under which leader of
    the partition it was written, where the broker tells.
    """

    topic_id: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    value: bytes | None
    leader_epoch: int | None = None


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
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": 64 * 1024,
        }
        | ({"error_cb": on_disturbance} if on_disturbance else {}),
    )


def message_of(topic_id: str, received: KafkaMessage) -> Message:
    """Take what the pipeline needs out of a client's message."""
    partition, offset = received.partition(), received.offset()
    if partition is None or offset is None:
        raise BatteryError(f"topic {received.topic()}: the broker delivered a message without partition or offset")
    _kind, timestamp_ms = received.timestamp()
    pairs = received.headers() or []
    headers = tuple(
        (name, value.encode() if isinstance(value, str) else value)
        for name, value in (pairs.items() if isinstance(pairs, dict) else pairs)
    )
    key, value = received.key(), received.value()
    return Message(
        topic_id,
        partition,
        offset,
        timestamp_ms,
        key.encode() if isinstance(key, str) else key,
        headers,
        value.encode() if isinstance(value, str) else value,
        received.leader_epoch(),
    )


def read_log(
    settings: Settings, topic: Topic, partition: int, start: int | None = None, last: int | None = None
) -> Iterator[list[Message]]:
    """Read one partition from `start` (None: its oldest message) to `last`, or to where it ends now.

    Raises:
        OffsetGoneError: the log no longer has `start`.
        BatteryError: the broker stopped answering.
    """
    consumer = open_consumer(settings)
    try:
        consumer.assign([TopicPartition(topic.name, partition, OFFSET_BEGINNING if start is None else start)])
        deadline = time.monotonic() + REPLY_SECONDS
        while True:
            messages, ended = _poll(consumer, topic, partition, start)
            wanted = [message for message in messages if last is None or message.offset <= last]
            if wanted:
                yield wanted
            if ended or len(wanted) < len(messages) or (wanted and wanted[-1].offset == last):
                return
            if messages:
                deadline = time.monotonic() + REPLY_SECONDS
            if time.monotonic() > deadline:
                raise BatteryError(
                    f"topic {topic.name}, partition {partition}: the broker at {settings.kafka_bootstrap_servers} "
                    f"sent nothing for {REPLY_SECONDS:.0f} s"
                )
    finally:
        consumer.close()


def _poll(consumer: Consumer, topic: Topic, partition: int, start: int | None) -> tuple[list[Message], bool]:
    """Some messages, and whether the end of the partition was reached."""
    messages, ended = [], False
    for received in consumer.consume(POLL_MESSAGES, timeout=POLL_SECONDS):
        fault = received.error()
        if fault is None:
            messages.append(message_of(topic.topic_id, received))
        elif fault.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            ended = True
        elif fault.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            raise OffsetGoneError(f"topic {topic.name}, partition {partition}: offset {start} is gone")
        elif not fault.retriable() and fault.code() not in TRANSIENT:
            raise BatteryError(f"topic {topic.name}, partition {partition}, offset {start}: {fault.str()}")
    return messages, ended


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
        (found,) = consumer.offsets_for_times(
            [TopicPartition(topic.name, partition, timestamp_ms)], timeout=REPLY_SECONDS
        )
    except KafkaException as error:
        raise BatteryError(f"topic {topic.name}, partition {partition}: {error.args[0].str()}") from None
    finally:
        consumer.close()
    if found.error is not None:
        raise BatteryError(f"topic {topic.name}, partition {partition}: {found.error.str()}")
    if found.offset < 0:  # beyond the end
        return None
    for messages in read_log(settings, topic, partition, found.offset or None):
        for message in messages:
            if message.timestamp_ms >= timestamp_ms:
                return message.offset
    return None


def end_offset(settings: Settings, topic: Topic, partition: int, start: int | None) -> int:
    """Where a partition ends now: the offset that its next message will get.

    Args:
        settings: where the broker is.
        topic: the log.
        partition: which of its partitions.
        start: an offset that is known to exist or to be the end; None for the oldest.

    Raises:
        BatteryError: the broker stopped answering.
    """
    consumer = open_consumer(settings)
    try:
        consumer.assign([TopicPartition(topic.name, partition, OFFSET_BEGINNING if start is None else start)])
        deadline = time.monotonic() + REPLY_SECONDS
        while time.monotonic() < deadline:
            received = consumer.poll(POLL_SECONDS)
            if received is None:
                continue
            fault = received.error()
            if fault is not None and fault.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                return received.offset() or 0
            if fault is None:  # the fetch that brought this message told the high watermark too
                _low, high = consumer.get_watermark_offsets(TopicPartition(topic.name, partition), cached=True)
                return int(high)
            if fault.code() not in TRANSIENT and not fault.retriable():
                raise BatteryError(f"topic {topic.name}, partition {partition}: {fault.str()}")
        raise BatteryError(
            f"topic {topic.name}, partition {partition}: the broker at {settings.kafka_bootstrap_servers} "
            f"sent nothing for {REPLY_SECONDS:.0f} s"
        )
    finally:
        consumer.close()
