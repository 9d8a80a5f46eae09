"""What the cycler's counters gained: differences, never maxima, with resets and leaps told apart.

Counters accumulate over a test, a cycle or a step. One that falls to near zero was reset. One that moves further than
the current can have moved it has leaped, and what it gains there comes from the current: the value is dropped, and
where the next reading confirms it, the counter goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from dataflows.fold.state import Doubt
from dataflows.fold.tails import ends_of, latest, shifted
from kernel.contract.reading import (
    COUNTER_LEAP,
    COUNTER_LEAP_CURRENT,
    COUNTER_NOISE,
    COUNTER_RETURN,
    COUNTER_ZERO,
    COUNTERS,
    GAP_SECONDS,
    LEAPS,
    RESET_SHARE,
    STEP_RESET_SHARE,
    Quality,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from dataflows.fold.runs import Course, Run
    from dataflows.fold.state import Tail
    from dataflows.fold.tails import Tails

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]
    Objects = npt.NDArray[np.object_]

PICO: Final = 1e12
"""Counter gains are whole pico-ampere-hours (pico-watt-hours), so that adding them is exact in any order."""

MOST_FLOW: Final = 1e6
"""Ah or Wh that the current can account for in one reading; more than any counter may say at all."""

_CAPACITIES: Final = 2
"""The first of `COUNTERS` count charge, the others energy."""

_SECONDS_PER_HOUR: Final = 3_600.0
_MOST_PER_SECOND: Final = COUNTER_LEAP * PICO / _SECONDS_PER_HOUR
_MOST_GIVEN: Final = 2**62


@dataclass(frozen=True)
class Gains:
    """What counters gained over readings, and what was noticed.

    `gained` is in pico-Ah and pico-Wh, shape (4, n), `counted` tells where a counter gained anything that is known, and
    `leapt` where its value was dropped because it leaped. `leaps` has the bits of `LEAPS` for the counters that leaped,
    there or from where they stay; `reset` and `fell` tell where any was reset, or fell otherwise; all shape (n,).
    `doubts` has for each test what is to be remembered of its counters, or None, shape (s,).
    """

    gained: Integers
    counted: Flags
    leapt: Flags
    leaps: npt.NDArray[np.int32]
    reset: Flags
    fell: Flags
    doubts: Objects


def gains(
    tails: Tails,
    run: Run,
    starts: Integers,
    position: Integers,
    peak: Floats,
    spike: Flags,
    *,
    judge: bool,
    late: bool,
) -> Gains:
    """Follow the counters of tests along accepted readings.

    Args:
        tails: what came before.
        run: the readings.
        starts: where those of each test begin, shape (s,).
        position: 0 where a step begins, shape (n,).
        peak: the largest magnitude of the test's current up to each reading, A, shape (n,).
        spike: where the voltage is suspected: such a reading confirms no leap, since the models may leave it out.
        judge: whether leaps are looked for; not where readings have been judged before.
        late: whether the readings come late: then a leap is dropped and nothing more.
    """
    count = len(run.data_point)
    found = Gains(
        np.zeros((len(COUNTERS), count), dtype=np.int64),
        ~np.isnan(run.counters),
        np.zeros((len(COUNTERS), count), dtype=np.bool_),
        np.zeros(count, dtype=np.int32),
        np.zeros(count, dtype=np.bool_),
        np.zeros(count, dtype=np.bool_),
        np.full(len(starts), None, dtype=np.object_),
    )
    begun = np.cumsum(position == 0)
    charge = _most_charge(tails, run, starts, peak) if judge else None
    known = {test: tails.doubts[test] for test in np.flatnonzero(tails.doubts != None).tolist()}  # noqa: E711
    is_judged = bool((run.leaps >= 0).any())
    flow: Integers | None = None
    for index, values in enumerate(run.counters):
        counter = _Counter(tails, known, run.test_time, starts, begun, index)
        gained, reset, fell = counter.follow(values)
        doubtful = np.zeros(0, dtype=np.int64)
        if charge is not None:
            most = charge if index < _CAPACITIES else charge * np.maximum(np.abs(run.voltage), 1.0)
            beyond = np.abs(gained) > most
            if is_judged:
                beyond = np.where(run.leaps < 0, beyond, (run.leaps & LEAPS[index]) != 0)
            doubtful = counter.doubtful(values, np.flatnonzero(beyond), reset)
        counter.remember(values, reset, doubtful, found.doubts)
        if len(doubtful):
            reset, fell = counter.without(doubtful, reset), counter.without(doubtful, fell)
            flow = flows(tails, run, starts, position) if flow is None else flow
            _judge(found, counter, doubtful, _readings(run, index, begun, peak, flow[index], spike), gained, late=late)
        found.gained[index] = gained
        found.reset[reset] = True
        found.fell[fell] = True
    return found


def _readings(
    run: Run, index: int, begun: Integers, peak: Floats, flow: Integers, spike: Flags
) -> Callable[[int], _Reading]:
    def reading(row: int) -> _Reading:
        return _Reading(
            float(run.counters[index, row]),
            float(run.test_time[row]),
            int(begun[row]),
            float(peak[row]) or COUNTER_LEAP_CURRENT,
            1.0 if index < _CAPACITIES else max(abs(float(run.voltage[row])), 1.0),
            int(flow[row]),
            bool(spike[row]),
            None if run.leaps[row] < 0 else bool(run.leaps[row] & LEAPS[index]),
        )

    return reading


def _judge(
    found: Gains,
    counter: _Counter,
    tests: Integers,
    reading: Callable[[int], _Reading],
    gained: Integers,
    *,
    late: bool,
) -> None:
    """Judge each reading of some tests, and put down what is found."""
    index = counter.index
    for test in tests.tolist():
        judge = _Judge(counter, test, late=late)
        rows = range(int(counter.starts[test]), int(counter.ends[test]))
        for row in rows:
            now = reading(row)
            if found.counted[index, row]:
                gained[row] = judge.take(now)
            elif now.has_leapt and not late:
                gained[row] = judge.drop(now)
                found.counted[index, row] = True
            else:
                continue
            found.leapt[index, row] = judge.is_dropped
            found.leaps[row] |= LEAPS[index] if judge.has_leapt else 0
            found.reset[row] |= judge.is_reset
            found.fell[row] |= judge.has_fallen
        _note(found.doubts, test, judge.doubt(float(counter.test_time[rows[-1]]), int(counter.begun[rows[-1]])))
    if late:
        found.counted[index] &= ~found.leapt[index]


def flows(tails: Tails, run: Run, starts: Integers, position: Integers) -> Integers:
    """What the current would have moved each counter by over each reading, in pico-Ah and pico-Wh, shape (4, n).

    Current times time by the trapezoid, energy by the voltage; where a step begins, its own current since then. Nothing
    is known of a pause of more than an hour.
    """
    begins = position == 0
    elapsed = run.test_time - shifted(run.test_time, starts, tails.test_time)
    elapsed = np.where(begins, np.fmin(elapsed, run.step_time), elapsed)
    elapsed[elapsed > GAP_SECONDS] = 0.0
    last = tails.recent[np.maximum(tails.recent_count - 1, 0), :, np.arange(len(starts))]
    found = []
    for voltage, last_voltage in ((np.ones(1), np.ones(1)), (np.abs(run.voltage), np.abs(last[:, 1]))):
        for sign in (1.0, -1.0):
            power = np.maximum(sign * run.current, 0.0) * voltage
            before = shifted(power, starts, np.maximum(sign * last[:, 2], 0.0) * last_voltage)
            mean = (np.where(begins, power, before) + power) / 2
            found.append(np.rint(np.minimum(mean * elapsed / _SECONDS_PER_HOUR, MOST_FLOW) * PICO).astype(np.int64))
    return np.stack(found)


def unsettled(tail: Tail | None, course: Course) -> Flags:
    """Before which readings of a test a counter has leaped and not been measured since, or leaps at them: shape (n,).

    What such a reading gains depends on the one before it, so that nothing can be put in between later on.
    """
    found: Flags = (course.quality & Quality.COUNTER_LEAP) != 0
    pending = {doubt.counter for doubt in tail.doubts if doubt.leapt_to is not None} if tail else set()
    if not found.any() and not pending:
        return found
    for index, (leapt, counted) in enumerate(zip(course.leapt, course.counted, strict=True)):
        dropped, measured = latest(leapt), latest(counted & ~leapt)
        is_pending = (dropped > measured) | ((index in pending) & (np.maximum(dropped, measured) < 0))
        found |= np.concatenate(([index in pending], is_pending[:-1]))
    return found


def _most_charge(tails: Tails, run: Run, starts: Integers, peak: Floats) -> Floats:
    """The charge in pico-Ah beyond which a gain is a leap."""
    elapsed = run.test_time - shifted(run.test_time, starts, tails.test_time)
    most: Floats = np.where(peak > 0, peak, COUNTER_LEAP_CURRENT) * (elapsed + 1.0) * _MOST_PER_SECOND
    return most


def _note(doubts: Objects, test: int, doubt: Doubt | None) -> None:
    if doubt is not None:
        doubts[test] = (*(doubts[test] or ()), doubt)


class _Counter:
    """One counter of several tests, and where it stood before their readings."""

    def __init__(
        self,
        tails: Tails,
        known: dict[int, tuple[Doubt, ...]],
        test_time: Floats,
        starts: Integers,
        begun: Integers,
        index: int,
    ) -> None:
        self.index = index
        self.test_time = test_time
        self.starts = starts
        self.ends = ends_of(starts, len(test_time))
        self.begun = begun
        self.stood = tails.counters[index]
        self.crossed = tails.crossed[index]
        self.begun_before = np.concatenate(([0], begun[starts[1:] - 1]))
        self._tails = tails
        self._doubts = {test: one for test, doubts in known.items() for one in doubts if one.counter == index}

    def before(self, test: int) -> Doubt:
        """What was to be remembered of it before a test's readings."""
        known = self._doubts.get(test)
        if known is not None:
            return known
        measured = bool(self._tails.is_known[test]) and bool(self._tails.measured[test] >> self.index & 1)
        return Doubt(self.index, float(self._tails.test_time[test]) if measured else 0.0)

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
        lower = measured < before - COUNTER_NOISE
        if lower.any():
            steps = self.begun[known]
            crossed = steps > shifted(steps, first, self.begun_before[tests])
            crossed[first] |= self.crossed[tests]
            anew = lower & _is_reset(measured, before, crossed)
            before[anew] = 0.0
            rows = np.arange(count)[known]
            reset, fell = rows[anew], rows[lower & ~anew]
        # Rounded before subtracting: the sum of all gains is then the difference of the ends, to the last bit.
        gained[known] = np.rint(measured * PICO).astype(np.int64) - np.rint(before * PICO).astype(np.int64)
        return gained, reset, fell

    def test_of(self, rows: Integers) -> Integers:
        """The tests that rows belong to."""
        found: Integers = np.searchsorted(self.starts, rows, side="right") - 1
        return found

    def without(self, tests: Integers, rows: Integers) -> Integers:
        """The rows that belong to none of the tests."""
        return rows[~np.isin(self.test_of(rows), tests)]

    def doubtful(self, values: Floats, beyond: Integers, reset: Integers) -> Integers:
        """The tests of which each reading has to be judged after the other.

        Those in which the counter moved too far, or may have before; those in which it may be back where it stood.

        Args:
            values: what was measured.
            beyond: the rows at which it gained more than it can have.
            reset: the rows at which it was reset.
        """
        found = [self.test_of(beyond)]
        if len(reset) or self._doubts:
            resets = self.test_of(reset)
            found += [np.array([t for t, one in self._doubts.items() if one.leapt_to is not None], dtype=np.int64)]
            left = [test for test, one in self._doubts.items() if one.stood is not None]
            found += [np.intersect1d(resets, np.array(left, dtype=np.int64))]
            found += [self._back(values, np.union1d(resets, np.array(left, dtype=np.int64)))]
        return np.unique(np.concatenate(found))

    def _back(self, values: Floats, tests: Integers) -> Integers:
        """Those in which a value left for zero may come back; of these tests also one that stood before."""
        high, zero = np.flatnonzero(np.abs(values) > COUNTER_NOISE), np.flatnonzero(np.abs(values) <= COUNTER_NOISE)
        test_of = self.test_of(high)
        has_zero = np.searchsorted(zero, high[1:]) > np.searchsorted(zero, high[:-1])
        back = has_zero & (test_of[1:] == test_of[:-1]) & _is_back(values[high[1:]], values[high[:-1]])
        found = [test_of[1:][back]]
        firsts = np.searchsorted(high, self.starts[tests])
        for test, first in zip(tests.tolist(), firsts.tolist(), strict=True):
            is_high = abs(self.stood[test]) > COUNTER_NOISE
            stood = float(self.stood[test]) if is_high else self.before(test).stood
            is_there = first < len(high) and test_of[first] == test
            if stood is not None and is_there and bool(_is_back(values[high[first]], stood)):
                found.append(np.array([test]))
        return np.concatenate(found)

    def remember(self, values: Floats, reset: Integers, doubtful: Integers, doubts: Objects) -> None:
        """Note what is to be remembered of tests that are not `doubtful`: nearly always nothing."""
        resets = set(self.test_of(reset).tolist()) if len(reset) else set()
        tests = resets | set(self._doubts)
        unmeasured = np.isnan(values[self.ends - 1])
        if unmeasured.any():
            is_measured = np.logical_or.reduceat(~np.isnan(values), self.starts)
            tests |= set(np.flatnonzero(unmeasured & (is_measured | ~np.isnan(self.stood))).tolist())
        for test in sorted(tests - set(doubtful.tolist())):
            _note(doubts, test, self._remembered(values, test, was_reset=test in resets))

    def _remembered(self, values: Floats, test: int, *, was_reset: bool) -> Doubt | None:
        before, start, end = self.before(test), int(self.starts[test]), int(self.ends[test])
        rows = start + np.flatnonzero(~np.isnan(values[start:end]))
        crossed = int(self.begun[end - 1]) > int(self.begun_before[test])
        if len(rows) == 0:
            if np.isnan(self.stood[test]) and before.leapt_to is None:
                return None
            return Doubt(
                self.index,
                before.measured_at,
                before.leapt_to,
                before.leapt_at,
                before.given,
                before.stood,
                before.stood_at,
                before.stood is not None and (before.crossed or crossed),
            )
        at = int(rows[-1])
        found = Doubt(self.index, float(self.test_time[at]))
        if abs(values[at]) <= COUNTER_NOISE:
            high = rows[np.abs(values[rows]) > COUNTER_NOISE]
            if len(high):
                left, left_at = float(values[high[-1]]), float(self.test_time[high[-1]])
                since = int(self.begun[end - 1]) > int(self.begun[high[-1]])
            elif abs(self.stood[test]) <= COUNTER_NOISE:
                left, left_at, since = before.stood or 0.0, before.stood_at, before.crossed or crossed
            else:
                left, left_at = float(self.stood[test]), before.measured_at
                since = bool(self.crossed[test]) or crossed
            if left > COUNTER_ZERO:
                found = Doubt(self.index, found.measured_at, stood=left, stood_at=left_at, crossed=since)
        elif before.stood is not None and not was_reset and abs(self.stood[test]) > COUNTER_NOISE:
            found = Doubt(
                self.index,
                found.measured_at,
                stood=before.stood,
                stood_at=before.stood_at,
                crossed=before.crossed or crossed,
            )
        return found if found.stood is not None or at < end - 1 else None


