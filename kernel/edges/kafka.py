"""The Kafka edge, first half: clients that are let in, the topic as its brokers know it, and a producer for it.

`kernel/edges/consumer.py` reads.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
)
from confluent_kafka.admin import (
    AdminClient,
    ConfigEntry,
    ConfigResource,
    ResourceType,
    TopicDescription,
)
from confluent_kafka.cimpl import NewTopic

from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from kernel.base.settings import Settings

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

TRANSIENT: Final = frozenset(
    {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE}  # noqa: SLF001
)
"""Errors that librdkafka mends by itself as soon as the broker is back."""


class NoBrokerError(BatteryError):
    """Nothing answers at KAFKA_BOOTSTRAP_SERVERS; says how to start a broker."""


class NoTopicError(BatteryError):
    """The broker has no such topic."""


@dataclass(frozen=True)
class Topic:
    """One log: a topic may be deleted and created again under its name, but never under its id.

    >>> Topic("battery_topic", "AaIrMDGyfbCVVRnuIo/+9g", (0, 1)) == Topic("battery_topic", "3q2+796tvu8", (0, 1))
    False
    """

    name: str
    topic_id: str
    partitions: tuple[int, ...]


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
    """Find the topic, and see that its brokers keep every message.

    Args:
        settings: where the broker is and what the topic is called.
        create: make it, with BATTERY_TOPIC_PARTITIONS partitions, when the broker has none of that name.

    Raises:
        NoBrokerError: no broker answers.
        BatteryError: it has no such topic, or refuses, or compacts it, or a setting of the connection is no good.
    """
    topic = find_topic(settings, create=create)
    _refuse_compaction(settings)
    return topic


def find_topic(settings: Settings, *, create: bool = False, policy: str = "delete") -> Topic:
    """What the topic is now: as `open_topic`, but whatever its brokers do with its messages.

    Where it is made, its `cleanup.policy` is the one given.
    """
    refusals: list[KafkaError] = []
    admin = client(AdminClient, client_config(settings) | {"error_cb": refusals.append})
    name = settings.battery_topic
    try:
        metadata = admin.list_topics(timeout=CONNECT_SECONDS)
        if name not in metadata.topics and not create:
            raise NoTopicError(
                f"the broker at {settings.kafka_bootstrap_servers} has no topic {name}; `battery produce` makes it"
            )
        if name not in metadata.topics:
            _create(settings, name, policy)
        return _administer(settings, lambda asked: _described(_describe(asked, name).result(REPLY_SECONDS)))
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
    """What to say when no broker answers; one that refused to authenticate says why."""
    where = f"KAFKA_BOOTSTRAP_SERVERS={settings.kafka_bootstrap_servers}"
    for code, remedy in _REMEDIES.items():
        for refusal in refusals:
            if refusal.code() == code:
                return NoBrokerError(f"cannot authenticate with the broker at {where}: {refusal.str()}; check {remedy}")
    return NoBrokerError(f"no broker answers at {where}; start one with `battery broker`, or name yours")


_REMEDIES: Final = {
    KafkaError._AUTHENTICATION: "KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",  # noqa: SLF001
    KafkaError._SSL: "KAFKA_SECURITY_PROTOCOL and KAFKA_SSL_CA_LOCATION",  # noqa: SLF001
}


def _create(settings: Settings, name: str, policy: str) -> None:
    partitions = settings.battery_topic_partitions
    chosen = NewTopic(name, num_partitions=partitions, config={_POLICY: policy})  # whatever the broker's default is

    def create(admin: AdminClient) -> None:
        try:
            _make(admin, chosen)
        except KafkaException as error:
            if error.args[0].code() not in {KafkaError.INVALID_CONFIG, KafkaError.POLICY_VIOLATION}:
                raise
            _make(admin, NewTopic(name, num_partitions=partitions))  # a broker that takes no such wish

    _administer(settings, create)


def _make(admin: AdminClient, topic: NewTopic) -> None:
    try:
        admin.create_topics([topic], request_timeout=ATTEMPT_SECONDS)[topic.topic].result(REPLY_SECONDS)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another client was faster
            raise


def _describe(admin: AdminClient, name: str) -> Future[TopicDescription]:
    asked: Future[TopicDescription] = admin.describe_topics(TopicCollection([name]), request_timeout=ATTEMPT_SECONDS)[
        name
    ]
    return asked


def _described(description: TopicDescription) -> Topic:
    return Topic(description.name, str(description.topic_id), tuple(sorted(part.id for part in description.partitions)))


class TopicWatch:
    """Asks what the topic is and does not wait for the answer, so that a broker which is away holds nobody up."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin: AdminClient | None = None
        self._asked: Future[TopicDescription] | None = None
        self._one_at_a_time = threading.Lock()

    def look(self) -> None:
        """Ask, unless an answer is still awaited."""
        with self._one_at_a_time:
            if self._asked is not None:
                return
            if self._admin is None:
                self._admin = client(AdminClient, client_config(self._settings))
            self._asked = _describe(self._admin, self._settings.battery_topic)

    def seen(self) -> Topic | None:
        """The answer, once; None before it is there, and where there is none."""
        with self._one_at_a_time:
            if self._asked is None or not self._asked.done():
                return None
            asked, self._asked = self._asked, None
            try:
                return _described(asked.result())
            except KafkaException:
                self._admin = None  # it may know addresses that nobody answers at any more
                return None


