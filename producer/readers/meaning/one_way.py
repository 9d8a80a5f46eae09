"""Counters that are said to count both directions and count one: they stand still while the other one flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from producer.readers.meaning.counters import begins, filled

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

LEAST_SHARE: Final = 0.01
"""The share of what a current moves in both directions from which one of them is worth a counter: less is noise."""

STILL: Final = 0.01
"""The share of what a counter should gain in a direction up to which it gains nothing there."""

LEAST_DIGITS: Final = 2
"""So many times its smallest gain a counter should gain in one go before it can be said to stand still."""


def flows(way: int, direction: Integers, moved: Floats) -> bool:
    """Whether a current moves a charge that matters in a direction.

    Args:
        way: the direction, +1 or -1.
        direction: that of each reading, +1, -1 or 0 for a rest, shape (n,).
        moved: what the current moved since the reading before, Ah or Wh, none of it negative, shape (n,).
    """
    by_way, all_moved = float(moved[direction == way].sum()), float(moved[direction != 0].sum())
    return by_way > 0 and by_way >= LEAST_SHARE * all_moved


def uncounted_direction(values: Floats, direction: Integers, moved: Floats, *, net: bool) -> int:
    """The direction in which a counter gains nothing while a current moves it: +1 or -1, 0 where there is none.

    Readings are compared with the one before where both are of one direction, since a counter may begin again, or lag
    behind, where it changes. What it should gain is told by what it gains in the other direction.

    Args:
        values: the counter, Ah or Wh, shape (n,).
        direction: +1, -1 or 0 for a rest, shape (n,).
        moved: what the current moved since the reading before, as `flows` takes it.
        net: whether it may fall in one of its directions.
    """
    values = filled(values)
    gains = np.diff(values, prepend=values[:1])
    gains = np.abs(gains) if net else gains.clip(min=0.0)
    fresh = begins(direction, len(direction))
    smallest = float(gains[gains > 0].min(initial=np.inf))
    for way in (1, -1):
        here, there = (~fresh & (direction == one) for one in (way, -way))
        gained = float(gains[there].sum())
        if not gained or not moved[there].any() or not flows(way, direction, moved):
            continue
        due = np.where(here, moved, 0.0) * (gained / float(moved[there].sum()))
        longest = float(np.add.reduceat(due, np.flatnonzero(fresh)).max())
        if longest >= LEAST_DIGITS * smallest and float(gains[here].sum()) <= STILL * float(due.sum()):
            return way
    return 0
