"""What the tests ask of a Kafka as its administrator."""

from __future__ import annotations

import time

from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)


def alter(address: str, topic: str, **config: str) -> None:
    """Change settings of a topic."""
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in config.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    admin = AdminClient({"bootstrap.servers": address})
    admin.incremental_alter_configs([resource])[resource].result(10)


def expire(address: str, topic: str) -> None:
    """Delete all that partition 0 has now, as retention does; its offsets go on."""
    place = TopicPartition(topic, 0, OFFSET_END)
    admin = AdminClient({"bootstrap.servers": address})
    admin.delete_records([place])[place].result(30)


def wait_for_replicas(address: str, topic: str, count: int) -> None:
    """Until so many replicas of partition 0 are in sync."""
    admin = AdminClient({"bootstrap.servers": address})
    deadline = time.monotonic() + 30
    while len(admin.list_topics(topic, timeout=10).topics[topic].partitions[0].isrs) < count:
        assert time.monotonic() < deadline, f"fewer than {count} replicas are in sync"


def leader_of(address: str, topic: str) -> int:
    """The node that leads partition 0, waiting while it has none."""
    admin = AdminClient({"bootstrap.servers": address})
    deadline = time.monotonic() + 30
    while (leader := admin.list_topics(topic, timeout=10).topics[topic].partitions[0].leader) < 0:
        assert time.monotonic() < deadline, "the partition has no leader"
    return int(leader)
