from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
