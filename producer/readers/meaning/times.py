"""Test times of files that have only the times of steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]


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
