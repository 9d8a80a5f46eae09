"""Transactions: markers and aborted messages take offsets and are no messages, so they are neither lag nor lost."""

from __future__ import annotations

import shutil
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from support.builders import CELL, as_json, reading
from support.harness import finish, wait_for
from support.kafka import expire
from support.pipeline import Pipeline

from dataflows.replay.replay import replay
from dataflows.replay.report import Outcome
from dataflows.replay.start import Start
from kernel.contract.message import headers
from kernel.contract.reading import JSON
from kernel.edges.kafka import open_topic
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from refresh.status import PartitionStatus, status
from sink.care.overview import look_at_overview
from sink.care.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.servers import Kafka

    from sink.care.verify import Check

ABORTED_V = 4.9
"""The voltage of readings that nobody may see."""


@dataclass
class Transactions:
    """A producer that publishes readings of one test in transactions, each ending with a marker in the log."""

    pipeline: Pipeline
    producer: Producer = field(init=False)

    def __post_init__(self) -> None:
        servers = self.pipeline.settings.kafka_bootstrap_servers
        self.producer = Producer({"bootstrap.servers": servers, "transactional.id": uuid4().hex, "log_level": 2})
        self.producer.init_transactions(30)

    def begin(self, points: range, **columns: Any) -> None:
        self.producer.begin_transaction()
        for point in points:
            self.producer.produce(
                self.pipeline.topic, as_json(reading(point, **columns)), CELL.encode(), headers=headers(JSON, "live")
            )
        assert self.producer.flush(30) == 0

    def commit(self, points: range) -> None:
        self.begin(points)
        self.producer.commit_transaction(30)

    def abort(self, points: range) -> None:
        self.begin(points, **{"voltage(v)": ABORTED_V})
        self.producer.abort_transaction(30)


@pytest.fixture
def pipeline(kafka: Kafka, tmp_path: Path) -> Iterator[Pipeline]:
    """A pipeline with a topic and a consumer group of its own."""
    name = uuid4().hex[:12]
    names = {"BATTERY_TOPIC": f"battery-{name}", "KAFKA_CONSUMER_GROUP": name}
    pipeline = Pipeline(tmp_path / "pipeline", kafka.port, names)
    open_topic(pipeline.settings, create=True)
    yield pipeline
    pipeline.end()


@pytest.fixture
def transactions(pipeline: Pipeline) -> Transactions:
    """A log of 20 messages that counts 55 offsets: aborted, committed, aborted, committed, aborted."""
    found = Transactions(pipeline)
    found.abort(range(1, 11))
    found.commit(range(1, 11))
    found.abort(range(11, 21))
    found.commit(range(11, 21))
    found.abort(range(21, 31))
    return found


def partition(pipeline: Pipeline) -> PartitionStatus:
    """Where partition 0 stands."""
    (found,) = status(pipeline.settings, look_at_overview(pipeline.settings)).partitions
    return found


def checks(pipeline: Pipeline) -> dict[str, Check]:
    """What `battery verify` finds, by name."""
    settings = pipeline.settings
    return {found.name: found for found in verify(settings, open_store(settings), open_warehouse(settings))}


