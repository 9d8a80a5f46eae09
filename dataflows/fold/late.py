"""Readings that come late on purpose: a quarantined one that was mended, or a part of a test that arrives afterwards.

The data points of a test rise, and a reading at or below the last one is refused, unless its message is a retry, or
says that it is late, and it falls into a hole: data points that the test passed over while readings of its cell were
refused, or in one of the first skips of the test. Filling a hole is exact.
The counters' gain over the hole had been given to the reading behind it, which now gets a correction, so that
capacities are what they would be had the reading come in time. Pure, as `dataflows.fold.rules` is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from dataflows.fold.gains import unsettled
from dataflows.fold.rules import follow_one, skipped
from dataflows.fold.runs import Run
from dataflows.fold.state import SKIPS, Doubt, Edge, Hole
from dataflows.fold.tails import NO_CLOCK, Tails, ends_of
from kernel.contract.reading import COUNTER_LEAP_CURRENT, COUNTER_NOISE, COUNTER_ZERO, COUNTERS, Reason

if TYPE_CHECKING:
    import numpy.typing as npt

    from dataflows.fold.runs import Outcome
    from dataflows.fold.state import Tail

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

MOST_HOLES: Final = 256
"""Holes that a test remembers; of more, the oldest are forgotten, and what was refused there stays refused."""

LOOK_AHEAD: Final = 4_096
"""Late readings that are put into a hole at a time."""

BEFORE_START: Final = -1
"""Stands for the data point before a test's first one."""

NO_COUNTERS: Final = (None,) * len(COUNTERS)
"""Stands for the counters before a test's first reading."""


@dataclass(frozen=True, eq=False)
class Correction:
    """What filling a hole changes of the reading `behind` it.

    `gained` are the changes of its counters' gains in pico-Ah and pico-Wh, shape (4,), `counted` where a counter was
    measured; `discharging` is 1, 0 or -1: whether it has become, stayed or ceased to be one that discharges.
    """

    behind: Edge
    gained: Integers
    counted: npt.NDArray[np.bool_]
    discharging: int


@dataclass(frozen=True)
class Filled:
    """Late readings in their place.

    `count` tells how many were taken; `outcome` is what they add themselves; `tail` is where the test stands, as before
    but for the hole.
    """

    count: int
    outcome: Outcome
    correction: Correction
    tail: Tail


def with_holes(tail: Tail | None, run: Run, outcome: Outcome, refusals: Integers, *, is_retry: bool) -> Tail:
    """The tail after a run of accepted readings, with the holes that have opened before or within it.

    Args:
        tail: what came before.
        run: the readings.
        outcome: what `follow_one` made of them.
        refusals: the cell's count of refused readings before each of them, shape (n,).
        is_retry: whether they come by a retry: then what they pass over may have been refused long ago.
    """
    opens = _first_skips(tail, run)
    if refusals[-1] == 0 and not opens.any():  # as with nearly all cells
        return msgspec.structs.replace(outcome.tail, holes=tail.holes if tail else ())
    before = np.concatenate(([tail.refusals if tail else 0], refusals[:-1]))
    run = run.without_counters(outcome.leapt)
    passed = np.diff(run.data_point, prepend=tail.data_point if tail else BEFORE_START) > 1
    opens |= passed & (refusals > (0 if is_retry else before))
    opened = _holes(tail, run, outcome, opens & ~unsettled(tail, outcome))
    holes = (*(tail.holes if tail else ()), *opened)[-MOST_HOLES:]
    return msgspec.structs.replace(outcome.tail, refusals=int(refusals[-1]), holes=holes)


def skips_to_remember(tails: Tails, run: Run, starts: Integers) -> npt.NDArray[np.bool_]:
    """Which tests skip data points and still remember where, shape (s,); their data points rise.

    It is asked of all readings of nearly all cells, so only the ends of each test are looked at.
    """
    if len(starts) == 0:
        return np.zeros(0, dtype=np.bool_)
    ends = ends_of(starts, len(run.data_point))
    first, last = run.data_point[starts], run.data_point[ends - 1]
    found: npt.NDArray[np.bool_] = (first - tails.data_point > 1) | (last - first >= ends - starts)
    return found & (tails.skips < SKIPS)


