"""Where many tests stand, a column an array: what the fold reads and leaves of its state, however many cells it takes.

Runs of several tests, one after the other, are told apart by the rows at which each begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from dataflows.fold.state import RECENT, Tail
from kernel.contract.reading import COUNTERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

NO_CLOCK: Final = np.iinfo(np.int64).min
"""Stands for a missing `date_time`."""

_NONE: Final = Tail(
    data_point=0,
    test_time=0.0,
    date_time=None,
    step_time=None,
    step_index=-1,
    cycle_index=-1,
    counters=(None, None, None, None),
    crossed=(False, False, False, False),
    peak_current=0.0,
    pulsed=False,
    recent=(),
)
_NO_SAMPLES: Final = [(np.nan,) * 4] * RECENT


@dataclass(frozen=True)
class Tails:
    """The tails of s tests, as `dataflows.fold.state.Tail` but for their holes; the last axis of an array is the tests.

    `is_known` is false where a test begins: it stands at zero there. `counters` and `crossed` have shape (4, s);
    `recent_count` tells how many of the readings in `recent`, shape (RECENT, 4, s), each test has: s, V, A and degC.
    `doubts` has None where there are none.
    """

    is_known: Flags
    data_point: Integers
    test_time: Floats
    date_time: Integers
    step_time: Floats
    step_index: Integers
    cycle_index: Integers
    counters: Floats
    crossed: Flags
    peak_current: Floats
    pulsed: Flags
    recent_count: Integers
    recent: Floats
    refusals: Integers
    measured: Integers
    skips: Integers
    doubts: npt.NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.is_known)

    @classmethod
    def of(cls, tails: Sequence[Tail | None]) -> Tails:
        """Make columns of tails; None stands for a test that begins."""
        found = [_NONE if tail is None else tail for tail in tails]
        return cls(
            np.array([tail is not None for tail in tails], dtype=np.bool_),
            np.array([tail.data_point for tail in found], dtype=np.int64),
            np.array([tail.test_time for tail in found], dtype=np.float64),
            np.array([NO_CLOCK if tail.date_time is None else tail.date_time for tail in found], dtype=np.int64),
            np.array([tail.step_time for tail in found], dtype=np.float64),
            np.array([tail.step_index for tail in found], dtype=np.int64),
            np.array([tail.cycle_index for tail in found], dtype=np.int64),
            np.array([tail.counters for tail in found], dtype=np.float64).reshape(-1, len(COUNTERS)).T,
            np.array([tail.crossed for tail in found], dtype=np.bool_).reshape(-1, len(COUNTERS)).T,
            np.array([tail.peak_current for tail in found], dtype=np.float64),
            np.array([tail.pulsed for tail in found], dtype=np.bool_),
            np.array([len(tail.recent) for tail in found], dtype=np.int64),
            np.moveaxis(np.array([_samples(tail) for tail in found], dtype=np.float64).reshape(-1, RECENT, 4), 0, -1),
            np.array([tail.refusals for tail in found], dtype=np.int64),
            np.array([tail.measured for tail in found], dtype=np.int64),
            np.array([tail.skips for tail in found], dtype=np.int64),
            _objects([tail.doubts or None for tail in found]),
        )

    @classmethod
    def new(cls, count: int) -> Tails:
        """The tails of tests that begin."""
        one = cls.of([None])
        return one.take(np.zeros(count, dtype=np.int64))

    def take(self, places: Integers) -> Tails:
        """Some of the tails."""
        return Tails(*(values[..., places] for values in vars(self).values()))

    def put(self, places: Integers, tails: Tails) -> None:
        """Replace some of the tails."""
        for name, values in vars(tails).items():
            getattr(self, name)[..., places] = values

    def rows(self) -> Iterator[tuple[object, ...]]:
        """The values of each as of a `Tail`, without holes; NaN stands for None: both are null in JSON."""
        clocks = self.date_time.tolist()
        if (self.date_time == NO_CLOCK).any():
            clocks = [None if clock == NO_CLOCK else clock for clock in clocks]
        recent = np.moveaxis(self.recent, -1, 0).tolist()
        if (self.recent_count != RECENT).any():
            recent = [samples[:count] for samples, count in zip(recent, self.recent_count.tolist(), strict=True)]
        no_holes: list[tuple[()]] = [()] * len(self)
        doubts = [doubt or () for doubt in self.doubts.tolist()]
        return zip(
            self.data_point.tolist(),
            self.test_time.tolist(),
            clocks,
            self.step_time.tolist(),
            self.step_index.tolist(),
            self.cycle_index.tolist(),
            self.counters.T.tolist(),
            self.crossed.T.tolist(),
            self.peak_current.tolist(),
            self.pulsed.tolist(),
            recent,
            self.refusals.tolist(),
            no_holes,
            self.measured.tolist(),
            self.skips.tolist(),
            doubts,
            strict=True,
        )

    def objects(self) -> list[Tail]:
        """Each as an object of its own, without holes."""
        return msgspec.json.decode(msgspec.json.encode(list(self.rows())), type=list[Tail])


def _objects(values: Sequence[object]) -> npt.NDArray[np.object_]:
    found = np.empty(len(values), dtype=np.object_)
    for place, value in enumerate(values):  # numpy would take tuples apart
        found[place] = value
    return found


def _samples(tail: Tail) -> list[tuple[float | None, ...]]:
    known = [(one.test_time, one.voltage, one.current, one.temperature) for one in tail.recent]
    return [*known, *_NO_SAMPLES[len(known) :]]


def ends_of(starts: Integers, count: int) -> Integers:
    """Where runs end that begin at `starts`, in `count` rows."""
    return np.append(starts[1:], count)


def shifted(values: npt.NDArray[Any], starts: Integers, first: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The value before each, where runs begin that of `first`, shape (s,)."""
    found = np.empty_like(values)
    found[1:] = values[:-1]
    found[starts] = first
    return found


def latest(where: Flags) -> Integers:
    """The last row up to each, itself included, at which something holds; -1 before the first."""
    return np.maximum.accumulate(np.where(where, np.arange(len(where)), -1))


def running_peaks(values: Floats, starts: Integers, first: Floats) -> Floats:
    """The largest value of each run up to each row, and of `first`, shape (s,): what came before the run."""
    found = values.copy()
    found[starts] = np.maximum(found[starts], first)
    ends = ends_of(starts, len(values))
    if len(values) > _LONG * len(starts):
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            np.maximum.accumulate(found[start:end], out=found[start:end])
        return found
    # Many short runs: each row takes in the ones before it, twice as many at each turn.
    place = np.arange(len(values)) - np.repeat(starts, ends - starts)
    reach, longest = 1, int((ends - starts).max())
    while reach < longest:
        deep = np.flatnonzero(place >= reach)
        found[deep] = np.maximum(found[deep], found[deep - reach])
        reach *= 2
    return found


_LONG: Final = 64
"""Runs that are longer on average are cheaper one by one."""
