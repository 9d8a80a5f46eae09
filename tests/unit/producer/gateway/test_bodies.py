from __future__ import annotations

import json
import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import as_json, reading

from kernel.contract.json_body import read_json
from kernel.contract.reading import REQUIRED, Reason
from kernel.contract.weight import Limits
from producer.gateway.bodies import (
    MOST_PROBLEMS,
    BadBodyError,
    Outgoing,
    Posted,
    TooLargeBodyError,
    messages,
    read_body,
)

if TYPE_CHECKING:
    from kernel.contract.body import Body

LIMITS = Limits()
BDF = {
    "Test Time / s": 30.5,
    "Voltage / V": 3.7,
    "Current / A": -0.5,
    "Unix Time / s": 1_700_000_000.25,
    "Cycle Count / 1": 3,
    "Step Count / 1": 7,
    "Charging Capacity / Ah": 1.1,
    "Discharging Capacity / Ah": 0.4,
}


def read(body: object, *, lines: bool = False, most_rows: int = 1000, **defaults: str) -> Posted:
    value = body if isinstance(body, bytes) else as_json(body)
    return read_body(value, defaults, lines=lines, most_rows=most_rows)


def sent(posted: Posted, max_bytes: int = 10**6, limits: Limits = LIMITS) -> list[Outgoing]:
    return messages(posted, max_bytes, limits)


def arrived(posted: Posted) -> Body:
    """What the worker makes of the one message that was sent."""
    (message,) = sent(posted)
    return read_json(message.value, LIMITS)


def rows(posted: Posted) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = arrived(posted).readings.to_pylist()
    return found


def problems(body: object, **how: Any) -> tuple[str, ...]:
    with pytest.raises(BadBodyError) as caught:
        read(body, **how)
    return caught.value.problems


def test_a_reading_in_the_contracts_names_arrives_as_it_is() -> None:
    posted = read(reading(7))
    assert {name: value for name, value in rows(posted)[0].items() if value is not None} == reading(7)
    assert posted.notes == []


def test_a_reading_in_the_names_of_bdf_arrives_in_those_of_the_contract() -> None:
    (found,) = rows(read(BDF, cell_id="A", test_id="T"))
    assert {name: value for name, value in found.items() if value is not None} == {
        "cell_id": "A",
        "test_id": "T",
        "data_point": 30_500,
        "test_time(s)": 30.5,
        "voltage(v)": 3.7,
        "current(a)": -0.5,
        "date_time": datetime(2023, 11, 14, 22, 13, 20, 250_000),  # noqa: DTZ001  # a wall clock has no zone
        "cycle_index": 3,
        "step_index": 7,
        "charge_capacity(ah)": 1.1,
        "discharge_capacity(ah)": 0.4,
    }


def test_the_same_reading_sent_again_has_the_same_data_point_and_the_sender_is_told_where_it_comes_from() -> None:
    first, again = (read(BDF, cell_id="A", test_id="T") for _ in range(2))
    assert rows(first) == rows(again)
    (note,) = first.notes
    assert "1 of 1 readings have no data_point (BDF: Record Index / 1)" in note
    assert read({**BDF, "Record Index / 1": 4}, cell_id="A", test_id="T").notes == []


def test_readings_are_grouped_by_cell_and_keep_their_order() -> None:
    posted = read([reading(point, cell_id=cell) for point, cell in enumerate("ABAAB", 1)])
    found = {
        message.cell_id: read_json(message.value, LIMITS).readings.column("data_point").to_pylist()
        for message in sent(posted)
    }
    assert found == {"A": [1, 3, 4], "B": [2, 5]}


def test_what_the_address_says_is_for_readings_that_do_not_say_it_themselves() -> None:
    bare = {name: value for name, value in reading(1).items() if name not in {"cell_id", "test_id", "cycle_index"}}
    found = read([bare, reading(2)], cell_id="B", test_id="other", cycle_index="4")
    assert {cell: [row["cycle_index"] for row in of_cell] for cell, of_cell in found.cells.items()} == {
        "B": ["4"],
        "CELL_1": [1],
    }


def test_lines_are_read_one_by_one_and_empty_ones_are_passed_over() -> None:
    body = b"\xef\xbb\xbf" + b"\r\n\n".join(as_json(reading(point)) for point in (1, 2)) + b"\n"
    assert [row["data_point"] for row in rows(read(body, lines=True))] == [1, 2]


def test_a_line_that_is_no_json_is_named_by_its_number() -> None:
    body = as_json(reading(1)) + b"\n\nnonsense\n{\n"
    assert [problem.partition(":")[0] for problem in problems(body, lines=True)] == [
        "line 3 is no JSON",
        "line 4 is no JSON",
    ]
    assert problems(as_json(reading(1)) + b"\n\n[1]", lines=True) == (
        "line 3: [1] is not a JSON object with the columns of a reading",
    )


@pytest.mark.parametrize("body", [b"", b"nonsense", b'{"a":', b"\xff\xfe\xfd", b"[" * 100_000])
def test_what_is_no_json_is_one_line(body: bytes) -> None:
    (problem,) = problems(body)
    assert problem.startswith("the body is no JSON: ")
    assert "\n" not in problem


