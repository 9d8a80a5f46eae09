"""Numbers out of texts of few shapes: what they are, and that a text that has none is not passed over."""

from __future__ import annotations

import pyarrow as pa
import pytest

from producer.readers.tables.digits import MOST_SHAPES, numbers_in, sums_in

PATTERN = r"(?P<h>\d+):(?P<m>\d\d)(?:\.(?P<f>\d+))?"


def numbers(*texts: str) -> list[tuple[int, ...]] | None:
    found = numbers_in(pa.array(texts), PATTERN, {"f": 3})
    return None if found is None else list(zip(*(column.tolist() for column in found.values()), strict=True))


def test_texts_of_several_lengths_and_shapes_are_read_in_their_order() -> None:
    assert numbers("1:05", "10:30.5", "2:06", "1:05.25") == [(1, 5, 0), (10, 30, 500), (2, 6, 0), (1, 5, 250)]


@pytest.mark.parametrize("odd", ["x:05", "1;05", "", "105"])
@pytest.mark.parametrize("place", [0, 1])
def test_one_text_that_has_no_such_shape_is_noticed_wherever_it_stands(odd: str, place: int) -> None:
    texts = ["1:05", "2:06"]
    texts.insert(place, odd)
    assert numbers(*texts) is None


def test_texts_of_too_many_shapes_are_none() -> None:
    assert numbers(*(f"{'1' * length}:05" for length in range(1, MOST_SHAPES + 2))) is None


def test_texts_of_a_slice_are_read_from_its_first_on() -> None:
    found = numbers_in(pa.array(["9:59", "1:05", "10:30"]).slice(1), PATTERN)
    assert found is not None
    assert (found["h"].tolist(), found["m"].tolist()) == ([1, 10], [5, 30])


def test_sums_hold_what_one_of_their_parts_would_not() -> None:
    texts = pa.array(["1:05.5", "9999999:30", "0:00"])
    sums = sums_in(texts, PATTERN, {"h": 3600, "m": 60}, {"f": 1}, limits={"m": 59}, decimals={"f": 9})
    assert sums is not None
    assert [column.tolist() for column in sums] == [[3900, 35_999_998_200, 0], [500_000_000, 0, 0]]


@pytest.mark.parametrize("odd", ["1:60", "x:05"])
def test_a_number_beyond_its_limit_or_no_number_has_no_sum(odd: str) -> None:
    assert sums_in(pa.array(["1:59", odd]), PATTERN, {"m": 60}, limits={"m": 59}) is None


@pytest.mark.parametrize("digits", range(1, 19))
def test_a_number_of_any_digits_that_a_whole_number_holds_is_itself(digits: int) -> None:
    largest = 10**digits - 1
    found = numbers_in(pa.array([f"{largest}", f"{largest // 2 + 10 ** (digits - 1)}"[:digits]]), r"(?P<n>\d+)")
    assert found is not None
    assert found["n"][0] == largest


def test_a_text_that_is_longer_than_any_date_has_no_numbers() -> None:
    assert numbers(f"{'1' * 255}:05") is None


def test_an_empty_text_has_no_numbers_even_where_the_pattern_takes_it() -> None:
    assert numbers_in(pa.array(["", "1"]), r"(?P<n>\d*)") is None
