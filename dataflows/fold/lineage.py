"""Where readings come from and where they go: several messages as one batch, and its rows landed or quarantined.

Every row of every message comes out of here exactly once; which way is the fold's to say (`dataflows.fold.clean`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataflows.fold.validate import ACCEPTED, REASONS
from kernel.contract.reading import COMES_BACK, COUNTERS, LANDED, QUARANTINED, REPEATED, RETRIED, TEXT_BYTES, Reason
from kernel.contract.results import PROGRESS, Span
from kernel.contract.sent import Sent
from kernel.contract.show import python_row, show_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from dataflows.fold.validate import Validated
    from kernel.contract.batch import Batch

_DUPLICATE: Final = REASONS.index(Reason.DUPLICATE)


class Lineage:
    """The readings of messages, and where each came from: arrays of shape (n,).

    `cell` is the place of a reading's cell in `Batch.cell_ids`, `is_retry` tells whether its message publishes a
    quarantined row again, `may_be_late` whether it may stand before readings that came earlier, as those of retries
    may, and `order` rises from row to row and from message to message. `fault_order` is that of the rows that are no
    readings, those that have come back apart, shape (f,), and `fault_cell` their cells.
    """

    def __init__(self, batch: Batch) -> None:
        self._deliveries = batch
        message = batch.message
        self.cell = batch.cell[message]
        retries = np.zeros(len(batch.offset), dtype=np.bool_)
        retries[list(batch.retry_of)] = True
        self.is_retry = retries[message]
        self.may_be_late = (retries | batch.late)[message]
        self._sent = Sent(batch.values)
        self.order = (message << _ROW_BITS) + batch.row
        faulty = [(place, fault.row) for place, fault in batch.faults if fault.reason not in COMES_BACK]
        self.fault_order = np.array([(place << _ROW_BITS) + row for place, row in faulty], dtype=np.int64)
        self.fault_cell = batch.cell[np.array([place for place, _ in faulty], dtype=np.int64)]
        self.partition = batch.partition[message]
        self.offset = batch.offset[message]

    def landed(
        self,
        readings: pa.RecordBatch,
        at: npt.NDArray[np.int64] | slice,
        quality: npt.NDArray[np.int32],
        unmeasured: npt.NDArray[np.bool_],
        leapt: npt.NDArray[np.bool_],
    ) -> pa.RecordBatch:
        """The accepted readings with quality and lineage, as they land.

        Args:
            readings: all readings, validated.
            at: which of them were accepted, in the order in which they land; a slice where all were.
            quality: their flags.
            unmeasured: where the resistance is no measurement and lands as NULL.
            leapt: where a counter is none, shape (4, n).
        """
        if not isinstance(at, slice):
            readings = readings.take(pa.array(at))
        arrays = dict(zip(readings.schema.names, readings.columns, strict=True))
        for name, where in (("internal_resistance(ohm)", unmeasured), *zip(COUNTERS, leapt, strict=True)):
            if where.any():
                arrays[name] = pc.if_else(pa.array(where), pa.scalar(None, arrays[name].type), arrays[name])
        arrays["quality"] = pa.array(quality)
        # Scaled only where there are readings: a refused message's time stamp may be anything.
        streamed_at = self._deliveries.timestamp_ms[self._deliveries.message[at]] * 1000
        arrays["streamed_at"] = pa.array(streamed_at).view(pa.timestamp("us"))
        arrays["kafka_partition"] = pa.array(self.partition[at])
        arrays["kafka_offset"] = pa.array(self.offset[at])
        arrays["kafka_row"] = pa.array(self._deliveries.row[at])
        return pa.RecordBatch.from_arrays([arrays[name] for name in LANDED.names], schema=LANDED)

    def repeated(self, readings: pa.RecordBatch, verdict: npt.NDArray[np.int8]) -> pa.RecordBatch:
        """The readings at or below the last one of their test; what has landed decides what each of them is.

        Args:
            readings: all readings, validated.
            verdict: `ACCEPTED` or the code of the reason, shape (n,).
        """
        at = np.flatnonzero(verdict == _DUPLICATE)
        if len(at) == 0:
            return _NONE_REPEATED
        arrays = dict(zip(readings.schema.names, readings.take(pa.array(at)).columns, strict=True))
        arrays["cell_id"] = pa.array(self._deliveries.cell_ids, pa.string()).take(pa.array(self.cell[at]))
        arrays["topic_id"] = pa.repeat(self._deliveries.topic_id, len(at))
        arrays["partition"] = pa.array(self.partition[at])
        arrays["offset"] = pa.array(self.offset[at])
        arrays["row"] = pa.array(self._deliveries.row[at])
        message, texts = self._deliveries.message[at], list[str | None]()
        for rows in np.split(at, np.flatnonzero(np.diff(message)) + 1):
            texts += self._sent.texts(int(self._deliveries.message[rows[0]]), self._deliveries.row[rows].tolist())
        arrays["sent"] = pa.array(texts, pa.string())
        return pa.RecordBatch.from_arrays([arrays[name] for name in REPEATED.names], schema=REPEATED)

    def quarantined(self, valid: Validated, verdict: npt.NDArray[np.int8]) -> pa.RecordBatch:
        """The rows that were refused, in the order of the log, without those that `repeated` holds.

        Args:
            valid: the readings, validated.
            verdict: `ACCEPTED` or the code of the reason, shape (n,).
        """
        rows = [*_faulty(self._deliveries), *self._refused(valid, verdict)]
        if not rows:
            return _NONE_QUARANTINED
        rows.sort(key=lambda row: (row["partition"], row["offset"], row["row"]))
        return pa.RecordBatch.from_pylist(rows, schema=QUARANTINED)

    def _refused(self, valid: Validated, verdict: npt.NDArray[np.int8]) -> Iterator[dict[str, object]]:
        for row in np.flatnonzero((verdict != ACCEPTED) & (verdict != _DUPLICATE)).tolist():
            reading = python_row(valid.readings, row)
            reason = REASONS[verdict[row]]
            cell_id = self._deliveries.cell_ids[self.cell[row]]
            place = int(self._deliveries.row[row])
            yield {
                "topic_id": self._deliveries.topic_id,
                "partition": int(self.partition[row]),
                "offset": int(self.offset[row]),
                "row": place,
                "row_count": 1,
                "cell_id": reading["cell_id"] or cell_id or None,
                "source_file": str(reading["source_file"] or "")[:TEXT_BYTES] or None,
                "reason": str(reason),
                "detail": self._detail(valid, row, reason, reading),
                "payload": show_row(self._sent.row(int(self._deliveries.message[row]), place) or reading),
            }

    def _detail(self, valid: Validated, row: int, reason: Reason, reading: Mapping[str, object]) -> str:
        if reason == Reason.TIME_BACKWARDS:
            where = "not between the readings around it" if self.is_retry[row] else "before the reading accepted last"
            return f"test_time(s) is {reading['test_time(s)']}, {where}"
        if reason == Reason.OUT_OF_RANGE and valid.verdict[row] == ACCEPTED:
            return (
                f"data_point is {reading['data_point']} and test_time(s) {reading['test_time(s)']}: one of them leaps "
                "far away from the other, or from date_time"
            )
        if reason == Reason.MISSING_VALUE and valid.verdict[row] == ACCEPTED:
            return "the reading behind it lacks a counter, so nothing tells what was gained up to it"
        return valid.detail(row, reading)


_NONE_REPEATED: Final = pa.RecordBatch.from_pylist([], schema=REPEATED)
_NONE_QUARANTINED: Final = pa.RecordBatch.from_pylist([], schema=QUARANTINED)
_NONE_RETRIED: Final = pa.RecordBatch.from_pylist([], schema=RETRIED)


def retried(batch: Batch) -> pa.RecordBatch:
    """The messages that publish a quarantined row again, each with the place that the row had first."""
    if not batch.retry_of:
        return _NONE_RETRIED
    rows = [
        {
            "topic_id": batch.topic_id,
            "partition": int(batch.partition[place]),
            "offset": int(batch.offset[place]),
            "cell_id": batch.cell_ids[batch.cell[place]] or None,
            "origin_topic_id": origin.topic_id,
            "origin_partition": origin.partition,
            "origin_offset": origin.offset,
            "origin_row": origin.row,
        }
        for place, origin in batch.retry_of.items()
    ]
    return pa.RecordBatch.from_pylist(rows, schema=RETRIED)


def progress_of(batch: Batch) -> pa.RecordBatch:
    """What messages cover of their log, for each cell and partition (`PROGRESS`)."""
    order = np.lexsort((batch.offset, batch.partition, batch.cell))
    cell, partition, offset = batch.cell[order], batch.partition[order], batch.offset[order]
    start = np.flatnonzero(np.r_[True, (np.diff(cell) != 0) | (np.diff(partition) != 0)])
    arrays = [
        pa.array(batch.cell_ids, pa.string()).take(pa.array(cell[start])),
        pa.repeat(batch.topic_id, len(start)),
        pa.array(partition[start]),
        pa.array(offset[start]),
        pa.array(offset[np.append(start[1:], len(order)) - 1]),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=PROGRESS)


def spans_of(batch: Batch) -> tuple[Span, ...]:
    """What messages cover of their log, a span a partition."""
    rows = batch.rows
    spans = []
    for partition in np.unique(batch.partition).tolist():
        mine = batch.partition == partition
        offset = batch.offset[mine]
        spans.append(Span(batch.topic_id, partition, int(offset.min()), int(offset.max()), int(rows[mine].sum())))
    return tuple(spans)


def _faulty(batch: Batch) -> Iterator[dict[str, object]]:
    """The rows that could not be read."""
    for place, fault in batch.faults:
        yield {
            "topic_id": batch.topic_id,
            "partition": int(batch.partition[place]),
            "offset": int(batch.offset[place]),
            "row": fault.row,
            "row_count": fault.row_count,
            "cell_id": batch.cell_ids[batch.cell[place]] or None,
            "source_file": fault.source_file or batch.source_file[place],
            "reason": str(fault.reason),
            "detail": fault.detail,
            "payload": fault.payload,
        }


_ROW_BITS: Final = 32
"""A row's number in its message has no more."""
