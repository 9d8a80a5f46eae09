"""The time of processors that parts of a pipeline take, which tells how much a machine can land at most."""

from __future__ import annotations

import os
import resource
from collections import defaultdict
from typing import TYPE_CHECKING

import psutil

from benchmarks.figures import tell

if TYPE_CHECKING:
    from collections.abc import Mapping


def used() -> dict[str, float]:
    """Time in s so far: of `workers`, all processes that have ended, and of each server that runs, by its name."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    times = defaultdict(float, workers=ended.ru_utime + ended.ru_stime)
    for server in psutil.Process().children():
        name = "PostgreSQL" if server.name() == "postgres" else "broker"
        times[name] += sum(_time(process) for process in (server, *server.children(recursive=True)))
    return dict(times)


def since(before: Mapping[str, float]) -> dict[str, float]:
    """The time in s that each part has used since then."""
    return {part: time - before.get(part, 0.0) for part, time in used().items()}


def tell_shares(name: str, taken: Mapping[str, float], rows: int, bare: float) -> None:
    """Say what each part took of a run, and how fast this machine could be at most.

    Args:
        name: of the run.
        taken: the time of each part for it, in s.
        rows: that were landed.
        bare: the pace of the reference, in rows/s.
    """
    whole = sum(taken.values())
    processors = len(os.sched_getaffinity(0))
    most = processors * rows / whole
    parts = ", ".join(f"{part} {time / rows * 1e6:.2f}" for part, time in taken.items())
    tell(
        f"{name}: {whole / rows * 1e6:.2f} µs of a processor a row ({parts}), so {processors} processors land "
        f"{most:,.0f} rows/s at most, {most / bare:.2f} of the bare append"
    )


def _time(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:  # its time is its parent's now
        return 0.0
    return sum((times.user, times.system, times.children_user, times.children_system))
