"""A log that has landed, for replays to build again."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from support.harness import Log, read_undisturbed, send, traffic
from support.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def log(broker: int, tmp_path_factory: pytest.TempPathFactory) -> Log:
    """A log that an undisturbed worker has read."""
    folder = tmp_path_factory.mktemp("undisturbed") / "pipeline"
    messages = send(Pipeline(folder, broker, {"BATTERY_TOPIC": "replay"}).settings, traffic(range(8)))
    return read_undisturbed(folder, broker, "replay", messages, COMMIT_MAX_ROWS="400")


@pytest.fixture(scope="module")
def landed(log: Log, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A pipeline in which that log has landed, in several commits."""
    pipeline = log.pipeline(tmp_path_factory.mktemp("landed") / "pipeline", COMMIT_MAX_ROWS="400")
    pipeline.battery("stream", "--until-end")
    return pipeline


@pytest.fixture
def live(landed: Pipeline, log: Log, tmp_path: Path) -> Iterator[Pipeline]:
    """A copy of it, for a test to damage and replay."""
    shutil.copytree(landed.folder, tmp_path / "live")
    pipeline = log.pipeline(tmp_path / "live", COMMIT_MAX_ROWS="300")
    yield pipeline
    pipeline.end()
