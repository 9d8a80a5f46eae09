"""The topic of a real Kafka: a policy that would delete messages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from builders import as_json, reading
from confluent_kafka import Producer
from conftest import Pipeline
from services.kafka import alter

from battery.message import headers
from battery.reading import JSON
from battery.topic import open_topic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from services.servers import Kafka


@pytest.fixture
def pipeline(kafka: Kafka, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pipeline]:
    """A pipeline with a topic and a consumer group of its own."""
    name = re.sub(r"\W", "_", request.node.name)[:60]
    pipeline = Pipeline(tmp_path / "pipeline", kafka.port, {"BATTERY_TOPIC": name, "KAFKA_CONSUMER_GROUP": name})
    yield pipeline
    pipeline.end()


def publish(pipeline: Pipeline, points: range, partition: int) -> None:
    """Readings of a cell of its own for each partition."""
    producer = Producer({"bootstrap.servers": pipeline.settings.kafka_bootstrap_servers})
    cell = f"CELL_{partition}"
    for point in points:
        value = as_json(reading(point, cell_id=cell))
        producer.produce(pipeline.topic, value, cell.encode(), partition=partition, headers=headers(JSON, "live"))
    assert producer.flush(30) == 0


def test_a_compacted_topic_is_refused_until_the_command_that_is_named_has_mended_it(
    pipeline: Pipeline, kafka: Kafka
) -> None:
    open_topic(pipeline.settings, create=True)
    publish(pipeline, range(1, 6), 0)
    alter(kafka.address, pipeline.topic, **{"cleanup.policy": "compact"})
    refused = pipeline.battery("stream", "--until-end", code=2).strip().splitlines()
    assert len(refused) == 1
    named = re.search(r"`kafka-configs\.sh (.*?)`", refused[0])
    assert named is not None
    kafka.tool("org.apache.kafka.tools.ConfigCommand", *named[1].split())
    pipeline.battery("stream", "--until-end")
    assert "everything adds up" in pipeline.battery("verify")
