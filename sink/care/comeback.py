"""Repeated readings, judged again from the messages of the log and the rows that have landed by now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from kernel.contract.reading import COMES_BACK, INSTRUMENT_RANGE, LANDED, OPTIONAL, READING_NULLABLE, Quality
from kernel.edges.warehouse import LostRowsError
from sink.care.pieces import bounded
from sink.repeats import KEY, LANDED_BEFORE, VALUES, differs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from kernel.contract.batch import Batch
    from kernel.edges.warehouse import Warehouse

CHUNK_ROWS: Final = 200_000
"""How many readings are held in memory."""

COME_BACK: Final = f"""
select topic_id, "partition", "offset", "row", row_count, reason from battery_quarantine
where reason in ({", ".join(f"'{reason}'" for reason in sorted(COMES_BACK))})"""  # noqa: S608  # our own names
"""The repeated readings in the quarantine, with the reason of each."""

_CAME: Final = pa.schema(
    [
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("row", pa.int32()),
        ("reason", pa.string()),
        *(READING_NULLABLE.field(name) for name in READING_NULLABLE.names),
    ]
)

_USABLE: Final = ", ".join(
    f'case when "{name}" between {INSTRUMENT_RANGE[name].low} and {INSTRUMENT_RANGE[name].high} then "{name}" end '
    f'as "{name}"'
    for name in OPTIONAL
)

_MISJUDGED: Final = f"""
with came as (select * replace ({_USABLE}) from came_back)
select count(*) from came left join stood
on {" and ".join(f"came.{name} = stood.{name}" for name in KEY)}
where came.reason <> case
    when stood.data_point is null then 'out_of_order'
    when {" or ".join(f"({differs(name)})" for name in VALUES)} then 'conflict'
    else 'duplicate'
end
-- A reading that was refused and landed later, by a retry or as late, was out of order at the time.
and not coalesce(
    came.reason = 'out_of_order'
    and (came."partition" <> stood.kafka_partition
        or (stood.kafka_offset, stood.kafka_row) > (came."offset", came."row"))
    and (stood.quality & {int(Quality.RETRIED | Quality.LATE)}) <> 0,
    false
)
"""  # noqa: S608  # names come from this module alone


class ComeBack:
    """Judges repeated readings again, some at a time.

    Args:
        warehouse: where the tables are.
        quarantined: the rows of the query `COME_BACK`.
    """

    def __init__(self, warehouse: Warehouse, quarantined: Sequence[tuple[str, int, int, int, int, str]]) -> None:
        self._warehouse = warehouse
        self._quarantined: dict[tuple[str, int, int], list[tuple[int, int, str]]] = {}
        for topic_id, partition, offset, row, row_count, reason in quarantined:
            self._quarantined.setdefault((topic_id, partition, offset), []).append((row, row_count, reason))
        self._chunk: list[pa.Table] = []
        self._held = 0
        self.rows = 0
        self.misjudged = 0
        self.is_complete = True
        """Whether all landed rows could be read that they are compared with."""

    def take(self, batch: Batch) -> None:
        """Take the repeated readings of some messages of the log; most messages hold none.

        Raises:
            BatteryError: the warehouse cannot be read.
        """
        log = zip(batch.partition.tolist(), batch.offset.tolist(), strict=True)
        for message, (partition, offset) in enumerate(log):
            refusals = self._quarantined.get((batch.topic_id, partition, offset))
            if refusals is not None:
                self._take_message(batch, message, refusals)

    def _take_message(self, batch: Batch, message: int, refusals: Sequence[tuple[int, int, str]]) -> None:
        reason_of = {row + place: reason for row, row_count, reason in refusals for place in range(row_count)}
        first, end = np.searchsorted(batch.message, [message, message + 1]).tolist()
        rows = batch.row[first:end].tolist()
        at = [place for place, row in enumerate(rows) if row in reason_of]
        readings = batch.readings.slice(first, end - first).take(pa.array(at, pa.int64()))
        arrays = dict(zip(readings.schema.names, readings.columns, strict=True))
        arrays["cell_id"] = pa.repeat(batch.cell_ids[batch.cell[message]], len(at))
        arrays["partition"] = pa.array([batch.partition[message]] * len(at), pa.int32())
        arrays["offset"] = pa.array([batch.offset[message]] * len(at), pa.int64())
        arrays["row"] = pa.array([rows[place] for place in at], pa.int32())
        arrays["reason"] = pa.array([reason_of[rows[place]] for place in at], pa.string())
        self._chunk.append(pa.Table.from_arrays([arrays[name] for name in _CAME.names], schema=_CAME))
        self._held += len(at)
        if self._held >= CHUNK_ROWS:
            self.finish()

    def finish(self) -> None:
        """Judge the readings that are held.

        Raises:
            BatteryError: the warehouse cannot be read.
        """
        if not self._held:
            return
        try:
            purpose = "tell readings that came back apart"
            with self._warehouse.connect(purpose, read_only=True) as connection, bounded(connection):
                self.misjudged += _misjudged(connection, pa.concat_tables(self._chunk))
        except LostRowsError:  # the objects are checked by themselves
            self.is_complete = False
        self.rows += self._held
        self._chunk, self._held = [], 0


def _misjudged(connection: duckdb.DuckDBPyConnection, came: pa.Table) -> int:
    connection.register("came_back", came)
    connection.register("repeated_keys", came.select(KEY).group_by(list(KEY)).aggregate([]))
    connection.register("stood", connection.execute(LANDED_BEFORE).to_arrow_table().cast(LANDED))
    row = connection.execute(_MISJUDGED).fetchone()
    return int(row[0]) if row else 0
