"""One folder with published marts for all tests of the notebook; those that write have a copy."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from support import notebooks

import battery

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nobody writes there."""
    folder = tmp_path_factory.mktemp("notebook") / "lab"
    notebooks.make(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of one's own."""
    return shutil.copytree(made, tmp_path / "lab")


@pytest.fixture
def lab(made: Path) -> battery.Lab:
    return battery.open(made)