def landed(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    """How many readings, their last data point and their highest voltage."""
    return pipeline.query('select count(*), max(data_point), max("voltage(v)") from battery_ts_cleaned')


def require_all_landed(pipeline: Pipeline) -> None:
    at = partition(pipeline)
    assert (at.lag, at.gone, at.committed) == (0, 0, at.end)
    assert [found for found in checks(pipeline).values() if not found.ok] == []


def test_offsets_without_a_message_are_no_lag_and_no_warning(pipeline: Pipeline, transactions: Transactions) -> None:
    assert "no longer holds" not in pipeline.battery("stream", "--until-end")
    require_all_landed(pipeline)
    assert checks(pipeline)["log"].detail.startswith("20 rows in 20 messages")
    transactions.commit(range(21, 26))
    transactions.abort(range(26, 31))
    transactions.commit(range(26, 31))
    transactions.abort(range(31, 41))
    assert partition(pipeline).lag == 10
    assert checks(pipeline)["lag"].detail.startswith("10 messages not landed yet")
    pipeline.battery("stream", "--until-end")
    require_all_landed(pipeline)
    assert landed(pipeline) == [(30, 30, 3.7)]


def test_a_replay_of_transactions_is_identical_wherever_it_begins(
    pipeline: Pipeline, transactions: Transactions
) -> None:
    pipeline.battery("stream", "--until-end")
    transactions.commit(range(21, 31))
    pipeline.battery("stream", "--until-end")
    marker, aborted = 21, 25
    for start in (Start(beginning=True), Start(offsets={0: marker}), Start(offsets={0: aborted})):
        assert replay(pipeline.settings, start).outcome is Outcome.IDENTICAL


def group_offset(pipeline: Pipeline) -> int:
    """Where the consumer group stands."""
    settings = pipeline.settings
    config = {"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": settings.kafka_consumer_group}
    seen = Consumer(config)
    (place,) = seen.committed([TopicPartition(pipeline.topic, 0)], timeout=30)
    seen.close()
    return int(place.offset)


@pytest.mark.usefixtures("transactions")
@pytest.mark.parametrize("recovery_store", ["kept", "lost"])
def test_what_expires_and_held_no_message_is_not_missed(pipeline: Pipeline, recovery_store: str) -> None:
    worker = pipeline.start("stream")
    wait_for(worker, "committed")
    deadline = time.monotonic() + 60
    while group_offset(pipeline) < 55:  # as far as it goes, an idle epoch or two later
        assert time.monotonic() < deadline
    worker.kill()
    finish(worker, -signal.SIGKILL)
    expire(pipeline.settings.kafka_bootstrap_servers, pipeline.topic)
    if recovery_store == "lost":
        shutil.rmtree(pipeline.folder / "recovery")
    pipeline.battery("stream", "--until-end")
    require_all_landed(pipeline)
    Transactions(pipeline).commit(range(21, 31))
    pipeline.battery("stream", "--until-end")
    require_all_landed(pipeline)
    assert landed(pipeline) == [(30, 30, 3.7)]


@pytest.mark.usefixtures("transactions")
def test_what_expires_and_may_have_held_messages_is_refused_until_it_is_given_up(pipeline: Pipeline) -> None:
    """With the recovery store and the group's offset gone, nothing tells what stood behind the last landed message."""
    servers = pipeline.settings.kafka_bootstrap_servers
    pipeline.battery("stream", "--until-end")
    expire(servers, pipeline.topic)
    shutil.rmtree(pipeline.folder / "recovery")
    group = pipeline.settings.kafka_consumer_group
    admin = AdminClient({"bootstrap.servers": servers})
    admin.delete_consumer_groups([group])[group].result(30)
    refused = pipeline.battery("stream", "--until-end", code=2).strip().splitlines()[-1]
    assert "offsets 43 to 54 are gone (retention?) and had not landed" in refused
    pipeline.extra |= {"ACCEPT_LOST_OFFSETS": "true"}
    pipeline.battery("stream", "--until-end")
    del pipeline.extra["ACCEPT_LOST_OFFSETS"]
    pipeline.battery("stream", "--until-end")  # once is enough, although no message has come since
    require_all_landed(pipeline)


def test_what_stands_behind_an_open_transaction_is_no_lag_until_it_ends(
    pipeline: Pipeline, transactions: Transactions
) -> None:
    transactions.begin(range(21, 26))
    other = Transactions(pipeline)
    other.commit(range(26, 31))
    pipeline.battery("stream", "--until-end")  # comes to an end
    assert partition(pipeline) == PartitionStatus(0, committed=55, end=55, lag=0, unreadable=11)
    transactions.producer.commit_transaction(30)
    assert partition(pipeline).lag == 10
    pipeline.battery("stream", "--until-end")
    require_all_landed(pipeline)
    assert landed(pipeline) == [(30, 30, 3.7)]
