"""The examples of the README run as they stand, after the demo that it begins with."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from support.guides import Desk, activated
from support.places import ROOT

from kernel.base.ports import free_port
from producer.simulate import simulate_cell

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_examples_of_the_readme_run_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "checkout"
    workbooks = folder / "data" / "demo" / "workbooks"  # which the demo leaves
    workbooks.mkdir(parents=True)
    (folder / ".venv").symlink_to(sys.prefix)
    simulate_cell(workbooks, "SIM_01", cycles=6, seed=1)
    port = free_port()
    given = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}", "METRICS_PORT": "0"}
    desk = Desk(folder, activated(folder, **given), {"battery broker": f"battery broker --port {port}"})
    monkeypatch.chdir(folder)
    for name, value in desk.environment.items():
        monkeypatch.setenv(name, value)
    try:
        desk.follow(ROOT / "README.md")
    finally:
        desk.leave()
    said = "\n".join(desk.done.values())
    assert "SIM_01  group: (nothing) -> fast" in said
    assert "('SIM_01', 'fast', " in said  # what the query finds
    assert list((folder / "data" / "exports").glob("SIM_01__*.bdf.csv"))
    assert (tmp_path / "battery-backup" / "backup.json").is_file()
