"""The rules of the fold: what readings are flagged for, what their counters gain, and where their tests stand then.

Pure and columnar: runs of readings of many tests, one after the other, and the tails of what came before go in, arrays
of the same length and the new tails come out. Cutting a run anywhere and passing its tail along changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from dataflows.fold.gains import gains
from dataflows.fold.runs import Outcome, Run
from dataflows.fold.spikes import TEMPERATURE, VOLTAGE, spikes
from dataflows.fold.state import RECENT, SKIPS
from dataflows.fold.tails import NO_CLOCK, Tails, ends_of, latest, running_peaks, shifted
from kernel.contract.reading import COUNTERS, GAP_SECONDS, Quality

if TYPE_CHECKING:
    import numpy.typing as npt

    from dataflows.fold.state import Tail

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

_BITS: Final = 1 << np.arange(len(COUNTERS))
"""The counters as bits of `Tail.measured`."""

CLOCK_JUMP_US: Final = 60_000_000
"""The wall clock and the test clock drift by a minute a week; a minute between two readings is a jump."""


def follow_one(tail: Tail | None, run: Run, *, judge: bool = True, late: bool = False) -> Outcome:
    """Follow one test along accepted readings, at least one."""
    return follow(Tails.of([tail]), run, np.zeros(1, dtype=np.int64), judge=judge, late=late)


def follow(tails: Tails, run: Run, starts: Integers, *, judge: bool = True, late: bool = False) -> Outcome:
    """Follow tests along accepted readings.

    Args:
        tails: where the tests stand.
        run: their readings, those of each test together and at least one.
        starts: the rows at which each test's begin, shape (s,), the first of them 0.
        judge: whether counters that leap are looked for; not where the readings have been followed before.
        late: whether the readings come late: a leap is then dropped, and what it gained is left to the next reading.
    """
    count = len(run.data_point)
    previous_time = shifted(run.test_time, starts, tails.test_time)
    skips = skipped(tails, run, starts)
    gap = (run.test_time - previous_time > GAP_SECONDS) | skips
    position = _positions(tails, run, starts)
    begun = np.cumsum(position == 0)
    peak = running_peaks(np.abs(run.current), starts, tails.peak_current)
    voltage_spike, temperature_spike = _spikes(tails, run, starts, position, peak)
    counters = gains(tails, run, starts, position, peak, voltage_spike, judge=judge, late=late)
    run = run.without_counters(counters.leapt)
    before_cycle = np.where(tails.is_known, tails.cycle_index, run.cycle_index[starts])
    back = run.cycle_index < shifted(run.cycle_index, starts, before_cycle)

    quality = np.zeros(count, dtype=np.int32)
    for flag, where in (
        (Quality.SPIKE, voltage_spike),
        (Quality.TEMPERATURE_SPIKE, temperature_spike),
        (Quality.GAP, gap),
        (Quality.COUNTER_RESET, counters.reset),
        (Quality.COUNTER_FELL, counters.fell),
        (Quality.VALUE_DROPPED, counters.leapt.any(axis=0)),
        (Quality.COUNTER_LEAP, counters.leaps),
        (Quality.CLOCK_JUMP, _clock_jumps(tails, run, starts, previous_time)),
        (Quality.CYCLE_BACKWARDS, back),
    ):
        quality[np.flatnonzero(where)] |= flag
    quality |= counters.leaps
    # A resistance of this run, or one before it, has been measured.
    pulsed = latest(run.resistance > 0) >= np.repeat(starts, np.diff(starts, append=count))
    pulsed |= np.repeat(tails.pulsed, np.diff(starts, append=count))
    new_tails = _new_tails(tails, run, starts, position, begun, peak, pulsed, skips, counters.doubts)
    unmeasured = (run.resistance == 0) & ~pulsed
    return Outcome(quality, counters.gained, counters.counted, counters.leapt, unmeasured, new_tails)


def skipped(tails: Tails, run: Run, starts: Integers) -> Flags:
    """Before which readings data points are skipped; a test may begin with data point 0 or 1."""
    found: Flags = run.data_point - shifted(run.data_point, starts, tails.data_point) > 1
    return found


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


def _clock_jumps(tails: Tails, run: Run, starts: Integers, previous_time: Floats) -> Flags:
    previous = shifted(run.date_time, starts, tails.date_time)
    known = (previous != NO_CLOCK) & (run.date_time != NO_CLOCK)
    wall = np.where(known, run.date_time - np.where(known, previous, 0), 0)
    elapsed = (run.test_time - previous_time) * 1e6
    jumped: Flags = known & (np.abs(wall - elapsed) > CLOCK_JUMP_US)
    return jumped


def _new_tails(
    tails: Tails,
    run: Run,
    starts: Integers,
    position: Integers,
    begun: Integers,
    peak: Floats,
    pulsed: Flags,
    skips: Flags,
    doubts: npt.NDArray[np.object_],
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
        (~np.isnan(run.counters[:, last])).T @ _BITS,
        np.minimum(SKIPS, tails.skips + np.add.reduceat(skips, starts, dtype=np.int64)) if skips.any() else tails.skips,
        doubts,
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
