"""Wall clocks: what numbers count from, and which number of a date is the day."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from producer.readers.sheets.cells import BadCellError
from producer.readers.sheets.clock import Clues, OpenDatesError
from producer.readers.tables.stamps import stamps_of

if TYPE_CHECKING:
    from collections.abc import Sequence

MOMENT = datetime(2014, 8, 6, 14, 25, 13)  # noqa: DTZ001  # wall clocks have no zone


def read(cells: Sequence[object], usual: str | None = None, order: str | None = None) -> list[datetime | None]:
    clues = Clues(np.arange(len(cells), dtype=np.float64), order=order)
    stamps: list[datetime | None] = stamps_of(pa.chunked_array([pa.array([*cells])]), clues, usual)[0].to_pylist()
    return stamps


@pytest.mark.parametrize(
    ("cell", "assumed"),
    [
        (1407335113, "Unix seconds, so UTC"),
        (1407335113.0, "Unix seconds, so UTC"),
        (1407335113000, "Unix milliseconds, so UTC"),
        (14073351130000000, "ticks of 1e-7 s since 1970, so UTC"),
        (735817.600844907, "days since the year 0, as MATLAB counts"),
        (41857.600844907, "days since 1900, as spreadsheets count"),
    ],
)
def test_what_a_number_counts_is_told_by_its_size_and_said(cell: float, assumed: str) -> None:
    stamps, said = stamps_of(pa.chunked_array([[cell]]), Clues(np.zeros(1)))
    assert abs((stamps[0].as_py() - MOMENT).total_seconds()) < 0.001
    assert said == f"Date_Time counts {assumed}"


def test_unix_seconds_keep_the_decimals_that_the_file_has() -> None:
    assert read([1494645243.4715])[0] == datetime(2017, 5, 13, 3, 14, 3, 471500)  # noqa: DTZ001


@pytest.mark.parametrize(
    "text",
    [
        "2014-08-06 14:25:13", "2014/08/06 14:25:13", "2014-08-06T14:25:13.000", "06.08.2014 14:25:13",
        "\t2014-08-06 14:25:13",
    ],
)  # fmt: skip
def test_a_date_that_can_be_read_one_way_is(text: str) -> None:
    assert read([text], usual="dmy") == [MOMENT]


def test_a_day_above_twelve_tells_the_order_of_the_whole_column() -> None:
    first = [datetime(2014, 8, 12, 23, 59, 59), datetime(2014, 8, 13)]  # noqa: DTZ001
    assert read(["08/12/2014 23:59:59", "08/13/2014 00:00:00"]) == first
    assert read(["12/08/2014 23:59:59", "13/08/2014 00:00:00"]) == first


def test_the_user_is_asked_before_the_usual_order_is_taken() -> None:
    assert read(["08/06/2014 14:25:13"], usual="mdy") == [MOMENT]
    assert read(["08/06/2014 14:25:13"], usual="mdy", order="dmy") == [datetime(2014, 6, 8, 14, 25, 13)]  # noqa: DTZ001


def test_an_open_order_is_an_error_where_the_format_has_no_usual_one() -> None:
    with pytest.raises(OpenDatesError, match="--dates"):
        read(["08/06/2014 14:25:13"])


def test_halves_of_a_day_are_read_and_an_hour_beyond_them_is_named() -> None:
    texts = ["8/16/2014 12:00:13 AM", "8/16/2014 1:00:13 am", "8/16/2014 12:00:13 PM", "08/16/2014 11:59:59 PM"]
    hours = [(stamp.day, stamp.hour, stamp.minute) for stamp in read(texts) if stamp is not None]
    assert hours == [(16, 0, 0), (16, 1, 0), (16, 12, 0), (16, 23, 59)]
    with pytest.raises(BadCellError) as error:
        read([*texts, "8/16/2014 13:00:00 PM"])
    assert error.value.index == 4


def test_an_empty_cell_has_no_stamp() -> None:
    assert read(["2014-08-06 14:25:13", ""]) == [MOMENT, None]


@pytest.mark.parametrize(
    ("cells", "index"),
    [
        (["2014-02-28 10:00:00", "2014-02-30 10:00:00"], 1),
        (["2014-08-06 14:25:13", "yesterday"], 1),
        (["2014-08-06 14:25:13", "2014-08-06 14:85:13"], 1),
        ([41857.5, 41857.6, 41857.7, 1e9], 3),
    ],
)
def test_a_cell_that_is_no_date_is_named_by_its_place(cells: list[object], index: int) -> None:
    with pytest.raises(BadCellError) as error:
        read(cells)
    assert error.value.index == index


@pytest.mark.parametrize(
    ("dates", "order"), [(("1/3/2019", "1/3/2019", "1/5/2019"), "month"), (("1/3/2019", "1/3/2019", "3/3/2019"), "day")]
)
def test_dates_that_leap_by_months_in_one_order_have_the_other_even_where_a_test_has_paused(
    dates: tuple[str, ...], order: str
) -> None:
    cells = pa.chunked_array(
        [[f"{date} {clock} PM" for date, clock in zip(dates, ("1:00", "6:00", "4:00"), strict=True)]]
    )
    hours = np.array([0.0, 5.0, 32.0])
    stamps, said = stamps_of(cells, Clues(3600 * hours))
    assert (stamps[2].as_py() - stamps[0].as_py()).total_seconds() == 51 * 3600
    assert said == f"Dates have the {order} first, since they would leap by months otherwise"
