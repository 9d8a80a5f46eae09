"""Net counters, which rise with charge and fall with discharge: where they begin again, told by the current.

A counter of gains shows where it begins again, since it falls there. A net one falls in any discharge. So the change at
the first reading of each step is compared with the charge that the current moved since the reading before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from producer.readers.meaning.counters import SECONDS_PER_HOUR

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]


def net_of_test(values: Floats, rate: Floats, time: Floats, steps: Bools, cycles: Bools) -> tuple[Floats, str]:
    """A net counter of the whole test, shape (n,), and what the file's counts: `test`, `cycle` or `step`.

    A counter that never begins again is left as it is, to the last digit.

    Args:
        values: the file's counter, Ah or Wh, shape (n,).
        rate: what it counts, per hour: the current in A, or the power in W, charge positive, shape (n,).
        time: s since the test began, shape (n,).
        steps: where a step begins, shape (n,).
        cycles: where a cycle begins, shape (n,).
    """
    moved = rate * np.diff(time, prepend=time[0]).clip(min=0.0) / SECONDS_PER_HOUR
    change = np.diff(values, prepend=0.0)
    best, least = "test", np.inf
    for kind, starts in (("test", None), ("cycle", cycles), ("step", steps)):
        gains = change if starts is None else np.where(starts, values, change)
        off = float(np.abs(gains - moved)[1:][steps[1:]].sum())
        if off < 0.5 * least:  # the plainer explanation holds unless another is clearly better
            best, least = kind, off
    if best == "test":
        return values, best
    return np.cumsum(np.where(cycles if best == "cycle" else steps, values, change)), best
