"""Pre-cleaning of one cell: a pure fold over its messages.

Every row of every message comes out exactly once, landed or quarantined with its reason. Nothing here reads a
clock, touches Bytewax or does I/O; results do not depend on how the log is cut into calls.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from battery.body import python_row, show_row
from battery.cleaned import CYCLE_PART, WINDOW_PART, Cleaned, Span
from battery.reading import COUNTERS, LANDED, QUARANTINED, Quality, Reason
from dataflows.aggregate import Accepted, cycle_parts, window_parts
from dataflows.course import NO_CLOCK, Run, admit, follow
from dataflows.state import CellState
from dataflows.validate import ACCEPTED, REASONS, Validated, validate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from battery.message import Delivery
    from dataflows.state import Tail

_DUPLICATE: Final = REASONS.index(Reason.DUPLICATE)
_TIME_BACKWARDS: Final = REASONS.index(Reason.TIME_BACKWARDS)


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
    cell_id = fresh[0].cell_id
    lineage = _Lineage(fresh)
    valid = validate(lineage.readings)
    verdict = valid.verdict.copy()
    test_of, test_ids = _tests(valid.readings)
    columns = _columns(valid.readings)

    tests = dict(state.tests)
    kept, courses = [], []
    for code, rows in _runs(test_of, np.flatnonzero(verdict == ACCEPTED)):
        test_id = test_ids[code]
        tail: Tail | None = tests.get(test_id)
        verdict[rows] = admit(tail, columns.data_point[rows], columns.test_time[rows])
        rows = rows[verdict[rows] == ACCEPTED]  # noqa: PLW2901
        if len(rows):
            course = follow(tail, columns.take(rows))
            tests[test_id] = course.tail
            kept.append(rows)
            courses.append(course)

    quarantined = pa.RecordBatch.from_pylist(
        sorted(
            [*_faulty(fresh), *_refused(lineage, test_of, valid, verdict)],
            key=lambda row: (row["partition"], row["offset"], row["row"]),
        ),
        schema=QUARANTINED,
    )
    spans = _spans(fresh)
    log = state.offsets.get(lineage.topic_id, {}) | {span.partition: span.last for span in spans}
    offsets = state.offsets | {lineage.topic_id: log}
    if not kept:
        after = CellState(offsets, tests, state.test_id, state.window)
        nothing = pa.RecordBatch.from_pylist
        return Cleaned(
            cell_id,
            nothing([], schema=LANDED),
            quarantined,
            nothing([], schema=WINDOW_PART),
            nothing([], schema=CYCLE_PART),
            spans,
            after,
        )

    at = np.concatenate(kept)
    quality = np.concatenate([course.quality for course in courses])
    quality[(valid.value_dropped | lineage.value_dropped)[at]] |= Quality.VALUE_DROPPED
    unmeasured = np.concatenate([course.unmeasured for course in courses])
    taken = columns.take(at)
    accepted = Accepted(
        test=test_of[at],
        date_time=taken.date_time,
        cycle_index=taken.cycle_index,
        current=taken.current,
        voltage=taken.voltage,
        resistance=np.where(unmeasured, np.nan, taken.resistance),
        temperature=taken.temperature,
        gained=np.concatenate([course.gained for course in courses], axis=1),
        counted=np.concatenate([course.counted for course in courses], axis=1),
        flagged=quality != 0,
        offset=lineage.offset[at],
    )
    open_cycle = None if state.test_id is None else (state.test_id, state.tests[state.test_id].cycle_index)
    windows, window = window_parts(cell_id, accepted, window_seconds * 1_000_000, state.window)
    after = CellState(offsets, tests, test_ids[int(test_of[at[-1]])], window)
    return Cleaned(
        cell_id,
        lineage.landed(valid.readings, at, unmeasured, quality),
        quarantined,
        windows,
        cycle_parts(cell_id, test_ids, accepted, open_cycle),
        spans,
        after,
    )


class _Lineage:
    """The readings of several messages as one batch, and where each came from."""

    def __init__(self, deliveries: Sequence[Delivery]) -> None:
        sizes = [len(delivery.body.rows) for delivery in deliveries]
        self.topic_id = deliveries[0].topic_id
        self.readings = pa.concat_batches([_named(delivery) for delivery in deliveries])
        self.row = np.concatenate([delivery.body.rows for delivery in deliveries])
        self.value_dropped = np.concatenate([delivery.body.value_dropped for delivery in deliveries])
        self.partition = np.repeat(np.array([d.partition for d in deliveries], dtype=np.int32), sizes)
        self.offset = np.repeat(np.array([d.offset for d in deliveries], dtype=np.int64), sizes)
        # Scaled only where there are readings: a refused message's time stamp may be anything.
        self._streamed_at = 1000 * np.repeat(np.array([d.timestamp_ms for d in deliveries], dtype=np.int64), sizes)

    def landed(
        self,
        readings: pa.RecordBatch,
        at: npt.NDArray[np.int64],
        unmeasured: npt.NDArray[np.bool_],
        quality: npt.NDArray[np.int32],
    ) -> pa.RecordBatch:
        """The accepted readings with quality and lineage, as they land."""
        if len(at) < readings.num_rows:
            readings = readings.take(pa.array(at))
        arrays = dict(zip(readings.schema.names, readings.columns, strict=True))
        if unmeasured.any():
            resistance = arrays["internal_resistance(ohm)"]
            arrays["internal_resistance(ohm)"] = pc.if_else(
                pa.array(unmeasured), pa.scalar(None, resistance.type), resistance
            )
        arrays["quality"] = pa.array(quality)
        arrays["streamed_at"] = pa.array(self._streamed_at[at]).cast(pa.timestamp("us"))
        arrays["kafka_partition"] = pa.array(self.partition[at])
        arrays["kafka_offset"] = pa.array(self.offset[at])
        arrays["kafka_row"] = pa.array(self.row[at])
        return pa.RecordBatch.from_arrays([arrays[name] for name in LANDED.names], schema=LANDED)


def _named(delivery: Delivery) -> pa.RecordBatch:
    """Readings that do not name their file take it from the message's header."""
    readings = delivery.body.readings
    index = readings.schema.get_field_index("source_file")
    if delivery.source_file is None or readings.column(index).null_count == 0:
        return readings
    return readings.set_column(
        index, readings.schema.field(index), pc.fill_null(readings.column(index), delivery.source_file)
    )


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


