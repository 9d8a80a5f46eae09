"""What a message comes to is told from its metadata, and one beyond the limits is refused before it is decoded."""

from __future__ import annotations

import tracemalloc

import pyarrow as pa
import pytest
from support.builders import CELL, arrow_value, as_json, message, reading
from support.delivered import decode
from support.poison import LONG, POISONS, dictionary_of, poison, runs_of, stream, views_of

from kernel.contract.batch import decode_poll
from kernel.contract.message import encode_arrow
from kernel.contract.poll import Poll
from kernel.contract.reading import ARROW, ARROW_START, JSON, READING, Reason
from kernel.contract.weight import Limits, Weight, weigh, weigh_arrow


@pytest.mark.parametrize("kind", POISONS)
def test_a_message_beyond_the_limits_is_one_refused_row_and_takes_no_memory(kind: str) -> None:
    value = poison(kind)
    found = message(value, encoding=ARROW if value.startswith(ARROW_START) else JSON)
    usual = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    body = decode(found).body
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    pa.set_memory_pool(usual)
    assert [(fault.reason, fault.row_count) for fault in body.faults] == [(Reason.TOO_LARGE, 1)]
    assert "MESSAGE_MAX_" in body.faults[0].detail
    assert max(peak, pool.max_memory()) < 32_000_000


@pytest.mark.parametrize("compression", ["zstd", "lz4", None])
def test_a_stream_weighs_its_rows_and_what_it_takes_once_it_is_decompressed(compression: str | None) -> None:
    column = pa.array(range(1_000), pa.float64())
    assert weigh_arrow(stream({"voltage(v)": column, "current(a)": column}, compression)) == Weight(
        1_000, 16_000, 16_000
    )


@pytest.mark.parametrize(
    "column", [runs_of("ab", 50), dictionary_of("ab", 50), views_of("ab" * 10, 50)], ids=["runs", "dictionary", "views"]
)
def test_a_column_that_says_little_for_much_weighs_what_it_may_come_to(column: pa.Array) -> None:
    weight = weigh_arrow(stream({"test_id": column}))
    assert weight.rows == 50
    assert weight.most == 50 * weight.size


def test_buffers_that_overlap_weigh_as_often_as_they_are_named() -> None:
    data = pa.py_buffer(bytes(8_000))
    column = pa.Array.from_buffers(pa.float64(), 1_000, [None, data])
    assert weigh_arrow(stream({f"column {n}": column for n in range(3)}, None)).size == 3 * 8_000


def test_weights_of_a_poll_can_be_added_up_whatever_its_messages_say_of_themselves() -> None:
    absurd = stream({f"column {n}": runs_of(0.0, 2**62) for n in range(2)})
    poll = Poll.of([message(absurd, offset=offset) for offset in range(3)])
    assert [piece.offsets for piece in poll.pieces(32_768)] == [[0], [1], [2]]


@pytest.mark.parametrize("kind", ["cut short", "no flatbuffer", "no stream"])
def test_damaged_metadata_is_undecodable(kind: str) -> None:
    good = arrow_value([reading(1)])
    value = {"cut short": good[:900], "no flatbuffer": good[:8] + b"\xee" * 900, "no stream": b"\x00" * 900}[kind]
    assert [fault.reason for fault in decode(message(value)).body.faults] == [Reason.UNDECODABLE]
    assert weigh(value) >= 1


@pytest.mark.parametrize(
    "column",
    [runs_of("a test", 3), dictionary_of("a test", 3), views_of("a test of many letters", 3)],
    ids=["runs", "dictionary", "views"],
)
def test_columns_that_are_short_are_read_as_what_they_say(column: pa.Array) -> None:
    rows = [reading(point) for point in (1, 2, 3)]
    columns = dict(zip(READING.names, pa.RecordBatch.from_pylist(rows, schema=READING).columns, strict=True))
    body = decode(message(stream(columns | {"test_id": column}))).body
    (told,) = set(body.readings.column("test_id").to_pylist())
    assert told.startswith("a test")
    assert body.row_count == 3


def test_a_list_in_place_of_a_number_costs_the_readings_and_in_place_of_an_auxiliary_value_that_value() -> None:
    rows = pa.RecordBatch.from_pylist([reading(1), reading(2)], schema=READING)
    columns = dict(zip(READING.names, rows.columns, strict=True))
    lists = pa.array([[1.0], [2.0]])
    refused = decode(message(stream(columns | {"voltage(v)": lists}))).body
    assert [(fault.reason, fault.row) for fault in refused.faults] == [
        (Reason.NOT_A_NUMBER, 0),
        (Reason.NOT_A_NUMBER, 1),
    ]
    dropped = decode(message(stream(columns | {"temperature(c)": lists}))).body
    assert dropped.value_dropped.tolist() == [True, True]
    ignored = decode(message(stream(columns | {"unknown": lists}))).body
    assert (len(ignored.faults), ignored.value_dropped.tolist()) == (0, [False, False])


def test_a_message_at_its_limits_is_read() -> None:
    value = arrow_value([reading(point) for point in range(10)])
    limits = Limits(rows=10, size=weigh_arrow(value).size)
    assert len(decode(message(value), limits).body.rows) == 10
    for less in (Limits(9, limits.size), Limits(10, limits.size - 1)):
        assert [fault.reason for fault in decode(message(value), less).body.faults] == [Reason.TOO_LARGE]


def test_a_json_array_at_its_limit_is_read_whatever_its_texts_hold() -> None:
    value = as_json([reading(point, test_id="," * 50) for point in range(10)])
    assert decode(message(value, encoding=JSON), Limits(rows=10)).body.row_count == 10
    assert [f.reason for f in decode(message(value, encoding=JSON), Limits(rows=9)).body.faults] == [Reason.TOO_LARGE]


def test_the_producers_messages_are_within_the_limits_of_the_worker() -> None:
    table = pa.Table.from_pylist([reading(point, test_id=LONG[:200]) for point in range(1_000)], schema=READING)
    limits = Limits(rows=300, size=100_000)
    messages = list(encode_arrow(table, 1_000_000, limits))
    assert sum(rows for rows, _ in messages) == 1_000
    for rows, value in messages:
        body = decode(message(value, key=CELL.encode()), limits).body
        assert (len(body.rows), body.faults) == (rows, ())


@pytest.mark.parametrize("with_headers", [None, []], ids=["with headers", "without"])
def test_a_reading_in_json_beyond_the_limit_is_too_large_wherever_it_stands_in_a_poll(
    with_headers: list[tuple[str, bytes | None]] | None,
) -> None:
    """Those of one reading are read together, and must be judged as by themselves."""
    limits = Limits(size=64_000)
    long = as_json(reading(2) | {"note": "x" * 8_000})
    values = [as_json(reading(1)), long, as_json(reading(3))]
    messages = [
        message(value, offset=offset, encoding=JSON, with_headers=with_headers) for offset, value in enumerate(values)
    ]
    (part,) = decode_poll(Poll.of(messages), 1_000, limits)
    assert part.readings.column("data_point").to_pylist() == [1, 3]
    assert [fault.reason for _, fault in part.faults] == [Reason.TOO_LARGE]
