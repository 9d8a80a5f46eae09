"""The course of one test: which readings continue it, what they are flagged for, what the counters gained.

Pure and columnar: a run of readings of one test and the tail of what came before go in, arrays of the same
length and the new tail come out. Cutting a run anywhere and passing the tail along changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from battery.reading import COUNTER_NOISE, COUNTERS, GAP_SECONDS, RESET_SHARE, STEP_RESET_SHARE, Quality, Reason
from dataflows.spikes import TEMPERATURE, VOLTAGE, spikes
from dataflows.state import RECENT, Sample, Tail
from dataflows.validate import ACCEPTED, REASONS

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

CLOCK_JUMP_US: Final = 60_000_000
"""The wall clock and the test clock drift by a minute a week; a minute between two readings is a jump."""

PICO: Final = 1e12
"""Counter gains are whole pico-ampere-hours (pico-watt-hours), so that adding them is exact in any order."""

NO_CLOCK: Final = np.iinfo(np.int64).min
"""Stands for a missing `date_time`."""

_DUPLICATE: Final = REASONS.index(Reason.DUPLICATE)
_TIME_BACKWARDS: Final = REASONS.index(Reason.TIME_BACKWARDS)


@dataclass(frozen=True)
class Run:
    """Consecutive readings of one test, a column an array of shape (n,); NaN (`NO_CLOCK`) where not measured.

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
    """What a run adds to its test.

    `gained` are the counters' gains over each reading in pico-Ah and pico-Wh, shape (4, n), `counted` where a
    counter was measured at all; `unmeasured` marks resistances that are no measurement.
    """

    quality: npt.NDArray[np.int32]
    gained: Integers
    counted: Flags
    unmeasured: Flags
    tail: Tail


def admit(tail: Tail | None, data_point: Integers, test_time: Floats) -> npt.NDArray[np.int8]:
    """Decide which readings continue a test: data points rise, time never falls.

    Returns:
        `ACCEPTED`, or the code of `duplicate` or `time_backwards`, shape (n,).
    """
    last_point, last_time = (tail.data_point, tail.test_time) if tail else (-1, -np.inf)
    verdict = np.where(data_point <= last_point, np.int8(_DUPLICATE), np.int8(ACCEPTED))
    rest = np.flatnonzero(verdict == ACCEPTED)
    points, times = data_point[rest], test_time[rest]
    if len(rest) == 0 or (times[0] >= last_time and np.all(np.diff(points) > 0) and np.all(np.diff(times) >= 0)):
        return verdict
    for row, point, time in zip(rest.tolist(), points.tolist(), times.tolist(), strict=True):
        if point <= last_point:
            verdict[row] = _DUPLICATE
        elif time < last_time:
            verdict[row] = _TIME_BACKWARDS
        else:
            last_point, last_time = point, time
    return verdict


def follow(tail: Tail | None, run: Run) -> Course:
    """Follow a test along accepted readings, at least one."""
    count = len(run.data_point)
    previous_time = _shifted(run.test_time, tail.test_time if tail else 0.0)
    gap = (run.test_time - previous_time > GAP_SECONDS) | (
        np.diff(run.data_point, prepend=tail.data_point if tail else 0) > 1
    )
    position = _positions(tail, run)
    begun = np.cumsum(position == 0)
    gained, counted, reset, fell = _gains(tail, run, begun)
    peak = np.maximum(np.maximum.accumulate(np.abs(run.current)), tail.peak_current if tail else 0.0)
    voltage_spike, temperature_spike = _spikes(tail, run, position, peak)
    back = np.diff(run.cycle_index, prepend=tail.cycle_index if tail else run.cycle_index[0]) < 0

    quality = np.zeros(count, dtype=np.int32)
    for flag, where in (
        (Quality.SPIKE, voltage_spike),
        (Quality.TEMPERATURE_SPIKE, temperature_spike),
        (Quality.GAP, gap),
        (Quality.COUNTER_RESET, reset),
        (Quality.COUNTER_FELL, fell),
        (Quality.CLOCK_JUMP, _clock_jumps(tail, run, previous_time)),
        (Quality.CYCLE_BACKWARDS, back),
    ):
        quality[where] |= flag
    pulsed = np.logical_or.accumulate(run.resistance > 0) | (tail is not None and tail.pulsed)
    new_tail = _new_tail(tail, run, position, begun, float(peak[-1]), pulsed=bool(pulsed[-1]))
    return Course(quality, gained, counted, (run.resistance == 0) & ~pulsed, new_tail)


def _shifted(values: Floats, first: float) -> Floats:
    return np.concatenate(([first], values[:-1]))


def _positions(tail: Tail | None, run: Run) -> Integers:
    """How many readings of the same step precede each, `RECENT` at most where the step began before the run."""
    count = len(run.data_point)
    starts = np.zeros(count, dtype=np.bool_)
    starts[1:] = (np.diff(run.step_index) != 0) | (np.diff(run.cycle_index) != 0) | (np.diff(run.step_time) < 0)
    carried = 0
    if tail is not None:
        same = tail.step_index == run.step_index[0] and tail.cycle_index == run.cycle_index[0]
        again = tail.step_time is not None and run.step_time[0] < tail.step_time
        carried = len(tail.recent) if same and not again else 0
    rows = np.arange(count)
    start = np.maximum.accumulate(np.where(starts, rows, -carried))
    return rows - start


