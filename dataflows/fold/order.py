"""Which readings continue their tests: data points rise, test times never fall, and neither leaps away from the other.

A single number that leaps far ahead, as a disturbed line leaves it, would have all that follows refused as known or as
late. So what leaps is refused itself. A leap that goes on is no glitch: after `BELIEVED` refusals in a row the next
reading is taken wherever it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from dataflows.fold.tails import NO_CLOCK, shifted
from dataflows.fold.validate import ACCEPTED, REASONS
from kernel.contract.reading import Reason

if TYPE_CHECKING:
    import numpy.typing as npt

    from dataflows.fold.runs import Run
    from dataflows.fold.state import Tail
    from dataflows.fold.tails import Tails

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

POINTS_PER_SECOND: Final = 1_000
"""No cycler logs faster, so no more data points can be missing between two readings; where a test numbers its readings
faster than one a second, so many times as fast as it has done on average."""

SECONDS_PER_POINT: Final = 1e6
"""No cycler waits longer for the next data point; where a test took more than 1,000 s for each on average, 1,000 times
as long as that."""

LATE_SECONDS: Final = 7_200.0
"""How much further, in s, test time may go on than twice the wall clock: a change to or from summer time is an hour."""

FIRST_POINT: Final = 2**31
FIRST_SECONDS: Final = 1e8
"""Where a test may begin without being judged, as when its beginning is missing: data points may be seconds since 1970,
and 10^8 s are three years."""

BELIEVED: Final = 2
"""After so many refusals of its cell in a row a test goes on wherever its next reading stands."""

DUPLICATE: Final = REASONS.index(Reason.DUPLICATE)
"""The code of a reading that is known already."""

_TIME_BACKWARDS: Final = REASONS.index(Reason.TIME_BACKWARDS)
_LEAPT: Final = REASONS.index(Reason.OUT_OF_RANGE)


def continues(tails: Tails, run: Run, starts: Integers) -> Flags:
    """Which runs continue their tests with every reading, shape (s,): `admit` would accept them all."""
    before_point = shifted(run.data_point, starts, np.where(tails.is_known, tails.data_point, -1))
    before_time = shifted(run.test_time, starts, np.where(tails.is_known, tails.test_time, -np.inf))
    fits = (run.data_point > before_point) & (run.test_time >= before_time)
    before_clock = shifted(run.date_time, starts, tails.date_time)
    fits &= ~_leaps(before_point, before_time, before_clock, run.data_point, run.test_time, run.date_time)
    found: Flags = np.logical_and.reduceat(fits, starts)
    return found


def admit(tail: Tail | None, run: Run, refusals: Integers) -> npt.NDArray[np.int8]:
    """Decide which readings of one run continue its test.

    Args:
        tail: where the test stands.
        run: the readings, n of them.
        refusals: how many readings of the cell were refused before each, shape (n,); those of this run come on top.

    Returns:
        `ACCEPTED`, or the code of the reason, shape (n,).
    """
    point, time, clock, counted = -1, -np.inf, NO_CLOCK, 0
    if tail is not None:
        point, time, counted = tail.data_point, tail.test_time, tail.refusals
        clock = NO_CLOCK if tail.date_time is None else tail.date_time
    verdict = np.where(run.data_point <= point, np.int8(DUPLICATE), np.int8(ACCEPTED))
    rest = np.flatnonzero(verdict == ACCEPTED)
    points, times, clocks = run.data_point[rest], run.test_time[rest], run.date_time[rest]
    first = np.zeros(min(len(rest), 1), dtype=np.int64)
    before_points, before_times = shifted(points, first, np.array(point)), shifted(times, first, np.array(time))
    fits = (points > before_points) & (times >= before_times)
    fits &= ~_leaps(before_points, before_times, shifted(clocks, first, np.array(clock)), points, times, clocks)
    if fits.all():
        return verdict
    refused = 0
    for row in rest.tolist():
        here = int(run.data_point[row]), float(run.test_time[row]), int(run.date_time[row])
        if here[0] <= point:
            verdict[row] = DUPLICATE
            continue
        if here[1] < time:
            verdict[row] = _TIME_BACKWARDS
        elif (
            refusals[row] + refused - counted < BELIEVED and _leaps(*map(np.asarray, (point, time, clock, *here))).any()
        ):
            verdict[row] = _LEAPT
        else:
            (point, time, clock), counted = here, int(refusals[row]) + refused
            continue
        refused += 1
    return verdict


def _leaps(
    before_point: Integers, before_time: Floats, before_clock: Integers, point: Integers, time: Floats, clock: Integers
) -> Flags:
    """Which readings leap beyond the ones before them, in data points or in test time.

    Args:
        before_point: data point of the reading before each, -1 where a test begins.
        before_time: its test time, s, minus infinity where a test begins.
        before_clock: its wall clock in microseconds, or `NO_CLOCK`.
        point: as of each reading.
        time: the same.
        clock: the same.
    """
    begins = before_point < 0
    points = point - np.maximum(before_point, 0)
    since = np.where(begins, 0.0, before_time)
    seconds = time - since
    # Nearly all go on by one data point, within the hour.
    if np.max(points, initial=0) <= POINTS_PER_SECOND and np.max(seconds, initial=0) <= LATE_SECONDS:
        return np.zeros(np.shape(points), dtype=np.bool_)
    often = np.maximum(1.0, before_point / np.maximum(since, 1.0))
    seldom = np.maximum(1.0, since / np.maximum(before_point, 1) / 1_000)
    far = points > POINTS_PER_SECOND * often * (np.maximum(seconds, 0.0) + 1)
    late = seconds > SECONDS_PER_POINT * seldom * points
    told = (before_clock != NO_CLOCK) & (clock != NO_CLOCK) & (clock != before_clock)
    passed = np.where(told, clock - np.where(told, before_clock, 0), 0) / 1e6
    late = np.where(told, seconds > LATE_SECONDS + 2 * np.maximum(passed, 0.0), late)
    found: Flags = np.where(begins, (far & (point >= FIRST_POINT)) | (late & (time >= FIRST_SECONDS)), far | late)
    return found
