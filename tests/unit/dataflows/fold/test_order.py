"""A glitch of one number costs the reading that has it: what leaps is refused, and the rest of its test lands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from support.builders import STARTED, arrow, reading
from support.generated import retry
from support.landed import clean_cell, fold

from dataflows.fold.state import CellState
from kernel.contract.reading import COUNTERS, LEAPS, Quality

COUNT = 40


def charge(count: int = COUNT, seconds: float = 10.0, **changes: Any) -> list[dict[str, Any]]:
    """A charge at 1 A."""
    return [
        reading(
            point,
            **{
                "test_time(s)": seconds * point,
                "date_time": STARTED + timedelta(seconds=seconds * point),
                "current(a)": 1.0,
                "charge_capacity(ah)": point / 100,
            }
            | changes,
        )
        for point in range(1, count + 1)
    ]


def folded(rows: list[dict[str, Any]], size: int = COUNT) -> tuple[list[int], list[tuple[int, str]]]:
    """What landed, by data point, and what was refused, by row and reason; some rows a call."""
    calls = [[arrow(rows[at : at + size], offset=at)] for at in range(0, len(rows), size)]
    results = fold(calls)
    landed = [point for result in results for point in result.landed.column("data_point").to_pylist()]
    refused = [
        (row["offset"] + row["row"], row["reason"]) for result in results for row in result.quarantined.to_pylist()
    ]
    return landed, refused


@pytest.mark.parametrize("size", [1, 7, COUNT])
@pytest.mark.parametrize("place", [0, 1, 20, COUNT - 1])
@pytest.mark.parametrize(
    "glitch",
    [
        {"data_point": 2**32 - 1},
        {"data_point": 2**53 - 1},
        {"test_time(s)": 4_294_967_295.0 / 10},
    ],
)
def test_a_number_that_leaps_costs_its_reading_alone(glitch: dict[str, Any], place: int, size: int) -> None:
    rows = charge()
    rows[place] |= glitch
    landed, refused = folded(rows, size)
    assert landed == [point for point in range(1, COUNT + 1) if point != place + 1]
    assert refused == [(place, "out_of_range")]


def test_other_leaps_are_found_as_well() -> None:
    both = {"data_point": 2**32 - 1, "test_time(s)": 4_294_967.0}
    for glitch in ({"data_point": 65_535}, {"test_time(s)": 20_000.0}, {"test_time(s)": 4_294_967.0}, both):
        rows = charge()
        rows[20] |= glitch
        assert folded(rows)[1] == [(20, "out_of_range")]


def test_the_refusal_says_what_leaps() -> None:
    rows = charge()
    rows[20]["data_point"] = 2**32 - 1
    result = clean_cell(CellState(), [arrow(rows)])
    assert result is not None
    (row,) = result.quarantined.to_pylist()
    assert row["detail"] == (
        "data_point is 4294967295 and test_time(s) 210.0: one of them leaps far away from the other, or from date_time"
    )
    assert '"data_point": 4294967295' in row["payload"]


@pytest.mark.parametrize(
    "changes",
    [
        {"seconds": 1_181.0},
        {"seconds": 8 * 3_600.0},
        {"seconds": 14 * 86_400.0},
        {"seconds": 0.001},
        {"date_time": None},
        {"date_time": STARTED},
        {"seconds": 86_400.0, "date_time": None},
        {"seconds": 86_400.0, "date_time": STARTED},
    ],
)
def test_a_test_that_goes_on_evenly_lands_whole(changes: dict[str, Any]) -> None:
    assert folded(charge(**changes)) == ([*range(1, COUNT + 1)], [])


def test_a_pause_that_the_wall_clock_knows_of_is_no_leap() -> None:
    rows = charge()
    for row in rows[20:]:
        row["test_time(s)"] += 30 * 86_400
        row["date_time"] += timedelta(days=30)
    assert folded(rows)[1] == []


def test_readings_that_are_missing_are_no_leap() -> None:
    rows = charge(3_000, seconds=0.01)
    assert folded([*rows[:20], *rows[2_980:]])[1] == []


@pytest.mark.parametrize("change", [{"data_point": 10**9}, {"test_time(s)": 1e7}])
def test_a_leap_that_goes_on_is_believed_after_two_readings(change: dict[str, float]) -> None:
    ((name, further),) = change.items()
    rows = charge()
    for row in rows[20:]:
        row[name] += further
    landed, refused = folded(rows)
    assert refused == [(20, "out_of_range"), (21, "out_of_range")]
    assert len(landed) == COUNT - 2


@pytest.mark.parametrize("begin", [0, 1_700_000_000, 1_700_000_000_000_000])
def test_a_test_that_numbers_its_readings_by_a_clock_loses_two_of_them_at_most(begin: int) -> None:
    each = 10_000_000 if begin != 1_700_000_000 else 10
    rows = charge()
    for place, row in enumerate(rows):
        row["data_point"] = begin + each * place
    landed, refused = folded(rows, 7)
    assert len(refused) <= 2
    assert len(landed) + len(refused) == COUNT


def test_a_clock_that_leaps_is_flagged_and_costs_nothing() -> None:
    rows = charge()
    rows[20]["date_time"] = STARTED.replace(year=2106)
    assert folded(rows) == ([*range(1, COUNT + 1)], [])


def test_a_leap_may_be_mended_and_published_again() -> None:
    rows = charge()
    mended = dict(rows[20])
    rows[20]["data_point"] = 2**32 - 1
    results = fold([[arrow(rows)], [retry(mended, COUNT)]])
    assert results[1].landed.column("data_point").to_pylist() == [21]


@pytest.mark.parametrize("name", ["charge_capacity(ah)", "discharge_capacity(ah)", "charge_energy(wh)"])
@pytest.mark.parametrize("glitch", [99_999.0, -99_999.0])
@pytest.mark.parametrize("size", [1, 7, COUNT])
def test_a_counter_that_leaps_is_no_measurement_and_no_capacity(name: str, glitch: float, size: int) -> None:
    rows = charge()
    for point, row in enumerate(rows, start=1):
        row[name] = point / 100
    rows[20][name] = glitch
    results = fold([[arrow(rows[at : at + size], offset=at)] for at in range(0, COUNT, size)])
    values = [value for result in results for value in result.landed.column(name).to_pylist()]
    assert values == [None if place == 20 else (place + 1) / 100 for place in range(COUNT)]
    quality = [value for result in results for value in result.landed.column("quality").to_pylist()]
    leapt = Quality.VALUE_DROPPED | Quality.COUNTER_LEAP | LEAPS[COUNTERS.index(name)]
    assert quality == [leapt if place == 20 else 0 for place in range(COUNT)]
    column = name.replace("(ah)", "_pah").replace("(wh)", "_pwh")
    assert sum(part[column] or 0 for result in results for part in result.cycles.to_pylist()) == COUNT * 10**10


def test_a_counter_may_move_as_far_as_the_current_of_its_test_could_have_moved_it() -> None:
    rows = charge(seconds=3_600.0)
    for point, row in enumerate(rows, start=1):
        row["charge_capacity(ah)"] = 50.0 * point
        row["current(a)"] = 1.0 if point == 1 else 0.0
    values = fold([[arrow(rows)]])[0].landed.column("charge_capacity(ah)").to_pylist()
    assert values == [50.0 * point for point in range(1, COUNT + 1)]
