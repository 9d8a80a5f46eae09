"""The topic of a real Kafka: a policy that would delete messages, and partitions that are added under the worker."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions
from support.builders import as_json, reading
from support.harness import finish, wait_for
from support.kafka import alter
from support.pipeline import Pipeline

from kernel.contract.message import headers
from kernel.contract.reading import JSON
from kernel.edges.kafka import open_topic
from refresh.status import status
from sink.care.overview import look_at_overview

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.servers import Kafka


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


def add_partitions(pipeline: Pipeline, count: int) -> None:
    admin = AdminClient({"bootstrap.servers": pipeline.settings.kafka_bootstrap_servers})
    admin.create_partitions([NewPartitions(pipeline.topic, count)])[pipeline.topic].result(30)


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


def test_partitions_that_are_added_under_an_idle_worker_are_lag_until_it_has_started_again_and_read_them(
    pipeline: Pipeline,
) -> None:
    open_topic(pipeline.settings, create=True)
    publish(pipeline, range(1, 6), 0)
    worker = pipeline.start("stream")
    wait_for(worker, "committed")
    add_partitions(pipeline, 3)
    wait_for(worker, "has 3 partitions now, and had 1 when this run began")
    publish(pipeline, range(1, 4), 2)
    wait_for(worker, "committed")
    worker.send_signal(signal.SIGTERM)
    finish(worker, 0)
    add_partitions(pipeline, 4)
    publish(pipeline, range(1, 8), 3)
    found = status(pipeline.settings, look_at_overview(pipeline.settings))
    assert [part.lag for part in found.partitions] == [0, 0, 0, 7]
    pipeline.battery("stream", "--until-end")
    assert pipeline.query("select kafka_partition, count(*) from battery_ts_cleaned group by all order by all") == [
        (0, 5), (2, 3), (3, 7),
    ]  # fmt: skip
    assert "everything adds up" in pipeline.battery("verify")


def test_a_cluster_whose_number_no_longer_divides_the_partitions_ends_with_one_line(pipeline: Pipeline) -> None:
    pipeline.extra |= {"BATTERY_TOPIC_PARTITIONS": "2"}
    open_topic(pipeline.settings, create=True)
    for partition in (0, 1):
        publish(pipeline, range(1, 6), partition)
    cluster = pipeline.start("stream", "--workers", "2")
    wait_for(cluster, "committed")
    add_partitions(pipeline, 3)
    last = finish(cluster, 2).strip().splitlines()[-1]
    assert re.match(r"battery: --workers 2: topic \w+ has 3 partitions, .* use --workers 1 or 3", last)
    pipeline.battery("stream", "--until-end", "--workers", "3")
    assert "everything adds up" in pipeline.battery("verify")
