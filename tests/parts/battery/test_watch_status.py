"""`battery status --watch`: looks again and again, whatever keeps one from being had, until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import duckdb
import pytest
from confluent_kafka import Producer
from support.builders import CELL, as_json, reading
from support.pipeline import Pipeline
from support.terminal import Seen, read_until_closed, start_on_terminal

from kernel.base.ports import free_port
from kernel.contract.message import headers
from kernel.contract.reading import JSON
from kernel.edges.kafka import open_topic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.forks import Process

INTERVAL = "0.2"


def send(pipeline: Pipeline, points: range) -> None:
    open_topic(pipeline.settings, create=True)
    producer = Producer({"bootstrap.servers": pipeline.settings.kafka_bootstrap_servers})
    for point in points:
        producer.produce(pipeline.topic, as_json(reading(point)), CELL.encode(), headers=headers(JSON, "live"))
    assert producer.flush(30) == 0


@pytest.fixture(scope="module")
def landed(broker: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    pipeline = Pipeline(tmp_path_factory.mktemp("watched"), broker)
    send(pipeline, range(1, 6))
    pipeline.battery("stream", "--until-end")
    yield pipeline
    pipeline.end()


def block(process: Process) -> list[str]:
    """The lines of one look."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        if not line.strip():
            break
        lines.append(line.rstrip())
    return lines


def interrupt(process: Process) -> None:
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "Traceback" not in output


def test_without_a_terminal_each_look_is_a_plain_block_with_the_rate_since_the_one_before(landed: Pipeline) -> None:
    process = landed.start("status", "--watch", INTERVAL)
    first, second = block(process), block(process)
    interrupt(process)
    once = landed.battery("status").splitlines()
    without_age = [line for line in first if not line.startswith("freshness")]
    assert without_age == [line for line in once if not line.startswith(("freshness", "storage", "growth"))]
    assert "landed       5 rows of 1 cells in 1 tests, 1 cycles, 0 rows/s" in second
    assert "  partition 0: next offset to land 5 of 5, lag 0" in second


def test_on_a_terminal_it_is_drawn_in_place(landed: Pipeline) -> None:
    process, terminal = start_on_terminal(landed.folder, landed.environment, "status", "--watch", INTERVAL, stdout=None)
    drawn = b""
    while b"rows/s" not in drawn:  # the second look
        drawn += os.read(terminal, 65_536)
    process.send_signal(signal.SIGINT)
    seen = Seen(process.wait(60), drawn.decode() + read_until_closed(terminal), "")
    assert seen.code == 0
    assert seen.plain.count("quarantined  0 rows") > 1
    assert [line.split()[0] for line in seen.screen] == [
        "topic", "partition", "landed", "quarantined", "files", "commits", "freshness", "models", "dbt", "waiting",
    ]  # fmt: skip


def test_as_json_each_look_is_a_line(landed: Pipeline) -> None:
    process = landed.start("status", "--watch", INTERVAL, "--json")
    assert process.stdout is not None
    looks = [json.loads(process.stdout.readline()) for _ in range(3)]
    interrupt(process)
    assert [(look["rows"], look["lag"], look["rows_per_second"]) for look in looks] == [
        (5, 0, None), (5, 0, 0.0), (5, 0, 0.0),
    ]  # fmt: skip


def test_the_rate_is_that_of_rows_that_have_landed_meanwhile(landed: Pipeline, tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, landed.port, {"BATTERY_TOPIC": "grows"})
    send(pipeline, range(1, 3))
    pipeline.battery("stream", "--until-end")
    process = pipeline.start("status", "--watch", INTERVAL, "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["rows"] == 2
    send(pipeline, range(3, 8))
    pipeline.battery("stream", "--until-end")
    looks = (json.loads(line) for line in process.stdout if line.startswith("{"))
    rate = next(look["rows_per_second"] for look in looks if look.get("rows") == 7)
    interrupt(process)
    assert rate > 0


def test_a_held_warehouse_is_shown_as_it_was(landed: Pipeline) -> None:
    with duckdb.connect(str(landed.folder / "battery.duckdb")) as connection:
        connection.execute("create or replace table touched as select 1")  # what was seen before is not the newest
        process = landed.start("status", "--watch", INTERVAL, "--json")
        assert process.stdout is not None
        told = json.loads(next(line for line in process.stdout if line.startswith("{")))
    assert told["rows"] == 5
    assert "has been held by another process" in told["held"]
    assert any(json.loads(line).get("held") is None for line in process.stdout if line.startswith("{"))
    interrupt(process)


def test_without_a_broker_the_rest_is_shown(landed: Pipeline) -> None:
    alone = Pipeline(landed.folder, free_port())
    process = alone.start("status", "--watch", INTERVAL)
    shown = block(process)
    interrupt(process)
    assert any(line.startswith("  lag unknown: no broker answers at") for line in shown)
    assert any(line.startswith("landed       5 rows") for line in shown)


def test_it_looks_once_to_check(landed: Pipeline) -> None:
    assert "--check looks once; leave out --watch" in landed.battery("status", "--watch", "--check", code=2)