def _first_skips(tail: Tail | None, run: Run) -> npt.NDArray[np.bool_]:
    """The readings of a run before which its test skips data points, as far as it remembers that."""
    skips = skipped(Tails.of([tail]), run, np.zeros(1, dtype=np.int64))
    found: npt.NDArray[np.bool_] = skips & ((tail.skips if tail else 0) + np.cumsum(skips) <= SKIPS)
    return found


def fill(tail: Tail, columns: Run, rows: Integers) -> Filled | Reason:
    """Put late readings into the hole that they belong in: the first one, and those after it that belong there too.

    Args:
        tail: where their test stands.
        columns: readings.
        rows: which of them are of this test, at least one.

    Returns:
        What they change, or why the first one cannot be taken.
    """
    point, time = int(columns.data_point[rows[0]]), float(columns.test_time[rows[0]])
    places = [
        place
        for place, hole in enumerate(tail.holes)
        if (hole.before.data_point if hole.before else BEFORE_START) < point < hole.after.data_point
    ]
    if not places:
        return Reason.DUPLICATE
    hole = tail.holes[places[0]]
    if time > hole.after.test_time or (hole.before is not None and time < hole.before.test_time):
        return Reason.TIME_BACKWARDS
    late = columns.take(rows[: _ahead(columns.data_point[rows[:LOOK_AHEAD]], hole.after.data_point)])
    fits = ~_blocked(hole, late) & (late.test_time <= hole.after.test_time)
    fits[1:] &= np.diff(late.test_time) >= 0
    count = len(fits) if fits.all() else int(np.argmin(fits))
    if count == 0:
        return Reason.MISSING_VALUE
    late = late.take(slice(0, count))

    outcome = follow_one(hole.before, late, late=True)
    late = late.without_counters(outcome.leapt)
    if follow_one(hole.before, _joined(late, hole.after), late=True).leapt[:, -1].any():
        return Reason.DUPLICATE  # seen from here, a counter behind the hole has leaped, and has landed as it was
    both = follow_one(hole.before, _joined(late, hole.after), judge=False)
    alone = follow_one(hole.before, _run_of(hole.after), judge=False)
    correction = Correction(
        hole.after,
        both.gained[:, -1] - alone.gained[:, 0],
        both.counted[:, -1],
        int(both.gained[1, -1] > 0) - int(alone.gained[1, 0] > 0),
    )
    first = hole.before.data_point if hole.before else BEFORE_START
    left = _holes(hole.before, late, outcome, np.diff(late.data_point, prepend=first) > 1)
    if hole.after.data_point - int(late.data_point[-1]) > 1:
        left.append(Hole(_measured(outcome.tail), hole.after))
    holes = (*tail.holes[: places[0]], *left, *tail.holes[places[0] + 1 :])[-MOST_HOLES:]
    doubts = _with_late_heights(tail, hole, late)
    return Filled(count, outcome, correction, msgspec.structs.replace(tail, holes=holes, doubts=doubts))


def _with_late_heights(tail: Tail, hole: Hole, late: Run) -> tuple[Doubt, ...]:
    """What is to be remembered of the counters of a test once late readings are in its hole.

    Where a counter stands at zero, it may come back to what it stood at before it fell. That is the last value above
    zero in the order of the test, so a late reading behind the one remembered takes its place. If nothing is
    remembered, it does only where the test stands right behind the hole: else another value may lie between.

    Args:
        tail: where the test stands.
        hole: the hole.
        late: the readings that are put into it, in their order.
    """
    size = tail.peak_current if tail.peak_current > 0 else COUNTER_LEAP_CURRENT
    noise = COUNTER_NOISE * size
    doubts = {doubt.counter: doubt for doubt in tail.doubts}
    for index, value in enumerate(tail.counters):
        known = doubts.get(index)
        if value is None or abs(value) > noise or (known is not None and known.leapt_to is not None):
            continue
        since = known.stood_at if known is not None and known.stood is not None else None
        if since is None and tail.data_point != hole.after.data_point:
            continue
        high = np.abs(late.counters[index]) > noise
        if since is not None:
            high &= late.test_time >= since
        if not high.any():
            continue
        row = int(np.flatnonzero(high)[-1])
        stood = float(late.counters[index, row])
        doubt = known or Doubt(index, tail.test_time)
        if stood > COUNTER_ZERO * size:
            crossed = (late.step_index[row], late.cycle_index[row]) != (tail.step_index, tail.cycle_index)
            stood_at = float(late.test_time[row])
            doubts[index] = msgspec.structs.replace(doubt, stood=stood, stood_at=stood_at, crossed=bool(crossed))
        elif known is not None:
            doubts[index] = msgspec.structs.replace(doubt, stood=None, stood_at=0.0, crossed=False)
    return tuple(doubts[index] for index in sorted(doubts))


