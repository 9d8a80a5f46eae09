"""From a dropped workbook to its cycles on an open page, and what a refresh costs that has little or nothing to do.

`battery up` runs as a lab runs it. A workbook of 30,000 rows is dropped into its inbox, and the time ends when the
marts that pages read have its cycles; an open page looks for newer marts by itself. The reference is what a person does
otherwise: cellpy reads the same workbook and summarises its cycles. cellpy is installed in an environment of its own,
since it needs other versions than this project; where that cannot be done, the figure is left out.
"""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import pyarrow.parquet as pq

from benchmarks.figures import Figure, tell
from benchmarks.refresh import BASE, History, live
from benchmarks.simulated import CYCLES, TESTS
from kernel.base.ports import free_port
from kernel.base.settings import Settings
from producer.simulate import simulate_cell
from refresh.dbt import BUILDING
from refresh.warm import WarmDbt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.figures import Show

CELLPY: Final = "cellpy==1.0.3"
"""The newest release that reads Arbin's workbooks: 2.1.5 needs Python 3.13, and its reader fails with the pandas that
it requires."""

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "battery-benchmarks"
"""Where environments of peers are kept; it may be removed at any time."""

ROUNDS: Final = 3
WORKBOOK_CYCLES: Final = 84
"""With the simulated schedule some 30,000 rows."""

NEW_READINGS: Final = 10_000
"""Readings of the one test that is new to a refresh."""

LONGEST_SECONDS: Final = 300.0
TICK_SECONDS: Final = 0.05

_CELLPY: Final = """
import json, logging, resource, sys, time
logging.disable(logging.CRITICAL)
import cellpy
def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
wall, used = time.perf_counter(), cpu()
cell = cellpy.get(sys.argv[1], instrument="arbin_sql_xlsx", mass=1.0)
print(json.dumps([len(cell.data.summary), time.perf_counter() - wall, cpu() - used]))
"""

_BARE: Final = "import dbt.cli.main"


def measure(show: Show, folder: Path, *, tiny: bool) -> None:
    """Drop workbooks and refresh, by turns with the references, and show the figures.

    Args:
        show: prints a figure.
        folder: where everything is put.
        tiny: take few rows, for a quick check.
    """
    _measure_drop(show, folder / "drop", tiny=tiny)
    _measure_refresh(show, folder / "refresh", tiny=tiny)


@dataclass(frozen=True)
class Lab:
    """A running `battery up`."""

    folder: Path

    def drop(self, workbook: Path, cell: str) -> float:
        """Put a workbook into the inbox; the time in s until the marts have cycles of its cell."""
        started = time.perf_counter()
        part = self.folder / "inbox" / f".{workbook.name}"
        shutil.copy(workbook, part)
        part.rename(part.with_name(workbook.name))
        while cell not in self._cells():
            if time.perf_counter() - started > LONGEST_SECONDS:
                raise ValueError(f"{workbook.name} was dropped {LONGEST_SECONDS:.0f} s ago and has no cycles")
            time.sleep(TICK_SECONDS)
        return time.perf_counter() - started

    def _cells(self) -> set[str]:
        objects = self.folder / "objects"
        try:
            key = json.loads((objects / "marts" / "manifest.json").read_bytes())["tables"]["battery_cycles"]["key"]
            cycles = pq.read_table(io.BytesIO((objects / key).read_bytes()), columns=["cell_id"])
        except FileNotFoundError:
            return set()
        return set(cycles["cell_id"].to_pylist())


