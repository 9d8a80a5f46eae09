"""Pre-cleaning of one cell: a pure fold over its messages.

Every row of every message comes out exactly once, landed or quarantined with its reason. Nothing here reads a
clock, touches Bytewax or does I/O; results do not depend on how the log is cut into calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from battery.cleaned import CYCLE_PART, WINDOW_PART, Cleaned
from battery.reading import COUNTERS, Quality, Reason
from dataflows.aggregate import Accepted, cycle_parts, late_parts, window_parts
from dataflows.course import NO_CLOCK, Run, admit, follow
from dataflows.holes import fill, with_holes
from dataflows.lineage import Lineage, retried, spans_of
from dataflows.state import CellState
from dataflows.validate import ACCEPTED, REASONS, validate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from battery.message import Delivery
    from dataflows.course import Course
    from dataflows.holes import Correction
    from dataflows.state import Tail

    Rows = npt.NDArray[np.int64]

_TIME_BACKWARDS: Final = REASONS.index(Reason.TIME_BACKWARDS)
_NO_WINDOWS: Final = pa.RecordBatch.from_pylist([], schema=WINDOW_PART)
_NO_CYCLES: Final = pa.RecordBatch.from_pylist([], schema=CYCLE_PART)


def clean(state: CellState, deliveries: Sequence[Delivery], window_seconds: int) -> Cleaned[CellState] | None:
    """Fold messages of one cell, in log order, into its state.

    Args:
        state: what the messages before have left.
        deliveries: messages of one cell and one log; those that `state` has already folded are passed over.
        window_seconds: width of the aggregates' event-time windows, s.

    Returns:
        What the messages became, or None when there was nothing new.
    """
    fresh = [delivery for delivery in deliveries if not state.has_folded(delivery)]
    if not fresh:
        return None
    lineage = Lineage(fresh)
    valid = validate(lineage.readings)
    verdict = valid.verdict.copy()
    test_of, test_ids = _tests(valid.readings)
    columns = _columns(valid.readings)

    tests = dict(state.tests)
    refusals = _Refusals(state.refusals, lineage, verdict)
    pieces: list[_Piece] = []
    for run in _runs(np.flatnonzero(verdict == ACCEPTED), test_of, lineage.is_retry):
        test_id = test_ids[test_of[run[0]]]
        for piece in _judge(tests.get(test_id), run, columns, lineage, refusals, verdict):
            tests[test_id] = piece.tail
            pieces.append(piece)

    at = np.concatenate([np.zeros(0, dtype=np.int64), *(piece.rows for piece in pieces)])
    unmeasured = np.concatenate([np.zeros(0, dtype=np.bool_), *(piece.course.unmeasured for piece in pieces)])
    quality = np.concatenate([np.zeros(0, dtype=np.int32), *(piece.course.quality for piece in pieces)])
    quality[(valid.value_dropped | lineage.value_dropped)[at]] |= Quality.VALUE_DROPPED
    quality[lineage.is_retry[at]] |= Quality.RETRIED
    position = _Position(lineage.cell_id, test_ids, window_seconds * 1_000_000, state)
    if pieces:
        taken = columns.take(at)
        accepted = Accepted(
            test=test_of[at],
            date_time=taken.date_time,
            cycle_index=taken.cycle_index,
            current=taken.current,
            voltage=taken.voltage,
            resistance=np.where(unmeasured, np.nan, taken.resistance),
            temperature=taken.temperature,
            gained=np.concatenate([piece.course.gained for piece in pieces], axis=1),
            counted=np.concatenate([piece.course.counted for piece in pieces], axis=1),
            flagged=quality != 0,
            offset=lineage.offset[at],
        )
        position.pass_along(accepted, pieces)

    spans = spans_of(fresh)
    log = state.offsets.get(lineage.topic_id, {}) | {span.partition: span.last for span in spans}
    return Cleaned(
        lineage.cell_id,
        lineage.landed(valid.readings, at, quality, unmeasured),
        lineage.quarantined(fresh, valid, verdict, test_of),
        retried(fresh),
        pa.concat_batches([_NO_WINDOWS, *position.windows]),
        pa.concat_batches([_NO_CYCLES, *position.cycles]),
        spans,
        CellState(state.offsets | {lineage.topic_id: log}, tests, position.test_id, position.window, refusals.count),
    )


@dataclass(frozen=True)
class _Piece:
    """Accepted readings of one test, one after the other: their rows, what they add, and where the test stands then.

    `correction` is what late readings change of the one behind them, None for all others.
    """

    rows: Rows
    course: Course
    tail: Tail
    correction: Correction | None = None


def _judge(
    tail: Tail | None,
    rows: Rows,
    columns: Run,
    lineage: Lineage,
    refusals: _Refusals,
    verdict: npt.NDArray[np.int8],
) -> Iterator[_Piece]:
    """Take consecutive readings of one test as its continuation, and those of a retry as late as well.

    Notes the verdict on each.
    """
    is_retry = bool(lineage.is_retry[rows[0]])
    while len(rows):
        some, piece = rows, None
        if is_retry and tail is not None and columns.data_point[rows[0]] <= tail.data_point:
            filled = fill(tail, columns, rows)
            if isinstance(filled, Reason):
                some = rows[:1]
                verdict[some] = REASONS.index(filled)
                refusals.note(some if filled is not Reason.DUPLICATE else some[:0])
            else:
                some = rows[: filled.count]
                piece = _Piece(some, filled.course, filled.tail, filled.correction)
        else:
            some = rows[: _rising(columns.data_point[rows])] if is_retry else rows
            verdict[some] = admit(tail, columns.data_point[some], columns.test_time[some])
            refusals.note(some[verdict[some] == _TIME_BACKWARDS])
            taken = some[verdict[some] == ACCEPTED]
            if len(taken):
                run = columns.take(taken)
                course = follow(tail, run)
                after = with_holes(tail, run, course, refusals.before(taken), is_retry=is_retry)
                piece = _Piece(taken, course, after)
        if piece is not None:
            tail = piece.tail
            yield piece
        rows = rows[len(some) :]


def _rising(data_point: Rows) -> int:
    """How many readings there are up to the first whose data point does not rise."""
    falls = np.flatnonzero(np.diff(data_point) <= 0)
    return int(falls[0]) + 1 if len(falls) else len(data_point)


class _Refusals:
    """Counts, along the log, what was refused of a cell for another reason than being known already."""

    def __init__(self, count: int, lineage: Lineage, verdict: npt.NDArray[np.int8]) -> None:
        self._before = count
        self._order = lineage.order
        self._at = np.sort(np.concatenate((lineage.fault_order, lineage.order[verdict != ACCEPTED])))
        self._noted: list[Rows] = []

    def note(self, rows: Rows) -> None:
        """Add readings that were refused on their way."""
        if len(rows):
            self._noted.append(self._order[rows])

    def before(self, rows: Rows) -> Rows:
        """How many there were before each reading, shape (n,)."""
        found: Rows = self._before + np.searchsorted(self._all(), self._order[rows])
        return found

    @property
    def count(self) -> int:
        """How many there are at the end of these messages."""
        return self._before + len(self._all())

    def _all(self) -> Rows:
        if self._noted:
            self._at = np.sort(np.concatenate((self._at, *self._noted)))
            self._noted = []
        return self._at


class _Position:
    """Moves a cell along its accepted readings, in the order of the log, and gathers parts of windows and cycles.

    A late reading adds its part and leaves the cell where it is.
    """

    def __init__(self, cell_id: str, test_ids: list[str], window_us: int, state: CellState) -> None:
        self._cell_id = cell_id
        self._test_ids = test_ids
        self._window_us = window_us
        self._cycle = None if state.test_id is None else (state.test_id, state.tests[state.test_id].cycle_index)
        self.test_id = state.test_id
        self.window = state.window
        self.windows: list[pa.RecordBatch] = []
        self.cycles: list[pa.RecordBatch] = []

    def pass_along(self, accepted: Accepted, pieces: Sequence[_Piece]) -> None:
        """Go along pieces, which together are the accepted readings."""
        start = 0
        for correction, group in groupby(pieces, lambda piece: piece.correction):
            end = start + sum(len(piece.rows) for piece in group)
            part = accepted.part(slice(start, end))
            start = end
            if correction is None:
                windows, self.window = window_parts(self._cell_id, part, self._window_us, self.window)
                cycles = cycle_parts(self._cell_id, self._test_ids, part, self._cycle)
                self.test_id = self._test_ids[part.test[-1]]
                self._cycle = (self.test_id, int(part.cycle_index[-1]))
            else:
                windows, cycles = late_parts(
                    self._cell_id, self._test_ids, part, correction, self._window_us, self.window, self._cycle
                )
            self.windows.append(windows)
            self.cycles.append(cycles)


def _tests(readings: pa.RecordBatch) -> tuple[npt.NDArray[np.int64], list[str]]:
    encoded = readings.column("test_id").dictionary_encode()
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, encoded.dictionary.to_pylist()


def _columns(readings: pa.RecordBatch) -> Run:
    def floats(name: str) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = readings.column(name).to_numpy(zero_copy_only=False)
        return found.astype(np.float64, copy=False)

    def integers(name: str, missing: int = 0) -> npt.NDArray[np.int64]:
        column = readings.column(name)
        if column.null_count:
            column = pc.fill_null(column, missing)
        found: npt.NDArray[np.int64] = column.to_numpy(zero_copy_only=False)
        return found.astype(np.int64, copy=False)

    clock = readings.column("date_time").cast(pa.int64())
    return Run(
        data_point=integers("data_point"),
        test_time=floats("test_time(s)"),
        date_time=pc.fill_null(clock, NO_CLOCK).to_numpy(zero_copy_only=False),
        step_time=floats("step_time(s)"),
        step_index=integers("step_index"),
        cycle_index=integers("cycle_index"),
        current=floats("current(a)"),
        voltage=floats("voltage(v)"),
        counters=np.stack([floats(name) for name in COUNTERS]),
        resistance=floats("internal_resistance(ohm)"),
        temperature=floats("temperature(c)"),
    )


def _runs(rows: Rows, test_of: Rows, is_retry: npt.NDArray[np.bool_]) -> Iterator[Rows]:
    """Consecutive rows of one test, those of retries apart."""
    if len(rows):
        cuts = np.flatnonzero((np.diff(test_of[rows]) != 0) | (np.diff(is_retry[rows]) != 0)) + 1
        yield from np.split(rows, cuts)
