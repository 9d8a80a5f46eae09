"""A cluster over hosts on a real Kafka, MinIO and PostgreSQL, whose hosts are lost."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.hosts import QUICK, lose_hosts_at_random, require_tables_of_one_worker
from support.namespaces import Cluster, Network
from support.pipeline import Pipeline
from support.postgres import Postgres
from support.servers import Kafka, MinIO

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture(scope="module")
def servers(
    network: Network, kafka_files: Path, minio_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Kafka, MinIO, Postgres]]:
    """What all hosts reach."""
    assert kafka_files
    assert minio_files
    kafka = Kafka(tmp_path_factory.mktemp("kafka"), host=network.address)
    minio = MinIO(tmp_path_factory.mktemp("minio"), host=network.address)
    postgres = Postgres(Path(tempfile.mkdtemp(prefix="battery-postgres-")), listen=(network.address,))
    try:
        for server in (kafka, minio, postgres):
            server.start()
        yield kafka, minio, postgres
    finally:
        kafka.stop()
        minio.stop()
        postgres.remove()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("losses", [3, pytest.param(20, marks=[pytest.mark.nightly, pytest.mark.timeout(1500)])])
def test_hosts_that_are_lost_at_random_instants_cost_no_reading(
    network: Network, servers: tuple[Kafka, MinIO, Postgres], tmp_path: Path, losses: int
) -> None:
    kafka, minio, postgres = servers
    places = {"KAFKA_BOOTSTRAP_SERVERS": kafka.address, "BATTERY_TOPIC": f"losses_{losses}"}
    extra = {**QUICK, **places, **minio.settings(f"losses-{losses}"), **postgres.database().places}
    pipeline = Pipeline(tmp_path / "struck", 0, extra)
    try:
        with Cluster(network, 2, tmp_path / "hosts", pipeline.environment) as cluster:
            messages = lose_hosts_at_random(cluster, pipeline, losses)
        require_tables_of_one_worker(pipeline, tmp_path, messages)
    finally:
        pipeline.end()
