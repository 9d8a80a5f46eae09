"""A real Kafka that is restarted, has many partitions, forgets, changes its leaders, or is seen by foreign clients."""

from __future__ import annotations

import json
import shutil
import signal
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from faults.test_broker import (  # noqa: F401  # the same test, on a broker that answers it properly
    test_a_topic_deleted_and_created_again_is_read_from_its_start_and_lands_nothing_twice,
)
from support.harness import finish, read_undisturbed, require_sound, send, traffic, wait_for
from support.kafka import expire, leader_of, wait_for_replicas
from support.pipeline import Pipeline
from support.servers import MISSED_SOON, Kafka

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST, SECOND, THIRD = range(6), range(6, 12), range(12, 16)
EARLY = {"COMMIT_INTERVAL_SECONDS": "3", "COMMIT_MAX_ROWS": "700"}
"""The first rows are committed early, and the rest of what was read waits for its epoch to close."""
REPLICATED = MISSED_SOON | {"default.replication.factor": "2", "offsets.topic.replication.factor": "2"}


@pytest.fixture(scope="module")
def own(kafka_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:  # noqa: ARG001
    """A broker to be struck, and brought back."""
    broker = Kafka(tmp_path_factory.mktemp("kafka"), options=MISSED_SOON)
    broker.start()
    yield broker
    broker.stop(signal.SIGKILL)


@pytest.fixture
def twins(own: Kafka, tmp_path: Path) -> Iterator[tuple[Pipeline, Pipeline]]:
    """Two pipelines on one log: one to be struck, one to be left in peace."""
    topic = {"BATTERY_TOPIC": f"twins-{tmp_path.name}"}
    pipelines = Pipeline(tmp_path / "struck", own.port, topic), Pipeline(tmp_path / "undisturbed", own.port, {**topic})
    yield pipelines
    for pipeline in pipelines:
        pipeline.end()


@pytest.mark.parametrize("sign", [pytest.param(signal.SIGTERM, marks=pytest.mark.nightly), signal.SIGKILL])
def test_a_broker_restarted_under_the_worker_is_waited_for(
    own: Kafka, twins: tuple[Pipeline, Pipeline], tmp_path: Path, sign: signal.Signals
) -> None:
    struck, _ = twins
    struck.extra |= EARLY
    send(struck.settings, traffic(FIRST))
    worker = struck.start("stream")
    wait_for(worker, "committed")
    own.stop(sign)
    wait_for(worker, "the connection to the broker broke")
    own.start()
    messages = send(struck.settings, traffic(SECOND))
    wait_for(worker, "committed")
    worker.send_signal(signal.SIGTERM)
    finish(worker, 0)
    struck.battery("stream", "--until-end")
    undisturbed = read_undisturbed(tmp_path / "alone", own.port, struck.topic, messages)
    require_sound(struck, undisturbed.tables)


def test_twelve_partitions_end_in_the_same_tables_however_many_workers_share_them(pipeline: Pipeline) -> None:
    pipeline.extra |= {"BATTERY_TOPIC_PARTITIONS": "12"}
    send(pipeline.settings, traffic(FIRST))
    alone = Pipeline(pipeline.folder / "alone", 0, pipeline.extra | {"OBJECT_STORE": "s3://alone-" + pipeline.topic})
    pipeline.battery("stream", "--until-end", "--workers", "3")
    send(pipeline.settings, traffic(SECOND))
    pipeline.battery("stream", "--until-end")
    alone.battery("stream", "--until-end")
    require_sound(pipeline, alone.checksums())
    parts = json.loads(pipeline.battery("status", "--json"))["partitions"]
    assert len(parts) == 12
    assert sum(part["end"] > 0 for part in parts) > 3
    assert all(part["committed"] == part["end"] for part in parts)


def test_messages_that_expired_before_they_landed_are_missed_until_they_are_given_up(
    own: Kafka, twins: tuple[Pipeline, Pipeline]
) -> None:
    struck, undisturbed = twins
    landed = send(struck.settings, traffic(FIRST))
    for pipeline in twins:
        pipeline.battery("stream", "--until-end")
    lost = send(struck.settings, traffic(SECOND))
    expire(own.address, struck.topic)
    send(struck.settings, traffic(THIRD))
    last = struck.battery("stream", "--until-end", code=2).strip().splitlines()[-1]
    assert f"offsets {landed} to {landed + lost - 1} are gone (retention?) and had not landed" in last
    shutil.rmtree(struck.folder / "recovery")
    assert "are gone (retention?)" in struck.battery("stream", "--until-end", code=2)
    for pipeline in twins:
        pipeline.extra |= {"ACCEPT_LOST_OFFSETS": "true"}
        pipeline.battery("stream", "--until-end")
    assert struck.checksums() == undisturbed.checksums()
    per_cell = 'select "cell_id", count(*) from battery_ts_cleaned group by 1 having count(*) < 100'
    assert struck.query(per_cell) == []


def test_messages_that_expired_after_they_landed_are_no_loss_and_a_replay_takes_them_from_the_archive(
    own: Kafka, twins: tuple[Pipeline, Pipeline]
) -> None:
    struck, undisturbed = twins
    send(struck.settings, traffic(FIRST))
    struck.battery("stream", "--until-end")
    undisturbed.battery("stream", "--until-end")
    expire(own.address, struck.topic)
    send(struck.settings, traffic(SECOND))
    shutil.rmtree(struck.folder / "recovery")
    for pipeline in twins:
        pipeline.battery("stream", "--until-end")
    assert struck.checksums() == undisturbed.checksums()
    refused = struck.battery("replay", "--from-beginning", code=2).strip().splitlines()[-1]
    assert "are gone from the log (retention?)" in refused
    assert "identical" in struck.battery("replay", "--from-archive")


def test_a_replay_from_a_time_asks_the_brokers_own_index(pipeline: Pipeline) -> None:
    send(pipeline.settings, traffic(FIRST))
    pipeline.battery("stream", "--until-end")
    ((moment,),) = pipeline.query("select max(streamed_at) from battery_ts_cleaned")
    send(pipeline.settings, traffic(SECOND))
    pipeline.battery("stream", "--until-end")
    assert "identical" in pipeline.battery("replay", "--from-time", moment.isoformat())
    assert "identical" in pipeline.battery("replay", "--from-beginning")


def test_the_lag_is_seen_by_kafkas_own_tool(kafka: Kafka, tmp_path: Path) -> None:
    pipeline = Pipeline(
        tmp_path / "pipeline", kafka.port, {"BATTERY_TOPIC": "seen", "KAFKA_CONSUMER_GROUP": "seen_by_others"}
    )
    read = send(pipeline.settings, traffic(FIRST))
    pipeline.battery("stream", "--until-end")
    unread = send(pipeline.settings, traffic(SECOND))
    shown = kafka.tool(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        *("--bootstrap-server", kafka.address, "--describe", "--group", "seen_by_others"),
    )
    header, line = [line.split() for line in shown.splitlines() if line.strip() and "no active members" not in line]
    seen = dict(zip(header, line, strict=False))
    assert seen["TOPIC"] == "seen"
    assert (seen["CURRENT-OFFSET"], seen["LOG-END-OFFSET"], seen["LAG"]) == (str(read), str(read + unread), str(unread))


@pytest.fixture
def cluster(kafka_files: Path, tmp_path: Path) -> Iterator[tuple[Kafka, Kafka]]:  # noqa: ARG001
    """Two brokers, and a controller that nobody strikes."""
    controller = Kafka(
        tmp_path / "controller", broker=False, options=MISSED_SOON | {"unclean.leader.election.interval.ms": "500"}
    )
    brokers = tuple(
        Kafka(tmp_path / f"broker-{node}", node=node, controller=controller.controller_port, options=REPLICATED)
        for node in (2, 3)
    )
    nodes = [controller, *brokers]
    try:
        for node in nodes:
            node.start()
        yield brokers[0], brokers[1]
    finally:
        for node in reversed(nodes):
            node.stop(signal.SIGKILL)


@pytest.fixture
def struck(cluster: tuple[Kafka, Kafka], tmp_path: Path) -> Iterator[Pipeline]:
    """A pipeline that knows both brokers."""
    servers = ",".join(broker.address for broker in cluster)
    pipeline = Pipeline(tmp_path / "struck", 0, {"KAFKA_BOOTSTRAP_SERVERS": servers})
    yield pipeline
    pipeline.end()


def make_topic(brokers: tuple[Kafka, Kafka], leader: Kafka, **config: str) -> None:
    """One partition with a replica on both brokers, the leader first."""
    replicas = [leader.node, *(broker.node for broker in brokers if broker is not leader)]
    admin = AdminClient({"bootstrap.servers": leader.address})
    topic = NewTopic("battery_topic", num_partitions=1, replica_assignment=[replicas], config=config)
    admin.create_topics([topic])["battery_topic"].result()


@pytest.mark.nightly
def test_a_partition_that_changes_its_leader_is_read_on(
    cluster: tuple[Kafka, Kafka], struck: Pipeline, tmp_path: Path
) -> None:
    leader, follower = cluster
    struck.extra |= EARLY
    make_topic(cluster, leader)
    send(struck.settings, traffic(FIRST))
    worker = struck.start("stream")
    wait_for(worker, "committed")
    leader.stop(signal.SIGKILL)
    send(struck.settings, traffic(SECOND))
    assert leader_of(follower.address, "battery_topic") == follower.node
    wait_for(worker, "committed")
    leader.start()
    wait_for_replicas(follower.address, "battery_topic", 2)
    follower.stop()
    messages = send(struck.settings, traffic(THIRD))
    assert leader_of(leader.address, "battery_topic") == leader.node
    wait_for(worker, "committed")
    worker.send_signal(signal.SIGTERM)
    finish(worker, 0)
    struck.battery("stream", "--until-end")
    undisturbed = read_undisturbed(tmp_path / "undisturbed", leader.port, "battery_topic", messages)
    require_sound(struck, undisturbed.tables)


def test_a_log_that_lost_messages_with_its_leader_is_not_read_on_as_if_nothing_had_happened(
    cluster: tuple[Kafka, Kafka], struck: Pipeline, tmp_path: Path
) -> None:
    """What an unclean election does: other messages stand at offsets that had been read."""
    leader, follower = cluster
    make_topic(cluster, leader, **{"unclean.leader.election.enable": "true", "min.insync.replicas": "1"})
    send(struck.settings, traffic(FIRST))
    follower.stop()
    send(struck.settings, traffic(SECOND))  # the leader alone has these
    struck.battery("stream", "--until-end")
    leader.stop(signal.SIGKILL)
    follower.start()
    struck.extra |= {"KAFKA_BOOTSTRAP_SERVERS": follower.address}
    send(struck.settings, traffic(range(20, 30)))
    last = struck.battery("stream", "--until-end", code=2).strip().splitlines()[-1]
    assert "had been read and hold other messages now" in last
    assert "`battery replay --from-beginning`, remove RECOVERY_DIR" in last
    struck.battery("replay", "--from-beginning")
    shutil.rmtree(struck.folder / "recovery")
    struck.battery("stream", "--until-end")
    undisturbed = Pipeline(tmp_path / "undisturbed", follower.port)
    undisturbed.battery("stream", "--until-end")
    require_sound(struck, undisturbed.checksums())
