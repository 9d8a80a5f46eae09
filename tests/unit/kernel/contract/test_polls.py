"""Decoding a poll in one pass: the very same as decoding its messages one by one, whatever they hold."""

from __future__ import annotations

import gc
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import CELL, arrow_value, as_json, message, reading
from support.delivered import decode, together
from support.generated import ORIGIN
from support.poison import poison
from support.profiles import examples

from kernel.contract.batch import decode_poll
from kernel.contract.poll import Poll
from kernel.contract.reading import JSON, READING_NULLABLE

if TYPE_CHECKING:
    from kernel.contract.batch import Batch
    from kernel.contract.poll import Message

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(2**31 - 2, 2**31 + 1),
    st.integers(2**63 - 2, 2**63 + 1),
    st.integers(2**53, 2**53 + 9),
    st.floats(),
    st.sampled_from(
        [5.0, 1e3, -0.0, 10**400, "5", "5.0", " 7 ", "1_0", "", "abc", [], {}, [1], {"a": 1}, "\ud800", "\x00"]
    ),
    st.sampled_from(
        [
            "2024-01-01T08:00:30.25",
            "2024-01-01T08:00",
            "2024-01-01",
            "2024-01-01T08:00:30Z",
            "2024-01-01 08:00:30+05:30",
            "2024-01-01T08:00:30-99:00",
            "2024-02-30T08:00:00",
            "0000-01-01T08:00:00Z",
            "2024-01-01T08:00:30,5",
            "20240101T080030",
            CELL,
            "ANOTHER",
        ]
    ),
)


def shown(deliveries: Batch) -> dict[str, Any]:
    """All of it, in values that can be compared; NaN is equal to itself as a text."""
    found = dict(vars(deliveries))
    readings = found.pop("readings")
    values = {name: repr(readings.column(name).to_pylist()) for name in readings.schema.names}
    return values | {name: repr(value.tolist() if hasattr(value, "tolist") else value) for name, value in found.items()}


@st.composite
def json_values(draw: st.DrawFn) -> bytes:
    """A reading as JSON, good or with odd values, or something else altogether."""
    row = {name: value for name, value in reading(draw(st.integers(0, 9))).items() if draw(st.integers(0, 9))}
    for name in draw(st.lists(st.sampled_from([*READING_NULLABLE.names, "unknown"]), max_size=2)):
        row[name] = draw(ODD)
    if draw(st.integers(0, 9)) == 0:
        return draw(
            st.sampled_from([b"", b"{", b"[]", b"{}", b"null", b"7", b'{"a":1}{"b":2}', b"\xff", as_json([row, row])])
        )
    return json.dumps(row, default=str).encode("utf-8", "surrogatepass")


@st.composite
def polls(draw: st.DrawFn) -> list[Message]:
    found = []
    for offset in range(draw(st.integers(1, 8))):
        of: dict[str, Any] = {
            "offset": offset,
            "key": draw(st.sampled_from([CELL.encode()] * 4 + [b"ANOTHER", None, b"\xff"])),
            "retry_of": draw(st.sampled_from([None] * 3 + [ORIGIN])),
        }
        if draw(st.integers(0, 5)) == 0:
            found.append(message(arrow_value([reading(1), reading(2)]), **of))
        else:
            headers = draw(
                st.sampled_from(
                    [None] * 6
                    + [[("Content-Type", b"application/json; charset=utf-8"), ("schema-version", b"1")]]
                    + [[("content-type", b"application/json"), ("schema-version", b"2")], []]
                )
            )
            found.append(message(draw(json_values()), encoding=JSON, with_headers=headers, **of))
    return found


@given(polls())
@examples(4)
def test_a_poll_is_read_as_its_messages_are_one_by_one(poll: list[Message]) -> None:
    assert shown(next(decode_poll(Poll.of(poll), 1_000))) == shown(together([decode(found) for found in poll]))


def test_messages_of_a_cell_stand_together_in_the_order_of_the_log() -> None:
    poll = [
        message(as_json(reading(offset, cell_id=cell)), encoding=JSON, key=cell.encode(), offset=offset)
        for offset, cell in enumerate(["B", "A", "B", "C", "A"])
    ]
    found = next(decode_poll(Poll.of(poll), 1_000))
    assert (found.cell_ids, found.cell.tolist()) == (["B", "A", "C"], [0, 0, 1, 1, 2])
    assert found.offset.tolist() == [0, 2, 1, 4, 3]
    assert found.readings.column("data_point").to_pylist() == [0, 2, 1, 4, 3]


@pytest.mark.parametrize("stamp", [-2, 10**15, -(2**63)])
def test_a_time_stamp_that_none_has_refuses_a_message_that_is_read_in_one_pass(stamp: int) -> None:
    good, bad = (message(as_json(reading(offset)), encoding=JSON, offset=offset) for offset in (1, 2))
    bad = type(bad)(bad.topic_id, bad.partition, bad.offset, stamp, bad.key, bad.headers, bad.value)
    found = next(decode_poll(Poll.of([good, bad]), 1_000))
    assert found.readings.column("data_point").to_pylist() == [1]
    assert [(place, fault.reason) for place, fault in found.faults] == [(1, "out_of_range")]


