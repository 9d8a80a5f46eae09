"""A cluster over hosts that are lost, cut off, slow and taken away: the tables are those of a single worker."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.harness import Log, read_undisturbed, require_sound, send, traffic
from support.hosts import (
    ALONE,
    BOTH,
    FIRST_ROUNDS,
    LOST,
    QUICK,
    lose_hosts_at_random,
    require_tables_of_one_worker,
    stop,
)
from support.namespaces import Cluster, Network
from support.pipeline import Pipeline
from support.postgres import Postgres
from support.warehouses import Kind

from kernel.base.faults import VARIABLE, Point
from kernel.base.ports import free_port
from kernel.edges.broker import embedded_broker

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = pytest.mark.timeout(600)  # a cluster starts several times in most of them

PATIENT = {"CLUSTER_ABSENCE_SECONDS": "600"}
"""A host that does not go on by itself while a test runs."""

judged_by_postgres = pytest.mark.parametrize(
    "kind", [Kind.POSTGRES, pytest.param(Kind.DUCKDB, marks=pytest.mark.nightly)]
)


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture(scope="module")
def broker(network: Network) -> Iterator[int]:
    """A broker that all hosts reach; its port."""
    port = free_port()
    with embedded_broker(port, host=network.address):
        yield port


@pytest.fixture(scope="module")
def log(network: Network, broker: int, tmp_path_factory: pytest.TempPathFactory) -> Log:
    """A log that no test adds to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    places = {"KAFKA_BOOTSTRAP_SERVERS": f"{network.address}:{broker}", **QUICK}
    messages = send(Pipeline(folder, broker, {"BATTERY_TOPIC": "hosts", **places}).settings, traffic(FIRST_ROUNDS))
    return read_undisturbed(folder, broker, "hosts", messages, **places)


@pytest.fixture(scope="module")
def server(network: Network) -> Iterator[Postgres]:
    """A PostgreSQL that all hosts reach."""
    server = Postgres(Path(tempfile.mkdtemp(prefix="battery-postgres-")), listen=(network.address,))
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def pipeline(
    network: Network, broker: int, tmp_path: Path, kind: Kind, request: pytest.FixtureRequest
) -> Iterator[Pipeline]:
    """A pipeline as a single worker would run it: on that log, or on a topic of its own where none is asked for."""
    topic = "hosts" if "log" in request.fixturenames else f"hosts_{request.node.originalname}_{kind}"[:200]
    extra = {"KAFKA_BOOTSTRAP_SERVERS": f"{network.address}:{broker}", "BATTERY_TOPIC": topic, **QUICK}
    if kind is Kind.POSTGRES:
        extra |= request.getfixturevalue("server").database().places
    pipeline = Pipeline(tmp_path / "struck", broker, extra)
    yield pipeline
    pipeline.end()


@pytest.fixture
def cluster(network: Network, pipeline: Pipeline, tmp_path: Path) -> Iterator[Cluster]:
    """Two hosts on which nothing runs yet."""
    with Cluster(network, 2, tmp_path / "hosts", pipeline.environment) as cluster:
        yield cluster


def test_two_hosts_end_in_the_tables_of_a_single_worker(cluster: Cluster, pipeline: Pipeline, log: Log) -> None:
    for index in range(2):
        cluster.start(index, "--until-end", CLUSTER_SILENCE_SECONDS="60")
    for host in cluster.hosts:
        assert "committed" in host.finish(), "a host has landed nothing"
    assert pipeline.query("select count(*) from internal._writers") == [(1,)]
    require_sound(pipeline, log.tables)


@pytest.mark.nightly  # by day hosts are lost on real servers
@pytest.mark.timeout(1500)
def test_hosts_that_are_lost_at_random_instants_cost_no_reading_of_a_file(
    cluster: Cluster, pipeline: Pipeline, tmp_path: Path
) -> None:
    messages = lose_hosts_at_random(cluster, pipeline, 20)
    require_tables_of_one_worker(pipeline, tmp_path, messages)


def test_a_host_that_is_lost_while_it_starts_is_waited_for(cluster: Cluster, pipeline: Pipeline, log: Log) -> None:
    for index in range(2):
        cluster.start(index, "--until-end")
    first, second = cluster.hosts
    second.wait_for("started a cluster")
    second.lose_power()  # its process has not reached the other one, which waits for it
    first.wait_for(LOST)
    second.return_power()
    cluster.start(1, "--until-end")
    for host in cluster.hosts:
        host.finish()
    require_sound(pipeline, log.tables)


