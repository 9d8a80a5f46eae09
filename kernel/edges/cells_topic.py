"""The compacted topic of what a lab knows of its cells: opened, read from an offset on, and written to.

Of each cell its brokers may drop all but the last message, which says everything. It has one partition where the
pipeline makes it; with more of them the messages of a cell are still in one, in their order.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException

from kernel.base.errors import BatteryError
from kernel.contract.message import headers
from kernel.contract.reading import JSON
from kernel.edges.consumer import OffsetGoneError, read_log
from kernel.edges.kafka import REPLY_SECONDS, cleanup_policy, find_topic, message_limit, open_producer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from confluent_kafka import KafkaError
    from confluent_kafka import Message as KafkaMessage

    from kernel.base.settings import Settings
    from kernel.contract.poll import Poll
    from kernel.edges.kafka import Topic

PROBE_SECONDS: Final = 1.0
"""How long a broker may take to accept a connection where nobody needs it to be there."""


def broker_is_there(settings: Settings) -> bool:
    """Whether a broker accepts connections, told in a moment: a client would wait for one that is away."""
    for server in settings.kafka_bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition("://")[2].rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), PROBE_SECONDS).close()
        except (OSError, ValueError):
            continue
        return True
    return False


def open_cells_topic(settings: Settings, *, create: bool = False) -> Topic:
    """Find the topic, and with `create` make it where it is missing; then see that its brokers keep the last messages.

    Raises:
        NoBrokerError: no broker answers.
        BatteryError: there is no such topic, or its brokers delete messages that are still needed.
    """
    own = _of_cells(settings)
    topic = find_topic(own, create=create, policy="compact")
    policy = cleanup_policy(own) if create else None
    if policy and policy != "compact":
        name, servers = topic.name, settings.kafka_bootstrap_servers
        raise BatteryError(
            f"topic {name} has cleanup.policy={policy}: its brokers would delete what is known of cells after a while; "
            f"`rpk topic alter-config {name} --set cleanup.policy=compact` mends it, or `kafka-configs.sh "
            f"--bootstrap-server {servers} --alter --entity-type topics --entity-name {name} "
            "--add-config cleanup.policy=compact`"
        )
    return topic


def read_cells(settings: Settings, topic: Topic, landed: Mapping[int, int]) -> Iterator[Poll]:
    """The messages of the topic that have not landed, a partition after the other, up to where each ends now.

    Args:
        settings: where the broker is.
        topic: the log.
        landed: the last offset of each partition that has landed.

    Raises:
        BatteryError: the broker stopped answering.
    """
    for partition in topic.partitions:
        last = landed.get(partition)
        start = None if last is None else last + 1
        try:
            yield from read_log(settings, topic, partition, start)
        except OffsetGoneError:  # it was cut by hand: what is left is all there is
            yield from read_log(settings, topic, partition)


def send_cells(settings: Settings, topic: Topic, values: Mapping[str, bytes]) -> dict[str, tuple[int, int]]:
    """Write a message for each cell, and wait until the brokers have all of them.

    Args:
        settings: where the broker is.
        topic: the log.
        values: the value of each message, by cell.

    Returns:
        Partition and offset of each message, by cell.

    Raises:
        BatteryError: a message was refused, or the broker does not answer; some may have been written.
    """
    places: dict[str, tuple[int, int]] = {}
    faults: list[KafkaError] = []

    def note(fault: KafkaError | None, message: KafkaMessage) -> None:
        key, partition, offset = message.key(), message.partition(), message.offset()
        if fault is not None:
            faults.append(fault)
        elif isinstance(key, bytes) and partition is not None and offset is not None:
            places[key.decode()] = partition, offset

    producer = open_producer(settings, message_limit(_of_cells(settings)))
    try:
        for cell_id, value in values.items():
            producer.produce(topic.name, value, cell_id.encode(), headers=headers(JSON, None), on_delivery=note)
            producer.poll(0)
        left = producer.flush(REPLY_SECONDS)
    except (KafkaException, BufferError) as error:
        raise BatteryError(f"topic {topic.name}: {error}") from None
    if faults:
        raise BatteryError(f"topic {topic.name}: {faults[0].str()}")
    if left:
        raise BatteryError(f"topic {topic.name}: the broker did not take {left} messages within {REPLY_SECONDS:.0f} s")
    return places


def _of_cells(settings: Settings) -> Settings:
    """The settings of a pipeline whose topic is the one of cells."""
    return settings.model_copy(update={"battery_topic": settings.cells_topic, "battery_topic_partitions": 1})
