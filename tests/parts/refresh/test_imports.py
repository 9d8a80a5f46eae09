"""What a process pays for only if it publishes: the SQL parser takes a fifth of a second to import."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.places import ROOT


@pytest.mark.parametrize("module", ["battery.cli.main", "dataflows.battery", "dataflows.replay.replay"])
def test_the_command_the_worker_and_a_replay_start_without_the_sql_parser(module: str) -> None:
    script = f"import sys, {module}; print('sqlglot' in sys.modules)"
    started = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    assert started.stdout.strip() == "False"
