"""The log that most fault tests read, and how many seeded kills there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.harness import Log, read_undisturbed, send, traffic
from support.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUNDS = range(16)


@pytest.fixture(scope="module")
def log(broker: int, tmp_path_factory: pytest.TempPathFactory) -> Log:
    """A log of several cells with all that can be wrong in it, read once by an undisturbed worker."""
    folder = tmp_path_factory.mktemp("undisturbed")
    settings = Pipeline(folder, broker, {"BATTERY_TOPIC": "faults"}).settings
    messages = send(settings, traffic(ROUNDS))
    return read_undisturbed(folder, broker, "faults", messages)


@pytest.fixture
def pipeline(log: Log, tmp_path: Path) -> Iterator[Pipeline]:
    """A fresh pipeline on that log, to be struck."""
    pipeline = log.pipeline(tmp_path / "struck")
    yield pipeline
    pipeline.end()


@pytest.fixture
def pipeline_of_its_own(broker: int, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pipeline]:
    """A fresh pipeline on a new topic."""
    pipeline = Pipeline(tmp_path / "own", broker, {"BATTERY_TOPIC": request.node.name})
    yield pipeline
    pipeline.end()
