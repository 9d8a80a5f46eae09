"""The Kafka edge: one place that knows librdkafka, for producer, source and verification alike.

The end of a partition is learned from a fetch or an end-of-partition event, never from ListOffsets:
the embedded broker answers the first offset of the last batch there.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # two are missing from its __all__
    AdminClient,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from battery.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from confluent_kafka import Message as KafkaMessage

    from battery.settings import Settings

MESSAGE_BYTES: Final = 1_000_000
"""Most bytes of the value of a message that the pipeline makes."""

USUAL_LIMIT: Final = 1_048_588
"""A topic's `max.message.bytes` where its broker does not tell: Kafka's and Redpanda's own."""

AROUND_BYTES: Final = 4_096
"""What a message takes besides its value: the batch around it, its key and its headers. The broker's limit is on all
of that."""

_LOG: Final = logging.getLogger("battery.librdkafka")
"""librdkafka tells of every refused connection; what matters reaches the caller as an error."""
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False

CONNECT_SECONDS: Final = 5.0
ATTEMPT_SECONDS: Final = 5.0
REPLY_SECONDS: Final = 30.0
POLL_MESSAGES: Final = 10_000
POLL_SECONDS: Final = 0.05


class NoBrokerError(BatteryError):
    """Nothing answers at KAFKA_BOOTSTRAP_SERVERS; says how to start a broker."""


class OffsetGoneError(BatteryError):
    """The log no longer has an offset, or has none that far; says where."""


@dataclass(frozen=True)
class Topic:
    """One log: a name may be deleted and created again, its id never comes back."""

    name: str
    topic_id: str
    partitions: tuple[int, ...]


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


def client_config(settings: Settings) -> dict[str, str | int | float | bool]:
    """The librdkafka properties that every client of this pipeline shares."""
    config: dict[str, str | int | float | bool] = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "security.protocol": settings.kafka_security_protocol,
        "client.id": "battery",
    }
    if settings.kafka_sasl_mechanism:
        config["sasl.mechanism"] = settings.kafka_sasl_mechanism
    if settings.kafka_sasl_username:
        config["sasl.username"] = settings.kafka_sasl_username
    if settings.kafka_sasl_password:
        config["sasl.password"] = settings.kafka_sasl_password.get_secret_value()
    if settings.kafka_ssl_ca_location:
        config["ssl.ca.location"] = str(settings.kafka_ssl_ca_location)
    return config


def open_topic(settings: Settings, *, create: bool = False) -> Topic:
    """Find the topic.

    Args:
        settings: where the broker is and what the topic is called.
        create: make it, with BATTERY_TOPIC_PARTITIONS partitions, when the broker has none of that name.

    Raises:
        NoBrokerError: no broker answers.
        BatteryError: it has no such topic, or refuses, or a setting of the connection is no good.
    """
    refusals: list[KafkaError] = []
    admin = _client(AdminClient, client_config(settings) | {"error_cb": refusals.append})
    name = settings.battery_topic
    try:
        metadata = admin.list_topics(timeout=CONNECT_SECONDS)
        if name not in metadata.topics and not create:
            raise BatteryError(
                f"the broker at {settings.kafka_bootstrap_servers} has no topic {name}; `battery produce` makes it"
            )
        if name not in metadata.topics:
            _create(settings, name)
        return _describe(settings, name)
    except (KafkaException, TimeoutError) as error:
        admin.poll(0)  # delivers what the connections failed of
        silent = _no_broker(settings, refusals)
        if isinstance(error, TimeoutError):
            raise silent from None
        fault = error.args[0]
        if fault.code() in {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT}:  # noqa: SLF001
            raise silent from None
        raise BatteryError(f"topic {name} at {settings.kafka_bootstrap_servers}: {fault.str()}") from None


def _no_broker(settings: Settings, refusals: Sequence[KafkaError]) -> NoBrokerError:
    """What to say when no broker answers: one that does not let us in says why."""
    where = f"KAFKA_BOOTSTRAP_SERVERS={settings.kafka_bootstrap_servers}"
    for code, remedy in _REMEDIES.items():
        for refusal in refusals:
            if refusal.code() == code:
                return NoBrokerError(f"no broker lets us in at {where}: {refusal.str()}; check {remedy}")
    return NoBrokerError(f"no broker answers at {where}; start one with `battery broker`, or name yours")


