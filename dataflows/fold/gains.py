"""What the counters of tests gain, with resets and leaps told apart.

Columns are followed as a whole (`dataflows.fold.counters`). The few tests in which a counter may have leaped are judged
reading by reading (`dataflows.fold.leaps`). What the next readings need is remembered (`dataflows.fold.doubts`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from dataflows.fold.counters import PICO, Counter
from dataflows.fold.doubts import Doubts, note
from dataflows.fold.leaps import MOST_PER_SECOND, SECONDS_PER_HOUR, Judge, Reading
from dataflows.fold.tails import latest, shifted
from kernel.contract.reading import COUNTER_LEAP_CURRENT, COUNTERS, GAP_SECONDS, LEAPS, Quality

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from dataflows.fold.runs import Outcome, Run
    from dataflows.fold.state import Tail
    from dataflows.fold.tails import Tails

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]
    Objects = npt.NDArray[np.object_]

MOST_FLOW: Final = 4e6
"""Ah or Wh that the current can account for in one reading: no more than `MOST_GAIN`."""

_CAPACITIES: Final = 2
"""The first of `COUNTERS` count charge, the others energy."""


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
    size = _sizes(tails, starts, peak)
    charge = _most_charge(tails, run, starts, peak) if judge else None
    remembered = {test: tails.doubts[test] for test in np.flatnonzero(tails.doubts != None).tolist()}  # noqa: E711
    is_judged = bool((run.leaps >= 0).any())
    flow: Integers | None = None
    for index, values in enumerate(run.counters):
        counter = Counter(tails, run.test_time, starts, begun, size, index)
        doubts = Doubts(counter, tails, remembered)
        gained, reset, fell = counter.follow(values)
        to_judge = np.zeros(0, dtype=np.int64)
        if charge is not None:
            most = charge if index < _CAPACITIES else charge * np.maximum(np.abs(run.voltage), 1.0)
            beyond = np.abs(gained) > most
            if is_judged:
                beyond = np.where(run.leaps < 0, beyond, (run.leaps & LEAPS[index]) != 0)
            to_judge = doubts.tests_to_judge(values, np.flatnonzero(beyond), reset)
        doubts.remember(values, reset, to_judge, found.doubts)
        if len(to_judge):
            reset, fell = counter.without(to_judge, reset), counter.without(to_judge, fell)
            flow = flows(tails, run, starts, position) if flow is None else flow
            reading = _readings(run, counter, peak, flow[index], spike)
            for test in to_judge.tolist():
                _judge(found, counter, Judge(counter, test, doubts.before(test), late=late), test, reading, gained)
            if late:
                found.counted[index] &= ~found.leapt[index]
        found.gained[index] = gained
        found.reset[reset] = True
        found.fell[fell] = True
    return found


def _readings(run: Run, counter: Counter, peak: Floats, flow: Integers, spike: Flags) -> Callable[[int], Reading]:
    index = counter.index

    def reading(row: int) -> Reading:
        return Reading(
            float(run.counters[index, row]),
            float(run.test_time[row]),
            int(counter.begun[row]),
            float(peak[row]) or COUNTER_LEAP_CURRENT,
            float(counter.size[row]),
            1.0 if index < _CAPACITIES else max(abs(float(run.voltage[row])), 1.0),
            int(flow[row]),
            bool(spike[row]),
            None if run.leaps[row] < 0 else bool(run.leaps[row] & LEAPS[index]),
        )

    return reading


def _judge(
    found: Gains, counter: Counter, judge: Judge, test: int, reading: Callable[[int], Reading], gained: Integers
) -> None:
    """Judge each reading of a test, and write down what is found."""
    index = counter.index
    rows = range(int(counter.starts[test]), int(counter.ends[test]))
    for row in rows:
        now = reading(row)
        if found.counted[index, row]:
            gained[row] = judge.take(now)
        elif now.has_leapt and not judge.late:
            gained[row] = judge.drop(now)
            found.counted[index, row] = True
        else:
            continue
        found.leapt[index, row] = judge.is_dropped
        found.leaps[row] |= LEAPS[index] if judge.has_leapt else 0
        found.reset[row] |= judge.is_reset
        found.fell[row] |= judge.has_fallen
    note(found.doubts, test, judge.doubt(float(counter.test_time[rows[-1]]), int(counter.begun[rows[-1]])))


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
            found.append(np.rint(np.minimum(mean * elapsed / SECONDS_PER_HOUR, MOST_FLOW) * PICO).astype(np.int64))
    return np.stack(found)


def unsettled(tail: Tail | None, outcome: Outcome) -> Flags:
    """Where a counter leaps, or has leaped before and has not been measured since, shape (n,).

    What such a reading gains depends on the one before it, so no late reading can be inserted between them.
    """
    found: Flags = (outcome.quality & Quality.COUNTER_LEAP) != 0
    pending = {doubt.counter for doubt in tail.doubts if doubt.leapt_to is not None} if tail else set()
    if not found.any() and not pending:
        return found
    for index, (leapt, counted) in enumerate(zip(outcome.leapt, outcome.counted, strict=True)):
        dropped, measured = latest(leapt), latest(counted & ~leapt)
        is_pending = (dropped > measured) | ((index in pending) & (np.maximum(dropped, measured) < 0))
        found |= np.concatenate(([index in pending], is_pending[:-1]))
    return found


def _sizes(tails: Tails, starts: Integers, peak: Floats) -> Floats:
    """The largest current of each test before each reading in A, shape (n,); one that stands for it before any.

    The reading's own does not count: of the reading behind a hole nothing is kept but its counters.
    """
    before = shifted(peak, starts, tails.peak_current)
    found: Floats = np.where(before > 0, before, COUNTER_LEAP_CURRENT)
    return found


def _most_charge(tails: Tails, run: Run, starts: Integers, peak: Floats) -> Floats:
    """The charge in pico-Ah beyond which a gain is a leap."""
    elapsed = run.test_time - shifted(run.test_time, starts, tails.test_time)
    most: Floats = np.where(peak > 0, peak, COUNTER_LEAP_CURRENT) * (elapsed + 1.0) * MOST_PER_SECOND
    return most
