"""Counters: from what a file counts (a step, a cycle, a test; both directions in one) to counters of the whole test.

Sums are of gains: what a counter rose by since the reading before, or all of its value where it began again. A counter
that never begins again is left as it is, to the last digit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Bools = npt.NDArray[np.bool_]

NOISE: Final = 1e-6
"""The share of a counter's largest value by which it may fall without beginning again: lost digits and drift."""

MOST: Final = 0.8
"""The share of falls where steps or cycles begin, and of beginnings with a fall, that makes a counter one of those."""

AS_READ: Final = "as_read"
"""The kind of counters that are left as they are: where one falls, it begins again for whoever reads the test."""

SECONDS_PER_HOUR: Final = 3600.0


@dataclass(frozen=True)
class Told:
    """A pair of counters of the test, and what the file's counters count: `test`, `cycle` or `step`."""

    charge: Floats
    discharge: Floats
    kind: str


def begins(labels: Integers | None, size: int) -> Bools:
    """Where a run of equal labels begins, the first reading among them, shape (size,)."""
    found = np.zeros(size, np.bool_)
    found[0] = True
    if labels is not None:
        found[1:] = labels[1:] != labels[:-1]
    return found


def kind_of(values: Floats, steps: Bools, cycles: Bools) -> str:
    """What a counter counts, by where it falls: `test` where it never does, else `cycle`, `step` or `irregular`.

    Most falls of a counter of steps are where steps begin, and it falls where most steps begin after it had a value.
    One that holds its value in a rest, and falls where the direction changes, is none.
    """
    values = filled(values)
    falls = _falls(values)
    if not falls.any():
        return "test"
    had_value = np.append(False, values[:-1] > NOISE * values.max())
    for kind, starts in (("cycle", cycles), ("step", steps)):
        due = starts & had_value
        if (falls & starts).sum() >= MOST * falls.sum() and (falls & due).sum() >= MOST * due.sum():
            return kind
    return "irregular"


def accumulate(values: Floats, kind: str, steps: Bools, cycles: Bools) -> Floats:
    """A counter of the whole test, shape (n,), from one that begins again.

    Args:
        values: what the file has, Ah or Wh, shape (n,); empty cells (NaN) keep the value before.
        kind: as `kind_of` tells, or `AS_READ`.
        steps: where a step begins, shape (n,).
        cycles: where a cycle begins, shape (n,).
    """
    values = filled(values)
    if kind == AS_READ:
        return values
    falls = _falls(values)
    if kind == "test" and not falls.any():
        return values
    restarts = falls.copy()
    if kind == "step":
        restarts |= steps
    elif kind == "cycle":
        restarts |= cycles
    gains = _gains(values)
    gains[restarts] = values[restarts]
    return np.cumsum(gains)


def share_out(
    values: Floats, direction: Integers, kind: str, steps: Bools, moved: Floats | None = None
) -> tuple[Floats, Floats]:
    """Charge and discharge counters of the test from one that rises in both directions.

    It holds its value in a rest, goes on when the same direction resumes, and begins again where the direction changes
    or, in a counter of steps, where a step begins. One that falls nowhere, or only where cycles begin, may go on there:
    it did what is nearer to what moved since the reading before.

    Args:
        values: what the file has, shape (n,).
        direction: +1, -1 or 0 for a rest, shape (n,).
        kind: as `kind_of` tells.
        steps: where a step begins, shape (n,).
        moved: what the current moved since the reading before, shape (n,); without it, no counter goes on.
    """
    values = np.abs(filled(values))
    last = last_direction(direction)
    turned = np.zeros(len(values), np.bool_)
    turned[1:] = (last[1:] != last[:-1]) & (last[:-1] != 0)
    gains = _gains(values)
    if moved is not None and kind in {"test", "cycle"}:
        turned &= np.abs(values - moved) <= np.abs(gains - moved)
    restarts = _falls(values) | turned
    if kind == "step":
        restarts |= steps
    gains[restarts] = values[restarts]
    return np.cumsum(np.where(last > 0, gains, 0.0)), np.cumsum(np.where(last < 0, gains, 0.0))


def split_net(values: Floats, kind: str, steps: Bools, cycles: Bools) -> tuple[Floats, Floats]:
    """Charge and discharge counters of the test from one that rises with charge and falls with discharge."""
    values = filled(values)
    gains = np.diff(values, prepend=values[0] if kind == "test" else 0.0)
    if kind in {"step", "cycle"}:
        restarts = steps if kind == "step" else cycles
        gains[restarts] = values[restarts]
    return np.cumsum(gains.clip(min=0.0)), np.cumsum((-gains).clip(min=0.0))


def integrate(rate: Floats, time: Floats, steps: Bools) -> tuple[Floats, Floats]:
    """Charge and discharge counters from a rate (A or W) and times (s): Ah or Wh, by trapezoids within a step.

    The first reading of a step counts with its own rate since the reading before, as the rate has changed there.
    """
    hours = np.diff(time, prepend=time[0]).clip(min=0.0) / SECONDS_PER_HOUR
    before = np.concatenate((rate[:1], rate[:-1]))
    mean = np.where(steps | (np.sign(rate) * np.sign(before) < 0), rate, (rate + before) / 2)
    gains = mean * hours
    return np.cumsum(gains.clip(min=0.0)), np.cumsum((-gains).clip(min=0.0))


def _falls(values: Floats) -> Bools:
    values = filled(values)
    size = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
    found = np.zeros(len(values), np.bool_)
    found[1:] = np.diff(values) < -NOISE * size
    return found


def _gains(values: Floats) -> Floats:
    """What each value is more than that before, and the first one more than 0, shape (n,)."""
    gains = values.copy()
    gains[1:] -= values[:-1]
    return gains


def filled(values: Floats) -> Floats:
    """Values with that before in place of each that is missing; zero before the first."""
    missing = np.isnan(values)
    if not missing.any():
        return values
    at = np.maximum.accumulate(np.where(missing, -1, np.arange(len(values))))
    return np.where(at >= 0, values[at], 0.0)


def last_direction(direction: Integers) -> Integers:
    """The direction in which charge last moved, 0 before it first did, shape (n,)."""
    moves = direction != 0
    if moves[np.argmax(moves) :].all():  # as where it is asked of its own answer
        return direction
    at = np.maximum.accumulate(np.where(moves, np.arange(len(direction)), -1))
    return np.where(at >= 0, direction[at], 0)
