"""No message ends the worker: whatever its bytes are, every row of it comes out, landed or with a reason."""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from msgspec.structs import replace
from support.builders import arrow_value, as_json, message, reading
from support.delivered import decode
from support.landed import clean_cell, state_of
from support.poison import stream

from dataflows.fold.state import CellState
from kernel.contract.reading import JSON, READING_NULLABLE
from kernel.contract.show import python_row

if TYPE_CHECKING:
    from kernel.contract.poll import Message

ODD_VALUES: list[Any] = [
    None, True, -1, 2**31, 2**63, 10**40, 1.5, 1e308, "", "x", "NaN", "-inf", "1_0", [], {"a": 1}, "2024-01-01T00:00Z",
    "0001-01-01T00:00:00", "9999-12-31T23:59:59.999999", "\ud800", "\x00", "1" * 400, "1" * 5000, math.nan,
    math.inf, "   ",
]  # fmt: skip

ODD_BODIES = [
    b"[[]]", b"[null]", b"null", b"1", b'"a"', b"[" * 100_000, b'{"a":' * 5000, b"\xff\xfe", b"{}", b"[{}]", b" ",
    b'{"cell_id":"\\ud800"}', b"\xef\xbb\xbf{}", b"-", b"NaN", b"[NaN]", b'{"data_point":' + b"1" * 10_000 + b"}",
]  # fmt: skip

ODD_COLUMNS = [
    pa.array([1, 2], pa.int8()),
    pa.array([2**64 - 1, 2], pa.uint64()),
    pa.array([b"\xff", b"a"]),
    pa.array(["a", "b"]).dictionary_encode(),
    pa.array([1.5, math.nan]),
    pa.array([[1], [2]]),
    pa.array([{"a": 1}, {"a": 2}]),
    pa.array([True, False]),
    pa.nulls(2),
    pa.array([datetime(1, 1, 1), datetime(9999, 12, 31)], pa.timestamp("us")),  # noqa: DTZ001
    pa.array([0, 2**62], pa.timestamp("ns")),
    pa.array([2**62, -(2**62)], pa.timestamp("s")),
    pa.array([2**62, -(2**62)], pa.timestamp("us", "Nowhere/X")),
    pa.array([2**62, -(2**62)], pa.timestamp("us")),
    pa.array([2**30, -(2**30)], pa.date32()),
    pa.array([1, 2], pa.duration("s")),
    pa.array(["1", "2"], pa.string_view()),
    pa.array([1, 2], pa.decimal128(10, 2)),
    pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")),
]


def accounted_for(of: Message) -> None:
    delivery = decode(of)
    cleaned = clean_cell(CellState(), [delivery])
    assert cleaned is not None
    rows = cleaned.landed.num_rows + sum(cleaned.quarantined.column("row_count").to_pylist())
    assert rows == delivery.body.row_count > 0
    assert CellState.from_json(state_of(cleaned).to_json()) == state_of(cleaned)


@pytest.mark.parametrize("column", READING_NULLABLE.names)
def test_an_odd_value_in_json_is_accounted_for(column: str) -> None:
    for value in ODD_VALUES:
        body = as_json([reading(1, **{column: value}), reading(2)])
        accounted_for(message(body, encoding=JSON))


@pytest.mark.parametrize("column", READING_NULLABLE.names)
def test_an_odd_column_in_arrow_is_accounted_for(column: str) -> None:
    table = pa.Table.from_pylist([reading(1), reading(2)], schema=READING_NULLABLE)
    for odd in ODD_COLUMNS:
        changed = table.set_column(READING_NULLABLE.get_field_index(column), column, odd)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, changed.schema) as writer:
            writer.write_table(changed)
        accounted_for(message(sink.getvalue().to_pybytes()))


