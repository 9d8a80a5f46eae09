"""Readers beside a writer: the longest that a look at the warehouse takes while a worker lands all that it can."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.figures import Figure, tell
from benchmarks.postgresql import postgresql
from benchmarks.simulated import arrow_messages
from benchmarks.worker import log_of
from kernel.edges.warehouse import open_warehouse

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.figures import Show
    from benchmarks.worker import Log

ROWS: Final = 4_000_000
ROUNDS: Final = 3
PAUSE_SECONDS: Final = 0.05

_LOOK: Final = """
    select count(*), max(committed_at), sum("rows"),
        (select count(*) from internal._progress), (select count(*) from internal._cell_state)
    from internal._commits
"""
"""What `battery status` asks of a warehouse."""


def measure(show: Show, folder: Path, *, tiny: bool) -> None:
    """Look at both kinds of warehouse while a worker lands a log, in turn, and show the figure.

    Args:
        show: prints a figure.
        folder: where everything is put.
        tiny: take few rows, for a quick check.
    """
    rows, rounds = (40_000, 1) if tiny else (ROWS, ROUNDS)
    ours, file = [], []
    with postgresql() as server, log_of(folder, arrow_messages(rows, 4)) as log:
        for number in range(rounds):
            ours.append(_worst(log, f"postgres-{number}", WAREHOUSE=server.warehouse()))
            file.append(_worst(log, f"file-{number}"))
            tell(f"worst look beside a writer: {ours[-1]:.2f} s, at a DuckDB file {file[-1]:.2f} s")
    show(Figure("readers", median(ours), "s", reference=median(file)))


def _worst(log: Log, name: str, **extra: str) -> float:
    """The longest look in s from the first commit on until the worker has ended, but for the one that connects.

    A look at a DuckDB file may last until the worker has ended, and counts then although it is the only one.
    """
    environment = log.environment(name, **extra)
    warehouse = open_warehouse(log.settings(name, **extra))
    seconds = []
    with (log.folder / f"{name}.log").open("w") as output:
        command = [sys.executable, "-m", "battery", "stream", "--until-end"]
        worker = subprocess.Popen(command, env=environment, cwd=log.folder, stdout=output, stderr=output)
        try:
            while worker.poll() is None:
                if '"committed"' in (log.folder / f"{name}.log").read_text():
                    started = time.perf_counter()
                    with warehouse.connect("look", read_only=True) as connection:
                        connection.execute(_LOOK).fetchall()
                    seconds.append(time.perf_counter() - started)
                time.sleep(PAUSE_SECONDS)
        finally:
            worker.kill()
            worker.wait()
    if worker.returncode or not seconds:
        raise RuntimeError(
            f"the worker ended with {worker.returncode}: {(log.folder / f'{name}.log').read_text()[-2000:]}"
        )
    first, *later = seconds
    later = later or seconds
    tell(f"{name}: {len(later)} looks, median {median(later):.3f} s, worst {max(later):.3f} s; the first {first:.3f} s")
    return max(later)
