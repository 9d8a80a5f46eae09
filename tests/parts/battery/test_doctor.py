"""The doctor on a pipeline whose parts run, and beside one whose warehouse another process has."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import duckdb
from support.harness import send, traffic

if TYPE_CHECKING:
    from support.pipeline import Pipeline


def findings(pipeline: Pipeline, code: int = 0) -> dict[str, list[dict[str, Any]]]:
    """What the doctor finds, by the name of what it looked at."""
    told = json.loads(pipeline.battery("doctor", "--json", code=code).strip().splitlines()[-1])
    assert told["ok"] == (code == 0)
    named: dict[str, list[dict[str, Any]]] = {}
    for one in told["findings"]:
        named.setdefault(one["name"], []).append(one)
    return named


def test_a_pipeline_that_has_landed_is_well(pipeline: Pipeline) -> None:
    send(pipeline.settings, traffic(range(2)))
    pipeline.battery("stream", "--until-end")
    found = findings(pipeline)
    assert found["broker"][0]["state"] == found["store"][0]["state"] == found["warehouse"][0]["state"] == "ok"
    assert (found["worker"][0]["state"], found["worker"][0]["remedy"][:16]) == ("warning", "`battery stream`")
    assert found["pipeline"][0]["state"] == "ok"
    assert found["refresh"][0]["remedy"] == "`battery transform`"


def test_a_warehouse_that_another_process_has_is_told_with_that_process(pipeline: Pipeline) -> None:
    send(pipeline.settings, traffic(range(2)))
    pipeline.battery("stream", "--until-end")
    with duckdb.connect(pipeline.folder / "battery.duckdb"):
        (lock, *_) = findings(pipeline)["lock"]
    assert lock["detail"].startswith(f"warehouse: held by process {os.getpid()} ")


def test_without_a_broker_it_exits_with_1_and_says_how_to_start_one(pipeline: Pipeline) -> None:
    pipeline.extra["KAFKA_BOOTSTRAP_SERVERS"] = "127.0.0.1:1"
    (broker,) = findings(pipeline, code=1)["broker"]
    assert (broker["state"], broker["remedy"]) == ("fault", "start one with `battery broker`, or name yours")
