"""Where a replay takes messages from: the log as far as it reaches back, the archive for what came before."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer
from support.builders import as_json, reading
from support.harness import Log, require_sound, send, traffic
from support.pipeline import Pipeline
from support.replayed import DAMAGE, execute

import dataflows.replay.feeds
from dataflows.replay.replay import replay
from dataflows.replay.report import Outcome
from dataflows.replay.start import Start
from kernel.base.errors import BatteryError
from kernel.base.ports import free_port
from kernel.contract.message import headers
from kernel.contract.reading import JSON
from kernel.edges.broker import embedded_broker
from kernel.edges.consumer import OffsetGoneError, read_log
from kernel.edges.kafka import open_topic
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from sink.claim import adopt_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kernel.contract.poll import Poll


def test_a_moment_in_the_log_begins_with_its_first_message_of_that_time(
    live: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every message of this log is stamped within the same second; the middle one of the stamps is the moment.
    stamps = [stamp for (stamp,) in live.query("select distinct streamed_at from battery_ts_cleaned order by all")]
    moment = stamps[len(stamps) // 2]
    ((expected,),) = live.query(f"select min(kafka_offset) from battery_ts_cleaned where streamed_at >= '{moment}'")  # noqa: S608
    read: list[int | None] = []

    def noted(*arguments: Any) -> Iterator[Poll]:
        read.append(arguments[3])
        return read_log(*arguments)

    monkeypatch.setattr(dataflows.replay.feeds, "read_log", noted)
    assert replay(live.settings, Start(time=moment.replace(tzinfo=UTC))).outcome is Outcome.IDENTICAL
    # A refused message in between has no reading that could tell its time.
    assert read[0] is not None
    assert expected - 3 <= read[0] <= expected


def test_of_a_log_that_ended_before_a_moment_nothing_is_read(live: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def unwanted(*_: Any) -> None:
        raise AssertionError("the log was read")

    monkeypatch.setattr(dataflows.replay.feeds, "read_log", unwanted)
    assert replay(live.settings, Start(time=datetime(2120, 1, 1, tzinfo=UTC))).outcome is Outcome.IDENTICAL


def test_a_replay_from_the_archive_needs_no_broker(live: Pipeline, log: Log) -> None:
    execute(live, DAMAGE)
    unreachable = live.settings.model_copy(update={"kafka_bootstrap_servers": f"127.0.0.1:{free_port()}"})
    assert replay(unreachable, Start(archive=True)).outcome is Outcome.SWAPPED
    require_sound(live, log.tables)


def test_without_a_manifest_the_archive_is_refused_and_the_log_rebuilds_all(live: Pipeline, log: Log) -> None:
    (live.folder / "battery.duckdb").unlink()
    adopt_store(open_store(live.settings), open_warehouse(live.settings))
    with pytest.raises(BatteryError, match=r"the WAREHOUSE holds no manifest, .*--from-beginning"):
        replay(live.settings, Start(archive=True))
    assert replay(live.settings, Start(beginning=True)).outcome is Outcome.SWAPPED
    require_sound(live, log.tables)
    assert f"start={log.messages} " in live.battery("stream", "--until-end")
    require_sound(live, log.tables)


def test_live_tables_that_are_ahead_of_their_manifest_are_not_replayed_from_it(live: Pipeline) -> None:
    last = 'list_max(list_transform(offsets, o -> o."last"))'
    execute(live, f'delete from internal._commits where {last} = (select max("offset") from internal._progress)')  # noqa: S608
    with pytest.raises(BatteryError, match="beyond what their manifest accounts for"):
        replay(live.settings, Start(archive=True))


def test_a_cell_of_several_partitions_is_replayed_only_in_the_order_in_which_it_landed(
    broker: int, tmp_path: Path
) -> None:
    pipeline = Pipeline(tmp_path, broker, {"BATTERY_TOPIC": "spread", "BATTERY_TOPIC_PARTITIONS": "2"})
    settings = pipeline.settings
    open_topic(settings, create=True)
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for point, partition in ((1, 1), (2, 0), (3, 1)):
        said = headers(JSON, "live")
        producer.produce(settings.battery_topic, as_json(reading(point)), b"CELL_1", partition=partition, headers=said)
        producer.produce(settings.battery_topic, b"no key", partition=partition, headers=said)
        assert producer.flush(30) == 0
        pipeline.battery("stream", "--until-end")
    with pytest.raises(BatteryError, match=r"cell CELL_1 came over more than one partition .*--from-archive"):
        replay(settings, Start(beginning=True))
    assert replay(settings, Start(archive=True)).outcome is Outcome.IDENTICAL


def test_messages_without_a_key_have_no_order_and_need_none(broker: int, tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, broker, {"BATTERY_TOPIC": "keyless", "BATTERY_TOPIC_PARTITIONS": "2"})
    settings = pipeline.settings
    open_topic(settings, create=True)
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for partition in (1, 0):
        producer.produce(settings.battery_topic, b"no key", partition=partition, headers=headers(JSON, "live"))
        assert producer.flush(30) == 0
        assert "more than one partition" not in pipeline.battery("stream", "--until-end")
    assert replay(settings, Start(beginning=True)).outcome is Outcome.IDENTICAL


def expired(monkeypatch: pytest.MonkeyPatch, before: int) -> None:
    """Let the log begin with an offset, as retention would."""

    def shortened(*arguments: Any) -> Iterator[Poll]:
        settings, topic, partition, start, last = arguments
        if start is not None and start < before:
            raise OffsetGoneError("gone")
        yield from read_log(settings, topic, partition, before if start is None else start, last)

    monkeypatch.setattr(dataflows.replay.feeds, "read_log", shortened)


def test_a_log_that_no_longer_reaches_back_is_refused_with_the_choices(
    live: Pipeline, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    expired(monkeypatch, before=20)
    execute(live, DAMAGE)
    damaged = live.checksums()
    with pytest.raises(BatteryError, match=r"offsets 0 to 19 are gone.*--from-archive.*--from-offset 0:20 from there"):
        replay(live.settings, Start(beginning=True))
    with pytest.raises(BatteryError, match=r"offset 5 is gone.*--from-archive"):
        replay(live.settings, Start(offsets={0: 5}))
    assert live.checksums() == damaged
    assert replay(live.settings, Start(offsets={0: 20})).outcome is Outcome.SWAPPED
    require_sound(live, log.tables)


def test_a_log_that_ends_before_what_has_landed_is_refused(live: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataflows.replay.feeds, "read_log", lambda *_: iter(()))
    with pytest.raises(BatteryError, match=r"offsets 0 to \d+, which have landed, are gone"):
        replay(live.settings, Start(beginning=True))


def test_messages_of_another_log_come_from_the_archive_and_are_not_forgotten(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, free_port(), {"COMMIT_MAX_ROWS": "300"})
    for rounds in (range(3), range(5)):
        with embedded_broker(pipeline.port):
            send(pipeline.settings, traffic(rounds))
            pipeline.battery("stream", "--until-end")
            before = pipeline.checksums()
            if len(rounds) == 3:
                continue
            with pytest.raises(BatteryError, match=r"readings of 1 other logs.*--from-archive.*--from-offset 0:0"):
                replay(pipeline.settings, Start(beginning=True))
            execute(pipeline, DAMAGE)
            for start in (Start(offsets={0: 0}), Start(archive=True)):
                replay(pipeline.settings, start)
                require_sound(pipeline, before)
