"""The course of tests: which readings continue them, what they are flagged for, what the counters gained.

Pure and columnar: runs of readings of many tests, one after the other, and the tails of what came before go in, arrays
of the same length and the new tails come out. Cutting a run anywhere and passing its tail along changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from battery.reading import COUNTER_NOISE, COUNTERS, GAP_SECONDS, RESET_SHARE, STEP_RESET_SHARE, Quality, Reason
from dataflows.spikes import TEMPERATURE, VOLTAGE, spikes
from dataflows.state import RECENT
from dataflows.tails import NO_CLOCK, Tails, ends_of, latest, running_peaks, shifted
from dataflows.validate import ACCEPTED, REASONS

if TYPE_CHECKING:
    import numpy.typing as npt

    from dataflows.state import Tail

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

CLOCK_JUMP_US: Final = 60_000_000
"""The wall clock and the test clock drift by a minute a week; a minute between two readings is a jump."""

PICO: Final = 1e12
"""Counter gains are whole pico-ampere-hours (pico-watt-hours), so that adding them is exact in any order."""

DUPLICATE: Final = REASONS.index(Reason.DUPLICATE)
"""The code of a reading that is known already."""

_TIME_BACKWARDS: Final = REASONS.index(Reason.TIME_BACKWARDS)


@dataclass(frozen=True)
class Run:
    """Readings of a test, or of several one after the other, a column an array of shape (n,).

    NaN, or `NO_CLOCK`, stands where nothing was measured.

    Units as in the contract: s, microseconds, A, V, ohm, degC; `counters` has shape (4, n), in Ah and Wh.
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
        )


@dataclass(frozen=True)
class Course:
    """What runs add to their tests.

    `gained` are the counters' gains over each reading in pico-Ah and pico-Wh, shape (4, n), `counted` where a
    counter was measured at all; `unmeasured` marks resistances that are no measurement; `tails` are where the tests
    stand now, one a run: their refusals are those of before.
    """

    quality: npt.NDArray[np.int32]
    gained: Integers
    counted: Flags
    unmeasured: Flags
    tails: Tails

    @property
    def tail(self) -> Tail:
        """Where the test of a single run stands."""
        (tail,) = self.tails.objects()
        return tail


def admit(tail: Tail | None, data_point: Integers, test_time: Floats) -> npt.NDArray[np.int8]:
    """Decide which readings of one run continue its test: data points rise, time never falls.

    Returns:
        `ACCEPTED`, or the code of `duplicate` or `time_backwards`, shape (n,).
    """
    last_point, last_time = (tail.data_point, tail.test_time) if tail else (-1, -np.inf)
    verdict = np.where(data_point <= last_point, np.int8(DUPLICATE), np.int8(ACCEPTED))
    rest = np.flatnonzero(verdict == ACCEPTED)
    points, times = data_point[rest], test_time[rest]
    if len(rest) == 0 or (times[0] >= last_time and np.all(np.diff(points) > 0) and np.all(np.diff(times) >= 0)):
        return verdict
    for row, point, time in zip(rest.tolist(), points.tolist(), times.tolist(), strict=True):
        if point <= last_point:
            verdict[row] = DUPLICATE
        elif time < last_time:
            verdict[row] = _TIME_BACKWARDS
        else:
            last_point, last_time = point, time
    return verdict


def continues(tails: Tails, run: Run, starts: Integers) -> Flags:
    """Tell which runs continue their tests with every reading, shape (s,): `admit` would accept them all."""
    before_point = shifted(run.data_point, starts, np.where(tails.is_known, tails.data_point, -1))
    before_time = shifted(run.test_time, starts, np.where(tails.is_known, tails.test_time, -np.inf))
    fits = (run.data_point > before_point) & (run.test_time >= before_time)
    found: Flags = np.logical_and.reduceat(fits, starts)
    return found


def follow_one(tail: Tail | None, run: Run) -> Course:
    """Follow one test along accepted readings, at least one."""
    return follow(Tails.of([tail]), run, np.zeros(1, dtype=np.int64))


