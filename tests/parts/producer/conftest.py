"""What tests on a broker share: a topic of their own on the module's broker, and an empty folder."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from support.pipeline import Pipeline

if TYPE_CHECKING:
    from pathlib import Path

    from kernel.base.settings import Settings


@pytest.fixture
def settings(broker: int, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """Settings with a topic for this test alone."""
    topic = f"producer_{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]}"
    return Pipeline(tmp_path / "pipeline", broker, {"BATTERY_TOPIC": topic}).settings


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """An empty folder to watch."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder
