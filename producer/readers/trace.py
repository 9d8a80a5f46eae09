"""What identifies a test: readings at a bounded set of its data points, and how it begins and ends.

Two exports of one test share readings, and so the data points that are sampled here: of each stretch that was exported
the first and last ones, and between them every 64th of the test. Pure: arrays in, a few kilobytes out.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np
import pyarrow as pa

from kernel.contract.reading import COUNTERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Bools = npt.NDArray[np.bool_]
    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

ENDS: Final = 64
"""So many data points at either end of a stretch are sampled."""

EVERY: Final = 64
"""Of the others each one that is divisible by this; two exports that share so many readings share a sample."""

DENSE_POINTS: Final = 65_536
EVERY_BEYOND: Final = 4_096
"""Beyond so many data points, one in so many: a trace of ten million readings has a few thousand."""

VALUES: Final = ("test_time(s)", "current(a)", "voltage(v)", *COUNTERS)
"""What was measured at a sample."""

CLOCK_SECONDS: Final = 1.0
"""A clock may be rounded or cut off to the second, depending on the export."""

DRIFT_SECONDS: Final = 5.0
DRIFT_SHARE: Final = 2 * 65.0 / (7 * 86_400)
"""How far the wall clock may drift from the test's own: 65 s a week were seen, and twice that is allowed."""

SUMMER_SECONDS: Final = 3_600.0
"""How far a wall clock is moved when summer time begins or ends."""

MINUTE_SECONDS: Final = 60.0
"""How far a clock that was exported in whole minutes may be late."""

_CLOSE: Final = 1e-6
"""Relative difference of two values that are the same: exports differ in their last digits."""

_SMALLEST: Final = 1e-12


class End(NamedTuple):
    """The first or last reading of a stretch; `clock` is s since 1970 on the cycler's wall clock, NaN for none."""

    data_point: int
    test_time: float
    clock: float
    cycle: int
    step: int
    counters: tuple[float, ...]

    @property
    def origin(self) -> float:
        """When the test must have begun on the wall clock, by both clocks, in s since 1970."""
        return self.clock - self.test_time


class Span(NamedTuple):
    """A stretch of a test that has been exported, from its first to its last reading."""

    first: End
    last: End

    def overlaps(self, other: Span) -> bool:
        """Whether both were measured at the same time; one may begin in the second in which the other ends."""
        begins = max(self.first.clock, other.first.clock)
        return begins < min(self.last.clock, other.last.clock) or self.first.clock == other.first.clock

    def shares_numbers(self, other: Span) -> bool:
        """Whether there is a data point that both may have."""
        first = max(self.first.data_point, other.first.data_point)
        return first <= min(self.last.data_point, other.last.data_point)


@dataclass(frozen=True, eq=False)
class Trace:
    """Samples of a test by data point, shape (n,) and for `values` (n, 7), and the stretches that they come from.

    `clocks` are s since 1970 on the cycler's wall clock, NaN for none; the values stand in the order of `VALUES`.
    """

    points: Integers
    clocks: Floats
    values: npt.NDArray[np.float32]
    spans: tuple[Span, ...]

    @classmethod
    def of(cls, readings: pa.Table, at: Integers | None = None) -> Self:
        """That of readings in their order, at least one.

        Args:
            readings: with the columns of the contract but those of the file.
            at: the data points to sample, in place of the usual ones.
        """
        points, clocks = _numbers(readings, "data_point").astype(np.int64), _clocks(readings)
        chosen = _sampled(points, [(int(points[0]), int(points[-1]))]) if at is None else np.isin(points, at)
        sampled = np.flatnonzero(chosen)
        _, first = np.unique(points[sampled], return_index=True)
        rows = sampled[first]
        values = np.column_stack([_numbers(readings, name)[rows] for name in VALUES]).astype(np.float32)
        return cls(points[rows], clocks[rows], values, (span_of(readings),))

    @property
    def started(self) -> float:
        """The first clock, in s since 1970."""
        return min(span.first.clock for span in self.spans)

    @property
    def ended(self) -> float:
        """The last clock, in s since 1970."""
        return max(span.last.clock for span in self.spans)

    def with_more(self, other: Trace) -> Trace:
        """This one and another of the same test."""
        points, place = np.unique(np.concatenate((self.points, other.points)), return_index=True)
        spans = _joined([*self.spans, *other.spans])
        kept = _sampled(points, [(span.first.data_point, span.last.data_point) for span in spans])
        place = place[kept]
        return Trace(
            points[kept],
            np.concatenate((self.clocks, other.clocks))[place],
            np.concatenate((self.values, other.values))[place],
            tuple(spans),
        )

    def shared(self, other: Trace) -> Shared:
        """What both say of the data points that both have sampled."""
        points, ours, theirs = np.intersect1d(self.points, other.points, assume_unique=True, return_indices=True)
        one, two = self.values[ours].astype(np.float64), other.values[theirs].astype(np.float64)
        by_column = np.isclose(one, two, rtol=_CLOSE, atol=_SMALLEST, equal_nan=True)
        apart = np.abs(self.clocks[ours] - other.clocks[theirs])
        return Shared(points, two, by_column, ~(apart > CLOCK_SECONDS))

    def to_text(self) -> dict[str, Any]:
        """As a JSON object; `from_text` reads it."""
        arrays = (self.points.astype("<i8"), self.clocks.astype("<f8"), self.values.astype("<f4"))
        packed = zlib.compress(b"".join(array.tobytes() for array in arrays))
        return {"spans": self.spans, "samples": len(self.points), "packed": b64encode(packed).decode()}

    @classmethod
    def from_text(cls, text: dict[str, Any]) -> Self:
        """Read what `to_text` wrote.

        Raises:
            ValueError: it is something else. KeyError and TypeError as well.
        """
        count = int(text["samples"])
        content = zlib.decompress(b64decode(text["packed"]))
        points = np.frombuffer(content, "<i8", count).astype(np.int64)
        clocks = np.frombuffer(content, "<f8", count, offset=8 * count).astype(np.float64)
        values = np.frombuffer(content, "<f4", len(VALUES) * count, offset=16 * count).astype(np.float32)
        spans = tuple(Span(_read_end(first), _read_end(last)) for first, last in text["spans"])
        return cls(points, clocks, values.reshape(count, len(VALUES)), spans)


@dataclass(frozen=True)
class Shared:
    """Data points that two traces share, shape (n,): the second one's `values` (n, 7), and which of them are `close`.

    `on_time` says at which the clocks agree too.
    """

    points: Integers
    values: Floats
    close: Bools
    on_time: Bools

    @property
    def equal(self) -> Bools:
        """Where all values are the same."""
        equal: Bools = np.asarray(self.close.all(axis=1), dtype=np.bool_)
        return equal


def span_of(readings: pa.Table) -> Span:
    """The first and last of some readings, at least one; needs the columns of the contract but those of the file."""
    clocks = _clocks(readings)
    return Span(_end(readings, 0, clocks), _end(readings, len(clocks) - 1, clocks))


def _read_end(fields: Sequence[Any]) -> End:
    point, test_time, clock, cycle, step, counters = fields
    return End(int(point), float(test_time), float(clock), int(cycle), int(step), tuple(map(float, counters)))


def follows(last: End, first: End) -> bool:
    """Whether a reading can be a later one of the test that another belongs to, by all that must go on.

    Data points and Test_Time go on, the wall clock too; cycle and counters do not fall back. Both clocks tell the same
    start, but for the drift of the one against the other, whole minutes, and the hour of summer time; a test that was
    paused is known by its very next data point.
    """
    if first.data_point <= last.data_point or first.test_time < last.test_time or first.cycle < last.cycle:
        return False
    if _fell_to_zero(last, first):
        return False
    shift, drift = first.origin - last.origin, _drift(last, first)
    if abs(shift + SUMMER_SECONDS) <= drift:
        return True
    if first.clock < last.clock - CLOCK_SECONDS:
        return False
    if min(abs(shift), abs(shift - SUMMER_SECONDS)) <= drift:
        return True
    return first.data_point == last.data_point + 1 and any(counter > 0 for counter in first.counters)


def _drift(last: End, first: End) -> float:
    """How far the starts that two readings tell may be apart, in s."""
    in_minutes = last.clock % MINUTE_SECONDS == 0 and first.clock % MINUTE_SECONDS == 0
    between = first.test_time - last.test_time
    return DRIFT_SECONDS + DRIFT_SHARE * between + (MINUTE_SECONDS if in_minutes else 0.0)


def _fell_to_zero(last: End, first: End) -> bool:
    """Whether all counters restart although the same step goes on, which no cycler does."""
    same_step = (last.cycle, last.step) == (first.cycle, first.step)
    return same_step and any(counter > 0 for counter in last.counters) and not any(c > 0 for c in first.counters)


def distance(last: End, first: End) -> float:
    """How far apart two readings are that follow each other: by data point, then by what the counters moved."""
    moved = sum(abs(one - two) for one, two in zip(last.counters, first.counters, strict=True))
    return moved if np.isfinite(moved) else float(first.data_point - last.data_point)


def _numbers(readings: pa.Table, column: str) -> Floats:
    """A column as numbers, NaN where there is none; whole data points are exact up to 2**53."""
    array = readings.column(column).combine_chunks()
    whole = np.int64 if pa.types.is_timestamp(array.type) else array.type.to_pandas_dtype()
    valid, content = array.buffers()
    # `to_numpy` would import pandas, where it is installed: in every new process, longer than a workbook takes.
    numbers: Floats = np.frombuffer(content, whole)[array.offset :][: len(array)].astype(np.float64)
    if array.null_count:
        bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")
        numbers[bits[array.offset :][: len(array)] == 0] = np.nan
    return numbers


def _clocks(readings: pa.Table) -> Floats:
    """The wall clock in s since 1970, NaN where there is none."""
    return _numbers(readings, "date_time") / 1e6


def _end(readings: pa.Table, row: int, clocks: Floats) -> End:
    """The first or last reading; one without a clock has that of the nearest with one, and the time between."""

    def value(column: str) -> float:
        scalar = readings.column(column)[row].as_py()
        return float("nan") if scalar is None else float(scalar)

    time, clock = value("test_time(s)"), float(clocks[row])
    stamped = np.flatnonzero(~np.isnan(clocks))
    if np.isnan(clock) and len(stamped):
        nearest = int(stamped[0] if row == 0 else stamped[-1])
        clock = float(clocks[nearest]) + time - float(readings.column("test_time(s)")[nearest].as_py())
    counters = tuple(value(name) for name in COUNTERS)
    return End(int(value("data_point")), time, clock, int(value("cycle_index")), int(value("step_index")), counters)


def _sampled(points: Integers, spans: Sequence[tuple[int, int]]) -> Bools:
    """Which data points are sampled."""
    sampled = np.array(points % np.where(points <= DENSE_POINTS, EVERY, EVERY_BEYOND) == 0, dtype=np.bool_)
    for first, last in spans:
        at_start = (points >= first) & (points < first + ENDS)
        sampled |= at_start | ((points <= last) & (points > last - ENDS))
    return sampled


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Stretches in their order; those that touch or share data points are one."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.first.data_point, span.last.data_point)):
        if joined and span.first.data_point <= joined[-1].last.data_point + 1:
            previous = joined.pop()
            last = max(previous.last, span.last, key=lambda end: end.data_point)
            joined.append(Span(previous.first, last))
        else:
            joined.append(span)
    return joined