def test_some_messages_of_a_poll_keep_what_is_theirs() -> None:
    poll = [
        message(as_json(reading(1)), encoding=JSON, offset=0),
        message(b"{", encoding=JSON, offset=1),
        message(
            as_json([reading(2), reading(3, **{"temperature(c)": "hot", "voltage(v)": math.nan})]),
            encoding=JSON,
            offset=2,
        ),
        message(as_json(reading(1, cell_id="B")), encoding=JSON, key=b"B", offset=3),
    ]
    whole = next(decode_poll(Poll.of(poll), 1_000))
    keep = whole.offset >= 1
    assert shown(whole.take(keep)) == shown(next(decode_poll(Poll.of(poll[1:]), 1_000)))
    assert whole.rows.tolist() == [1, 1, 2, 1]


def test_a_poll_is_cut_where_it_holds_more_rows_than_are_wanted() -> None:
    hundred = arrow_value([reading(point) for point in range(100)])
    values = [hundred, hundred, as_json(reading(1)), as_json(reading(2)), None, hundred, b"x" * 40_000]
    poll = Poll.of([message(value, offset=offset) for offset, value in enumerate(values)])
    assert [piece.offsets for piece in poll.pieces(150)] == [[0, 1], [2, 3, 4, 5], [6]]
    assert [found for piece in poll.pieces(10) for found in piece] == list(poll)
    assert poll.pieces(10_000) == [poll]


@pytest.mark.parametrize("kind", ["a million nulls", "runs of texts", "a dictionary of one text", "views of one text"])
def test_a_message_that_is_long_once_it_is_decoded_is_a_piece_by_itself(kind: str) -> None:
    values = [as_json(reading(1)), poison(kind), poison(kind), as_json(reading(2))]
    poll = Poll.of([message(value, offset=offset) for offset, value in enumerate(values)])
    assert max(map(len, poll.pieces(1_000))) == 2  # one that begins within a piece is still of it


def test_rows_come_some_at_a_time_and_none_is_lost_or_moved() -> None:
    poll = Poll.of(
        [
            message(as_json(reading(n, cell_id=f"C{n % 3}")), encoding=JSON, key=f"C{n % 3}".encode(), offset=n)
            for n in range(9)
        ]
        + [message(b"{", encoding=JSON, key=b"C1", offset=9)]
        + [message(arrow_value([reading(n, cell_id="C2") for n in range(20, 25)]), key=b"C2", offset=10)]
    )
    parts = list(decode_poll(poll, 4))
    assert [int(part.rows.sum()) for part in parts] == [4, 4, 7]
    (whole,) = decode_poll(poll, 1_000)
    for name in ("offset", "row", "timestamp_ms"):
        assert [value for part in parts for value in getattr(part, name).tolist()] == getattr(whole, name).tolist()
    cells = [part.cell_ids[code] for part in parts for code in part.cell.tolist()]
    assert cells == [whole.cell_ids[code] for code in whole.cell.tolist()]
    points = [point for part in parts for point in part.readings.column("data_point").to_pylist()]
    assert points == whole.readings.column("data_point").to_pylist()
    assert [part.cell_ids[part.cell[place]] for part in parts for place, _ in part.faults] == ["C1"]


@pytest.mark.parametrize(
    ("clock", "wall"),
    [
        ("2024-01-01T08:00:30+05:30", "2024-01-01T08:00:30"),
        ("2024-01-01T08:00:30.25Z", "2024-01-01T08:00:30.250000"),
        ("2024-01-01T08:00:30-99:00", None),
        ("yesterday", None),
    ],
)
def test_a_clock_with_a_zone_is_read_in_one_pass_and_one_that_no_zone_has_is_refused(
    clock: str, wall: str | None
) -> None:
    poll = Poll.of(
        [
            message(as_json(reading(1)), encoding=JSON, offset=0),
            message(as_json(reading(2, date_time=clock)), encoding=JSON, offset=1),
        ]
    )
    found = next(decode_poll(poll, 1_000))
    assert shown(found) == shown(together([decode(one) for one in poll]))
    clocks = [stamp.isoformat() for stamp in found.readings.column("date_time").to_pylist()]
    assert clocks[1:] == ([] if wall is None else [wall])


def test_a_decoded_poll_leaves_nothing_to_a_collection_of_garbage() -> None:
    poll = Poll.of([message(as_json(reading(offset)), offset=offset, encoding=JSON) for offset in range(3)])
    list(decode_poll(poll, most_rows=100))  # what is made once is made here
    gc.collect()
    gc.disable()
    try:
        list(decode_poll(poll, most_rows=100))
        assert gc.collect() == 0, "a worker collects rarely, so a reference cycle keeps every key of a poll for hours"
    finally:
        gc.enable()
