"""Scale: two worker processes on a processor each, compared with one on one, without the append to the warehouse.

A DuckDB file has one writer, however many processes there are. What can scale are the steps before it: reading,
decoding, cleaning, encoding and storing objects. Each process is bound to one processor, because it would use both.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from benchmarks.figures import Figure, tell
from benchmarks.simulated import arrow_messages
from benchmarks.worker import log_of, run_of
from kernel.base.ports import free_port
from kernel.base.settings import GROUPS_PER_PROCESS

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.figures import Show
    from benchmarks.worker import Log, Run

ROWS: Final = 8_000_000
CELLS: Final = 128
"""Enough that hashing spreads them almost evenly over the partitions."""

ROUNDS: Final = 3
LANES: Final = 2
FLOW: Final = "benchmarks.unlanded"


def measure(show: Show, folder: Path, *, tiny: bool) -> None:
    """Stream the same log with one process and with two, in turn, and show the figure.

    Args:
        show: prints a figure.
        folder: where everything is put.
        tiny: take few rows, for a quick check.
    """
    cpus = sorted(os.sched_getaffinity(0))[:2]
    one, two = [], []
    with log_of(folder, arrow_messages(4_000 if tiny else ROWS, 4 if tiny else CELLS), partitions=2) as log:
        for number in range(1 if tiny else ROUNDS):
            one.append(run_bound(log, f"one-{number}", cpus[:1], FLOW).rows_per_second)
            two.append(run_bound(log, f"two-{number}", cpus if len(cpus) > 1 else cpus * 2, FLOW).rows_per_second)
            tell(f"scale: {one[-1]:,.0f} rows/s with one process, {two[-1]:,.0f} with two")
    show(Figure("scale_2", median(two), "rows/s", reference=median(one)))


def run_bound(log: Log, name: str, cpus: list[int], module: str, **extra: str) -> Run:
    """Run one pipeline with a process on each of the given processors.

    Args:
        log: what to read.
        name: of the sub-folder.
        cpus: the processors.
        module: of the flow.
        extra: further variables.
    """
    groups = str(LANES * GROUPS_PER_PROCESS)  # as `battery stream --workers 2` sets it
    environment = log.environment(
        name, LANES=str(LANES), CELL_GROUPS=groups, STREAM_UNTIL_END="true", RUN_ID=uuid4().hex, **extra
    )
    addresses = ";".join(f"127.0.0.1:{free_port()}" for _ in cpus)
    flow = [sys.executable, "-m", "bytewax.run", module]

    def process(number: int) -> tuple[str, int]:
        arguments = ["-i", str(number), "-a", addresses] if len(cpus) > 1 else []
        return log.lines([*flow, *arguments], environment, cpus[number : number + 1], log=f"{name}-{number}.log")

    with ThreadPoolExecutor(len(cpus)) as threads:
        found = list(threads.map(process, range(len(cpus))))
    return run_of(("".join(text for text, _ in found), max(peak for _, peak in found)))