@pytest.mark.parametrize("body", ODD_BODIES, ids=lambda body: repr(body[:12]))
def test_an_odd_json_body_is_accounted_for(body: bytes) -> None:
    accounted_for(message(body, encoding=JSON))


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_arrow_stream_is_accounted_for(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311  # no secret
    whole = arrow_value([reading(1), reading(2)])
    for _ in range(250):
        damaged = bytearray(whole)
        for _ in range(dice.randint(1, 6)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        accounted_for(message(bytes(damaged[: dice.choice([len(whole), dice.randrange(1, len(whole))])])))


@pytest.mark.parametrize("around", [b"%s", b"[%s]", b'{"current(a)":%s}', b'{"voltage(v)":"x","more":%s}'], ids=repr)
def test_json_nested_as_deeply_as_it_can_be_read_is_accounted_for(around: bytes) -> None:
    for depth in range(900, 1000):
        accounted_for(message(around % (b"[" * depth + b"]" * depth), encoding=JSON))


@pytest.mark.parametrize("stamp", [10**15, 17 * 10**17, 2**63 - 1, -(2**63), -2])
def test_a_message_whose_time_stamp_is_not_in_milliseconds_is_quarantined(stamp: int) -> None:
    delivery = decode(replace(message(arrow_value([reading(1), reading(2)])), timestamp_ms=stamp))
    cleaned = clean_cell(CellState(), [delivery])
    assert cleaned is not None
    assert cleaned.quarantined.select(["reason", "row_count"]).to_pylist() == [
        {"reason": "out_of_range", "row_count": 2}
    ]


def test_text_in_a_number_means_the_same_whatever_stands_beside_it() -> None:
    schema = READING_NULLABLE.set(READING_NULLABLE.get_field_index("step_index"), pa.field("step_index", pa.string()))
    for beside in ("1", "x"):
        rows = [reading(1, step_index="0x1F"), reading(2, step_index=beside)]
        assert decode(message(arrow_value(rows, schema))).body.faults[0].reason == "not_a_number"


@pytest.mark.parametrize("key", [b"\xff\xfe", b"a/b", b"..", b"x" * 10_000, b"\x00"])
def test_an_odd_key_is_accounted_for(key: bytes) -> None:
    accounted_for(message(arrow_value([reading(1)]), key=key))


BEYOND = [
    pa.array([2**63 - 1, -(2**63), 0], pa.timestamp("s")),
    pa.array([2**63 - 1, -(2**63), 0], pa.timestamp("s", "Asia/Tokyo")),
    pa.array([2**63 - 1, -(2**63), 0], pa.timestamp("ms")),
    pa.array([17 * 10**14, 17 * 10**17, 0], pa.timestamp("s")),
    pa.array([2**63 - 1, -(2**63), 0], pa.timestamp("us")),
    pa.array([2**63 - 1, -(2**63), 0], pa.timestamp("us", "Asia/Tokyo")),
]


@pytest.mark.parametrize("clock", BEYOND, ids=lambda clock: f"{clock.type} {clock.cast(pa.int64())[0]}")
def test_a_clock_that_microseconds_cannot_hold_is_out_of_range_and_no_other_clock(clock: pa.Array) -> None:
    """As where a gateway writes micro- or nanoseconds into a column of seconds."""
    rows = [reading(point) for point in (1, 2, 3)]
    columns = {name: pa.array([row.get(name) for row in rows]) for name in rows[0]} | {"date_time": clock}
    cleaned = clean_cell(CellState(), [decode(message(stream(columns)))])
    assert cleaned is not None
    refused = cleaned.quarantined.to_pylist()
    assert [(row["row"], row["reason"]) for row in refused] == [(0, "out_of_range"), (1, "out_of_range")]
    assert all(row["detail"].startswith("date_time is ") for row in refused)
    assert cleaned.landed.column("kafka_row").to_pylist() == [2]


def test_a_reading_to_the_nanosecond_is_shown_alike_with_pandas_and_without() -> None:
    """A worker does without pandas, and a replay may have it; both must say the same."""
    zoned, naive = pa.array([1_700_000_000_000_000_001], pa.timestamp("ns", "UTC")), pa.array([1], pa.timestamp("ns"))
    shown = python_row(pa.table({"zoned": zoned, "naive": naive, "length": pa.array([5_000], pa.duration("ns"))}), 0)
    assert {type(value) for value in shown.values()} == {datetime, timedelta}
