"""Which test of its cell an export holds, by what was measured: a registered test, a part of one, or a new one.

Where that is open the export is refused: readings that land twice, or on another test, are worse than a refused file.
All functions here are pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np

from kernel.base.errors import BatteryError
from kernel.contract.reading import COUNTERS
from producer.readers.trace import CLOCK_SECONDS, VALUES, Trace, distance, follows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa

    from producer.readers.trace import End, Shared

FIRST_POINT: Final = 1
FIRST_SECONDS: Final = 3_600.0
"""A test that is exported from its start has a first reading up to this number and this Test_Time."""

EDITED_SHARE: Final = 0.5
"""Where more than this share of the readings from the first difference on agree again, somebody has edited some. Two
tests that began alike never agree again, since their counters do not."""

ALIKE: Final = 8
"""Two exports that share more readings than this and differ in the last one alone may be one test or two."""

ZONE_SECONDS: Final = 26 * 3_600.0
"""How far the clocks of two zones are apart, at most."""

SAME_TIMES_SHARE: Final = 0.9
"""Where at least this share of one export's readings stand at their times in another, both measured the same."""

_UNITS: Final = dict(zip(VALUES, ("s", "A", "V", "Ah", "Ah", "Wh", "Wh"), strict=True))
_TELLING: Final = ("voltage(v)", "current(a)", *VALUES[3:], "test_time(s)")
"""Values in the order in which they are used to tell two tests apart."""


@dataclass(frozen=True, eq=False)
class RegisteredTest:
    """A registered test, which has an id; `source_file` is the workbook that it first came in.

    `sent` are the data points that were sent, as stretches of first and last ones, by log; under "" those of all.
    """

    cell_id: str
    test_id: str
    source_file: str
    trace: Trace
    sent: Mapping[str, tuple[tuple[int, int], ...]]


@dataclass(frozen=True, eq=False)
class Export:
    """A test, or a part of one, as a workbook holds it; `origin` is how a user knows the workbook."""

    cell_id: str
    origin: str
    started_at: datetime
    trace: Trace
    readings: Callable[[], pa.Table]


class ConflictError(BatteryError):
    """An export that may or may not be of a registered test; the message names the test, and says what to do."""


def identify(tests: Sequence[RegisteredTest], export: Export) -> RegisteredTest | None:
    """The test of a cell that an export is of; None where it is a new one.

    Args:
        tests: the registered ones of the cell.
        export: what is to be identified.

    Raises:
        ConflictError: it was measured at the same time as a registered test, and may be the same one or not; or it
            continues two tests equally well.
    """
    all_shared = [(test, _shared(test.trace, export)) for test in tests]
    same = [(test, shared) for test, shared in all_shared if _is_same(shared)]
    if same:
        return max(same, key=lambda pair: len(pair[1].points))[0]
    part_of = _continued(tests, export)
    if part_of is not None:
        return part_of
    for test, shared in all_shared:
        if _overlap(test.trace, export.trace) or _in_another_zone(test.trace, export.trace, shared):
            _require_two_tests(test, shared, export)
    return None


def at_the_same_time(tests: Sequence[RegisteredTest], trace: Trace) -> RegisteredTest | None:
    """One of the tests of a cell that ran at the same time as another one, which a single cell cannot."""
    return next((test for test in tests if _overlap(test.trace, trace)), None)


def joined_test(tests: Sequence[RegisteredTest], registered: RegisteredTest, trace: Trace) -> RegisteredTest | None:
    """Another test of the cell that a part of `registered` leads to, or continues; then all three are one test.

    That is seen too late where parts of a paused test arrive in another order: each was sent with its own id.
    """
    last = trace.spans[-1].last.data_point

    def is_later(test: RegisteredTest) -> bool:
        return test.trace.spans[0].first.data_point > last

    return next(
        (
            test
            for test in tests
            if test.test_id != registered.test_id
            and is_later(test) != is_later(registered)
            and _distance_from(registered.trace, trace) is not None
            and _distance_from(test.trace, trace) is not None
        ),
        None,
    )