@pytest.mark.parametrize(("body", "lines"), [(b"[]", False), (b"\n \n", True)])
def test_a_body_without_readings_is_refused(body: bytes, lines: bool) -> None:
    assert problems(body, lines=lines) == (
        "the body holds no readings; send an object, an array of them, or one a line",
    )


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (None, "it has no cell_id; send it, or say it for all as ?cell_id="),
        ("", "it has no cell_id; send it, or say it for all as ?cell_id="),
        (True, "cell_id is True, not text"),
        (["A"], "cell_id is ['A'], not text"),
        ("\ud800", "cell_id is '\\ud800', which is no text"),
        ("x" * 1001, "cell_id takes 1001 bytes, more than 1000"),
    ],
)
def test_a_reading_without_a_cell_is_named_and_nothing_is_sent(cell: object, said: str) -> None:
    assert problems([reading(1), reading(2, cell_id=cell)]) == (f"object 2: {said}",)


def test_a_cell_that_is_a_number_is_its_text() -> None:
    assert [row["cell_id"] for row in rows(read(reading(1, cell_id=17)))] == ["17"]


@pytest.mark.parametrize("name", sorted(set(REQUIRED) - {"cell_id", "data_point"}))
def test_a_column_that_no_reading_has_is_told_at_once_and_one_that_some_lack_is_noted(name: str) -> None:
    lacking = {column: value for column, value in reading(1).items() if column != name}
    (problem,) = problems([lacking, lacking])
    assert problem.startswith(f"no reading has {name}")
    posted = read([lacking, reading(2)])
    assert posted.rows == 2
    assert posted.notes == [f"1 of 2 readings have no {name}; the worker will quarantine them as missing_value"]


def test_a_name_with_another_unit_is_converted_and_what_is_no_number_there_is_refused_by_the_worker() -> None:
    milli = {name: value for name, value in BDF.items() if name != "Current / A"}
    given = [milli | {"Current / mA": value} for value in (-500, "250", "high", None)]
    body = arrived(read(given, cell_id="A", test_id="T"))
    assert body.readings.column("current(a)").to_pylist() == [-0.5, 0.25, None]
    assert [(fault.row, fault.reason) for fault in body.faults] == [(2, Reason.NOT_A_NUMBER)]


def test_names_that_give_no_column_are_told_beside_the_columns_that_are_missing() -> None:
    misspelt = {name: value for name, value in BDF.items() if name != "Current / A"} | {"Amps": -0.5}
    assert problems(misspelt, cell_id="A", test_id="T") == (
        "no reading has current(a) (BDF: Current / A), which every reading needs; send it",
        "not read, as they give no column: 'Amps'",
    )
    (problem,) = problems(misspelt | {"Current / furlong": 1}, cell_id="A", test_id="T")
    assert problem.startswith(
        "'Current / furlong' has the unit 'furlong', which is not known here; convert it to one of A"
    )


def test_an_answer_has_a_limited_number_of_lines() -> None:
    found = problems([{}] * 50)
    assert (len(found), found[-1]) == (MOST_PROBLEMS + 1, "and 30 more")
    found = problems(b"x\n" * 100_000, lines=True)
    assert (len(found), found[-1]) == (MOST_PROBLEMS + 1, "and maybe more")


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("voltage(v)", "high", Reason.NOT_A_NUMBER),
        ("voltage(v)", [3.7], Reason.NOT_A_NUMBER),
        ("data_point", 1.5, Reason.NOT_A_NUMBER),
        ("test_id", "\ud800", Reason.NOT_A_NUMBER),
        ("Unix Time / s", "yesterday", Reason.NOT_A_NUMBER),
        ("Unix Time / s", 1e300, Reason.NOT_A_NUMBER),
        ("step_index", math.inf, Reason.NOT_FINITE),
    ],
)
def test_a_value_that_the_worker_refuses_is_sent_and_refused_there(column: str, value: object, reason: Reason) -> None:
    bad = {name: kept for name, kept in reading(2).items() if name != "date_time" or column != "Unix Time / s"}
    body = arrived(read([reading(1), bad | {column: value}, reading(3)]))
    assert body.readings.column("data_point").to_pylist() == [1, 3]
    assert [(fault.row, fault.reason) for fault in body.faults] == [(1, reason)]


def test_a_number_that_is_none_is_sent_as_such_and_not_as_nothing() -> None:
    voltage = rows(read(reading(1, **{"voltage(v)": math.nan})))[0]["voltage(v)"]
    assert math.isnan(voltage)


def test_what_the_contract_does_not_know_is_sent_too_for_whoever_looks_at_a_refused_reading() -> None:
    (message,) = sent(read(reading(1, mood="good")))
    assert json.loads(message.value)[0]["mood"] == "good"


def test_messages_keep_to_what_broker_and_worker_take() -> None:
    posted = read([reading(point) for point in range(1, 101)])
    size = len(as_json(reading(100)))
    by_worker = Limits(rows=7), Limits(size=80 * size)
    for cut in (sent(posted, 10 * size), *(sent(posted, limits=limits) for limits in by_worker)):
        assert len(cut) > 9
        bodies = [read_json(message.value, LIMITS) for message in cut]
        points = [point for body in bodies for point in body.readings.column("data_point").to_pylist()]
        assert points == list(range(1, 101))
        assert sum(message.rows for message in cut) == 100
    assert all(len(message.value) <= 10 * size for message in sent(posted, 10 * size))
    assert all(message.rows <= 7 for message in sent(posted, limits=Limits(rows=7)))


def test_a_reading_that_no_message_takes_and_too_many_readings_are_refused_with_the_limit() -> None:
    with pytest.raises(TooLargeBodyError, match=r"a reading of cell 'CELL_1' takes .* more than the 5000 of a message"):
        sent(read(reading(1, mood="x" * 6000)), 5000)
    with pytest.raises(TooLargeBodyError, match="the body has 3 readings, more than 2; send fewer at a time"):
        read([reading(point) for point in (1, 2, 3)], most_rows=2)
