"""Runs of readings, and what they add to their tests: the columns that the rules of the fold take and give."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from dataflows.fold.state import Tail
    from dataflows.fold.tails import Tails

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Run:
    """Readings of a test, or of several one after the other, a column an array of shape (n,).

    NaN, or `NO_CLOCK`, stands where nothing was measured.

    Units as in the contract: s, microseconds, A, V, ohm, degC; `counters` has shape (4, n), in Ah and Wh. `leaps` has
    the flags of `LEAPS` of readings that were judged before, and -1 for all others.
    """

    data_point: Integers
    test_time: Floats
    date_time: Integers
    step_time: Floats
    step_index: Integers
    cycle_index: Integers
    current: Floats
    voltage: Floats
    counters: Floats
    resistance: Floats
    temperature: Floats
    leaps: npt.NDArray[np.int32]

    def take(self, rows: slice | Integers) -> Run:
        """The same columns of some of the rows."""
        return Run(
            self.data_point[rows],
            self.test_time[rows],
            self.date_time[rows],
            self.step_time[rows],
            self.step_index[rows],
            self.cycle_index[rows],
            self.current[rows],
            self.voltage[rows],
            self.counters[:, rows],
            self.resistance[rows],
            self.temperature[rows],
            self.leaps[rows],
        )

    def without_counters(self, where: Flags) -> Run:
        """The same without some measurements of the counters, shape (4, n)."""
        return replace(self, counters=np.where(where, np.nan, self.counters)) if where.any() else self


@dataclass(frozen=True)
class Outcome:
    """What runs add to their tests.

    `gained` are the counters' gains over each reading in pico-Ah and pico-Wh, shape (4, n), `counted` where what a
    counter gained is known, `leapt` where it leaped away, which is no measurement; `unmeasured` marks resistances that
    are none; `tails` are where the tests stand now, one a run: their refusals are those of before.
    """

    quality: npt.NDArray[np.int32]
    gained: Integers
    counted: Flags
    leapt: Flags
    unmeasured: Flags
    tails: Tails

    @property
    def tail(self) -> Tail:
        """Where the test of a single run stands."""
        (tail,) = self.tails.objects()
        return tail
