"""Messages decoded one by one: what `decode_poll`, which decodes those of a poll together, must come to as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from kernel.contract.batch import UNJUDGED, Batch
from kernel.contract.message import LIMITS, Head, body_of
from kernel.contract.poll import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.contract.about import TestAbout
    from kernel.contract.body import Body
    from kernel.contract.message import Place
    from kernel.contract.poll import Message
    from kernel.contract.weight import Limits


@dataclass(frozen=True)
class Delivery:
    """One decoded message of one cell."""

    cell_id: str
    topic_id: str
    partition: int
    offset: int
    timestamp_ms: int
    source_file: str | None
    body: Body
    retry_of: Place | None
    late: bool
    about: TestAbout | None
    value: bytes | None


def decode(message: Message, limits: Limits = LIMITS) -> Delivery:
    """Read one message by itself."""
    cell_id, head = text_of(message.key), Head.of(message.headers)
    return Delivery(
        cell_id,
        message.topic_id,
        message.partition,
        message.offset,
        message.timestamp_ms,
        head.source_file,
        body_of(cell_id, message, head, limits),
        head.retry_of,
        head.late,
        head.about,
        message.value,
    )


def together(deliveries: Sequence[Delivery]) -> Batch:
    """Put decoded messages of one log together, at least one; a cell's stay in their order."""
    (topic_id,) = {delivery.topic_id for delivery in deliveries}
    cell_ids = list(dict.fromkeys(delivery.cell_id for delivery in deliveries))
    ordered = [one for cell_id in cell_ids for one in deliveries if one.cell_id == cell_id]
    bodies = [one.body for one in ordered]
    message = np.repeat(np.arange(len(ordered)), [len(body.rows) for body in bodies])
    readings = pa.Table.from_batches([body.readings for body in bodies])
    named = [name or ordered[place].source_file for name, place in zip(_names(readings), message.tolist(), strict=True)]
    abouts = list(dict.fromkeys(one.about for one in ordered if one.about is not None))
    index = readings.schema.get_field_index("source_file")
    readings = readings.set_column(index, readings.schema.field(index), pa.array(named, pa.string()))
    return Batch(
        topic_id,
        cell_ids,
        np.array([cell_ids.index(one.cell_id) for one in ordered], dtype=np.int64),
        np.array([one.partition for one in ordered], dtype=np.int32),
        np.array([one.offset for one in ordered], dtype=np.int64),
        np.array([one.timestamp_ms for one in ordered], dtype=np.int64),
        [one.source_file for one in ordered],
        {place: one.retry_of for place, one in enumerate(ordered) if one.retry_of is not None},
        np.array([one.late for one in ordered], dtype=np.bool_),
        abouts,
        np.array([-1 if one.about is None else abouts.index(one.about) for one in ordered], dtype=np.int64),
        [one.value for one in ordered],
        pa.RecordBatch.from_struct_array(readings.to_struct_array().combine_chunks()),
        message,
        np.concatenate([body.rows for body in bodies]),
        np.concatenate([body.value_dropped for body in bodies]),
        np.full(len(message), UNJUDGED),
        [(place, fault) for place, body in enumerate(bodies) for fault in body.faults],
    )


def _names(readings: pa.Table) -> list[str | None]:
    names: list[str | None] = readings.column("source_file").to_pylist()
    return names