def follow(tails: Tails, run: Run, starts: Integers) -> Course:
    """Follow tests along accepted readings.

    Args:
        tails: where the tests stand.
        run: their readings, those of each test together and at least one.
        starts: the rows at which each test's begin, shape (s,), the first of them 0.
    """
    count = len(run.data_point)
    previous_time = shifted(run.test_time, starts, tails.test_time)
    gap = (run.test_time - previous_time > GAP_SECONDS) | (
        run.data_point - shifted(run.data_point, starts, tails.data_point) > 1
    )
    position = _positions(tails, run, starts)
    begun = np.cumsum(position == 0)
    gained, counted, reset, fell = _gains(tails, run, starts, begun)
    peak = running_peaks(np.abs(run.current), starts, tails.peak_current)
    voltage_spike, temperature_spike = _spikes(tails, run, starts, position, peak)
    before_cycle = np.where(tails.is_known, tails.cycle_index, run.cycle_index[starts])
    back = run.cycle_index < shifted(run.cycle_index, starts, before_cycle)

    quality = np.zeros(count, dtype=np.int32)
    for flag, where in (
        (Quality.SPIKE, voltage_spike),
        (Quality.TEMPERATURE_SPIKE, temperature_spike),
        (Quality.GAP, gap),
        (Quality.COUNTER_RESET, reset),
        (Quality.COUNTER_FELL, fell),
        (Quality.CLOCK_JUMP, _clock_jumps(tails, run, starts, previous_time)),
        (Quality.CYCLE_BACKWARDS, back),
    ):
        quality[np.flatnonzero(where)] |= flag
    # A resistance of this run, or one before it, has been measured.
    pulsed = latest(run.resistance > 0) >= np.repeat(starts, np.diff(starts, append=count))
    pulsed |= np.repeat(tails.pulsed, np.diff(starts, append=count))
    new_tails = _new_tails(tails, run, starts, position, begun, peak, pulsed)
    return Course(quality, gained, counted, (run.resistance == 0) & ~pulsed, new_tails)


def _positions(tails: Tails, run: Run, starts: Integers) -> Integers:
    """How many readings of the same step precede each, `RECENT` at most where the step began before the run."""
    begins = np.empty(len(run.data_point), dtype=np.bool_)
    begins[1:] = (np.diff(run.step_index) != 0) | (np.diff(run.cycle_index) != 0) | (np.diff(run.step_time) < 0)
    begins[starts] = True
    same = (tails.step_index == run.step_index[starts]) & (tails.cycle_index == run.cycle_index[starts])
    carried = np.where(same & ~(run.step_time[starts] < tails.step_time), tails.recent_count, 0)
    first = latest(begins)
    position = np.arange(len(first)) - first
    if carried.any():
        at_start = np.zeros(len(first), dtype=np.int64)
        at_start[starts] = carried
        position += at_start[first]
    return position


def _spikes(tails: Tails, run: Run, starts: Integers, position: Integers, peak: Floats) -> tuple[Flags, Flags]:
    # The first readings of a step are never judged, so what stands before them in the arrays does not matter.
    where = np.repeat(starts, tails.recent_count)
    recent = np.moveaxis(tails.recent, -1, 0)[np.arange(RECENT) < tails.recent_count[:, np.newaxis]]
    own = np.insert(np.ones(len(position), dtype=np.bool_), where, values=False)
    time, voltage, current = (
        np.insert(values, where, recent[:, column])
        for column, values in enumerate((run.test_time, run.voltage, run.current))
    )
    places, peaks = np.insert(position, where, 0), np.insert(peak, where, 0.0)
    voltage_spike = spikes(time, voltage, current, peaks, places, VOLTAGE)[own]
    if np.isnan(run.temperature).all():
        return voltage_spike, np.zeros(len(position), dtype=np.bool_)
    temperature = np.insert(run.temperature, where, recent[:, 3])
    return voltage_spike, spikes(time, temperature, current, peaks, places, TEMPERATURE)[own]


