"""Readings that come late, by a retry: a quarantined reading that was mended goes to where it belonged.

The data points of a test rise, and a reading at or below the last one is a duplicate, unless it is a retry and falls
into a hole: data points that the test passed over while readings of its cell were refused. Filling a hole is exact.
The counters' gain over the hole had been given to the reading behind it, which now gets a correction, so that
capacities are what they would be had the reading come in time. Pure, as `dataflows.course` is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from battery.reading import Reason
from dataflows.course import NO_CLOCK, Run, follow
from dataflows.state import Edge, Hole

if TYPE_CHECKING:
    import numpy.typing as npt

    from dataflows.course import Course
    from dataflows.state import Tail

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

MOST_HOLES: Final = 256
"""Holes that a test remembers; of more, the oldest are forgotten, and what was refused there stays refused."""


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
    """A late reading in its place.

    `course` is what it adds itself; `unplaceable` marks, shape (4,), counters that it measured and the reading behind
    it did not, so that nothing can tell whose gain it was; `tail` is where the test stands, as before but for the hole.
    """

    course: Course
    correction: Correction
    unplaceable: npt.NDArray[np.bool_]
    tail: Tail


def with_holes(tail: Tail | None, run: Run, course: Course, refusals: Integers, *, is_retry: bool) -> Tail:
    """The tail after a run of accepted readings, with the holes that have opened before or within it.

    Args:
        tail: what came before.
        run: the readings.
        course: what `follow` made of them.
        refusals: the cell's count of refused readings before each of them, shape (n,).
        is_retry: whether they come by a retry: then what they pass over may have been refused long ago.
    """
    before = np.concatenate(([tail.refusals if tail and not is_retry else 0], refusals[:-1]))
    skipped = np.diff(run.data_point, prepend=tail.data_point if tail else 0) > 1
    holes, at, stood = list(tail.holes) if tail else [], 0, _bare(tail)
    for row in np.flatnonzero(skipped & (refusals > before))[-MOST_HOLES:].tolist():
        if row > at:
            stood = follow(stood, run.take(slice(at, row))).tail
        at = row
        holes.append(Hole(stood, _edge(run, row, unmeasured=bool(course.unmeasured[row]))))
    return msgspec.structs.replace(course.tail, refusals=int(refusals[-1]), holes=tuple(holes[-MOST_HOLES:]))


def fill(tail: Tail, late: Run) -> Filled | Reason:
    """Put a late reading where it belongs.

    Args:
        tail: where its test stands.
        late: the reading, a run of one.

    Returns:
        What it changes, or why it cannot be taken.
    """
    point, time = int(late.data_point[0]), float(late.test_time[0])
    found = [
        index
        for index, hole in enumerate(tail.holes)
        if (hole.before.data_point if hole.before else -1) < point < hole.after.data_point
    ]
    if not found:
        return Reason.DUPLICATE
    hole = tail.holes[found[0]]
    if time > hole.after.test_time or (hole.before is not None and time < hole.before.test_time):
        return Reason.TIME_BACKWARDS
    measured = ~np.isnan(late.counters[:, 0])
    unplaceable = measured & np.array([value is None for value in hole.after.counters])
    if unplaceable.any():
        late = _without(late, unplaceable)

    course = follow(hole.before, late)
    both = follow(hole.before, _joined(late, hole.after))
    alone = follow(hole.before, _run_of(hole.after))
    change = both.gained[:, 1] - alone.gained[:, 0]
    discharging = int(both.gained[1, 1] > 0) - int(alone.gained[1, 0] > 0)
    left = []
    if point - (hole.before.data_point if hole.before else 0) > 1:
        left.append(Hole(hole.before, _edge(late, 0, unmeasured=bool(course.unmeasured[0]))))
    if hole.after.data_point - point > 1:
        left.append(Hole(course.tail, hole.after))
    holes = (*tail.holes[: found[0]], *left, *tail.holes[found[0] + 1 :])[-MOST_HOLES:]
    return Filled(
        course,
        Correction(hole.after, change, both.counted[:, 1], discharging),
        unplaceable,
        msgspec.structs.replace(tail, holes=holes),
    )


def _bare(tail: Tail | None) -> Tail | None:
    return msgspec.structs.replace(tail, refusals=0, holes=()) if tail else None


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
    )


def _run_of(edge: Edge) -> Run:
    """An edge as a run of one; what it does not hold is not measured."""

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
        temperature=one(None),
    )


def _joined(late: Run, edge: Edge) -> Run:
    behind = _run_of(edge)
    return Run(
        **{
            name: np.concatenate((getattr(late, name), getattr(behind, name)), axis=-1)
            for name in Run.__dataclass_fields__
        }
    )


def _without(late: Run, unplaceable: npt.NDArray[np.bool_]) -> Run:
    counters = late.counters.copy()
    counters[unplaceable, 0] = np.nan
    return Run(**{**vars(late), "counters": counters})
