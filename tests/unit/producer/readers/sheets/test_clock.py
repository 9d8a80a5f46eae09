"""Clocks of columns that do not hold dates alone, and which number of a date is the day."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.readers.sheets.cells import BadCellError
from producer.readers.sheets.clock import Clues, OpenDatesError, clocks_of, require_clock, require_days_as_days

if TYPE_CHECKING:
    from collections.abc import Sequence

MARCH = datetime(2024, 3, 10, 20, 1)  # noqa: DTZ001  # a cycler's wall clock has no zone
DMY, MDY = "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S"


def texts(form: str, start: datetime = MARCH, hours: float = 1.0, count: int = 9) -> list[str]:
    return [(start + timedelta(hours=hours * step)).strftime(form) for step in range(count)]


def clues(cells: Sequence[object], hours: float = 1.0, **more: Any) -> Clues:
    return Clues(np.arange(len(cells), dtype=np.float64) * 3600.0 * hours, **more)


def read(cells: Sequence[object], hours: float = 1.0, **more: Any) -> list[datetime | None]:
    return clocks_of(cells, clues(cells, hours, **more))[0]


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-10 20:01:00",
        "2024-03-10T20:01:00+01:00",
        "2024-03-10 20:01:00 Z",
        "2024/03/10 20:01:00",
        "2024/3/10 20:01",
        "2024.03.10 20:01:00",
        "2024/03/10 20:01:00 +0100",
        "2024/03/10 20:01:00 UTC",
        "2024/03/10 08:01:00 PM",
        "2024/03/10 8:01:00 p.m.",
        "10-Mar-2024 20:01:00",
        "10 March 2024 20:01:00",
        "Mar 10, 2024 20:01:00",
        "10-Mar-24 8:01 PM",
    ],
)
def test_a_text_that_says_which_number_is_what_is_read(text: str) -> None:
    assert read([text]) == [MARCH]


@pytest.mark.parametrize(
    ("text", "stamp"),
    [
        ("2024/03/10 20:01:00.5", MARCH + timedelta(seconds=0.5)),
        ("2024/03/10 20:01:00,123456789", MARCH + timedelta(microseconds=123456)),
        ("2024/03/10 12:01:00 AM", MARCH.replace(hour=0)),
        ("2024/03/10 12:01:00 PM", MARCH.replace(hour=12)),
        ("2024/03/10", MARCH.replace(hour=0, minute=0)),
        ("", None),
        (date(2024, 3, 10), MARCH.replace(hour=0, minute=0)),
    ],
)
def test_fractions_halves_of_a_day_and_days_alone_are_read(text: object, stamp: datetime | None) -> None:
    assert read([text]) == [stamp]


@pytest.mark.parametrize("mark", ["/", "-"])
@pytest.mark.parametrize(("form", "order"), [(DMY, "dmy"), (MDY, "mdy")])
def test_a_day_above_12_tells_the_order_of_the_whole_column(form: str, order: str, mark: str) -> None:
    start = datetime(2024, 3, 12, 20)  # noqa: DTZ001
    cells = [text.replace("/", mark) for text in texts(form, start)]
    assert clocks_of(cells, clues(cells)) == (read(texts("%Y-%m-%d %H:%M:%S", start)), order)


@pytest.mark.parametrize(("form", "order"), [(DMY, "dmy"), (MDY, "mdy")])
def test_a_clock_that_goes_on_as_test_time_does_tells_the_order(form: str, order: str) -> None:
    cells = texts(form)  # from the 10th to the 11th: the wrong order leaps by a month
    assert clocks_of(cells, clues(cells)) == (read(texts("%Y-%m-%d %H:%M:%S")), order)


def test_drift_and_summer_time_tell_nothing_against_an_order() -> None:
    start = datetime(2024, 10, 1, 12)  # noqa: DTZ001
    week = [start + timedelta(seconds=(3600 + 65 / 168) * hour) for hour in range(168)]
    set_forward = [stamp + timedelta(hours=1 if number > 5 else 0) for number, stamp in enumerate(week)]
    set_back = [stamp - timedelta(hours=1 if number > 90 else 0) for number, stamp in enumerate(week)]
    for stamps in (week, set_forward, set_back):
        assert clocks_of([f"{stamp:{DMY}}" for stamp in stamps], clues(stamps))[1] == "dmy"


@given(
    start=st.datetimes(datetime(2001, 1, 1), datetime(2068, 1, 1)),  # noqa: DTZ001
    minutes=st.lists(st.integers(0, 3 * 1440), min_size=1, max_size=12),
    form=st.sampled_from([DMY, MDY, "%d/%m/%y %H:%M:%S", "%m/%d/%y %H:%M:%S", "%y/%m/%d %H:%M:%S"]),
    drift=st.floats(-1e-4, 1e-4),
)
def test_a_column_is_read_as_it_was_written_or_refused(
    start: datetime, minutes: list[int], form: str, drift: float
) -> None:
    times = np.cumsum([0, *minutes]) * 60.0
    stamps = [start.replace(microsecond=0) + timedelta(seconds=round(second * (1 + drift))) for second in times]
    with suppress(OpenDatesError):
        assert clocks_of([f"{stamp:{form}}" for stamp in stamps], Clues(times))[0] == stamps


@pytest.mark.parametrize("form", [DMY, MDY])
def test_a_test_that_pauses_for_a_month_leaves_the_order_open(form: str) -> None:
    # The first of March and of April; with day and month exchanged it is a pause of a day.
    cells = [f"{datetime(2024, month, 1, 10 + hour):{form}}" for month in (3, 4) for hour in (0, 1)]  # noqa: DTZ001
    with pytest.raises(OpenDatesError):
        read(cells)
    assert clocks_of(cells, clues(cells, order="mdy" if form == MDY else "dmy"))[0][2] == datetime(2024, 4, 1, 10)  # noqa: DTZ001


def stamps_of(days: Sequence[tuple[int, int]]) -> pa.ChunkedArray:
    """Four readings an hour apart on each of some days, as month and day."""
    stamps = [datetime(2024, month, day, 20 + hour) for month, day in days for hour in range(4)]  # noqa: DTZ001
    return pa.chunked_array([pa.array(stamps, pa.timestamp("us"))])


def test_dates_that_go_on_with_day_and_month_exchanged_alone_are_refused() -> None:
    clock, times = stamps_of([(10, 3), (11, 3)]), np.array([0, 1, 2, 3, 24, 25, 26, 27]) * 3600.0
    with pytest.raises(
        BadCellError, match="2024-11-03 20:00:00 leaps from 2024-10-03 23:00:00, and would go on"
    ) as caught:
        require_days_as_days(clock, times)
    assert caught.value.index == 4


@pytest.mark.parametrize("days", [[(3, 10), (3, 11)], [(3, 1), (4, 1)], [(3, 1), (9, 17)], [(5, 5), (7, 7)]])
def test_dates_that_go_on_or_only_pause_are_taken(days: list[tuple[int, int]]) -> None:
    require_days_as_days(stamps_of(days), np.array([0, 1, 2, 3, 4, 5, 6, 7]) * 3600.0)


def clock_of(stamps: Sequence[datetime | None]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(stamps, pa.timestamp("us"))])


@pytest.mark.parametrize("count", [24, 60])
def test_a_clock_that_has_lost_am_and_pm_is_refused(count: int) -> None:
    shown = [datetime.strptime(text, "%Y-%m-%d %H:%M:%S") for text in texts("%Y-%m-%d %I:%M:%S", count=count)]  # noqa: DTZ007
    with pytest.raises(
        BadCellError, match=r"2024-03-11 01:01:00 is half a day before .* it has lost AM and PM"
    ) as caught:
        require_clock(clock_of(shown), np.arange(count, dtype=np.float64) * 3600.0)
    assert caught.value.index == 5


def test_a_clock_with_all_its_hours_may_fall_by_half_a_day() -> None:
    stamps = [MARCH + timedelta(hours=hour - 12 * (hour > 30)) for hour in range(48)]
    require_clock(clock_of(stamps), np.arange(48, dtype=np.float64) * 3600.0)


@pytest.mark.parametrize("year", [1, 1900, 1969, 2200])
def test_a_year_in_which_nothing_was_measured_is_refused(year: int) -> None:
    clock = clock_of([MARCH, None, MARCH.replace(year=year)])
    with pytest.raises(BadCellError, match=f"is in the year {year}, when nothing was measured") as caught:
        require_clock(clock, np.arange(3, dtype=np.float64) * 3600.0)
    assert caught.value.index == 2


@pytest.mark.parametrize("text", ["10 marras 2024 20:01:00", "10 marmalade 2024 20:01:00"])
def test_a_month_of_another_language_is_not_taken_for_the_one_that_begins_alike(text: str) -> None:
    with pytest.raises(BadCellError, match="is not a date and time"):
        read([text])


def test_dots_stand_behind_the_day() -> None:
    assert read(["10.03.2024 20:01:00"]) == [MARCH]
    assert read(["10. 3. 2024 20:01"]) == [MARCH]
    with pytest.raises(BadCellError, match="cannot be a date in the same order") as caught:
        read(["10.03.2024 20:01:00", "10.13.2024 20:01:00"])
    assert caught.value.index == 1


def test_years_of_two_digits_may_stand_first_too() -> None:
    assert read(texts("%m/%d/%y %H:%M:%S", MARCH.replace(day=25))) == read(
        texts("%Y-%m-%d %H:%M:%S", MARCH.replace(day=25))
    )
    assert read(texts("%y-%m-%d %H:%M:%S")) == read(texts("%Y-%m-%d %H:%M:%S"))
    with pytest.raises(OpenDatesError, match="may be 2024-03-10 or 2024-10-03 or 2010-03-24"):
        read(["10/03/24 20:01:00"])


def test_where_nothing_decides_it_is_refused_with_the_choice_and_the_choice_is_kept() -> None:
    cells = texts(DMY, hours=0.1)
    with pytest.raises(OpenDatesError) as caught:
        read(cells, 0.1)
    assert caught.value.index == 0
    assert str(caught.value) == (
        "'10/03/2024 20:01:00' may be 2024-03-10 or 2024-10-03, and nothing in the column decides; produce it again "
        "with --dates dmy (day first) or --dates mdy (month first), or with DATE_ORDER set so for a watched folder"
    )
    assert read(cells, 0.1, order="dmy")[0] == MARCH
    assert read(cells, 0.1, order="mdy")[0] == datetime(2024, 10, 3, 20, 1)  # noqa: DTZ001


def test_a_date_that_is_the_same_in_every_order_is_no_question() -> None:
    assert read(["03/03/2024 20:01:00"]) == [datetime(2024, 3, 3, 20, 1)]  # noqa: DTZ001


def test_a_choice_that_the_column_contradicts_is_refused() -> None:
    with pytest.raises(
        BadCellError, match=r"'13/03/2024 01:00:00' is not a date with the month first, as --dates"
    ) as caught:
        read(["12/03/2024 20:00:00", "13/03/2024 01:00:00"], order="mdy")
    assert caught.value.index == 1


@pytest.mark.parametrize(
    ("text", "exported", "order"),
    [
        ("10/03/2024 20:01:00", (24, 3, 10), "dmy"),
        ("10/03/2024 20:01:00", (24, 3, 20), "dmy"),
        ("03/10/2024 20:01:00", (24, 3, 20), "mdy"),
        ("10/03/2024 20:01:00", (24, 10, 7), "mdy"),
        ("10/03/2024 20:01:00", (24, 10, 3), None),  # of a house that writes the day first everywhere?
        ("10/03/2024 20:01:00", (24, 12, 30), None),
        ("10/03/2024 20:01:00", (0, 0, 0), None),
    ],
)
def test_the_date_in_the_name_decides_where_one_order_alone_fits_it(
    text: str, exported: tuple[int, int, int], order: str | None
) -> None:
    if order is None:
        with pytest.raises(OpenDatesError):
            read([text], exported=exported)
    else:
        assert clocks_of([text], clues([text], exported=exported))[1] == order


def test_dates_beside_texts_that_they_do_not_go_on_with_are_refused() -> None:
    mixed: list[object] = [*texts(DMY, datetime(2024, 3, 12, 20))]  # noqa: DTZ001
    mixed[:4] = [datetime(2024, 12, 3, 20 + hour) for hour in range(4)]  # noqa: DTZ001  # as a spreadsheet took them
    with pytest.raises(BadCellError, match="'13/03/2024 00:00:00' does not go on from the reading before it") as caught:
        read(mixed)
    assert caught.value.index == 4
    mixed[:4] = [datetime(2024, 3, 12, 20 + hour) for hour in range(4)]  # noqa: DTZ001
    assert read(mixed) == read(texts("%Y-%m-%d %H:%M:%S", datetime(2024, 3, 12, 20)))  # noqa: DTZ001


def test_dates_of_two_orders_are_refused_where_they_contradict() -> None:
    with pytest.raises(BadCellError, match=r"'03/14/2024 01:00:00' cannot be a date in the same order") as caught:
        read(["13/03/2024 00:00:00", "03/14/2024 01:00:00"])
    assert caught.value.index == 1


def test_numbers_of_days_count_from_the_workbooks_epoch() -> None:
    assert read([45361.834027777775, timedelta(days=45361.834027777775)]) == [MARCH, MARCH]
    assert read([43890.37569444445], since_1904=True) == [datetime(2024, 3, 1, 9, 1)]  # noqa: DTZ001
    assert read([45352]) == [datetime(2024, 3, 1)]  # noqa: DTZ001


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (735817.6, "735817.6 as a number of days is in the year 3914"),  # MATLAB's
        (60.0, "60.0 as a number of days is in the year 1900"),
        (1499006353.0, "is not a valid date"),  # Unix seconds
        (time(9, 1), "'09:01:00' is not a date and time"),
        ("yesterday", "'yesterday' is not a date and time"),
        ("13:00 PM 2024/03/10", "is not a date and time"),
        ("2024/03/10 13:01:00 PM", "is not a date and time"),
        ("2024/02/30 13:01:00", "is not a date and time"),
        ("10-Foo-2024", "is not a date and time"),
        ("10/03-2024", "is not a date and time"),
        (True, "'True' is not a date and time"),
    ],
)
def test_what_is_no_clock_is_refused(cell: object, said: str) -> None:
    with pytest.raises(BadCellError, match=said):
        read([cell])