_REMEDIES: Final = {
    KafkaError._AUTHENTICATION: "KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",  # noqa: SLF001
    KafkaError._SSL: "KAFKA_SECURITY_PROTOCOL and KAFKA_SSL_CA_LOCATION",  # noqa: SLF001
}


def _create(settings: Settings, name: str) -> None:
    def create(admin: AdminClient) -> None:
        new = NewTopic(name, num_partitions=settings.battery_topic_partitions)
        try:
            admin.create_topics([new], request_timeout=ATTEMPT_SECONDS)[name].result(REPLY_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another client was faster
                raise

    _administer(settings, create)


def _describe(settings: Settings, name: str) -> Topic:
    def describe(admin: AdminClient) -> Topic:
        described = admin.describe_topics(TopicCollection([name]), request_timeout=ATTEMPT_SECONDS)
        found = described[name].result(REPLY_SECONDS)
        return Topic(name, str(found.topic_id), tuple(sorted(part.id for part in found.partitions)))

    return _administer(settings, describe)


_AnswerT = TypeVar("_AnswerT")


def _administer(settings: Settings, ask: Callable[[AdminClient], _AnswerT]) -> _AnswerT:
    """Ask something of the brokers until one answers, each time as a client that knows nothing yet.

    A client that has learned the address of a broker which went down since waits for that one; and a broker that has
    just made a topic may not know it yet.
    """
    deadline = time.monotonic() + REPLY_SECONDS
    while True:
        admin = _client(AdminClient, client_config(settings))
        try:
            return ask(admin)
        except KafkaException as error:
            code = error.args[0].code()
            may_pass = code in TRANSIENT or code in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.NOT_CONTROLLER}
            if not may_pass or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


_ClientT = TypeVar("_ClientT", AdminClient, Consumer, Producer)


def _client(kind: type[_ClientT], config: dict[str, Any]) -> _ClientT:
    """A librdkafka client; one that it refuses to make has a bad setting."""
    try:
        return kind(config, logger=_LOG)
    except KafkaException as error:
        raise BatteryError(f"KAFKA_ settings: {error.args[0].str()}") from None


def message_limit(settings: Settings) -> int:
    """How large, in bytes, the broker lets a message of the topic be, with all that is around its value.

    Raises:
        BatteryError: the broker does not answer.
    """
    resource = ConfigResource(ResourceType.TOPIC, settings.battery_topic)

    def describe(admin: AdminClient) -> dict[str, ConfigEntry]:
        told = admin.describe_configs([resource], request_timeout=ATTEMPT_SECONDS)[resource]
        found: dict[str, ConfigEntry] = told.result(REPLY_SECONDS)
        return found

    try:
        told = _administer(settings, describe)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:  # it may be written to all the same
            return USUAL_LIMIT
        raise BatteryError(f"topic {settings.battery_topic}: {error.args[0].str()}") from None
    except TimeoutError:
        raise BatteryError(f"topic {settings.battery_topic}: the broker does not tell its max.message.bytes") from None
    limit = told.get("max.message.bytes")
    return int(limit.value) if limit and limit.value else USUAL_LIMIT


def open_producer(settings: Settings, limit: int) -> Producer:
    """An idempotent producer whose partitioner agrees with the Java clients, so that a cell keeps its partition.

    Args:
        settings: where the broker is.
        limit: the topic's `message_limit`; a batch of messages keeps to it as well.
    """
    return _client(
        Producer,
        client_config(settings)
        | {
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "message.max.bytes": limit,
            "batch.size": min(MESSAGE_BYTES, limit),
            "queue.buffering.max.kbytes": 64 * 1024,
            "linger.ms": 20,
        },
    )


def open_consumer(settings: Settings, on_disturbance: Callable[[KafkaError], None] | None = None) -> Consumer:
    """A consumer for `assign`: never commits by itself, says when a partition ends, refuses a missing offset.

    Args:
        settings: where the broker is.
        on_disturbance: called, during a poll, when the connection to a broker breaks; librdkafka mends it.
    """
    return _client(
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


TRANSIENT: Final = frozenset(
    {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE}  # noqa: SLF001
)
"""Errors that librdkafka mends by itself as soon as the broker is back."""


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