def free_id(tests: Sequence[RegisteredTest], export: Export) -> str:
    """An id for a new test of a cell: its first Date_Time, and where another has that, what tells it from that one.

    That is a value and the data point at which it was measured, as in `2024-03-01T09:01:00/3.5V@128`. So a test has the
    same id again wherever the other one is known first, however far both have grown.
    """
    taken = {test.test_id: test for test in tests}
    test_id = export.started_at.isoformat()
    while test_id in taken:
        test_id += f"/{_difference(taken[test_id].trace.shared(export.trace))}@{_differs_at(taken[test_id], export)}"
    return test_id


def late_until_point(test: RegisteredTest, topic_id: str, first: int, last: int) -> int:
    """The data point up to which readings are late: they belong before, or between, others that were sent.

    Args:
        test: whose readings they are.
        topic_id: the log that they are to be sent to.
        first: their first data point.
        last: their last one.

    Returns:
        That data point; below `first` where none is late. Readings that were all sent before are not late but doubled.
    """
    late_until = first - 1
    for stretches in (test.sent.get(topic_id, ()), test.sent.get("", ())):
        end = min(last, max((stretch[1] for stretch in stretches), default=first - 1))
        if end >= first and not any(begin <= first and end <= until for begin, until in stretches):
            late_until = max(late_until, end)
    return late_until


def with_sent(test: RegisteredTest, topic_id: str, stretches: Sequence[tuple[int, int]], logs: int) -> RegisteredTest:
    """The same test when more of it was sent to a log; what was sent to others is kept for so many logs."""
    sent = dict(test.sent)
    for log in ("", topic_id):
        sent[log] = _united([*sent.pop(log, ()), *stretches])
    for log in [log for log in sent if log][:-logs]:
        del sent[log]
    return RegisteredTest(test.cell_id, test.test_id, test.source_file, test.trace, sent)