def _gains(tails: Tails, run: Run, starts: Integers, begun: Integers) -> tuple[Integers, Flags, Flags, Flags]:
    """Differences of the counters, never their maxima: they accumulate over a test, and a reset starts from zero.

    Args:
        tails: what came before.
        run: the readings.
        starts: where those of each test begin.
        begun: how many steps have begun up to each reading, shape (n,).

    Returns:
        The gains and where there are any, as in `Course`; where a counter was reset; where one fell otherwise.
    """
    count = len(run.data_point)
    gained = np.zeros((len(COUNTERS), count), dtype=np.int64)
    counted = ~np.isnan(run.counters)
    reset, fell = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
    begun_before = np.concatenate(([0], begun[starts[1:] - 1]))
    for index, values in enumerate(run.counters):
        known: slice | Integers = slice(None)
        tests: slice | Integers = slice(None)
        first = starts
        if not counted[index].all():
            known = at = np.flatnonzero(counted[index])
            if len(at) == 0:
                continue
            test_of = np.searchsorted(starts, at, side="right") - 1
            first = np.concatenate(([0], np.flatnonzero(np.diff(test_of)) + 1))
            tests = test_of[first]
        measured = values[known]
        # As last measured; else zero at a test's start, and later as it comes.
        at_first = measured[first]
        stood = tails.counters[index][tests]
        unknown = np.where(run.test_time[known][first] <= GAP_SECONDS, 0.0, at_first)
        before = shifted(measured, first, np.where(np.isnan(stood), unknown, stood))
        lower = measured < before - COUNTER_NOISE
        if lower.any():
            steps = begun[known]
            crossed = steps > shifted(steps, first, begun_before[tests])
            crossed[first] |= tails.crossed[index][tests]
            anew = lower & (np.abs(measured) < np.where(crossed, STEP_RESET_SHARE, RESET_SHARE) * before)
            before[anew] = 0.0
            rows = np.arange(count)[known]
            reset[rows[anew]] = True
            fell[rows[lower & ~anew]] = True
        # Rounded before subtracting: the sum of all gains is then the difference of the ends, to the last bit.
        gained[index, known] = np.rint(measured * PICO).astype(np.int64) - np.rint(before * PICO).astype(np.int64)
    return gained, counted, reset, fell


def _clock_jumps(tails: Tails, run: Run, starts: Integers, previous_time: Floats) -> Flags:
    previous = shifted(run.date_time, starts, tails.date_time)
    known = (previous != NO_CLOCK) & (run.date_time != NO_CLOCK)
    wall = np.where(known, run.date_time - np.where(known, previous, 0), 0)
    elapsed = (run.test_time - previous_time) * 1e6
    jumped: Flags = known & (np.abs(wall - elapsed) > CLOCK_JUMP_US)
    return jumped


def _new_tails(
    tails: Tails, run: Run, starts: Integers, position: Integers, begun: Integers, peak: Floats, pulsed: Flags
) -> Tails:
    last = ends_of(starts, len(run.data_point)) - 1
    begun_before = np.concatenate(([0], begun[starts[1:] - 1]))
    counters, crossed = [], []
    for values, stood, was_crossed in zip(run.counters, tails.counters, tails.crossed, strict=True):
        at = last if not np.isnan(values[last]).any() else latest(~np.isnan(values))[last]
        within = at >= starts
        counters.append(np.where(within, values[at], stood))
        since = begun[last] - np.where(within, begun[at], begun_before)
        crossed.append((since > 0) | (~within & was_crossed))
    recent_count = np.minimum(position[last] + 1, RECENT)
    return Tails(
        np.ones(len(starts), dtype=np.bool_),
        run.data_point[last],
        run.test_time[last],
        run.date_time[last],
        run.step_time[last],
        run.step_index[last],
        run.cycle_index[last],
        np.stack(counters),
        np.stack(crossed),
        peak[last],
        pulsed[last],
        recent_count,
        _recent(tails, run, starts, last, recent_count),
        tails.refusals,
    )


def _recent(tails: Tails, run: Run, starts: Integers, last: Integers, count: Integers) -> Floats:
    """The last `count` readings of each test: those of its run, and before them those that its tail had."""
    found = np.full_like(tails.recent, np.nan)
    new = np.minimum(last - starts + 1, count)
    for place in range(RECENT):
        back = count - place  # so many before the end, counted from 1
        at = np.flatnonzero((back > 0) & (back <= new))
        rows = last[at] - back[at] + 1
        found[place][:, at] = run.test_time[rows], run.voltage[rows], run.current[rows], run.temperature[rows]
        at = np.flatnonzero(back > new)
        found[place][:, at] = tails.recent[tails.recent_count[at] - (back - new)[at], :, at].T
    return found
