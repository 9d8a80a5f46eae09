"""Readings that come back: what has landed says whether they are duplicates, conflicts, or came out of order."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest
from support.builders import CELL, TEST, arrow, as_json, message, reading
from support.delivered import decode
from support.landed import fold, landed, rows_of

from kernel.contract.reading import JSON, LANDED, REPEATED
from sink.repeats import JUDGE

if TYPE_CHECKING:
    from support.delivered import Delivery

REASONS = 'select reason, row_count from battery_quarantine order by "offset", "row"'


def judged(first: list[dict[str, Any]], again: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """What the quarantine says of readings that come after others, whether they land in one commit or in two."""
    results = fold([[arrow(first)], [arrow(again, offset=1)]])
    with landed([results]) as together, landed([[result] for result in results]) as apart:
        found = rows_of(together, REASONS)
        assert rows_of(apart, REASONS) == found
    return found


def sent_as_json(body: object, offset: int) -> Delivery:
    return decode(message(as_json(body), encoding=JSON, offset=offset))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"source_file": "CELL_1_2_1_24.xlsx"},
        {"charge_energy(wh)": None},
        {"internal_resistance(ohm)": 0.0},  # it landed as none
        {"temperature(c)": -300.0},  # nothing that an instrument reports
    ],
)
def test_a_reading_that_brings_no_other_value_is_a_duplicate(changes: dict[str, Any]) -> None:
    row = reading(1, **{"internal_resistance(ohm)": 0.0})
    assert judged([row, reading(2)], [row | changes]) == [("duplicate", 1)]


@pytest.mark.parametrize(
    "changes",
    [
        {"voltage(v)": 3.7000000000000006},
        {"date_time": None, "cycle_index": 2},
        {"temperature(c)": 25.0},  # none had landed
        {"step_time(s)": 29.0},
        {"internal_resistance(ohm)": 0.09},
    ],
)
def test_a_reading_that_brings_another_value_is_a_conflict(changes: dict[str, Any]) -> None:
    assert judged([reading(1), reading(2)], [reading(1) | changes]) == [("conflict", 1)]


def test_a_resistance_of_zero_is_another_value_where_one_has_landed() -> None:
    row = reading(1, **{"internal_resistance(ohm)": 0.09})
    assert judged([row, reading(2)], [row | {"internal_resistance(ohm)": 0.0}]) == [("conflict", 1)]


def test_a_value_that_cleaning_has_dropped_may_have_been_the_same() -> None:
    row = reading(1, **{"temperature(c)": math.inf})
    assert judged([row, reading(2)], [row]) == [("duplicate", 1)]


def test_a_reading_that_comes_late_and_has_not_landed_is_out_of_order() -> None:
    assert judged([reading(1), reading(3)], [reading(2)]) == [("out_of_order", 1)]
    assert judged([reading(1), reading(2)], [reading(0)]) == [("out_of_order", 1)]


def test_runs_of_duplicates_end_where_something_else_stands() -> None:
    rows = [reading(point) for point in range(1, 8)]
    again = [*rows[:3], rows[3] | {"voltage(v)": 3.6}, *rows[4:]]
    assert judged(rows, again) == [("duplicate", 3), ("conflict", 1), ("duplicate", 3)]


def test_a_reading_that_comes_twice_in_one_message_is_told_by_the_first() -> None:
    with landed([fold([[arrow([reading(1), reading(1), reading(1, **{"voltage(v)": 3.1}), reading(2)])]])]) as found:
        assert rows_of(found, REASONS) == [("duplicate", 1), ("conflict", 1)]


def test_another_log_brings_what_has_landed_from_the_one_before() -> None:
    results = fold(
        [[arrow([reading(1), reading(2)], offset=70)], [arrow([reading(1), reading(2)], topic_id="log-two")]]
    )
    with landed([[result] for result in results]) as connection:
        assert rows_of(connection, REASONS) == [("duplicate", 2)]


def test_details_name_what_stands_there() -> None:
    conflict = f"data point 1 of test {TEST} has landed from CELL_1_1_1_24.xlsx with current(a) 0.0, not 0.1"
    other = reading(1, source_file="copy.xlsx", **{"voltage(v)": 3.9, "current(a)": 0.1})
    with landed([fold([[arrow([reading(1), reading(3)])], [arrow([other, reading(2)], offset=1)]])]) as connection:
        assert rows_of(connection, "select detail, source_file from battery_quarantine order by all") == [
            (f"{conflict}; voltage(v) differs too", "copy.xlsx"),
            (f"data point 2 of test {TEST} comes after later ones, and had not landed", "CELL_1_1_1_24.xlsx"),
        ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_payload_can_be_read_however_its_text_was_encoded(encoding: str) -> None:
    body = json.loads(as_json(reading(2, rack="B7")))
    again = decode(message(json.dumps(body).encode(encoding), encoding=JSON, offset=1))
    with landed([fold([[arrow([reading(1), reading(3)]), again]])]) as connection:
        ((reason, payload),) = rows_of(connection, "select reason, payload from battery_quarantine")
    assert (reason, json.loads(payload)) == ("out_of_order", body)


def test_only_duplicates_have_no_payload_and_it_keeps_all_that_was_sent() -> None:
    body = {**reading(1), "date_time": "2024-01-01T08:00:30", "rack": "B7", "voltage(v)": "3.9"}
    log = [
        *(arrow([reading(1), reading(3)]), sent_as_json(body, 1), sent_as_json([body, body | {"data_point": 2}], 2)),
        *(sent_as_json(body | {"voltage(v)": 3.7}, 3), arrow([reading(2)], offset=4)),
    ]
    with landed([fold([log])]) as connection:
        found = rows_of(connection, 'select "offset", reason, payload, cell_id from battery_quarantine order by all')
    assert [(offset, reason) for offset, reason, *_ in found] == [
        *((1, "conflict"), (2, "conflict"), (2, "out_of_order"), (3, "duplicate"), (4, "out_of_order"))
    ]
    payloads = [payload and json.loads(payload) for _, _, payload, _ in found]
    assert payloads[:4] == [body, body, body | {"data_point": 2}, None]
    assert payloads[4] == {name: value for name, value in reading(2).items() if name != "date_time"} | {
        "date_time": "2024-01-01 08:01:00"
    }
    assert {cell for *_, cell in found} == {CELL}


def test_what_has_landed_is_found_by_its_key_and_not_by_looking_at_each() -> None:
    with duckdb.connect() as connection:
        connection.register("came", REPEATED.append(pa.field("row_id", pa.int64())).empty_table())
        connection.register("stood", LANDED.append(pa.field("earlier", pa.bool_())).empty_table())
        ((_, plan),) = connection.execute(f"explain {JUDGE}").fetchall()
    assert "HASH_JOIN" in plan
    assert "NL_JOIN" not in plan
    assert "NESTED_LOOP" not in plan
