"""Durations as cyclers and spreadsheets write them."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import numpy as np
import pyarrow as pa
import pytest

from producer.readers.sheets.cells import BadCellError
from producer.readers.sheets.duration import clock_seconds, seconds_of


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        (timedelta(hours=26, seconds=4.5), 93604.5),
        (time(2, 3, 4, 500_000), 7384.5),
        ("26:03:04.5", 93784.5),
        ("26:03:04,5", 93784.5),
        ("6-14:26:49", 570409.0),
        ("1d 02:03:04", 93784.0),
        ("  0d 00:00:10.00", 10.0),
        ("1 day, 2:03:04", 93784.0),
        ("2 days 02:03:04", 180184.0),
        ("1 02:03:04", 93784.0),
        ("", None),
        (0.0, 0.0),
    ],
)
def test_a_duration_is_so_many_seconds(cell: object, seconds: float | None) -> None:
    assert seconds_of([cell], since_1904=False) == [seconds]


@pytest.mark.parametrize(
    ("cell", "since_1904", "days"),
    [
        (date(1900, 1, 1), False, 1.0),
        (datetime(1900, 1, 1, 6), False, 1.25),  # noqa: DTZ001  # a duration has no zone
        (datetime(1900, 2, 27, 6), False, 58.25),  # noqa: DTZ001
        (datetime(1900, 3, 1, 6), False, 61.25),  # noqa: DTZ001  # spreadsheets believe in a 29 February before it
        (date(1904, 1, 2), True, 1.0),
        (datetime(1904, 3, 1, 6), True, 60.25),  # noqa: DTZ001
    ],
)
def test_a_duration_of_days_that_a_sheet_shows_as_a_date_is_counted_as_spreadsheets_do(
    cell: date, since_1904: bool, days: float
) -> None:
    assert seconds_of([cell], since_1904=since_1904) == [days * 86_400]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (datetime(1900, 2, 28, 12), "1900-02-28T12:00:00 may be 59 days or 60"),  # noqa: DTZ001
        (datetime(2024, 3, 1), "2024-03-01T00:00:00 is not a duration of a test"),  # noqa: DTZ001
        (timedelta(seconds=-1), "is not a duration of a test"),
        (60.0, r"60.0 is not a duration, as other cells of the column are"),
        ("26:03", "'26:03' is not a duration"),
        ("1:02:03:04", "is not a duration"),
        ("1d 26:03:04", "is not a duration"),
        ("00:61:00", "is not a duration"),
        ("-00:01:00", "is not a duration"),
    ],
)
def test_what_is_none_or_may_be_several_is_refused(cell: object, said: str) -> None:
    with pytest.raises(BadCellError, match=said) as caught:
        seconds_of(["00:00:00", cell], since_1904=False)
    assert caught.value.index == 1


@pytest.mark.parametrize("decimals", range(10))
def test_texts_of_clocks_alone_are_the_same_seconds_as_cell_by_cell_to_the_last_bit(decimals: int) -> None:
    random = np.random.default_rng(decimals)
    numbers = random.integers(0, [3, 2, 60, 10**decimals], (300, 4)).tolist()
    texts = [
        f"{hour:02}:{minute:02}:{second:02}" + (f".{part:0{decimals}}" if decimals else "")
        for hour, minute, second, part in numbers
    ]
    seconds = clock_seconds(pa.array(texts))
    assert seconds is not None
    assert seconds.tolist() == seconds_of(texts, since_1904=False)


@pytest.mark.parametrize("text", ["", "1d 02:03:04", "00:61:00", "00:00:60", "26:03", "x"])
def test_a_text_that_is_no_clock_leaves_the_column_to_be_taken_cell_by_cell(text: str) -> None:
    assert clock_seconds(pa.array(["00:00:01", text])) is None