def _spikes(tail: Tail | None, run: Run, position: Integers, peak: Floats) -> tuple[Flags, Flags]:
    recent = tail.recent if tail else ()
    before = len(recent)
    # The first readings of a step are never judged, so what stands before them in the arrays does not matter.
    time = np.concatenate(([sample.test_time for sample in recent], run.test_time))
    current = np.concatenate(([sample.current for sample in recent], run.current))
    voltage = np.concatenate(([sample.voltage for sample in recent], run.voltage))
    places = np.concatenate((np.zeros(before, dtype=np.int64), position))
    peaks = np.concatenate((np.zeros(before), peak))
    voltage_spike = spikes(time, voltage, current, peaks, places, VOLTAGE)[before:]
    if np.isnan(run.temperature).all():
        return voltage_spike, np.zeros(len(position), dtype=np.bool_)
    warmth = [np.nan if sample.temperature is None else sample.temperature for sample in recent]
    temperature = np.concatenate((warmth, run.temperature))
    return voltage_spike, spikes(time, temperature, current, peaks, places, TEMPERATURE)[before:]


def _gains(tail: Tail | None, run: Run, begun: Integers) -> tuple[Integers, Flags, Flags, Flags]:
    """Differences of the counters, never their maxima: they accumulate over a test, and a reset starts from zero.

    Args:
        tail: what came before.
        run: the readings.
        begun: how many steps have begun within the run up to each reading, shape (n,).

    Returns:
        The gains and where there are any, as in `Course`; where a counter was reset; where one fell otherwise.
    """
    count = len(run.data_point)
    gained = np.zeros((len(COUNTERS), count), dtype=np.int64)
    counted = ~np.isnan(run.counters)
    reset, fell = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
    for index, values in enumerate(run.counters):
        known = np.flatnonzero(counted[index])
        if len(known) == 0:
            continue
        measured = values[known]
        before = _shifted(measured, _baseline(tail, index, float(measured[0]), float(run.test_time[known[0]])))
        crossed = np.diff(begun[known], prepend=0) > 0
        crossed[0] |= tail is not None and tail.crossed[index]
        lower = measured < before - COUNTER_NOISE
        anew = lower & (np.abs(measured) < np.where(crossed, STEP_RESET_SHARE, RESET_SHARE) * before)
        before[anew] = 0.0
        # Rounded before subtracting: the sum of all gains is then the difference of the ends, to the last bit.
        gained[index, known] = np.rint(measured * PICO).astype(np.int64) - np.rint(before * PICO).astype(np.int64)
        reset[known[anew]] = True
        fell[known[lower & ~anew]] = True
    return gained, counted, reset, fell


def _baseline(tail: Tail | None, index: int, first: float, test_time: float) -> float:
    """What a counter stood at before: as last measured; else zero at a test's start, and later as it comes."""
    known = tail.counters[index] if tail is not None else None
    if known is not None:
        return known
    return 0.0 if test_time <= GAP_SECONDS else first


def _clock_jumps(tail: Tail | None, run: Run, previous_time: Floats) -> Flags:
    first = tail.date_time if tail is not None and tail.date_time is not None else NO_CLOCK
    previous = np.concatenate(([first], run.date_time[:-1]))
    known = (previous != NO_CLOCK) & (run.date_time != NO_CLOCK)
    wall = np.where(known, run.date_time - np.where(known, previous, 0), 0)
    elapsed = (run.test_time - previous_time) * 1e6
    jumped: Flags = known & (np.abs(wall - elapsed) > CLOCK_JUMP_US)
    return jumped


def _new_tail(
    tail: Tail | None, run: Run, position: Integers, begun: Integers, peak_current: float, *, pulsed: bool
) -> Tail:
    count = len(run.data_point)
    keep = min(int(position[-1]) + 1, RECENT)
    samples = [
        Sample(
            float(run.test_time[row]),
            float(run.voltage[row]),
            float(run.current[row]),
            _measured(run.temperature[row]),
        )
        for row in range(max(count - keep, 0), count)
    ]
    if tail is not None and len(samples) < keep:
        samples = [*tail.recent[len(samples) - keep :], *samples]
    counters, crossed = [], []
    for index, values in enumerate(run.counters):
        known = np.flatnonzero(~np.isnan(values))
        before = tail.counters[index] if tail else None
        counters.append(float(values[known[-1]]) if len(known) else before)
        since = begun[-1] - (begun[known[-1]] if len(known) else 0)
        crossed.append(bool(since > 0 or (len(known) == 0 and tail is not None and tail.crossed[index])))
    clock = int(run.date_time[-1])
    return Tail(
        data_point=int(run.data_point[-1]),
        test_time=float(run.test_time[-1]),
        date_time=None if clock == NO_CLOCK else clock,
        step_time=_measured(run.step_time[-1]),
        step_index=int(run.step_index[-1]),
        cycle_index=int(run.cycle_index[-1]),
        counters=(counters[0], counters[1], counters[2], counters[3]),
        crossed=(crossed[0], crossed[1], crossed[2], crossed[3]),
        peak_current=peak_current,
        pulsed=pulsed,
        recent=tuple(samples),
    )


def _measured(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
