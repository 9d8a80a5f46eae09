"""What is remembered of counters beside their last measurement, and which tests need a judge because of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from dataflows.fold.counters import is_back
from dataflows.fold.state import Doubt
from kernel.contract.reading import COUNTER_ZERO

if TYPE_CHECKING:
    import numpy.typing as npt

    from dataflows.fold.counters import Counter
    from dataflows.fold.tails import Tails

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Objects = npt.NDArray[np.object_]


class Doubts:
    """What is remembered of one counter of several tests.

    Args:
        counter: the counter.
        tails: where the tests stood before.
        remembered: of all counters, by test; tests of which nothing is remembered are left out.
    """

    def __init__(self, counter: Counter, tails: Tails, remembered: dict[int, tuple[Doubt, ...]]) -> None:
        self._counter = counter
        self._tails = tails
        self._doubts = {
            test: doubt for test, doubts in remembered.items() for doubt in doubts if doubt.counter == counter.index
        }

    def before(self, test: int) -> Doubt:
        """What was remembered of a test before its readings."""
        known = self._doubts.get(test)
        if known is not None:
            return known
        index = self._counter.index
        measured = bool(self._tails.is_known[test]) and bool(self._tails.measured[test] >> index & 1)
        return Doubt(index, float(self._tails.test_time[test]) if measured else 0.0)

    def tests_to_judge(self, values: Floats, beyond: Integers, reset: Integers) -> Integers:
        """The tests that have to be judged reading by reading.

        In these the counter moved too far, or had leaped before, or may be back at a value that it fell from.

        Args:
            values: what was measured, shape (n,).
            beyond: the rows at which it gained more than it can have.
            reset: the rows at which it was reset.
        """
        test_of = self._counter.test_of
        found = [test_of(beyond)]
        if len(reset) or self._doubts:
            resets = test_of(reset)
            leapt = [test for test, doubt in self._doubts.items() if doubt.leapt_to is not None]
            left = np.array([test for test, doubt in self._doubts.items() if doubt.stood is not None], dtype=np.int64)
            found += [np.array(leapt, dtype=np.int64), np.intersect1d(resets, left)]
            found += self._came_back(values, np.union1d(resets, left))
        return np.unique(np.concatenate(found))

    def _came_back(self, values: Floats, tests: Integers) -> list[Integers]:
        """The tests in which a value that fell to zero may come back.

        The value may be one of these readings; in some of the `tests`, it may also be one from before them.
        """
        counter = self._counter
        high = np.flatnonzero(np.abs(values) > counter.noise)
        zero = np.flatnonzero(np.abs(values) <= counter.noise)
        test_of = counter.test_of(high)
        has_zero = np.searchsorted(zero, high[1:]) > np.searchsorted(zero, high[:-1])
        back = (
            has_zero
            & (test_of[1:] == test_of[:-1])
            & is_back(values[high[1:]], values[high[:-1]], counter.size[high[1:]])
        )
        found = [test_of[1:][back]]
        firsts = np.searchsorted(high, counter.starts[tests])
        for test, first in zip(tests.tolist(), firsts.tolist(), strict=True):
            stood = float(counter.stood[test]) if self._stood_high(test) else self.before(test).stood
            if stood is None or first == len(high) or test_of[first] != test:
                continue
            if bool(is_back(values[high[first]], stood, counter.size[high[first]])):
                found.append(np.array([test]))
        return found

    def _stood_high(self, test: int) -> bool:
        """Whether the counter was well above zero before a test's readings."""
        counter = self._counter
        return bool(abs(counter.stood[test]) > counter.noise[counter.starts[test]])

    def remember(self, values: Floats, reset: Integers, judged: Integers, doubts: Objects) -> None:
        """Note what is to be remembered of the tests that need no judge; of nearly all of them that is nothing.

        Args:
            values: what was measured, shape (n,).
            reset: the rows at which the counter was reset.
            judged: the tests that need a judge.
            doubts: where it is noted, shape (s,).
        """
        counter = self._counter
        resets = set(counter.test_of(reset).tolist()) if len(reset) else set()
        tests = resets | set(self._doubts)
        unmeasured = np.isnan(values[counter.ends - 1])
        if unmeasured.any():
            is_measured = np.logical_or.reduceat(~np.isnan(values), counter.starts)
            tests |= set(np.flatnonzero(unmeasured & (is_measured | ~np.isnan(counter.stood))).tolist())
        for test in sorted(tests - set(judged.tolist())):
            note(doubts, test, self._after(values, test, was_reset=test in resets))

    def _after(self, values: Floats, test: int, *, was_reset: bool) -> Doubt | None:
        """What is to be remembered of a test after its readings."""
        counter, before = self._counter, self.before(test)
        start, end = int(counter.starts[test]), int(counter.ends[test])
        rows = start + np.flatnonzero(~np.isnan(values[start:end]))
        crossed = int(counter.begun[end - 1]) > int(counter.begun_before[test])
        if len(rows) == 0:
            if np.isnan(counter.stood[test]) and before.leapt_to is None:
                return None
            return replace(before, crossed=before.stood is not None and (before.crossed or crossed))
        last = int(rows[-1])
        found = Doubt(counter.index, float(counter.test_time[last]))
        if abs(values[last]) <= counter.noise[last]:
            stood, stood_at, since = self._left(values, test, rows, crossed=crossed)
            if stood > COUNTER_ZERO * counter.size[last]:
                found = replace(found, stood=stood, stood_at=stood_at, crossed=since)
        elif before.stood is not None and not was_reset and self._stood_high(test):
            found = replace(found, stood=before.stood, stood_at=before.stood_at, crossed=before.crossed or crossed)
        return found if found.stood is not None or last < end - 1 else None

    def _left(self, values: Floats, test: int, rows: Integers, *, crossed: bool) -> tuple[float, float, bool]:
        """The value that a counter fell from when it fell to zero, the test time then, whether a step began since."""
        counter, before = self._counter, self.before(test)
        high = rows[np.abs(values[rows]) > counter.noise[rows]]
        if len(high):
            begun = int(counter.begun[counter.ends[test] - 1])
            return float(values[high[-1]]), float(counter.test_time[high[-1]]), begun > int(counter.begun[high[-1]])
        if not self._stood_high(test):
            return before.stood or 0.0, before.stood_at, before.crossed or crossed
        return float(counter.stood[test]), before.measured_at, bool(counter.crossed[test]) or crossed


def note(doubts: Objects, test: int, doubt: Doubt | None) -> None:
    """Add what is to be remembered of a counter to the others' of a test; None adds nothing."""
    if doubt is not None:
        doubts[test] = (*(doubts[test] or ()), doubt)