def test_a_slow_host_slows_the_others_down_and_is_not_taken_for_lost(
    cluster: Cluster, pipeline: Pipeline, log: Log
) -> None:
    cluster.hosts[1].slow_down(400_000)
    for index in range(2):
        cluster.start(index, "--until-end", CLUSTER_SILENCE_SECONDS="60")
    for host in cluster.hosts:
        assert LOST not in host.finish()
    assert pipeline.query("select count(*) from internal._writers") == [(1,)]
    require_sound(pipeline, log.tables)


@judged_by_postgres
def test_a_host_that_goes_on_beyond_a_cut_link_lands_nothing_once_the_other_has_begun_anew(
    cluster: Cluster, pipeline: Pipeline, tmp_path: Path
) -> None:
    cluster.environment |= {"CLUSTER_ABSENCE_SECONDS": "1"}
    messages = send(pipeline.settings, traffic(FIRST_ROUNDS))
    first = cluster.start(0)
    # The second host is suspended with a commit in its hands: objects are stored, the transaction has not begun.
    second = cluster.start(1, **{VARIABLE: f"{Point.AFTER_PUT}@1:stop", **PATIENT})
    second.wait_for("pausing")
    second.signal_supervisor(signal.SIGSTOP)
    second.cut()
    first.wait_for(LOST)
    first.wait_for("hosts=[0]")
    first.wait_for("began a run")
    # It wakes and can still reach log, objects and warehouse, though not the other host.
    for process in second.processes:
        os.kill(process, signal.SIGCONT)
    second.wait_for("was superseded by run")
    second.signal_supervisor(signal.SIGCONT)
    second.wait_for("starting all again")
    second.wait_for(ALONE)  # and begins no run of its own
    stop(second)
    second.heal()
    messages += send(pipeline.settings, traffic(range(6, 7)))
    cluster.start(1)
    for host in cluster.hosts:
        host.wait_for(BOTH)
        host.wait_for("reading")
    stop(first, second)
    late = (
        "select count(*) from internal._commits as landed join internal._writers as old on old.epoch = writer_epoch "
        "join internal._writers as new on new.epoch = old.superseded_by where committed_at > new.started_at"
    )
    assert pipeline.query(late) == [(0,)]
    require_tables_of_one_worker(pipeline, tmp_path, messages)


def test_a_link_that_is_cut_and_healed_leaves_the_first_host_alone_meanwhile(
    cluster: Cluster, pipeline: Pipeline, tmp_path: Path
) -> None:
    cluster.environment |= {"CLUSTER_ABSENCE_SECONDS": "1"}
    messages = send(pipeline.settings, traffic(FIRST_ROUNDS))
    first, second = cluster.start(0), cluster.start(1, **PATIENT)
    second.wait_for("reading")
    second.cut()
    for host in cluster.hosts:
        host.wait_for(LOST)
    first.wait_for("hosts=[0]")
    messages += send(pipeline.settings, traffic(range(6, 7)))
    first.wait_for("committed")
    assert "hosts=[1]" not in second.output.read_text()
    second.heal()
    for host in cluster.hosts:
        host.wait_for(BOTH)
        host.wait_for("reading")
    stop(first, second)
    require_tables_of_one_worker(pipeline, tmp_path, messages)


@judged_by_postgres
def test_a_host_goes_on_when_the_first_one_stays_away_and_the_warehouse_shows_that_nobody_else_has(
    cluster: Cluster, pipeline: Pipeline, tmp_path: Path
) -> None:
    messages = send(pipeline.settings, traffic(FIRST_ROUNDS))
    first, second = cluster.start(0), cluster.start(1, CLUSTER_ABSENCE_SECONDS="1")
    second.wait_for("reading")
    first.lose_power()
    second.wait_for(LOST)
    second.wait_for("hosts=[1]")
    messages += send(pipeline.settings, traffic(range(6, 7)))
    second.wait_for("committed")
    first.return_power()
    cluster.start(0)
    for host in cluster.hosts:
        host.wait_for(BOTH)
        host.wait_for("reading")
    stop(first, second)
    require_tables_of_one_worker(pipeline, tmp_path, messages)


def test_a_host_that_is_stopped_and_comes_back_is_done_without_meanwhile(
    cluster: Cluster, pipeline: Pipeline, tmp_path: Path
) -> None:
    cluster.environment |= {"CLUSTER_ABSENCE_SECONDS": "1"}
    messages = send(pipeline.settings, traffic(FIRST_ROUNDS))
    first, second = (cluster.start(index) for index in range(2))
    second.wait_for("reading")
    stop(second)
    assert LOST not in second.output.read_text()
    first.wait_for("hosts=[0]")
    messages += send(pipeline.settings, traffic(range(6, 7)))
    first.wait_for("committed")
    second = cluster.start(1)
    first.wait_for("to go on with host 1")
    second.wait_for("reading")
    stop(first, second)
    require_tables_of_one_worker(pipeline, tmp_path, messages)
