"""The shared fixtures on real servers: what `broker` and `s3_port` mean in this folder.

A server that the environment names is used instead of one of our own, where a test does not strike or configure it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from support.pipeline import Pipeline
from support.servers import (
    Kafka,
    MinIO,
    ToolMissingError,
    benthos_binary,
    kafka_jars,
    mc_binary,
    minio_binary,
    mosquitto_files,
    prometheus_programs,
    spark_files,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

collect_ignore = [] if os.environ.get("MOTHERDUCK_TOKEN") else ["test_motherduck.py"]

GIVEN = {
    name: os.environ[name]
    for name in (
        "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_SECURITY_PROTOCOL", "KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME",
        "KAFKA_SASL_PASSWORD", "KAFKA_SSL_CA_LOCATION",
        "MINIO_ENDPOINT", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", "MINIO_SECURE", "MINIO_CA_LOCATION",
    )
    if name in os.environ
}  # fmt: skip
"""Read before the tests' own environment takes the settings away."""


def have(make: Callable[[], Path]) -> Path:
    """What a server is made of; where it cannot be had the test is skipped, and fails in CI."""
    try:
        return make()
    except ToolMissingError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no skip in CI: {error}")
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def kafka_files() -> Path:
    """For tests that start Kafka brokers of their own."""
    return have(kafka_jars)


@pytest.fixture(scope="session")
def minio_files() -> Path:
    """For tests that start MinIO servers of their own."""
    return have(minio_binary)


@pytest.fixture(scope="session")
def prometheus_files() -> Path:
    """For tests that start Prometheus, or ask its promtool."""
    return have(prometheus_programs)


@pytest.fixture(scope="session")
def mqtt_files() -> Path:
    """For tests that start an MQTT broker."""
    return have(mosquitto_files)


@pytest.fixture(scope="session")
def spark_folder() -> Path:
    """For tests that ask Spark."""
    return have(spark_files)


@pytest.fixture(scope="session")
def benthos_file() -> Path:
    """For tests that start Benthos."""
    return have(benthos_binary)


@pytest.fixture(scope="session")
def mc(minio_files: Path) -> Path:  # noqa: ARG001  # the server and its client go together
    """MinIO's own client."""
    return have(mc_binary)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A Kafka broker that nobody strikes."""
    have(kafka_jars)
    broker = Kafka(tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinIO]:
    """A MinIO server that nobody strikes."""
    have(minio_binary)
    server = MinIO(tmp_path_factory.mktemp("minio"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> dict[str, str]:
    """The settings that lead to a real Kafka and a real MinIO: those given from outside, or our own."""
    found = dict(GIVEN)
    if "KAFKA_BOOTSTRAP_SERVERS" not in GIVEN:
        found["KAFKA_BOOTSTRAP_SERVERS"] = request.getfixturevalue("kafka").address
    if "MINIO_ENDPOINT" not in GIVEN:
        found |= request.getfixturevalue("minio").settings()
    return found


@pytest.fixture(scope="session")
def s3_port(minio: MinIO) -> int:
    """Where the contract of an object store is asked of MinIO."""
    return minio.port


@pytest.fixture
def pipeline(servers: dict[str, str], tmp_path: Path) -> Iterator[Pipeline]:
    """A fresh pipeline on real servers, with a topic and a bucket of its own."""
    name = uuid4().hex[:12]
    pipeline = Pipeline(
        tmp_path / "pipeline", 0, servers | {"BATTERY_TOPIC": f"battery-{name}", "OBJECT_STORE": f"s3://battery-{name}"}
    )
    yield pipeline
    pipeline.end()
