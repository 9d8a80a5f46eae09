"""Make landing-1a081d4.tar.xz: what a pipeline of the commit before the code was laid out on floors has left.

Two simulated cells in four commits: the warehouse, the objects without the workbooks, and the recovery store. The log
was an embedded broker's and is gone. To make it again, check that commit out and run this with it:

    git worktree add /tmp/before 1a081d4
    PYTHONPATH=/tmp/before python tests/support/made_before/make.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from battery.broker import embedded_broker, free_port  # type: ignore[import-untyped]  # of that commit

from producer.simulate import simulate_cell

COMMIT = "1a081d4"


def without_workbooks(part: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out the raw workbooks, which take most of the room; no command of the landing reads them."""
    return None if part.name.startswith("objects/raw") else part


def make(folder: Path) -> None:
    """Let the commands of that commit run in a folder."""
    for seed, cell in enumerate(("BEFORE_1", "BEFORE_2"), 1):
        simulate_cell(folder, cell, cycles=2, seed=seed)
    port = free_port()
    environment = os.environ | {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
        "COMMIT_MAX_ROWS": "400",
        "METRICS_PORT": "0",
    }
    with embedded_broker(port):
        for command in (["produce", "."], ["stream", "--until-end"], ["verify"]):
            subprocess.run([sys.executable, "-m", "battery", *command], cwd=folder, env=environment, check=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        make(Path(name))
        with tarfile.open(Path(__file__).with_name(f"landing-{COMMIT}.tar.xz"), "w:xz") as archive:
            for part in ("battery.duckdb", "objects", "recovery"):
                archive.add(Path(name) / "data" / part, part, filter=without_workbooks)
