"""What the cycler's counters gained: differences, never maxima, with resets and leaps told apart.

Counters accumulate over a test, a cycle or a step. One that falls to near zero was reset; one that moves further than
the current can have moved it is a glitch, and no measurement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from battery.reading import COUNTER_LEAP, COUNTER_NOISE, COUNTERS, GAP_SECONDS, RESET_SHARE, STEP_RESET_SHARE
from dataflows.tails import shifted

if TYPE_CHECKING:
    import numpy.typing as npt

    from dataflows.course import Run
    from dataflows.tails import Tails

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

PICO: Final = 1e12
"""Counter gains are whole pico-ampere-hours (pico-watt-hours), so that adding them is exact in any order."""

_CAPACITIES: Final = 2
"""The first of `COUNTERS` count charge, the others energy."""

_SECONDS_PER_HOUR: Final = 3_600.0


@dataclass(frozen=True)
class Gains:
    """What counters gained over readings, and what was noticed.

    `gained` is in pico-Ah and pico-Wh, shape (4, n), `counted` tells where a counter was measured, and `leapt` where it
    leaped and therefore was not. `reset` and `fell`, shape (n,), tell where any of them was reset, or fell otherwise.
    """

    gained: Integers
    counted: Flags
    leapt: Flags
    reset: Flags
    fell: Flags


def gains(tails: Tails, run: Run, starts: Integers, begun: Integers, peak: Floats, *, judge: bool) -> Gains:
    """Follow the counters of tests along accepted readings.

    Args:
        tails: what came before.
        run: the readings.
        starts: where those of each test begin, shape (s,).
        begun: how many steps have begun up to each reading, shape (n,).
        peak: the largest magnitude of the test's current up to each reading, A, shape (n,).
        judge: whether leaps are looked for; not where readings have been judged before.
    """
    count = len(run.data_point)
    found = Gains(
        np.zeros((len(COUNTERS), count), dtype=np.int64),
        ~np.isnan(run.counters),
        np.zeros((len(COUNTERS), count), dtype=np.bool_),
        np.zeros(count, dtype=np.bool_),
        np.zeros(count, dtype=np.bool_),
    )
    charge = _most_charge(tails, run, starts, peak) if judge else None
    for index, values in enumerate(run.counters):
        counter = _Counter(tails, run.test_time, starts, begun, index)
        gained, reset, fell = counter.follow(values)
        if charge is not None:
            most = charge if index < _CAPACITIES else charge * np.maximum(np.abs(run.voltage), 1.0)
            beyond = np.abs(gained) > most
            if beyond.any():
                found.leapt[index] = counter.leaps(values, most, beyond)
                found.counted[index] &= ~found.leapt[index]
                gained, reset, fell = counter.follow(np.where(found.leapt[index], np.nan, values))
        found.gained[index] = gained
        found.reset[reset] = True
        found.fell[fell] = True
    return found


def _most_charge(tails: Tails, run: Run, starts: Integers, peak: Floats) -> Floats:
    """The charge in pico-Ah beyond which a gain is a leap; without limit before any current has flowed."""
    elapsed = run.test_time - shifted(run.test_time, starts, tails.test_time)
    most: Floats = peak * (elapsed + 1.0) * (COUNTER_LEAP * PICO / _SECONDS_PER_HOUR)
    most[peak == 0] = np.inf
    return most


class _Counter:
    """One counter of several tests, and where it stood before their readings."""

    def __init__(self, tails: Tails, test_time: Floats, starts: Integers, begun: Integers, index: int) -> None:
        self._test_time = test_time
        self._starts = starts
        self._begun = begun
        self._stood = tails.counters[index]
        self._crossed = tails.crossed[index]
        self._measured = tails.is_known & ((tails.measured >> index & 1) == 1)
        self._begun_before = np.concatenate(([0], begun[starts[1:] - 1]))

    def follow(self, values: Floats) -> tuple[Integers, Integers, Integers]:
        """The gain over each reading, 0 where there is no measurement; the rows at which it was reset, or fell."""
        count = len(values)
        gained, nowhere = np.zeros(count, dtype=np.int64), np.zeros(0, dtype=np.int64)
        known: slice | Integers = slice(None)
        tests: slice | Integers = slice(None)
        first = self._starts
        is_measured = ~np.isnan(values)
        if not is_measured.all():
            known = at = np.flatnonzero(is_measured)
            if len(at) == 0:
                return gained, nowhere, nowhere
            test_of = np.searchsorted(self._starts, at, side="right") - 1
            first = np.concatenate(([0], np.flatnonzero(np.diff(test_of)) + 1))
            tests = test_of[first]
        measured = values[known]
        # As last measured; else zero at a test's start, and later as it comes.
        at_first = measured[first]
        stood = self._stood[tests]
        unknown = np.where(self._test_time[known][first] <= GAP_SECONDS, 0.0, at_first)
        before = shifted(measured, first, np.where(np.isnan(stood), unknown, stood))
        reset = fell = nowhere
        lower = measured < before - COUNTER_NOISE
        if lower.any():
            steps = self._begun[known]
            crossed = steps > shifted(steps, first, self._begun_before[tests])
            crossed[first] |= self._crossed[tests]
            anew = lower & _is_reset(measured, before, crossed)
            before[anew] = 0.0
            rows = np.arange(count)[known]
            reset, fell = rows[anew], rows[lower & ~anew]
        # Rounded before subtracting: the sum of all gains is then the difference of the ends, to the last bit.
        gained[known] = np.rint(measured * PICO).astype(np.int64) - np.rint(before * PICO).astype(np.int64)
        return gained, reset, fell

    def leaps(self, values: Floats, most: Floats, beyond: Flags) -> Flags:
        """Where the counter leaped: by more than `most` since the reading before, which had measured it as well.

        What follows a leap is compared with what stood before it. A leap that the next reading confirms is believed.
        """
        found = np.zeros(len(values), dtype=np.bool_)
        ends = np.append(self._starts[1:], len(values))
        for test in np.unique(np.searchsorted(self._starts, np.flatnonzero(beyond), side="right") - 1).tolist():
            stood, has_measured = float(self._stood[test]), bool(self._measured[test])
            steps = int(self._begun_before[test]) - int(self._crossed[test])
            for row in range(int(self._starts[test]), int(ends[test])):
                value = float(values[row])
                if np.isnan(value):
                    has_measured = False
                    continue
                gain = value - stood
                if gain < -COUNTER_NOISE and _is_reset(value, stood, self._begun[row] > steps):
                    gain = value
                found[row] = has_measured and abs(gain) * PICO > most[row]
                has_measured = not found[row]
                if has_measured:
                    stood, steps = value, int(self._begun[row])
        return found


def _is_reset(measured: Floats | float, before: Floats | float, crossed: Flags | bool) -> Flags:
    """Whether a counter that fell was started anew: near zero, or by any much where a step has begun since."""
    found: Flags = np.abs(measured) < np.where(crossed, STEP_RESET_SHARE, RESET_SHARE) * before
    return found