class _Reading(NamedTuple):
    """A counter's value in Ah or Wh, its test time in s, and how many steps have begun up to it.

    `current` is the largest of the test in A, `volts` the voltage, 1 for a charge; `flow` is what the current would
    have it gain, in pico-units; `spike` tells that the voltage is suspected. `has_leapt` is what it was judged to have
    done before, None where it was not; then the value may be NaN: it was dropped.
    """

    value: float
    time: float
    begun: int
    current: float
    volts: float
    flow: int
    spike: bool
    has_leapt: bool | None = None

    def most(self, since: float) -> float:
        """The gain since then, in pico-units, beyond which it is a leap."""
        return self.current * (self.time - since + 1.0) * _MOST_PER_SECOND * self.volts


class _Judge:
    """Judges one counter of one test, one reading after the other.

    `is_dropped`, `has_leapt`, `is_reset` and `has_fallen` tell what the last reading was found to be.
    """

    def __init__(self, counter: _Counter, test: int, *, late: bool) -> None:
        before = counter.before(test)
        begun = int(counter.begun_before[test])
        self._index = counter.index
        self._late = late
        self._value = float(counter.stood[test])
        self._at = before.measured_at
        self._begun = begun - int(counter.crossed[test])
        self._leapt_to, self._leapt_at = before.leapt_to, before.leapt_at
        self._given = before.given
        self._stood, self._stood_at = before.stood, before.stood_at
        self._stood_begun = begun - int(before.crossed)
        self.is_dropped = self.has_leapt = self.is_reset = self.has_fallen = False

    def take(self, now: _Reading) -> int:
        """The gain over a reading in which the counter was measured, in pico-units."""
        is_known = not np.isnan(self._value)
        before = self._value if is_known else 0.0 if now.time <= GAP_SECONDS else now.value
        is_lower = now.value < before - COUNTER_NOISE
        is_anew = is_lower and bool(_is_reset(now.value, before, now.begun > self._begun))
        is_zero = is_known and abs(before) <= COUNTER_NOISE
        gain = _pico(now.value) - (0 if is_anew else _pico(before))
        self.is_dropped = self.has_leapt = self.is_reset = self.has_fallen = False
        is_back = self._stood is not None and (is_zero or is_anew) and bool(_is_back(now.value, self._stood))
        returns = is_back and not self._late and self._returns(now)
        if now.has_leapt is None:
            is_plain = not returns and abs(float(gain)) <= now.most(self._at)
            stays = not now.spike and (not is_known or (self._stays(now) and not (is_back and is_zero)))
            returns = returns and not now.spike
        else:
            returns, is_plain, stays = is_back and now.has_leapt, not now.has_leapt, now.has_leapt
        if returns:
            self.has_leapt = True
            gain = gain - _pico(self._stood or 0.0) - self._given if is_zero else now.flow
            self._measure(now, None)
        elif is_plain:
            self.is_reset, self.has_fallen = is_anew, is_lower and not is_anew
            gain -= self._given
            self._measure(now, self._left(now, is_anew=is_anew))
        elif self._late:
            self.is_dropped = True
            gain = 0
        elif stays:
            # A test may begin with what its counters stood at when it was cut: that is no gain.
            self.has_leapt = True
            gain = now.flow if is_known else 0
            is_up = is_known and COUNTER_ZERO < self._value < now.value
            self._measure(now, (self._value, self._at, self._begun) if is_up else None)
        else:
            gain = self.drop(now)
        return gain

    def drop(self, now: _Reading) -> int:
        """The gain over a reading whose value is dropped, in pico-units: what the current tells.

        Where the value itself was not kept, the next one is not taken for a confirmation of it.
        """
        self.is_reset = self.has_fallen = False
        self.is_dropped = self.has_leapt = True
        known = 0.0 if np.isnan(self._value) else self._value
        self._leapt_to, self._leapt_at = known if np.isnan(now.value) else now.value, now.time
        self._given = min(self._given + now.flow, _MOST_GIVEN)
        return now.flow

    def doubt(self, measured_last: float, begun: int) -> Doubt | None:
        """What is to be remembered after the last reading: its test time in s, and how many steps had begun then."""
        is_plain = self._leapt_to is None and self._stood is None
        if is_plain and (self._at == measured_last or np.isnan(self._value)):
            return None
        return Doubt(
            self._index,
            self._at,
            self._leapt_to,
            self._leapt_at,
            self._given,
            self._stood,
            self._stood_at if self._stood is not None else 0.0,
            begun > self._stood_begun if self._stood is not None else False,
        )

    def _returns(self, now: _Reading) -> bool:
        """Whether it is more likely to be back where it stood than to have got there from zero."""
        stood = self._stood or 0.0
        if (now.value - stood) * PICO > now.most(self._stood_at):
            return False
        if now.begun == self._stood_begun and now.value * PICO - now.flow > stood * PICO / 2:
            return True
        return now.value * PICO > now.most(self._at) * (COUNTER_RETURN / COUNTER_LEAP)

    def _stays(self, now: _Reading) -> bool:
        """Whether it goes on from where it leaped to; one that is stuck there while a current flows does not."""
        if self._leapt_to is None or (now.value == self._leapt_to and now.flow > 0):
            return False
        return abs(now.value - self._leapt_to) * PICO <= now.most(self._leapt_at)

    def _left(self, now: _Reading, *, is_anew: bool) -> tuple[float, float, int] | None:
        """Where it may come back to: what it stood at before it fell to zero, or leaped."""
        kept = None if self._stood is None else (self._stood, self._stood_at, self._stood_begun)
        was_zero = abs(self._value) <= COUNTER_NOISE
        if abs(now.value) <= COUNTER_NOISE and not was_zero:
            return (self._value, self._at, self._begun) if self._value > COUNTER_ZERO else None
        if abs(now.value) > COUNTER_NOISE and (is_anew or was_zero):
            return None
        return kept

    def _measure(self, now: _Reading, left: tuple[float, float, int] | None) -> None:
        self._value, self._at, self._begun = now.value, now.time, now.begun
        self._leapt_to, self._leapt_at, self._given = None, 0.0, 0
        self._stood, self._stood_at, self._stood_begun = (None, 0.0, 0) if left is None else left


def _pico(value: float) -> int:
    return int(np.rint(value * PICO))


def _is_reset(measured: Floats | float, before: Floats | float, crossed: Flags | bool) -> Flags:
    """Whether a counter that fell was started anew: near zero, or by any much where a step has begun since."""
    found: Flags = np.abs(measured) < np.where(crossed, STEP_RESET_SHARE, RESET_SHARE) * before
    return found


def _is_back(measured: Floats | float, stood: Floats | float) -> Flags:
    """Whether a counter that had left a value is at it again, or not far beyond."""
    found: Flags = (
        np.greater(stood, COUNTER_ZERO)
        & np.greater_equal(measured, np.subtract(stood, COUNTER_NOISE))
        & np.less_equal(measured, np.multiply(stood, 2))
    )
    return found
