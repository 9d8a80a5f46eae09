"""Messages as a real broker takes and gives them: compressed by any codec, as large as may be, and too large."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from support.builders import as_json, reading

from kernel.contract.message import headers
from kernel.contract.reading import JSON
from kernel.edges.consumer import read_log
from kernel.edges.kafka import open_topic
from producer.simulate import simulate_cell

if TYPE_CHECKING:
    from support.pipeline import Pipeline

USUAL_LIMIT = 1_048_588


def make_topic(pipeline: Pipeline, **config: str) -> None:
    """The pipeline's topic, made by an administrator who has wishes."""
    admin = AdminClient({"bootstrap.servers": pipeline.settings.kafka_bootstrap_servers})
    admin.create_topics([NewTopic(pipeline.topic, num_partitions=1, config=config)])[pipeline.topic].result(30)


def readings_as_json(count: int, first: int = 1) -> bytes:
    """An array of that many readings of one test, as a gateway sends it."""
    return as_json([reading(point) for point in range(first, first + count)])


def send(pipeline: Pipeline, value: bytes, **config: Any) -> None:
    """Publish one message as a foreign gateway does; the broker must take it."""
    refused: list[Any] = []
    producer = Producer(
        {"bootstrap.servers": pipeline.settings.kafka_bootstrap_servers, "message.max.bytes": 100_000_000, **config}
    )
    producer.produce(
        pipeline.topic,
        value=value,
        key=b"CELL_1",
        headers=headers(JSON, "live"),
        on_delivery=lambda error, _: refused.append(error) if error else None,
    )
    assert producer.flush(30) == 0
    assert refused == []


def test_every_codec_is_read(pipeline: Pipeline) -> None:
    open_topic(pipeline.settings, create=True)
    for number, codec in enumerate(["none", "gzip", "snappy", "lz4", "zstd"]):
        send(pipeline, readings_as_json(500, first=1 + 500 * number), **{"compression.type": codec})
    pipeline.battery("stream", "--until-end")
    assert pipeline.query("select count(*) from battery_ts_cleaned") == [(2500,)]


@pytest.mark.parametrize(("limit", "compression"), [(USUAL_LIMIT, "zstd"), (8_000_000, "none")])
def test_a_message_as_large_as_the_broker_lets_it_be_lands_and_can_be_read_again(
    pipeline: Pipeline, limit: int, compression: str
) -> None:
    make_topic(pipeline, **{"max.message.bytes": str(limit)})
    count = 19_000
    value = readings_as_json(count)
    assert 7_000_000 < len(value) < 8_000_000
    send(pipeline, value, **{"compression.type": compression})
    pipeline.battery("stream", "--until-end")
    pipeline.battery("verify")
    assert pipeline.query("select count(*) from battery_ts_cleaned") == [(count,)]
    assert "identical" in pipeline.battery("replay", "--from-beginning")


@pytest.mark.parametrize("encoding", ["arrow", "json"])
def test_the_producer_keeps_to_a_topic_that_takes_small_messages_only(pipeline: Pipeline, encoding: str) -> None:
    limit = 20_000
    make_topic(pipeline, **{"max.message.bytes": str(limit)})
    workbooks = pipeline.folder / "workbooks"
    workbooks.mkdir(parents=True)
    simulate_cell(workbooks, "SMALL", cycles=3, cycles_per_file=3)
    pipeline.battery("produce", "--format", encoding, str(workbooks))
    topic = open_topic(pipeline.settings)
    sizes = [len(message.value or b"") for poll in read_log(pipeline.settings, topic, 0) for message in poll]
    assert max(sizes) <= limit
    assert len(sizes) > 4
    pipeline.battery("stream", "--until-end")
    ((rows, tests),) = pipeline.query("select count(*), count(distinct test_id) from battery_ts_cleaned")
    assert (rows > 500, tests) == (True, 1)
    # All that was refused is the second export of the last test: nothing is missing or out of order.
    assert pipeline.query("select reason, sum(row_count) from battery_quarantine group by reason") == [
        ("duplicate", rows)
    ]


def test_a_topic_too_small_for_a_single_reading_is_one_line(pipeline: Pipeline) -> None:
    make_topic(pipeline, **{"max.message.bytes": "5000"})
    workbooks = pipeline.folder / "workbooks"
    workbooks.mkdir(parents=True)
    simulate_cell(workbooks, f"TINY_{uuid4().hex[:4]}", cycles=2, cycles_per_file=2)
    said = pipeline.battery("produce", str(workbooks), code=2).strip().splitlines()[-1]
    assert "takes 5000 bytes a message (max.message.bytes), too few: one reading takes" in said