def _ahead(points: Integers, behind: int) -> int:
    """The number of first readings whose data points rise and stay before the reading after the hole; at least one."""
    fits = points < behind
    fits[1:] &= np.diff(points) > 0
    return len(fits) if fits.all() else int(np.argmin(fits))


def _blocked(hole: Hole, late: Run) -> npt.NDArray[np.bool_]:
    """Where readings cannot be put into a hole: the reading after it lacks a counter that they or those before have.

    What that counter gained was given to a reading further on, of which the hole knows nothing.
    """
    lacking = np.array([value is None for value in hole.after.counters])
    known = np.array([value is not None for value in (hole.before.counters if hole.before else NO_COUNTERS)])
    blocked: npt.NDArray[np.bool_] = np.any(
        lacking[:, np.newaxis] & (known[:, np.newaxis] | ~np.isnan(late.counters)), axis=0
    )
    return blocked


def _holes(tail: Tail | None, run: Run, outcome: Outcome, opens: npt.NDArray[np.bool_]) -> list[Hole]:
    """The newest holes, given the readings of a run before which one opens."""
    holes, at, stood = [], 0, _bare(tail)
    for row in np.flatnonzero(opens)[-MOST_HOLES:].tolist():
        if row > at:
            stood = follow_one(stood, run.take(slice(at, row)), judge=False).tail
        at = row
        holes.append(Hole(_measured(stood), _edge(run, row, unmeasured=bool(outcome.unmeasured[row]))))
    return holes


def _bare(tail: Tail | None) -> Tail | None:
    return msgspec.structs.replace(tail, refusals=0, holes=()) if tail else None


def _measured(tail: Tail | None) -> Tail | None:
    """A tail with no more about its counters than what was measured, and when.

    Late readings are compared with that alone. Where a counter stood before it leaped is not kept: the judgement that
    found it is not repeated here, so it would be known only where the log happened to be cut after the leap.
    """
    if tail is None or not tail.doubts:
        return tail
    doubts = (Doubt(doubt.counter, doubt.measured_at) for doubt in tail.doubts if doubt.measured_at != tail.test_time)
    return msgspec.structs.replace(tail, doubts=tuple(doubts))


def _edge(run: Run, row: int, *, unmeasured: bool) -> Edge:
    def known(value: np.float64) -> float | None:
        return None if np.isnan(value) else float(value)

    counters = [known(value) for value in run.counters[:, row]]
    clock = int(run.date_time[row])
    return Edge(
        data_point=int(run.data_point[row]),
        test_time=float(run.test_time[row]),
        date_time=None if clock == NO_CLOCK else clock,
        step_time=known(run.step_time[row]),
        step_index=int(run.step_index[row]),
        cycle_index=int(run.cycle_index[row]),
        counters=(counters[0], counters[1], counters[2], counters[3]),
        resistance=None if unmeasured else known(run.resistance[row]),
        temperature=known(run.temperature[row]),
    )


def _run_of(edge: Edge) -> Run:
    """An edge as a run of one reading; what it does not hold counts as not measured."""

    def one(value: float | None) -> Floats:
        return np.array([np.nan if value is None else value])

    return Run(
        data_point=np.array([edge.data_point]),
        test_time=one(edge.test_time),
        date_time=np.array([NO_CLOCK if edge.date_time is None else edge.date_time]),
        step_time=one(edge.step_time),
        step_index=np.array([edge.step_index]),
        cycle_index=np.array([edge.cycle_index]),
        current=np.zeros(1),
        voltage=np.zeros(1),
        counters=np.array([one(value) for value in edge.counters]),
        resistance=one(edge.resistance),
        temperature=one(edge.temperature),
        leaps=np.full(1, -1, dtype=np.int32),
    )


def _joined(late: Run, edge: Edge) -> Run:
    behind = _run_of(edge)
    return Run(
        **{
            name: np.concatenate((getattr(late, name), getattr(behind, name)), axis=-1)
            for name in Run.__dataclass_fields__
        }
    )
