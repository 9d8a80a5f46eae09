"""The spike filter: single samples that leave the course of their step.

It looks back only, three samples of the same step, so that no verdict waits for a reading that may never
come and none depends on how the stream was cut. A centred Hampel filter would have to hold the last samples
of every test for ever; a trailing one, which compares with a median, calls the steep end of every discharge
a spike. This one asks instead whether any two of the three samples before lead to this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final

import numpy as np

from dataflows.state import RECENT

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Tolerance:
    """How far a sample may lie from the line through two earlier ones.

    `floor` is in the channel's unit. `steeper` and `flatter` are shares of the change that the line predicts: the
    knee at the end of a discharge more than doubles the slope within one sample, relaxation halves it.
    `per_ampere` allows for the jump that a change of current explains (unit per A).
    """

    floor: float
    steeper: float = 1.25
    flatter: float = 0.5
    per_ampere: float = 0.0


VOLTAGE: Final = Tolerance(floor=0.015, per_ampere=0.5)
"""Volts. Half an ohm is above the resistance of any cell whose jumps the floor does not cover."""

TEMPERATURE: Final = Tolerance(floor=2.0)
"""Degrees Celsius: no cell's surface moves so fast between two samples and back."""


def spikes(
    time: Floats, value: Floats, current: Floats, position: npt.NDArray[np.int64], tolerance: Tolerance
) -> npt.NDArray[np.bool_]:
    """Find the samples that no two of the three before them lead to.

    Args:
        time: s, strictly meaningful within a step only, shape (n,).
        value: the channel judged, NaN where it was not measured, shape (n,).
        current: A, shape (n,).
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
    verdict = np.ones(len(at), dtype=np.bool_)
    for near, far in combinations(range(1, RECENT + 1), 2):
        span = time[at - near] - time[at - far]
        ahead = time[at] - time[at - near]
        predicted = np.divide((value[at - near] - value[at - far]) * ahead, span, out=np.zeros(len(at)), where=span > 0)
        deviation = value[at] - value[at - near] - predicted
        share = np.where(deviation * predicted > 0, tolerance.steeper, tolerance.flatter)
        surge = np.maximum(np.abs(current[at] - current[at - near]), np.abs(current[at - near] - current[at - far]))
        verdict &= np.abs(deviation) > tolerance.floor + share * np.abs(predicted) + tolerance.per_ampere * surge
    found[at] = verdict
    return found
