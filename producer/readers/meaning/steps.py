"""Steps and cycles of files that have none: told by current, voltage, and by charge after discharge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from producer.readers.meaning.counters import begins
from producer.readers.meaning.sign import NO_CURRENT

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

HELD: Final = 0.02
"""The share by which a current may differ from that before and still be held."""


def directions_of(current: Floats) -> Integers:
    """+1 where a current charges, -1 where it discharges, 0 where it is none, shape (n,)."""
    flows = np.abs(current) > NO_CURRENT * np.abs(current).max(initial=0.0)
    return np.where(flows, np.sign(current), 0).astype(np.int64)


def steps_of(current: Floats) -> Integers:
    """Numbers of steps from 1, shape (n,): one begins where the direction changes, or a held current jumps to another.

    A current that glides, as it does at constant voltage, is one step with what was before it.

    Args:
        current: A, charge positive, shape (n,).
    """
    fresh = begins(directions_of(current), len(current))
    if len(current) > 3:  # noqa: PLR2004  # two before and two after
        size = np.abs(current)
        same = np.abs(np.diff(current)) <= HELD * np.maximum(size[1:], size[:-1])
        fresh[2:-1] |= ~same[1:-1] & same[:-2] & same[2:]
    return np.cumsum(fresh)


def cycles_of(direction: Integers) -> Integers:
    """Numbers of cycles from 1, shape (n,): one begins where a charge follows a discharge.

    Args:
        direction: +1 charge, -1 discharge, 0 rest, shape (n,).
    """
    moving = np.flatnonzero(direction)
    fresh = np.zeros(len(direction), np.int64)
    turns = np.flatnonzero((direction[moving[1:]] > 0) & (direction[moving[:-1]] < 0)) + 1
    fresh[moving[turns]] = 1
    return 1 + np.cumsum(fresh)
