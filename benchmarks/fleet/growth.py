"""The refresh by cells and by new rows: what the hour between two refreshes may bring."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.figures import Figure, tell
from benchmarks.refresh import History, Life, live

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.figures import Show

READINGS: Final = 1_000_000
"""Readings of each history."""

TESTS: Final = 2
"""Tests of a simulated cell that a history is made of."""

CYCLES_OF_MANY: Final = 20
CYCLES_OF_FEW: Final = 200
"""Cycles of a simulated life of 20 tests; a tenth as many make a history of ten times as many cells."""

ROUNDS: Final = 1
FEW: Final = 10_000
MANY: Final = 360_000
"""New readings of a refresh; an hour of 100 channels at 1 Hz has as many."""


class Wide(History):
    """A history whose new readings are whole tests of as many cells as it takes."""

    def append(self, readings: int) -> int:
        """Land new tests of some of the cells, of at least so many readings in all; returns how many."""
        test_id, last_cycle = self._ask(_TESTS)[-1]
        before = self.rows
        copies = -(-readings // pc.sum(pc.equal(self._life.readings["test_id"], test_id)).as_py())
        if copies > self._cells:
            raise ValueError(f"{self._cells} cells have no room for {readings} new readings at a time")
        self._land(test_id, last_cycle, copies, later=120 + 15 * self._appended)
        self._appended += 1
        self._first += copies
        return self.rows - before


_TESTS: Final = "select test_id, max(cycle_index) from cycles group by test_id order by test_id"


def measure(show: Show, folder: Path, *, tiny: bool) -> None:
    """Refresh histories of many cells and of few, and after many new readings and few; show the figures.

    Args:
        show: prints a figure.
        folder: where the warehouses are made.
        tiny: take few rows, for a quick check.
    """
    readings, rounds, few, many = (12_000, 1, 600, 1_200) if tiny else (READINGS, ROUNDS, FEW, MANY)
    histories = {}
    for name, cycles in (("many", CYCLES_OF_MANY), ("few", CYCLES_OF_FEW)):
        life = _first_tests(live(20 if tiny else cycles))
        histories[name] = Wide(folder / name, life, readings)
        tell(f"{name} cells: {readings // life.readings.num_rows:,} cells, {histories[name].rows:,} readings")
        _refresh(histories[name], 0)
    by_cells = {name: [_refresh(history, few) for _ in range(rounds)] for name, history in histories.items()}
    show(Figure("refresh_cells", median(by_cells["many"]), "s", reference=median(by_cells["few"])))
    after_many = [_refresh(histories["few"], many) for _ in range(rounds)]
    show(Figure("refresh_new", median(after_many), "s", reference=median(by_cells["few"])))


def _first_tests(life: Life) -> Life:
    """The first tests of a life."""
    first = pa.array(sorted(set(life.readings["test_id"].to_pylist()))[:TESTS])
    return replace(
        life,
        readings=life.readings.filter(pc.is_in(life.readings["test_id"], first)),
        cycles=life.cycles.filter(pc.is_in(life.cycles["test_id"], first)),
    )


def _refresh(history: Wide, new: int) -> float:
    """Time of processors in s that a refresh takes after so many new readings, dbt's process included."""
    landed = history.append(new) if new else 0
    before = os.times()
    started = time.perf_counter()
    history.refresh()
    after = os.times()
    spent = sum(after[:4]) - sum(before[:4])
    tell(f"refreshed after {landed:,} new readings: {spent:.1f} s of processors, {time.perf_counter() - started:.1f} s")
    return spent
