"""`battery airflow` with a stand-in for Airflow: the process becomes Airflow, which ends as at Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.places import ROOT

STAND_IN = {
    "__init__.py": "",
    "__main__.py": """
from airflow.cli.commands import standalone_command

def main():
    standalone_command.standalone(None)
""",
    "cli/__init__.py": "",
    "cli/commands/__init__.py": "",
    "cli/commands/standalone_command.py": """
import json, os, signal, sys

class SubCommand:
    pass

class StandaloneCommand:
    def run(self):
        try:
            print(json.dumps({"id": os.getpid(), "arguments": sys.argv, **os.environ}), flush=True)
            signal.pause()
        except KeyboardInterrupt:
            print("all parts have ended", flush=True)
            sys.exit(5)
""",
    "api_fastapi/auth/managers/simple/simple_auth_manager.py": "SimpleAuthManager = None",
}


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A folder with a package of Airflow's name that says how it was started and runs until it is interrupted."""
    folder = tmp_path / "packages"
    for name, text in STAND_IN.items():
        file = folder / "airflow" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_becomes_airflow_and_either_signal_interrupts_it(
    stand_in: Path, tmp_path: Path, number: signal.Signals
) -> None:
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell has it for what it starts in the background
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "battery", "airflow", "--port", "8123"],
            cwd=tmp_path,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
                "PYTHONPATH": f"{stand_in}{os.pathsep}{ROOT}",
                "AIRFLOW__CORE__PARALLELISM": "7",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, ignored)
    try:
        assert process.stdout is not None
        started = json.loads(process.stdout.readline())
        assert started["id"] == process.pid, "no process of ours is left between"
        assert started["arguments"] == ["airflow", "standalone"]
        assert started["AIRFLOW__API__PORT"] == "8123"
        assert started["AIRFLOW__CORE__DAGS_FOLDER"] == str(ROOT / "dags")
        assert started["AIRFLOW__CORE__PARALLELISM"] == "7", "a variable that is set wins"
        assert started["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
        process.send_signal(number)
        assert process.communicate()[0] == "all parts have ended\n"
        assert process.returncode == 5
    finally:
        process.kill()