def _united(stretches: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    united: list[tuple[int, int]] = []
    for first, last in sorted(stretches):
        if united and first <= united[-1][1] + 1:
            united[-1] = (united[-1][0], max(united[-1][1], last))
        else:
            united.append((first, last))
    return tuple(united)


def _shared(registered: Trace, export: Export) -> Shared:
    """What a registered test and an export share; in a long test the few readings that both have may hold no sample."""
    shared = registered.shared(export.trace)
    if len(shared.points) or not any(one.shares_numbers(two) for one in registered.spans for two in export.trace.spans):
        return shared
    if not _overlap(registered, export.trace):
        return shared
    return registered.shared(Trace.of(export.readings(), registered.points))


def _overlap(registered: Trace, other: Trace) -> bool:
    return any(one.overlaps(two) for one in registered.spans for two in other.spans)


def _in_another_zone(registered: Trace, other: Trace, shared: Shared) -> bool:
    """Whether two exports agree in all that they share, and in capacities, except for their clocks."""
    counters = shared.values[:, VALUES.index(COUNTERS[0]) :]
    return (
        len(shared.points) > ALIKE
        and bool(shared.equal.all())
        and bool((np.nanmax(counters, axis=0) > np.nanmin(counters, axis=0)).any())
        and abs(registered.started - other.started) <= ZONE_SECONDS
    )


def _is_same(shared: Shared) -> bool:
    """Whether two exports are of one test, by the data points that they share."""
    agree = shared.equal & shared.on_time
    if not len(agree) or agree.all():
        return bool(len(agree))
    return float(agree[np.argmin(agree) :].mean()) > EDITED_SHARE


def _continued(tests: Sequence[RegisteredTest], export: Export) -> RegisteredTest | None:
    """The test that an export is a part of, although they share no reading.

    Raises:
        ConflictError: it continues two tests equally well.
    """
    candidates = sorted(
        ((apart, test) for test in tests if (apart := _distance_from(test.trace, export.trace)) is not None),
        key=lambda pair: pair[0],
    )
    if len(candidates) > 1 and candidates[0][0] >= candidates[1][0]:
        one, two = (_named(test) for _, test in candidates[:2])
        raise ConflictError(
            f"{export.origin}: it goes on from {one} and from {two} of cell {export.cell_id} alike; export the "
            "whole test"
        )
    return candidates[0][1] if candidates else None


def _distance_from(registered: Trace, part: Trace) -> float | None:
    """How far a part is from the stretches of a test that it continues or leads to; None where it does neither."""
    first, last = part.spans[0].first, part.spans[-1].last
    earlier = [span.last for span in registered.spans if span.last.data_point < first.data_point]
    later = [span.first for span in registered.spans if span.first.data_point > last.data_point]
    if len(earlier) + len(later) < len(registered.spans):  # they share numbers
        return None
    seams: list[tuple[End, End]] = [*((end, first) for end in earlier[-1:]), *((last, end) for end in later[:1])]
    if not all(follows(*seam) for seam in seams):
        return None
    return min(distance(*seam) for seam in seams)


def _require_two_tests(test: RegisteredTest, shared: Shared, export: Export) -> None:
    """Require that an export which was measured at the same time as a registered test is surely another test.

    Both must have been exported from their start: then they share data points, at which they have other values.

    Raises:
        ConflictError: they may be one test, or both measured the same under other data points.
    """
    advice = "export the whole test, or give its cell another name with --cell"
    if _at_the_same_times(test.trace, export) or (len(shared.points) and shared.equal.all()):
        raise ConflictError(
            f"{export.origin}: it holds what was measured in {_named(test)} of cell {export.cell_id}, under another "
            f"Data_Point, Test_Time or Date_Time; {advice}"
        )
    if not (_begins(test.trace) and _begins(export.trace) and _differ(shared)):
        since, until = (datetime.fromtimestamp(clock, UTC).replace(tzinfo=None) for clock in _extent(export.trace))
        raise ConflictError(
            f"{export.origin}: its clock, {since} to {until}, overlaps that of {_named(test)} of cell "
            f"{export.cell_id}, and whether both are one test cannot be told; {advice}"
        )


def _differ(shared: Shared) -> bool:
    """Whether two tests differ in what they share; a single difference at the end may have been corrected since."""
    differs = ~(shared.equal & shared.on_time)
    return bool(differs.any()) and not (len(differs) > ALIKE and differs[-1] and differs.sum() == 1)


def _extent(trace: Trace) -> tuple[float, float]:
    return trace.started, trace.ended


def _named(test: RegisteredTest) -> str:
    return f"test {test.test_id} ({test.source_file})"


def _begins(trace: Trace) -> bool:
    """Whether a test was exported from its start."""
    first = trace.spans[0].first
    return first.data_point <= FIRST_POINT and first.test_time <= FIRST_SECONDS


def _at_the_same_times(registered: Trace, export: Export) -> bool:
    """Whether an export holds a test's readings at the times at which they were measured, under other data points."""
    readings = export.readings()
    stamps = readings.column("date_time").to_numpy()
    rows = np.flatnonzero(~np.isnat(stamps))
    clocks = stamps[rows].astype("datetime64[us]").astype(np.int64) / 1e6
    rows = rows[np.argsort(clocks, kind="stable")]
    clocks = np.sort(clocks)
    time, current, voltage = (readings.column(name).to_numpy()[rows] for name in VALUES[:3])
    points = readings.column("data_point").to_numpy()[rows]
    begin = np.searchsorted(clocks, registered.clocks - CLOCK_SECONDS, "left")
    end = np.searchsorted(clocks, registered.clocks + CLOCK_SECONDS, "right")
    seen = same = 0
    for sample, (low, high) in enumerate(zip(begin, end, strict=True)):
        if low == high or np.isnan(registered.clocks[sample]):
            continue
        registered_time, registered_current, registered_voltage = registered.values[sample, :3].astype(np.float64)
        equal = np.isclose(current[low:high], registered_current, rtol=1e-6) & np.isclose(
            voltage[low:high], registered_voltage, rtol=1e-6
        )
        other_point = points[low:high] != registered.points[sample]
        renumbered = other_point | (np.abs(time[low:high] - registered_time) > CLOCK_SECONDS)
        seen += 1
        same += bool((equal & renumbered).any())
    return seen > 0 and same >= SAME_TIMES_SHARE * seen


def _differs_at(test: RegisteredTest, export: Export) -> int:
    shared = test.trace.shared(export.trace)
    differs = ~(shared.equal & shared.on_time)
    return int(shared.points[np.argmax(differs)] if differs.any() else export.trace.spans[0].first.data_point)


def _difference(shared: Shared) -> str:
    """The value in which a test differs from another with the same start."""
    if shared.equal.all():
        return ""
    place = int(np.argmin(shared.equal))
    column = next(name for name in _TELLING if not shared.close[place, VALUES.index(name)])
    return f"{shared.values[place, VALUES.index(column)]:.5g}{_UNITS[column]}"
