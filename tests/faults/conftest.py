"""The log that most fault tests read, and pipelines on each kind of warehouse that are to be struck."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from support.harness import Log, read_undisturbed, send, traffic
from support.pipeline import Pipeline
from support.warehouses import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.postgres import Database, Postgres

    from kernel.base.settings import Settings

ROUNDS = range(16)


@pytest.fixture(scope="module")
def log(broker: int, tmp_path_factory: pytest.TempPathFactory) -> Log:
    """A log of several cells with all that can be wrong in it, read once by an undisturbed worker."""
    folder = tmp_path_factory.mktemp("undisturbed")
    settings = Pipeline(folder, broker, {"BATTERY_TOPIC": "faults"}).settings
    messages = send(settings, traffic(ROUNDS))
    return read_undisturbed(folder, broker, "faults", messages)


@pytest.fixture
def kind() -> Kind:
    """The kind of warehouse that a test strikes, where it does not say that it does so with each."""
    return Kind.DUCKDB


@pytest.fixture
def new_warehouse(kind: Kind, request: pytest.FixtureRequest) -> Iterator[Callable[..., dict[str, str]]]:
    """What a further pipeline is told of its warehouse: a new one of the test's kind, or the copy of another's."""
    databases: list[Database] = []

    def make(copy_of: Settings | None = None) -> dict[str, str]:
        if kind is Kind.DUCKDB:
            return {}  # a file in the folder of the pipeline, which goes with a copy of the folder
        template = "template1" if copy_of is None else copy_of.warehouse_address.database
        databases.append(server(request).database(copy_of=template))
        return databases[-1].places

    yield make
    for database in databases:
        server(request).drop(database)


def server(request: pytest.FixtureRequest) -> Postgres:
    """The PostgreSQL server, which starts where a test needs it, and again where one has left it down."""
    postgres: Postgres = request.getfixturevalue("postgres_server")
    if not postgres.running:
        postgres.start()
    return postgres


@pytest.fixture
def pipeline(log: Log, tmp_path: Path, new_warehouse: Callable[..., dict[str, str]]) -> Iterator[Pipeline]:
    """A fresh pipeline on that log, to be struck."""
    pipeline = log.pipeline(tmp_path / "struck", **new_warehouse())
    yield pipeline
    pipeline.end()


@pytest.fixture
def pipeline_of_its_own(
    broker: int, tmp_path: Path, request: pytest.FixtureRequest, new_warehouse: Callable[..., dict[str, str]]
) -> Iterator[Pipeline]:
    """A fresh pipeline on a new topic."""
    topic = re.sub(r"\W", "_", request.node.name)  # the name of a case has brackets
    pipeline = Pipeline(tmp_path / "own", broker, {"BATTERY_TOPIC": topic, **new_warehouse()})
    yield pipeline
    pipeline.end()
