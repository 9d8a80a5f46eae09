"""Readings and messages for tests, as small as a test needs them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from support.delivered import Delivery, decode

from kernel.contract.message import Place, headers
from kernel.contract.poll import Message
from kernel.contract.reading import ARROW, JSON, READING_NULLABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.contract.about import TestAbout

CELL = "CELL_1"
TEST = "2024-01-01T08:00:00"
STARTED = datetime(2024, 1, 1, 8)  # noqa: DTZ001  # a cycler's wall clock has no zone
TOPIC_ID = "log-one"


def reading(point: int = 1, **changes: Any) -> dict[str, Any]:
    """One good reading of a cell at rest, 30 s a data point."""
    return {
        "cell_id": CELL,
        "test_id": TEST,
        "source_file": "CELL_1_1_1_24.xlsx",
        "data_point": point,
        "test_time(s)": 30.0 * point,
        "date_time": STARTED + timedelta(seconds=30 * point),
        "step_time(s)": 30.0 * point,
        "step_index": 1,
        "cycle_index": 1,
        "current(a)": 0.0,
        "voltage(v)": 3.7,
        "charge_capacity(ah)": 0.0,
        "discharge_capacity(ah)": 0.0,
        "charge_energy(wh)": 0.0,
        "discharge_energy(wh)": 0.0,
        **changes,
    }


def arrow_value(rows: list[dict[str, Any]], schema: pa.Schema = READING_NULLABLE) -> bytes:
    """Rows as one Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist(rows, schema=schema)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    value: bytes = sink.getvalue().to_pybytes()
    return value


def as_json(body: object) -> bytes:
    """A reading, or a list of some, as JSON."""
    return json.dumps(body, default=str).encode()


def message(
    value: bytes | None,
    *,
    offset: int = 0,
    partition: int = 0,
    encoding: str = ARROW,
    key: bytes | None = CELL.encode(),
    topic_id: str = TOPIC_ID,
    retry_of: Place | None = None,
    about: TestAbout | None = None,
    with_headers: Sequence[tuple[str, bytes | None]] | None = None,
) -> Message:
    """A message as the broker would deliver it."""
    found = with_headers
    if found is None:
        about_test = about.to_text() if about else None
        found = [
            (n, v.encode() if isinstance(v, str) else v)
            for n, v in headers(encoding, "CELL_1_1_1_24.xlsx", retry_of, about_test=about_test)
        ]
    return Message(topic_id, partition, offset, 1_700_000_000_000 + offset, key, tuple(found), value)


def arrow(rows: list[dict[str, Any]], **of: Any) -> Delivery:
    """Rows as a decoded Arrow message."""
    return decode(message(arrow_value(rows), **of))


def json_message(body: object, **of: Any) -> Delivery:
    """A body as a decoded JSON message."""
    return decode(message(as_json(body), encoding=JSON, **of))
