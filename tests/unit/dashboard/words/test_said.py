"""What readers said of a cell's tests, as the page and the report show it."""

from __future__ import annotations

import pyarrow as pa
import pytest

from dashboard.words.said import assumed_rows, stated_rows


@pytest.mark.parametrize(
    ("assumptions", "rows"),
    [
        ([None, None], []),
        (["turned", "turned"], [("turned", "all 2")]),
        (["turned\nguessed", "turned"], [("turned", "all 2"), ("guessed", "T0")]),
        ([None, "zoned", "zoned"], [("zoned", "T1, T2")]),
        (["turned"], [("turned", "the only one")]),
    ],
)
def test_each_assumption_stands_once_with_its_tests(assumptions: list[str | None], rows: list[tuple[str, str]]) -> None:
    tests = pa.table(
        {
            "test_id": [f"T{number}" for number in range(len(assumptions))],
            "assumptions": pa.array(assumptions, pa.string()),
        }
    )
    assert [tuple(row.values()) for row in assumed_rows(tests)] == rows


def test_marts_of_an_earlier_version_assume_and_state_nothing() -> None:
    assert assumed_rows(pa.table({"test_id": ["T0"]})) == []
    assert stated_rows({"cell_id": "A"}) == []


def test_what_files_state_is_a_row_a_key() -> None:
    assert stated_rows({"stated": None}) == []
    assert stated_rows({"stated": '{"channel":"1","mass_g":"4.5"}'}) == [
        {"stated": "channel", "value": "1"},
        {"stated": "active mass (g)", "value": "4.5"},
    ]
