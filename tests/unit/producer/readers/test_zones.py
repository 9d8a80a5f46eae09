"""What dates say of their time zone: each offset once, wherever it stands."""

from __future__ import annotations

import pyarrow as pa
import pytest

from producer.readers.zones import zone_of

WINTER, SUMMER = "2024-03-30T12:00:00+01:00", "2024-04-02T12:00:00+02:00"


@pytest.mark.parametrize(("summer", "after"), [(1, 0), (700, 0), (700, 900)], ids=["last", "late", "for a while"])
def test_an_offset_that_changes_is_found_wherever_it_does(summer: int, after: int) -> None:
    dates = pa.array([WINTER] * 3003 + [SUMMER] * summer + [WINTER] * after)
    assert zone_of(dates) == "UTC+01:00, UTC+02:00"


@pytest.mark.parametrize("offset", ["Z", "+00:00", "-00:00", "+0000", "+00"])
def test_an_offset_of_nothing_is_utc(offset: str) -> None:
    assert zone_of(pa.array([f"2024-03-30 12:00:00{offset}"])) == "UTC"


@pytest.mark.parametrize(("zone", "said"), [("Europe/Berlin", "UTC"), (None, "")])
def test_timestamps_with_a_zone_are_in_utc(zone: str | None, said: str) -> None:
    assert zone_of(pa.array([0], pa.timestamp("us", zone))) == said


@pytest.mark.parametrize("dates", [pa.array([], pa.string()), pa.array([None], pa.string()), pa.array([45_000.5])])
def test_dates_that_are_no_texts_or_none_say_nothing(dates: pa.Array) -> None:
    assert zone_of(dates) == ""