_AnswerT = TypeVar("_AnswerT")


def _administer(settings: Settings, ask: Callable[[AdminClient], _AnswerT]) -> _AnswerT:
    """Ask something of the brokers until one answers, each time as a client that knows nothing yet.

    A client that has learned the address of a broker which went down since waits for that one; and a broker that has
    just made a topic may not know it yet.
    """
    deadline = time.monotonic() + REPLY_SECONDS
    while True:
        admin = client(AdminClient, client_config(settings))
        try:
            return ask(admin)
        except KafkaException as error:
            code = error.args[0].code()
            may_pass = code in TRANSIENT or code in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.NOT_CONTROLLER}
            if not may_pass or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


_ClientT = TypeVar("_ClientT", AdminClient, Consumer, Producer)


def client(kind: type[_ClientT], config: dict[str, Any]) -> _ClientT:
    """A librdkafka client of the given kind.

    Raises:
        BatteryError: librdkafka refuses to make it: a setting is no good.
    """
    try:
        return kind(config, logger=_LOG)
    except KafkaException as error:
        raise BatteryError(f"KAFKA_ settings: {error.args[0].str()}") from None


def message_limit(settings: Settings) -> int:
    """How large, in bytes, the broker lets a message of the topic be, with all that is around its value.

    Raises:
        BatteryError: the broker does not answer.
    """
    try:
        config = _administer(settings, lambda admin: _topic_config(admin, settings.battery_topic))
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:  # it may be written to all the same
            return USUAL_LIMIT
        raise BatteryError(f"topic {settings.battery_topic}: {error.args[0].str()}") from None
    except TimeoutError:
        raise BatteryError(f"topic {settings.battery_topic}: the broker does not tell its max.message.bytes") from None
    limit = config.get("max.message.bytes")
    return int(limit) if limit else USUAL_LIMIT


def _refuse_compaction(settings: Settings) -> None:
    """Keys are cells: a compacted topic loses all but the last message of each, in silence.

    A broker that does not tell, or does not let us ask, may be right.
    """
    name, servers = settings.battery_topic, settings.kafka_bootstrap_servers
    policy = cleanup_policy(settings) or ""
    if "compact" in policy:
        raise BatteryError(
            f"topic {name} has {_POLICY}={policy}: its brokers would delete all but the last message of each cell; "
            f"`rpk topic alter-config {name} --set {_POLICY}=delete` mends it, or `kafka-configs.sh --bootstrap-server "
            f"{servers} --alter --entity-type topics --entity-name {name} --add-config {_POLICY}=delete`"
        )


def cleanup_policy(settings: Settings) -> str | None:
    """What the brokers do with old messages of the topic; None where they do not tell."""
    try:
        config = _topic_config(client(AdminClient, client_config(settings)), settings.battery_topic)
    except (KafkaException, TimeoutError):
        return None
    return config.get(_POLICY)


def _topic_config(admin: AdminClient, name: str) -> dict[str, str | None]:
    """The settings of the topic, by name."""
    resource = ConfigResource(ResourceType.TOPIC, name)
    answer = admin.describe_configs([resource], request_timeout=ATTEMPT_SECONDS)[resource]
    entries: dict[str, ConfigEntry] = answer.result(REPLY_SECONDS)
    return {entry: value.value for entry, value in entries.items()}


_POLICY: Final = "cleanup.policy"


def open_producer(settings: Settings, limit: int) -> Producer:
    """An idempotent producer whose partitioner agrees with the Java clients, so that a cell keeps its partition.

    Args:
        settings: where the broker is.
        limit: the topic's `message_limit`; a batch of messages keeps to it as well.
    """
    return client(
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
