"""Test times: of files that have only those of steps, that begin again, or in another unit than the file says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]

UNITS: Final = {1e-3: "ms", 60.0: "min", 3600.0: "h"}
"""Units that may be meant where a file says s, by their seconds."""

BACK_SECONDS: Final = 1.0
"""More than this a time does not go back but where it begins again."""

_NEAR: Final = 0.02


def true_unit(time: Floats, clock: Floats) -> float | None:
    """The seconds of the unit that times have by the clock, a key of `UNITS`; None where they may well be seconds.

    Args:
        time: times that are said to be s, shape (n,).
        clock: the wall clock in s, shape (n,), NaN where there is none.

    >>> true_unit(np.array([640.0, 1649.0, 2647.0]), np.array([7.97, 8.98, 9.97]))
    0.001
    """
    passed, by_clock = np.diff(time), np.diff(clock)
    moves = (passed > 0) & (by_clock > 0)
    if not moves.any():
        return None
    passed, by_clock = passed[moves], by_clock[moves]
    middle, whole = float(np.median(by_clock / passed)), float(by_clock.sum() / passed.sum())
    near = [unit for unit in UNITS if abs(middle / unit - 1) < _NEAR and whole >= unit * (1 - _NEAR)]
    return near[0] if near else None


def gone_on(time: Floats, clock: Floats | None) -> Floats | None:
    """Times that go on where the file's begin again, shape (n,); None where they never do.

    What passed while they began again is told by the clock where there is one, else it is their first value.
    """
    passed = np.diff(time, prepend=time[0])
    again = passed < -BACK_SECONDS
    if not again.any():
        return None
    passed[again] = time[again].clip(min=0.0)
    if clock is not None:
        by_clock = np.diff(clock, prepend=clock[0])
        passed = np.where(again & (by_clock >= 0), by_clock, passed)
    found: Floats = time[0] + np.cumsum(passed)
    return found


def elapsed(step_time: Floats, starts: Bools, clock: Floats | None) -> Floats:
    """Seconds since the test began, shape (n,): when each step began by the clock, and the time of the step since then.

    Without a clock, or where it would go back, a step begins where the one before was last read.

    Args:
        step_time: s since the step began, shape (n,).
        starts: where a step begins, shape (n,).
        clock: the wall clock, s since 1970, shape (n,), NaN where there is none; or None.
    """
    first = np.flatnonzero(starts)
    last = np.append(first[1:], len(step_time)) - 1
    began = np.zeros(len(first))
    if clock is not None and not np.isnan(clock[first]).any():
        began = clock[first] - step_time[first]
        began -= began[0]
    ends = began + step_time[last]
    for at in range(1, len(first)):  # steps, not readings
        if began[at] + step_time[first[at]] < ends[at - 1]:
            began[at] = ends[at - 1]
            ends[at] = began[at] + step_time[last[at]]
    found: Floats = began[np.cumsum(starts) - 1] + step_time
    return found
