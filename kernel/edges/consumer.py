"""The Kafka edge, second half: the messages of a log, read a partition at a time.

The end of a partition is learned from a fetch or an end-of-partition event, never from ListOffsets: the embedded broker
answers the first offset of the last batch there.
"""

from __future__ import annotations

import time
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Final, cast, overload

import msgspec
import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from kernel.base.errors import BatteryError
from kernel.contract.reading import TEXT_BYTES
from kernel.contract.weight import OBJECT, weigh
from kernel.edges.kafka import REPLY_SECONDS, TRANSIENT, client, client_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt
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


class Message(msgspec.Struct, frozen=True, gc=False):
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


@dataclass(frozen=True)
class Poll(Sequence[Message]):
    """Messages of one partition of a log in the order of their offsets, a column a list: there may be one a reading.

    Columns are as in `Message`; `leader_epoch` is that of the last one.
    """

    topic_id: str
    partition: int
    offsets: list[int]
    timestamps_ms: list[int]
    keys: list[bytes | None]
    headers: list[tuple[tuple[str, bytes | None], ...]]
    values: list[bytes | None]
    leader_epoch: int | None = None

    @classmethod
    def of(cls, messages: Sequence[Message]) -> Poll:
        """Put messages of one partition together, at least one."""
        return cls(
            messages[0].topic_id,
            messages[0].partition,
            [message.offset for message in messages],
            [message.timestamp_ms for message in messages],
            [message.key for message in messages],
            [message.headers for message in messages],
            [message.value for message in messages],
            messages[-1].leader_epoch,
        )

    def __len__(self) -> int:
        return len(self.offsets)

    @overload
    def __getitem__(self, place: int) -> Message: ...
    @overload
    def __getitem__(self, place: slice) -> Poll: ...
    def __getitem__(self, place: int | slice) -> Message | Poll:
        if isinstance(place, slice):
            return replace(
                self,
                offsets=self.offsets[place],
                timestamps_ms=self.timestamps_ms[place],
                keys=self.keys[place],
                headers=self.headers[place],
                values=self.values[place],
            )
        return Message(
            self.topic_id,
            self.partition,
            self.offsets[place],
            self.timestamps_ms[place],
            self.keys[place],
            self.headers[place],
            self.values[place],
            self.leader_epoch,
        )

    def take(self, places: Sequence[int]) -> Poll:
        """Some of the messages."""
        return Poll(
            self.topic_id,
            self.partition,
            [self.offsets[place] for place in places],
            [self.timestamps_ms[place] for place in places],
            [self.keys[place] for place in places],
            [self.headers[place] for place in places],
            [self.values[place] for place in places],
            self.leader_epoch,
        )

    def by_group(self, groups: int) -> list[tuple[str, Poll]]:
        """Share the messages out among groups of cells, by their keys; a cell is always of the same one."""
        if groups == 1:
            return [("0", self)]
        # By what a key says: bytes that are no text may say the same.
        group_of = {key: zlib.crc32(text_of(key).encode()) % groups for key in set(self.keys)}
        found: dict[int, list[int]] = {}
        for place, key in enumerate(self.keys):
            found.setdefault(group_of[key], []).append(place)
        return [(str(group), self.take(places)) for group, places in found.items()]

    @cached_property
    def weights(self) -> npt.NDArray[np.int64]:
        """About how many readings each message counts as (`kernel.contract.weight.weigh`); most are a JSON object of one."""
        found = np.ones(len(self), dtype=np.int64)
        others = [
            place
            for place, value in enumerate(self.values)
            if value and (value[0] != OBJECT or len(value) >= _SEVERAL_BYTES)
        ]
        for place in others:
            found[place] = weigh(self.values[place])
        return found

    def pieces(self, most_rows: int) -> list[Poll]:
        """Cut it where it comes to hold more than about so many rows: a message may be a reading, or many thousands."""
        rows = self.weights
        piece = (np.cumsum(rows) - rows) // most_rows
        cuts = np.flatnonzero(np.diff(piece)) + 1
        if len(cuts) == 0:
            return [self]
        return [self[start:end] for start, end in pairwise([0, *cuts.tolist(), len(self)])]


def text_of(key: bytes | None) -> str:
    """The cell that a message's key names, empty where there is no key; a REST proxy sends a key as JSON text.

    No cell's id is longer than `TEXT_BYTES`, so a key is cut to that: each one that comes is remembered.
    """
    text = (key or b"")[: 2 * TEXT_BYTES].decode(errors="replace")
    if text.startswith('"'):
        with suppress(msgspec.DecodeError):
            text = msgspec.json.decode(text, type=str)
    return text[:TEXT_BYTES]


_SEVERAL_BYTES: Final = 1_200
"""What a JSON object takes that is longer than a reading."""


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

    Raises:
        BatteryError: one of them has no place in the log.
    """
    offsets = [found.offset() for found in received]
    if None in offsets:
        raise BatteryError(f"topic {received[0].topic()}: the broker delivered a message without an offset")
    return Poll(
        topic_id,
        partition,
        cast("list[int]", offsets),
        [found.timestamp()[1] for found in received],
        # What a consumer is handed is bytes; the client's types know of producers too.
        cast("list[bytes | None]", [found.key() for found in received]),
        [tuple(cast("list[tuple[str, bytes | None]]", found.headers() or [])) for found in received],
        cast("list[bytes | None]", [found.value() for found in received]),
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
    for found in consumer.consume(POLL_MESSAGES, timeout=POLL_SECONDS):
        fault = found.error()
        if fault is None:
            received.append(found)
        elif fault.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            end = found.offset()
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
    for poll in read_log(settings, topic, partition, found.offset or None):
        for offset, stamp_ms in zip(poll.offsets, poll.timestamps_ms, strict=True):
            if stamp_ms >= timestamp_ms:
                return offset
    return None
