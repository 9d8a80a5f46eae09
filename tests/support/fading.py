"""Simulated and real capacity records for the tests of fades."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


def cycles(n: int) -> Floats:
    """Cycle numbers from 1."""
    return np.arange(1, n + 1, dtype=np.float64)


def noise(n: int, seed: int, *, size_ah: float, alike: float) -> Floats:
    """Noise of which each value keeps a share of the one before; its standard deviation in Ah."""
    fresh = np.random.default_rng(seed).normal(0, size_ah * np.sqrt(1 - alike**2), n)
    values = np.zeros(n)
    for i in range(n):
        values[i] = fresh[i] + (alike * values[i - 1] if i else 0)
    return values


def cs2_35(shared_data: Path, age: float = np.inf) -> tuple[Floats, Floats]:
    """The complete cycles of a real cell up to an age: cycle numbers and capacities in Ah."""
    with (shared_data / "reference" / "CS2_35_percycle.csv").open(newline="") as file:
        rows = [
            (float(row["global_cycle"]), float(row["discharge_ah_counter"]))
            for row in csv.DictReader(file)
            if row["v_min_step7"] and float(row["v_min_step7"]) <= 2.8 and float(row["discharge_ah_counter"]) > 0.3
        ]
    x, q = np.array([row for row in rows if row[0] <= age]).T
    return x, q
