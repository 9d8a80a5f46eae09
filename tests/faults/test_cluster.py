"""Several worker processes as one cluster: they live and die together, and how many they are changes nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.harness import Log, finish, read_undisturbed, require_sound, rest_of, send, traffic, wait_for
from support.pipeline import Pipeline
from support.places import ROOT
from support.warehouses import every_warehouse, every_warehouse_nightly, lose

from kernel.base.faults import VARIABLE, Point
from kernel.base.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.warehouses import Kind

FOUR = {"BATTERY_TOPIC": "shared", "BATTERY_TOPIC_PARTITIONS": "4"}


@pytest.fixture(scope="module")
def shared(broker: int, tmp_path_factory: pytest.TempPathFactory) -> Log:
    """A log of four partitions."""
    folder = tmp_path_factory.mktemp("undisturbed")
    messages = send(Pipeline(folder, broker, FOUR).settings, traffic(range(10)))
    log = read_undisturbed(folder, broker, "shared", messages, BATTERY_TOPIC_PARTITIONS="4")
    ((partitions,),) = Pipeline(folder, broker, FOUR).query("select count(distinct partition) from internal._progress")
    assert partitions > 1, "all cells are in one partition"
    return log


@pytest.fixture
def pipeline(shared: Log, tmp_path: Path, new_warehouse: Callable[..., dict[str, str]]) -> Iterator[Pipeline]:
    pipeline = shared.pipeline(tmp_path / "struck", BATTERY_TOPIC_PARTITIONS="4", **new_warehouse())
    yield pipeline
    pipeline.end()


def processes(lines: list[str]) -> list[int]:
    """The processes of a cluster, as its supervisor tells them."""
    found = re.search(r"processes=\[([\d, ]+)\]", lines[-1])
    assert found is not None
    return [int(pid) for pid in found[1].split(",")]


@every_warehouse
def test_a_cluster_ends_in_the_tables_of_a_single_worker(pipeline: Pipeline, shared: Log) -> None:
    pipeline.battery("stream", "--until-end", "--workers", "4")
    require_sound(pipeline, shared.tables)
    assert pipeline.query("select count(*) from internal._writers") == [(1,)]


def test_partitions_that_cannot_be_shared_evenly_are_refused_with_advice(pipeline: Pipeline) -> None:
    last = pipeline.battery("stream", "--until-end", "--workers", "3", code=2).strip().splitlines()[-1]
    assert "--workers 3: topic shared has 4 partitions" in last
    assert "use --workers 1 or 2 or 4, or publish to a new topic made with a multiple of them" in last


@every_warehouse
def test_a_process_that_is_killed_restarts_all_and_the_tables_are_the_same(pipeline: Pipeline, shared: Log) -> None:
    pipeline.extra |= {"COMMIT_MAX_ROWS": "200"}
    cluster = pipeline.start("stream", "--workers", "2")
    pids = processes(wait_for(cluster, "started a cluster"))
    wait_for(cluster, "committed")
    os.kill(pids[1], signal.SIGKILL)
    wait_for(cluster, "a process of the cluster has ended, starting all again")
    again = processes(wait_for(cluster, "started a cluster"))
    assert not set(again) & set(pids)
    wait_for(cluster, "joined a run")
    cluster.send_signal(signal.SIGTERM)
    finish(cluster, 0)
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, shared.tables)


@every_warehouse_nightly
def test_a_process_that_dies_within_a_commit_restarts_all_until_the_cluster_gives_up(
    pipeline: Pipeline, shared: Log
) -> None:
    pipeline.extra |= {"COMMIT_MAX_ROWS": "200", VARIABLE: f"{Point.BEFORE_COMMIT}@2:kill"}
    output = finish(pipeline.start("stream", "--until-end", "--workers", "2"), 2)
    assert "died 5 times in a row within 60 s of its start" in output.splitlines()[-1]
    del pipeline.extra[VARIABLE]
    pipeline.battery("stream", "--until-end", "--workers", "2")
    require_sound(pipeline, shared.tables)


@every_warehouse_nightly
def test_an_error_of_one_process_ends_the_cluster_and_is_said(pipeline: Pipeline, shared: Log) -> None:
    pipeline.battery("stream", "--until-end")
    lose(pipeline.settings)
    pipeline.battery("adopt")
    output = pipeline.battery("stream", "--until-end", "--workers", "2", code=2)
    assert "battery: topic shared, partition" in output
    assert "rebuild it with `battery replay --from-beginning`" in output
    assert "the cluster has ended" in output.splitlines()[-1]
    pipeline.battery("replay", "--from-beginning")
    pipeline.battery("stream", "--until-end", "--workers", "2")
    require_sound(pipeline, shared.tables)


@every_warehouse_nightly
def test_one_process_that_is_asked_to_end_ends_the_cluster(pipeline: Pipeline, shared: Log) -> None:
    cluster = pipeline.start("stream", "--workers", "2")
    pids = processes(wait_for(cluster, "started a cluster"))
    wait_for(cluster, "committed")
    os.kill(pids[1], signal.SIGTERM)
    finish(cluster, 0)
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, shared.tables)


def test_a_cluster_that_is_asked_to_end_while_it_starts_ends_well(pipeline: Pipeline) -> None:
    cluster = pipeline.start("stream", "--workers", "2")
    wait_for(cluster, "started a cluster")
    cluster.send_signal(signal.SIGTERM)
    finish(cluster, 0)


@every_warehouse_nightly
def test_processes_whose_supervisor_is_killed_end_too(pipeline: Pipeline, shared: Log) -> None:
    cluster = pipeline.start("stream", "--workers", "2")
    wait_for(cluster, "reading")
    cluster.send_signal(signal.SIGKILL)
    finish(cluster, -signal.SIGKILL)  # its output ends only when the processes that share it have ended
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, shared.tables)


@every_warehouse_nightly
def test_going_from_one_worker_to_two_to_four_and_back_loses_nothing(
    broker: int, tmp_path: Path, kind: Kind, new_warehouse: Callable[..., dict[str, str]]
) -> None:
    topic = f"growing_{kind}"
    extra = {"BATTERY_TOPIC": topic, "BATTERY_TOPIC_PARTITIONS": "4"}
    pipeline = Pipeline(tmp_path / "struck", broker, extra | new_warehouse())
    messages = 0
    for turn, workers in enumerate((1, 2, 4, 1)):
        messages += send(pipeline.settings, traffic(range(4 * turn, 4 * turn + 4)))
        pipeline.battery("stream", "--until-end", "--workers", str(workers))
    undisturbed = read_undisturbed(tmp_path / "undisturbed", broker, topic, messages, BATTERY_TOPIC_PARTITIONS="4")
    require_sound(pipeline, undisturbed.tables)


def two_addresses() -> tuple[str, str]:
    first, second = (f"127.0.0.1:{free_port()}" for _ in range(2))
    return first, second


def start_by_hand(pipeline: Pipeline, number: int, addresses: tuple[str, str]) -> subprocess.Popen[str]:
    """One process of a cluster, as an operator starts it on a host."""
    pipeline.folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "bytewax.run", "dataflows.battery", "-i", str(number), "-a", ";".join(addresses)],
        env=pipeline.environment | {"STREAM_UNTIL_END": "true", "PYTHONPATH": str(ROOT)},
        cwd=pipeline.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    pipeline.started.append(process)
    return process


def said_by(output: str) -> str:
    """The line in which a process says why it ended."""
    (line,) = (line for line in output.splitlines() if line.startswith("battery: "))
    return line


def test_processes_started_by_hand_with_one_run_id_are_one_run(pipeline: Pipeline, shared: Log) -> None:
    for attempt in range(5):
        run_id = f"by hand {attempt}"
        pipeline.extra |= {"RUN_ID": run_id}
        addresses = two_addresses()
        processes = [start_by_hand(pipeline, number, addresses) for number in range(2)]
        outputs = [rest_of(process) for process in processes]
        # Bytewax loses the other process now and then while both start; whoever started them by hand starts them again.
        if not any("Send thread panic" in output and " a run" not in output for output in outputs):
            break
    for number, (process, output) in enumerate(zip(processes, outputs, strict=True)):
        # It also ends so when the other one has gone first; the tables are what counts.
        assert process.returncode == 0 or "Send thread panic" in output, output
        assert ("began a run" in output, "joined a run" in output) == (number == 0, number == 1), output
    assert pipeline.query(f"select count(*) from internal._writers where run_id = '{run_id}'") == [(1,)]  # noqa: S608
    require_sound(pipeline, shared.tables)


@pytest.mark.parametrize("number", [0, 1])
def test_a_process_whose_peer_does_not_come_gives_up_and_names_it(pipeline: Pipeline, number: int) -> None:
    pipeline.extra |= {"RUN_ID": "alone", "CLUSTER_TIMEOUT_SECONDS": "3"}
    addresses = two_addresses()
    said = said_by(finish(start_by_hand(pipeline, number, addresses), 2))
    assert f"process {number} at {addresses[number]} has waited 3 s (CLUSTER_TIMEOUT_SECONDS)" in said
    assert f"for process {1 - number} at {addresses[1 - number]} of its cluster" in said


def test_a_process_of_a_cluster_without_a_run_id_is_refused(pipeline: Pipeline) -> None:
    process = start_by_hand(pipeline, 0, two_addresses())
    output = rest_of(process)
    assert process.returncode != 0
    assert "RUN_ID is not set, and this is process 0 of a cluster" in output
