"""The spike filter: single samples that lie off the trend of their step.

It looks back only, three samples of the same step, so that no verdict waits for a reading that may never
come and none depends on how the stream was cut. A centred Hampel filter would have to hold the last samples
of every test for ever; a trailing one, which compares with a median, calls the steep end of every discharge
a spike. This one asks instead whether any two of the three samples before lead to this one.

Looking back only, a downward spike and the knee of a discharge that is sampled too coarsely look the same: at half
the sampling rate of the CALCE cells the filter begins to suspect the ends of honest discharges. Its flag is therefore
a suspicion; `battery_cleaned`, which knows what came next, drops only what came back.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final

import numpy as np

from dataflows.fold.state import RECENT

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Tolerance:
    """How far a sample may lie from the line through two earlier ones.

    `floor` is in the channel's unit. `steeper` and `flatter` are shares of the change that the line predicts: the
    knee at the end of a discharge more than doubles the slope within one sample, relaxation halves it.
    `reach` is what the largest current of the test may move the channel by, in its unit: a change of current explains
    its share of that. Where the current changes by more than the share `steady` of its largest, as in a drive cycle,
    it is the current that moves the channel, and nothing is judged. `cell` is the largest value of one cell, in the
    channel's unit: `floor` and `reach` of a pack that shows so many times as much are so many times as large.
    """

    floor: float
    steeper: float = 1.25
    flatter: float = 0.5
    reach: float = 0.0
    steady: float = np.inf
    cell: float = np.inf


VOLTAGE: Final = Tolerance(floor=0.015, reach=0.5, steady=0.15, cell=5.0)
"""Volts. Whatever a cell's size, a test that loses half a volt to its resistance has reached its largest current; no
cell shows more than 5 V, and 200 in series have 200 times the noise of one.
0.15 lets the taper of a constant-voltage charge through, which is logged every 50 mA of 1.1 A."""

TEMPERATURE: Final = Tolerance(floor=2.0)
"""Degrees Celsius: no cell's surface moves so fast between two samples and back."""


def spikes(
    time: Floats,
    value: Floats,
    current: Floats,
    peak: Floats,
    position: npt.NDArray[np.int64],
    tolerance: Tolerance,
) -> npt.NDArray[np.bool_]:
    """Find the samples that lie off the lines through any two of the three before them.

    Args:
        time: s, strictly meaningful within a step only, shape (n,).
        value: the channel judged, NaN where it was not measured, shape (n,).
        current: A, shape (n,).
        peak: the largest magnitude of the test's current so far, A, shape (n,).
        position: how many samples of the same step precede each, shape (n,).
        tolerance: how far off is too far.

    Returns:
        True where a sample is a spike, shape (n,). Fewer than three samples into a step nothing is judged.
    """
    found = np.zeros(len(value), dtype=np.bool_)
    if len(value) <= RECENT:
        return found
    # Almost every sample lies within the floor of the one before it: only the others are worth the arithmetic.
    at = np.flatnonzero((position[1:] >= RECENT) & (np.abs(np.diff(value)) > tolerance.floor)) + 1
    # By the lowest of the readings before: any of them may be a spike.
    lowest = np.min([np.abs(value[at - back]) for back in range(1, RECENT + 1)], axis=0)
    cells = np.maximum(lowest / tolerance.cell, 1.0)
    within = np.abs(value[at] - value[at - 1]) <= tolerance.floor * cells
    if within.any():
        at, cells = at[~within], cells[~within]
    verdict = np.ones(len(at), dtype=np.bool_)
    for near, far in combinations(range(1, RECENT + 1), 2):
        span = time[at - near] - time[at - far]
        ahead = time[at] - time[at - near]
        predicted = np.divide((value[at - near] - value[at - far]) * ahead, span, out=np.zeros(len(at)), where=span > 0)
        deviation = value[at] - value[at - near] - predicted
        share = np.where(deviation * predicted > 0, tolerance.steeper, tolerance.flatter)
        change = np.maximum(np.abs(current[at] - current[at - near]), np.abs(current[at - near] - current[at - far]))
        surge = np.divide(change, peak[at], out=np.zeros(len(at)), where=peak[at] > 0)
        verdict &= surge <= tolerance.steady
        floor, reach = tolerance.floor * cells, tolerance.reach * cells
        verdict &= np.abs(deviation) > floor + share * np.abs(predicted) + reach * surge
    found[at] = verdict
    return found
