"""Two hosts on a network of this machine, and what all of them reach."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.harness import Log, read_undisturbed, send, traffic
from support.hosts import FIRST_ROUNDS, QUICK
from support.namespaces import Cluster, Network
from support.pipeline import Pipeline
from support.postgres import Postgres
from support.warehouses import Kind

from kernel.base.ports import free_port
from kernel.edges.broker import embedded_broker

if TYPE_CHECKING:
    from collections.abc import Iterator


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