def _runs(test_of: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Consecutive rows of one test."""
    if len(rows):
        cuts = np.flatnonzero(np.diff(test_of[rows])) + 1
        for run in np.split(rows, cuts):
            yield int(test_of[run[0]]), run


def _spans(deliveries: Sequence[Delivery]) -> tuple[Span, ...]:
    by_partition = groupby(sorted(deliveries, key=lambda d: (d.partition, d.offset)), key=lambda d: d.partition)
    spans = []
    for partition, group in by_partition:
        found = list(group)
        rows = sum(delivery.body.row_count for delivery in found)
        spans.append(Span(found[0].topic_id, partition, found[0].offset, found[-1].offset, rows))
    return tuple(spans)


def _faulty(deliveries: Sequence[Delivery]) -> Iterator[dict[str, object]]:
    """Rows that could not be read at all."""
    for delivery in deliveries:
        for fault in delivery.body.faults:
            yield {
                "topic_id": delivery.topic_id,
                "partition": delivery.partition,
                "offset": delivery.offset,
                "row": fault.row,
                "row_count": fault.row_count,
                "cell_id": delivery.cell_id or None,
                "source_file": delivery.source_file,
                "reason": str(fault.reason),
                "detail": fault.detail,
                "payload": fault.payload,
            }


def _refused(
    lineage: _Lineage, test_of: npt.NDArray[np.int64], valid: Validated, verdict: npt.NDArray[np.int8]
) -> Iterator[dict[str, object]]:
    """Readings that were refused; neighbouring duplicates of one message share a row, since the log has them twice."""
    refused = np.flatnonzero(verdict != ACCEPTED)
    if len(refused) == 0:
        return
    duplicate = verdict[refused] == _DUPLICATE
    joined = (
        duplicate[1:]
        & duplicate[:-1]
        & (np.diff(lineage.offset[refused]) == 0)
        & (np.diff(lineage.partition[refused]) == 0)
        & (np.diff(lineage.row[refused]) == 1)
        & (np.diff(test_of[refused]) == 0)
    )
    for group in np.split(refused, np.flatnonzero(~joined) + 1):
        row = int(group[0])
        reason = REASONS[verdict[row]]
        reading = python_row(valid.readings, row)
        if reason == Reason.DUPLICATE:
            detail, payload = (
                f"test {reading['test_id']} is already known beyond data point {reading['data_point']}",
                None,
            )
        elif reason == Reason.TIME_BACKWARDS:
            detail, payload = (
                f"test_time(s) is {reading['test_time(s)']}, before the reading accepted last",
                show_row(reading),
            )
        else:
            detail, payload = valid.detail(row, reading), show_row(reading)
        yield {
            "topic_id": lineage.topic_id,
            "partition": int(lineage.partition[row]),
            "offset": int(lineage.offset[row]),
            "row": int(lineage.row[row]),
            "row_count": len(group),
            "cell_id": reading["cell_id"],
            "source_file": reading["source_file"],
            "reason": str(reason),
            "detail": detail,
            "payload": payload,
        }
