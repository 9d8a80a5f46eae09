"""The simulation: one worker beside a fleet at 1 Hz, in compressed time, with its lag and memory over time.

The clock of the simulation is the fleet's. The messages of a second come at its end. The worker takes them as soon as
it is free, and the clock moves on by the time that this takes; where it has to wait for the next second, the wait is
left out. An epoch closes every 10 s of the fleet's time. So a fleet's minute costs as long as the worker is busy in it,
and the lag is what it would be beside a real fleet.

Time is that of processors, so that others on the machine do not count. While the worker folds, one processor folds and
another encodes and lands, and the longer of the two counts; while an epoch closes, one waits for the other, and both
count. Waiting for a disk does not. All has landed when an epoch has closed, and only then are the next messages made.
Neither broker, client nor Bytewax is part of it.
"""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from benchmarks.figures import Figure, tell
from benchmarks.fleet.channels import ARROW_60, JSON_1, JSON_10, Fleet, Spool
from benchmarks.fleet.sizes import bytes_each
from benchmarks.fleet.worker import Worker, settings_of
from kernel.base.tuning import tune_process

if TYPE_CHECKING:
    from benchmarks.figures import Show

CHANNELS: Final = 100_000
FEWER: Final = 10_000
SECONDS: Final = 60
EPOCH_SECONDS: Final = 10
WARM_EPOCHS: Final = 2
"""Epochs at the start that do not count: all cells are new in them."""

MIXES: Final = (JSON_1, ARROW_60, JSON_10)
SLOW: Final = (JSON_10,)
"""Mixes that are simulated for a third as long, since each of their seconds takes a worker several."""


@dataclass(frozen=True)
class Course:
    """What became of a worker beside a fleet.

    By second of the fleet: `lag_seconds`, how long after their arrival its readings were folded, and `memory_mb`.
    By epoch: `busy_seconds`, how long the worker was at work for it, of which `close_seconds` to close it. A new worker
    on what had landed took `begin_seconds` to begin, and `first_epoch_seconds` to fold its first epoch, s.
    `bytes_each` is the size of a row by table.
    """

    mix: str
    words: str
    channels: int
    rows: int
    lag_seconds: list[float]
    memory_mb: list[float]
    busy_seconds: list[float]
    close_seconds: list[float]
    begin_seconds: float
    first_epoch_seconds: float
    bytes_each: dict[str, float]

    @property
    def load(self) -> float:
        """Share of the fleet's time in which the worker is at work, once it knows all cells."""
        busy = self.busy_seconds[WARM_EPOCHS:] or self.busy_seconds
        return sum(busy) / (len(busy) * EPOCH_SECONDS)

    @property
    def rows_per_second(self) -> float:
        """Readings that the worker can take in a second."""
        return self.channels / self.load

    @property
    def close(self) -> float:
        """Seconds that closing an epoch takes."""
        return median(self.close_seconds[WARM_EPOCHS:] or self.close_seconds)


def measure(show: Show, folder: Path, *, tiny: bool) -> list[dict[str, Any]]:
    """Run a worker beside each fleet; returns its course for the pictures of the page.

    Args:
        show: prints a figure.
        folder: where everything is put.
        tiny: take few channels, for a quick check.
    """
    many, fewer, seconds = (120, 60, 60) if tiny else (CHANNELS, FEWER, SECONDS)
    courses = []
    for mix in MIXES:
        length = seconds // 3 if mix in SLOW else seconds
        fleets = [Fleet(channels, mix, length) for channels in (many, fewer)]
        large, small = (_course(fleet, folder, apart=not tiny) for fleet in fleets)
        courses += [large, small]
        show(Figure(f"fleet_{mix.name}", large.rows_per_second, "rows/s", reference=small.rows_per_second))
        show(Figure(f"fleet_close_{mix.name}", large.close, "s", reference=small.close))
        show(Figure(f"fleet_memory_{mix.name}", max(large.memory_mb), "MB", reference=max(small.memory_mb)))
    for table, size in courses[0].bytes_each.items():
        show(Figure(f"bytes_{table.strip('_')}", size, "B", reference=courses[1].bytes_each[table]))
    show(Figure("fleet_begin", courses[0].begin_seconds, "s", reference=courses[1].begin_seconds))
    first = [course.first_epoch_seconds for course in courses[:2]]
    show(Figure("fleet_first_epoch", first[0], "s", reference=first[1]))
    return [asdict(course) for course in courses]


def _course(fleet: Fleet, folder: Path, *, apart: bool) -> Course:
    """Run a worker, `apart` in a process of its own, which is set up as a worker is and holds nothing else."""
    place = folder / f"{fleet.mix.name}-{fleet.channels}"
    place.mkdir(parents=True)
    if apart:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), tune_process) as process:
            course = process.submit(run, fleet, place).result()
    else:
        course = run(fleet, place)
    tell(
        f"{course.words}, {course.channels:,} channels: {course.rows_per_second:,.0f} rows/s, load {course.load:.2f}, "
        f"epochs closed in {course.close:.2f} s, at most {max(course.memory_mb):.0f} MB, lag at the end "
        f"{course.lag_seconds[-1]:.1f} s; begun again in {course.begin_seconds:.2f} s, first epoch "
        f"{course.first_epoch_seconds:.1f} s"
    )
    return course


def run(fleet: Fleet, folder: Path) -> Course:
    """Run a worker beside a fleet, and begin another on what it has landed.

    Args:
        fleet: what sends.
        folder: where everything is put.
    """
    settings = settings_of(folder)
    worker = Worker(settings)
    spool = Spool(fleet, folder / "waiting")
    lag, memory, busy, close = [], [], [], []
    clock = 0.0
    for first in range(0, fleet.seconds, EPOCH_SECONDS):
        before = clock
        idle = 0.0
        for second, polls in enumerate(spool.polls(first, EPOCH_SECONDS), start=first):
            came = second + 1.0
            idle += max(0.0, came - clock)
            clock = max(clock, came)
            spent = Spent()
            worker.take(polls)
            clock += spent.beside()
            lag.append(round(clock - came, 3))
            memory.append(round(_own_bytes() / 1e6, 1))
        spent = Spent()
        worker.close_epoch()
        close.append(spent.in_turn())
        clock += close[-1]
        busy.append(clock - before - idle)
        memory[-1] = round(max(memory[-1], _own_bytes() / 1e6), 1)
    worker.close()
    if worker.rows != spool.rows:
        raise ValueError(f"{worker.rows:,} of {spool.rows:,} readings landed")
    spent = Spent()
    worker = Worker(settings)
    begin = spent.in_turn()
    first_epoch = 0.0
    for polls in spool.polls(fleet.seconds, EPOCH_SECONDS):
        spent = Spent()
        worker.take(polls)
        first_epoch += spent.beside()
    worker.close_epoch()
    worker.close()
    sizes = bytes_each(settings, folder)
    return Course(
        fleet.mix.name, fleet.mix.words, fleet.channels, spool.rows, lag, memory, busy, close, begin, first_epoch, sizes
    )


class Spent:
    """The time of processors since it was made: of this thread, and of the others of the process."""

    def __init__(self) -> None:
        self._thread = time.thread_time()
        self._process = time.process_time()

    def beside(self) -> float:
        """Time in s with a processor for this thread and another for the rest."""
        own = time.thread_time() - self._thread
        return max(own, self.in_turn() - own)

    def in_turn(self) -> float:
        """Time in s on one processor."""
        return time.process_time() - self._process


def _own_bytes() -> int:
    """Memory that is this process's alone: the spooled messages, which a file maps, are not."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))
