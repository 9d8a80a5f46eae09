"""Numbers out of texts of few shapes: what they are, and that a text that has none is not passed over."""

from __future__ import annotations

import pyarrow as pa
import pytest

from producer.readers.tables.digits import MOST_SHAPES, numbers_in

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
