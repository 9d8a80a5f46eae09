"""Where readings come from and where they go: several messages as one batch, and its rows landed or quarantined.

Every row of every message comes out of here exactly once; which way is the fold's to say (`dataflows.clean`).
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from battery.body import python_row, show_row
from battery.cleaned import Span
from battery.reading import LANDED, QUARANTINED, RETRIED, Reason
from dataflows.validate import ACCEPTED, REASONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from battery.message import Delivery
    from dataflows.validate import Validated

_DUPLICATE: Final = REASONS.index(Reason.DUPLICATE)


class Lineage:
    """The readings of several messages of one cell as one batch, and where each came from.

    Arrays of shape (n,): `row`, `partition` and `offset` in the log, `is_retry` where the message publishes a
    quarantined row again, `value_dropped`, and `order`, which rises from row to row and from message to message.
    """

    def __init__(self, deliveries: Sequence[Delivery]) -> None:
        sizes = [len(delivery.body.rows) for delivery in deliveries]
        self.cell_id = deliveries[0].cell_id
        self.topic_id = deliveries[0].topic_id
        self.readings = pa.concat_batches([_named(delivery) for delivery in deliveries])
        self.row = np.concatenate([delivery.body.rows for delivery in deliveries])
        self.value_dropped = np.concatenate([delivery.body.value_dropped for delivery in deliveries])
        self.partition = np.repeat(np.array([d.partition for d in deliveries], dtype=np.int32), sizes)
        self.offset = np.repeat(np.array([d.offset for d in deliveries], dtype=np.int64), sizes)
        self.is_retry = np.repeat(np.array([d.retry_of is not None for d in deliveries]), sizes)
        self.order = np.repeat(np.arange(len(deliveries), dtype=np.int64) << _ROW_BITS, sizes) + self.row
        self.fault_order = np.array(
            [
                (index << _ROW_BITS) + fault.row
                for index, delivery in enumerate(deliveries)
                for fault in delivery.body.faults
                if fault.reason != Reason.DUPLICATE
            ],
            dtype=np.int64,
        )
        # Scaled only where there are readings: a refused message's time stamp may be anything.
        self._streamed_at = 1000 * np.repeat(np.array([d.timestamp_ms for d in deliveries], dtype=np.int64), sizes)

    def landed(
        self,
        readings: pa.RecordBatch,
        at: npt.NDArray[np.int64],
        quality: npt.NDArray[np.int32],
        unmeasured: npt.NDArray[np.bool_],
    ) -> pa.RecordBatch:
        """The accepted readings with quality and lineage, as they land.

        Args:
            readings: all readings, validated.
            at: which of them were accepted, in the order in which they land.
            quality: their flags.
            unmeasured: where the resistance is no measurement and lands as NULL.
        """
        if len(at) < readings.num_rows or np.any(np.diff(at) < 0):
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

    def quarantined(
        self,
        deliveries: Sequence[Delivery],
        valid: Validated,
        verdict: npt.NDArray[np.int8],
        test_of: npt.NDArray[np.int64],
    ) -> pa.RecordBatch:
        """The rows that were refused, in the order of the log.

        Args:
            deliveries: the messages that this batch was made of.
            valid: the readings, validated.
            verdict: `ACCEPTED` or the code of the reason, shape (n,).
            test_of: numbers that tell the tests apart, shape (n,).
        """
        rows = [*_faulty(deliveries), *self._refused(valid, verdict, test_of)]
        rows.sort(key=lambda row: (row["partition"], row["offset"], row["row"]))
        return pa.RecordBatch.from_pylist(rows, schema=QUARANTINED)

    def _refused(
        self, valid: Validated, verdict: npt.NDArray[np.int8], test_of: npt.NDArray[np.int64]
    ) -> Iterator[dict[str, object]]:
        """Readings that were refused; neighbouring duplicates of a message share a row: the log has them twice."""
        refused = np.flatnonzero(verdict != ACCEPTED)
        if len(refused) == 0:
            return
        duplicate = verdict[refused] == _DUPLICATE
        joined = (
            duplicate[1:]
            & duplicate[:-1]
            & (np.diff(self.offset[refused]) == 0)
            & (np.diff(self.partition[refused]) == 0)
            & (np.diff(self.row[refused]) == 1)
            & (np.diff(test_of[refused]) == 0)
        )
        for group in np.split(refused, np.flatnonzero(~joined) + 1):
            row = int(group[0])
            reading = python_row(valid.readings, row)
            reason = REASONS[verdict[row]]
            yield {
                "topic_id": self.topic_id,
                "partition": int(self.partition[row]),
                "offset": int(self.offset[row]),
                "row": int(self.row[row]),
                "row_count": len(group),
                "cell_id": reading["cell_id"] or self.cell_id or None,
                "source_file": reading["source_file"],
                "reason": str(reason),
                "detail": self._detail(valid, row, reason, reading),
                "payload": None if reason == Reason.DUPLICATE else show_row(reading),
            }

    def _detail(self, valid: Validated, row: int, reason: Reason, reading: Mapping[str, object]) -> str:
        if reason == Reason.DUPLICATE:
            return f"test {reading['test_id']} is already known beyond data point {reading['data_point']}"
        if reason == Reason.TIME_BACKWARDS:
            where = "not between the readings around it" if self.is_retry[row] else "before the reading accepted last"
            return f"test_time(s) is {reading['test_time(s)']}, {where}"
        if reason == Reason.MISSING_VALUE and valid.verdict[row] == ACCEPTED:
            return "the reading behind it lacks a counter, so nothing tells what was gained up to it"
        return valid.detail(row, reading)


_ROW_BITS: Final = 32
"""A row's number in its message has no more."""


def retried(deliveries: Sequence[Delivery]) -> pa.RecordBatch:
    """The messages that publish a quarantined row again, each with the place that the row had first."""
    rows = [
        {
            "topic_id": delivery.topic_id,
            "partition": delivery.partition,
            "offset": delivery.offset,
            "cell_id": delivery.cell_id or None,
            "origin_topic_id": delivery.retry_of.topic_id,
            "origin_partition": delivery.retry_of.partition,
            "origin_offset": delivery.retry_of.offset,
            "origin_row": delivery.retry_of.row,
        }
        for delivery in deliveries
        if delivery.retry_of is not None
    ]
    return pa.RecordBatch.from_pylist(rows, schema=RETRIED)


def spans_of(deliveries: Sequence[Delivery]) -> tuple[Span, ...]:
    """What messages cover of their log, a span a partition."""
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
                "source_file": fault.source_file or delivery.source_file,
                "reason": str(fault.reason),
                "detail": fault.detail,
                "payload": fault.payload,
            }


def _named(delivery: Delivery) -> pa.RecordBatch:
    """Readings that do not name their file take it from the message's header."""
    readings = delivery.body.readings
    index = readings.schema.get_field_index("source_file")
    if delivery.source_file is None or readings.column(index).null_count == 0:
        return readings
    return readings.set_column(
        index, readings.schema.field(index), pc.fill_null(readings.column(index), delivery.source_file)
    )
