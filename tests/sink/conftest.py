from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from committed import Landed, land_two_runs

from battery.objects import FolderStore
from sink.warehouse import DuckDBFile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects")


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBFile:
    return DuckDBFile(tmp_path / "battery.duckdb", lock_timeout_seconds=30)


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which two runs of the worker have landed small commits."""
    folder = tmp_path_factory.mktemp("two-runs")
    land_two_runs(folder)
    return folder


@pytest.fixture
def landed(two_runs: Path, tmp_path: Path) -> Landed:
    """A copy of it."""
    shutil.copytree(two_runs, tmp_path / "landed")
    return Landed(tmp_path / "landed")
