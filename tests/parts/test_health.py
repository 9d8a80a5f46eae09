"""The health of a real worker: well while its epochs are done, idle ones too, and not while it waits or hangs."""

from __future__ import annotations

import os
import re
import signal
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import duckdb
from prometheus_client.parser import text_string_to_metric_families
from support.harness import finish, send, traffic, wait_for

from dataflows.health import Pulse
from kernel.base.errors import BatteryError
from kernel.base.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.pipeline import Pipeline

SECONDS = 60
LATENESS = 2.0
"""What a worker that must be found unwell is given, s: the usual lateness only takes longer."""


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def figures(port: int) -> dict[str, float]:
    families = text_string_to_metric_families(ask(port, "/metrics")[1])
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def once(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)  # between two looks


def is_well(pulse: Pulse) -> bool:
    try:
        pulse.age()
    except BatteryError:
        return False
    return True


def test_an_idle_worker_is_well_beyond_the_limit_and_one_that_waits_for_its_warehouse_is_found(
    pipeline: Pipeline,
) -> None:
    port = free_port()
    pipeline.extra |= {"METRICS_PORT": str(port)}
    send(pipeline.settings, traffic(range(1)))
    worker = pipeline.start("stream")
    wait_for(worker, "committed")

    def is_beyond() -> bool:
        found = figures(port)
        return found["battery_last_commit_age_seconds"] > found["battery_epoch_limit_seconds"] + 1

    once(is_beyond)
    assert ask(port, "/health")[0] == 200
    assert "the worker closed an epoch" in pipeline.battery("health")
    found = figures(port)
    assert found["battery_last_epoch_age_seconds"] < found["battery_epoch_limit_seconds"]
    assert found["battery_epoch_duration_seconds_count"] > 1

    pulse = Pulse(pipeline.settings, LATENESS)
    assert is_well(pulse)
    with duckdb.connect(str(pipeline.folder / "battery.duckdb")):
        send(pipeline.settings, traffic(range(1, 2)))
        once(lambda: not is_well(pulse))
    once(lambda: is_well(pulse))
    worker.send_signal(signal.SIGTERM)
    finish(worker, 0)
    once(lambda: not is_well(pulse))


def test_a_process_of_a_cluster_that_hangs_is_found_though_it_has_no_lane(pipeline: Pipeline) -> None:
    pipeline.extra |= {"BATTERY_TOPIC_PARTITIONS": "2"}
    cluster = pipeline.start("stream", "--workers", "2")
    said = wait_for(cluster, "started a cluster")
    processes = re.search(r"processes=\[\d+, (\d+)\]", said[-1])
    assert processes is not None
    pulse = Pulse(pipeline.settings, LATENESS)
    once(lambda: is_well(pulse))  # nothing has ever come
    os.kill(int(processes[1]), signal.SIGSTOP)
    once(lambda: not is_well(pulse))
    os.kill(int(processes[1]), signal.SIGCONT)
    once(lambda: is_well(pulse))
    cluster.send_signal(signal.SIGTERM)
    finish(cluster, 0)
