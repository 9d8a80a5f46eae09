from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.cycle.choice import ChoiceError, Named, Range, choose_cycles, parse_choice


def cycles(count: int = 120, **columns: Any) -> pa.Table:
    made = {
        "cycle_number": pa.array(range(1, count + 1), pa.int32()),
        "is_complete": pa.array([True] * count, pa.bool_()),
        "is_reference_test": pa.array([False] * count, pa.bool_()),
    }
    return pa.table(made | columns)


def chosen(text: str, table: pa.Table | None = None) -> list[int]:
    return list(choose_cycles(parse_choice(text), cycles() if table is None else table).numbers)


def lacking(text: str, table: pa.Table | None = None) -> list[str]:
    return list(choose_cycles(parse_choice(text), cycles() if table is None else table).lacking)


def test_numbers_ranges_and_steps_are_read_in_any_order_and_each_cycle_comes_once() -> None:
    assert chosen("100, 50-100:10, 1, 50, 200") == [1, 50, 60, 70, 80, 90, 100]
    assert chosen(" 7 ;9\u201311 ,, ") == [7, 9, 10, 11]
    assert parse_choice("118-") == (Range(118, None),)
    assert chosen("118-") == [118, 119, 120]
    assert chosen("1-:50") == [1, 51, 101]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("first, middle, last", [1, 61, 120]),
        ("every 50", [1, 51, 101]),
        ("Every  50th", [1, 51, 101]),
        ("spread 3", [1, 61, 120]),
        ("spread 1", [1]),
        ("spread 500, all", list(range(1, 121))),
    ],
)
def test_words_choose_over_the_whole_life(text: str, expected: list[int]) -> None:
    assert chosen(text) == expected


def test_words_pass_over_cycles_cut_short_and_reference_tests() -> None:
    table = cycles(
        6,
        is_complete=[False, True, True, True, True, False],
        is_reference_test=[False, True, False, False, False, False],
    )
    assert chosen("first, last", table) == [3, 5]
    assert chosen("reference tests", table) == [2]
    assert chosen("all", table) == [1, 2, 3, 4, 5, 6]
    assert chosen("first", cycles(3, is_complete=[False] * 3)) == [1]
    assert chosen("first, every 2, spread 4", cycles(0)) == []


def test_what_a_cell_lacks_is_said_in_spans() -> None:
    assert lacking("1, 200") == ["200"]
    assert lacking("50-200:10") == ["130 to 200"]
    assert lacking("115-125") == ["121 to 125"]
    assert lacking("118-122:3") == ["121"]
    assert lacking("300-400") == ["300 to 400"]
    assert lacking("200-") == ["200 and later"]
    assert lacking("reference") == ["reference tests"]
    gaps = cycles(4, cycle_number=pa.array([1, 2, 5, 9], pa.int32()))
    assert lacking("1-9", gaps) == ["3 to 4, 6 to 8"]
    assert lacking("spread 10, every 3, all, 1-120") == []


@given(st.integers(1, 200), st.integers(0, 200), st.integers(1, 40))
def test_a_range_is_what_counting_gives_and_what_is_lacking_is_the_rest(first: int, more: int, step: int) -> None:
    wanted = range(first, first + more + 1, step)
    assert chosen(f"{first}-{first + more}:{step}") == [number for number in wanted if number <= 120]
    assert bool(lacking(f"{first}-{first + more}:{step}")) == any(number > 120 for number in wanted)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "No cycle is chosen"),
        (" , ", "No cycle is chosen"),
        ("1, 5o-60", '"5o-60" is no choice of cycles'),
        ("-5", '"-5" is no choice'),
        ("100-50", "ends before it begins: write 50-100"),
        ("0", "numbered from 1"),
        ("1-10:0", "a step of 0"),
        ("50:10", "has a step but no end: write for example 50-150:10"),
        ("every 0", "chooses nothing"),
        ("every", "every 50"),
        ("1" * 3_000, "more than 2,000 letters"),
        ("1" * 30, "is no choice"),
    ],
)
def test_what_cannot_be_understood_is_named_with_what_can_be_written(text: str, said: str) -> None:
    with pytest.raises(ChoiceError, match=said):
        parse_choice(text)


def test_a_huge_range_costs_nothing() -> None:
    assert chosen("1-999999999") == list(range(1, 121))
    assert lacking("1-999999999") == ["121 to 999999999"]
    assert parse_choice("every 999999999") == (Named("every", 999_999_999),)