@contextmanager
def _up(folder: Path) -> Iterator[Lab]:
    folder.mkdir(parents=True)
    known = {key: value for key, value in os.environ.items() if key.lower() not in Settings.model_fields}
    environment = {
        **known,
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
        "OBJECT_STORE": f"file://{folder / 'objects'}",
        "WAREHOUSE": str(folder / "battery.duckdb"),
        "RECOVERY_DIR": str(folder / "recovery"),
        "METRICS_PORT": "0",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    command = [sys.executable, "-m", "battery", "up", "--no-dashboard", "--inbox", str(folder / "inbox")]
    with (folder / "up.log").open("w") as log:
        lab = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
        try:
            _wait_for("Ctrl-C stops all", folder / "up.log")
            yield Lab(folder)
        finally:
            lab.send_signal(signal.SIGTERM)
            lab.wait(120)


def _wait_for(words: str, log: Path) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while words not in log.read_text():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{log} does not say {words!r}")
        time.sleep(TICK_SECONDS)


def _measure_drop(show: Show, folder: Path, *, tiny: bool) -> None:
    rounds, cycles = (1, 3) if tiny else (ROUNDS, WORKBOOK_CYCLES)
    workbooks = {}
    for number in range(rounds + 1):
        place = folder / "workbooks" / str(number)
        place.mkdir(parents=True)
        cell = f"DROP_{number}"
        workbooks[cell] = simulate_cell(place, cell, cycles=cycles, seed=number, cycles_per_file=cycles)[0]
    (first, workbook), *rest = workbooks.items()
    python = cellpy_python(tiny=tiny)
    ours, theirs = [], []
    with _up(folder / "lab") as lab:
        tell(f"first drop, which builds all models and makes dbt warm: {lab.drop(workbook, first):.1f} s")
        for cell, path in rest:
            ours.append(lab.drop(path, cell))
            tell(f"dropped {path.name}: {ours[-1]:.1f} s")
            if python is not None:
                seconds, used = _with_cellpy(python, path, cycles)
                theirs.append(seconds)
                tell(f"cellpy read and summarised it in {seconds:.1f} s, {used:.1f} s of a processor, started already")
    if theirs:
        show(Figure("drop_to_page", median(ours), "s", reference=median(theirs)))
    else:
        tell(f"drop_to_page is left out: {CELLPY} cannot be installed here; measured {median(ours):.1f} s without it")


def cellpy_python(*, tiny: bool) -> Path | None:
    """The Python of an environment that has cellpy; made where it is missing, but not for a quick check."""
    place = CACHE / CELLPY.replace("==", "-")
    python = place / "bin" / "python"
    done = place / "installed"
    if done.is_file():
        return python
    if tiny:
        return None
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(place)],
        [str(python), "-m", "pip", "install", "--quiet", CELLPY],
    ):
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            tell((made.stderr.strip().splitlines() or [""])[-1])
            return None
    done.touch()
    return python


def _with_cellpy(python: Path, workbook: Path, cycles: int) -> tuple[float, float]:
    """How long cellpy takes to read a workbook and summarise its cycles, in s: by the clock, and of a processor."""
    command = [str(python), "-c", _CELLPY, str(workbook)]
    environment = {**os.environ, "HOME": str(python.parents[1])}  # where it looks for settings, and leaves some
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
    )
    summarised, seconds, used = json.loads(done.stdout.splitlines()[-1])
    if summarised < cycles - 1:
        raise ValueError(f"cellpy summarised {summarised} of {cycles} cycles")
    return seconds, used


def _measure_refresh(show: Show, folder: Path, *, tiny: bool) -> None:
    """Refresh after one new test, with dbt warm and in a process of its own, and with nothing new."""
    base, rounds = (5_000, 1) if tiny else (BASE, ROUNDS)
    history = History(folder, live(TESTS if tiny else CYCLES), base)
    tell(f"{history.rows:,} readings; first build {history.refresh().seconds:.1f} s")
    alone, warm = [], []
    with WarmDbt(history.settings, BUILDING) as dbt:
        history.append(_new(tiny=tiny))
        history.refresh(runner=dbt.run)  # which makes it warm
        for _ in range(rounds):
            history.append(_new(tiny=tiny))
            warm.append(history.refresh(runner=dbt.run).seconds)
            history.append(_new(tiny=tiny))
            alone.append(history.refresh().seconds)
            tell(f"one new test: {warm[-1]:.2f} s with dbt warm, {alone[-1]:.2f} s in a process of its own")
    show(Figure("refresh_one_test", median(warm), "s", reference=median(alone)))

    settings = history.settings
    environment = {**os.environ, "WAREHOUSE": settings.warehouse, "OBJECT_STORE": settings.object_store}
    idle, bare = [], []
    for _ in range(rounds):
        idle.append(_used([sys.executable, "-m", "battery", "transform"], environment))
        bare.append(_used([sys.executable, "-c", _BARE], environment))
    show(Figure("refresh_idle", median(idle), "s", reference=median(bare)))


def _new(*, tiny: bool) -> int:
    return 50 if tiny else NEW_READINGS


def _used(command: Sequence[str], environment: dict[str, Any]) -> float:
    """The time of a processor that a command takes, in s."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
