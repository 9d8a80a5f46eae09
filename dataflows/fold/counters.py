"""What a cycler's counter gains from reading to reading, by whole columns.

Counters accumulate over a test, a cycle or a step. A gain is a difference between two measurements, never a maximum.
A counter that falls to near zero was reset, and then gains what it measures. Counters that leap are not told apart
here: `dataflows.fold.leaps` judges those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from dataflows.fold.tails import ends_of, shifted
from kernel.contract.reading import COUNTER_NOISE, COUNTER_ZERO, GAP_SECONDS, RESET_SHARE, STEP_RESET_SHARE

if TYPE_CHECKING:
    import numpy.typing as npt

    from dataflows.fold.tails import Tails

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

PICO: Final = 1e12
"""Counter gains are whole pico-ampere-hours (pico-watt-hours), so that adding them is exact in any order."""

MOST_GAIN: Final = 2**62
"""The most pico-units that one reading may gain, 4.6 MAh or MWh: two of them can be told apart and added."""


class Counter:
    """One counter of s tests: their readings, and where it stood before those.

    Args:
        tails: where the tests stood before.
        test_time: of the readings, s, shape (n,).
        starts: the rows at which the readings of each test begin, shape (s,).
        begun: how many steps have begun up to each reading, shape (n,).
        size: the largest current of the test before each reading, A, shape (n,): what counts as little follows it.
        index: its place in `COUNTERS`.
    """

    def __init__(
        self, tails: Tails, test_time: Floats, starts: Integers, begun: Integers, size: Floats, index: int
    ) -> None:
        self.index = index
        self.size = size
        self.noise = COUNTER_NOISE * size
        self.test_time = test_time
        self.starts = starts
        self.ends = ends_of(starts, len(test_time))
        self.begun = begun
        self.stood = tails.counters[index]
        self.crossed = tails.crossed[index]
        self.begun_before = np.concatenate(([0], begun[starts[1:] - 1]))

    def follow(self, values: Floats) -> tuple[Integers, Integers, Integers]:
        """The gain over each reading, 0 where there is no measurement; the rows at which it was reset, or fell."""
        count = len(values)
        gained, nowhere = np.zeros(count, dtype=np.int64), np.zeros(0, dtype=np.int64)
        known: slice | Integers = slice(None)
        tests: slice | Integers = slice(None)
        first = self.starts
        is_measured = ~np.isnan(values)
        if not is_measured.all():
            known = at = np.flatnonzero(is_measured)
            if len(at) == 0:
                return gained, nowhere, nowhere
            test_of = self.test_of(at)
            first = np.concatenate(([0], np.flatnonzero(np.diff(test_of)) + 1))
            tests = test_of[first]
        measured = values[known]
        # As last measured; else zero at a test's start, and later as it comes.
        at_first = measured[first]
        stood = self.stood[tests]
        unknown = np.where(self.test_time[known][first] <= GAP_SECONDS, 0.0, at_first)
        before = shifted(measured, first, np.where(np.isnan(stood), unknown, stood))
        reset = fell = nowhere
        lower = measured < before - self.noise[known]
        if lower.any():
            steps = self.begun[known]
            crossed = steps > shifted(steps, first, self.begun_before[tests])
            crossed[first] |= self.crossed[tests]
            restarted = lower & is_reset(measured, before, crossed)
            before[restarted] = 0.0
            rows = np.arange(count)[known]
            reset, fell = rows[restarted], rows[lower & ~restarted]
        # Rounded before subtracting: the sum of all gains is then the difference of the ends, to the last bit.
        gained[known] = _difference(np.rint(measured * PICO), np.rint(before * PICO))
        return gained, reset, fell

    def test_of(self, rows: Integers) -> Integers:
        """The tests that rows belong to."""
        found: Integers = np.searchsorted(self.starts, rows, side="right") - 1
        return found

    def without(self, tests: Integers, rows: Integers) -> Integers:
        """The rows that belong to none of the tests."""
        return rows[~np.isin(self.test_of(rows), tests)]


def _difference(units: Floats, before: Floats) -> Integers:
    """The difference of whole numbers, cut at `MOST_GAIN`; each of them may be more than 64 bits hold."""
    if max(np.abs(units).max(initial=0.0), np.abs(before).max(initial=0.0)) <= MOST_GAIN:
        return units.astype(np.int64) - before.astype(np.int64)
    difference = units - before
    # Modulo 2**64 both fit, and so does a difference that is small enough, to the last bit.
    found: Integers = _modulo(units) - _modulo(before)
    return np.where(np.abs(difference) < MOST_GAIN, found, np.where(difference < 0, -MOST_GAIN, MOST_GAIN))


def _modulo(units: Floats) -> Integers:
    """Whole numbers of any size as those of 64 bits that are the same modulo 2**64."""
    rest = np.fmod(units, 2.0**64)
    rest = np.where(rest >= 2.0**63, rest - 2.0**64, np.where(rest < -(2.0**63), rest + 2.0**64, rest))
    return rest.astype(np.int64)


def pico(value: float) -> int:
    """A value in Ah or Wh in whole pico-units."""
    return int(np.rint(value * PICO))


def is_reset(measured: Floats | float, before: Floats | float, crossed: Flags | bool) -> Flags:
    """Whether a counter that fell was reset: it is near zero, or a step has begun since."""
    found: Flags = np.abs(measured) < np.where(crossed, STEP_RESET_SHARE, RESET_SHARE) * before
    return found


def is_back(measured: Floats | float, stood: Floats | float, size: Floats | float) -> Flags:
    """Whether a counter is back at a value that it had fallen from, or at most at twice that.

    `size` is the largest current of the test before, A.
    """
    found: Flags = (
        np.greater(stood, np.multiply(size, COUNTER_ZERO))
        & np.greater_equal(measured, np.subtract(stood, np.multiply(size, COUNTER_NOISE)))
        & np.less_equal(measured, np.multiply(stood, 2))
    )
    return found
