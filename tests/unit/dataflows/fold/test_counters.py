"""No counter that leaps becomes a capacity, whatever shape its leap has; a reset stays a reset."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support.builders import STARTED, arrow, reading
from support.generated import BAD, retry
from support.landed import WINDOW_SECONDS, clean_cell, differing, fold, landed, state_of

from dataflows.fold.state import CellState, Tail
from kernel.contract.reading import COUNTER_NOISE, COUNTERS, Quality

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dataflows.fold.states import CellStates
    from kernel.contract.results import Cleaned

COUNT = 40
HOUR = 3_600
NAME = "charge_capacity(ah)"
AWAY = Quality.VALUE_DROPPED | Quality.COUNTER_LEAP | Quality.CHARGE_CAPACITY_LEAP
HERE = Quality.COUNTER_LEAP | Quality.CHARGE_CAPACITY_LEAP

Rows = list[dict[str, Any]]


def charge(seconds: float = 30.0, start: float = 0.0, **changes: Any) -> Rows:
    """A charge at 1 A and 3.7 V that the counters follow, after some Ah that were there before."""
    return [
        reading(
            point,
            **{
                "test_time(s)": seconds * point,
                "step_time(s)": seconds * point,
                "date_time": STARTED + timedelta(seconds=seconds * point),
                "current(a)": 1.0,
                NAME: start + seconds * point / HOUR,
                "charge_energy(wh)": 3.7 * (start + seconds * point / HOUR),
            }
            | changes,
        )
        for point in range(1, COUNT + 1)
    ]


def put(rows: Rows, values: Mapping[int, float | None], name: str = NAME) -> Rows:
    """The same with other values of a counter, by place."""
    return [row | ({name: values[place]} if place in values else {}) for place, row in enumerate(rows)]


def followed(rows: Rows, size: int = COUNT) -> list[Cleaned[CellStates]]:
    """What becomes of readings, some a call; what SQL recounts from the rows is the same."""
    results = fold([[arrow(rows[at : at + size], offset=at)] for at in range(0, len(rows), size)])
    with landed([results]) as connection:
        connection.execute(
            "insert into internal._writers values ('x', 1, ?, now(), 0, null, 'worker', null)", [WINDOW_SECONDS]
        )
        assert differing(connection) == (0, 0)
    return results


def gained(results: list[Cleaned[CellStates]], column: str = "charge_capacity_pah") -> float:
    """Ah or Wh that the cycles come to."""
    return sum(part[column] or 0 for result in results for part in result.cycles.to_pylist()) / 1e12


def column(results: list[Cleaned[CellStates]], name: str) -> list[Any]:
    return [value for result in results for value in result.landed.column(name).to_pylist()]


def shifted(rows: Rows, start: int, by: float) -> dict[int, float]:
    return {place: rows[place][NAME] + by for place in range(start, COUNT)}


SHAPES: dict[str, Callable[[Rows], Mapping[int, float | None]]] = {
    "up and back": lambda _: {20: 99_999.0},
    "down and back": lambda _: {20: -99_999.0},
    "up to stay": lambda rows: {**shifted(rows, 20, 99_999.0)},
    "down to stay": lambda rows: {**shifted(rows, 20, -99_999.0)},
    "at the first reading": lambda _: {0: 99_999.0},
    "from the first reading on": lambda rows: {**shifted(rows, 0, 99_999.0)},
    "at the last reading": lambda _: {COUNT - 1: 99_999.0},
    "several in a row": lambda _: {20: 99_999.0, 21: -5e4, 22: 77_777.0, 23: 99_999.0},
    "the same several times": lambda _: dict.fromkeys(range(20, 25), 99_999.0),
    "after a reading without the counter": lambda _: {19: None, 20: 99_999.0},
    "to zero and back": lambda _: {20: 0.0},
    "to zero for a while": lambda _: dict.fromkeys(range(20, 25), 0.0),
    "to zero and away": lambda _: {20: 0.0, 21: 99_999.0},
    "away and to stay elsewhere": lambda rows: {20: 99_999.0, **shifted(rows, 21, 500.0)},
}


@pytest.mark.parametrize(("seconds", "size"), [(10.0, COUNT), (30.0, COUNT), (30.0, 1)])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_leap_becomes_a_capacity(shape: str, seconds: float, size: int) -> None:
    rows = charge(seconds)
    results = followed(put(rows, SHAPES[shape](rows)), size)
    # Where all counters begin is no gain: who knows what was before.
    readings = COUNT - 1 if shape == "from the first reading on" else COUNT
    assert gained(results) == pytest.approx(readings * seconds / HOUR, abs=1e-9)
    assert any(value & Quality.COUNTER_LEAP for value in column(results, "quality"))


@pytest.mark.parametrize("size", [1, COUNT])
def test_a_leap_that_stays_lands_with_its_flag_and_gains_what_the_current_tells(size: int) -> None:
    rows = charge()
    rows[20]["current(a)"], rows[21]["current(a)"] = 0.5, 0.7
    results = followed(put(rows, shifted(rows, 20, 500.0)), size)
    assert column(results, "quality")[19:23] == [0, AWAY, HERE, 0]
    assert column(results, NAME)[20:22] == [None, rows[21][NAME] + 500]
    away, here = ((1.0 + 0.5) / 2, (0.5 + 0.7) / 2)
    expected = rows[19][NAME] + (away + here) * 30 / HOUR + rows[-1][NAME] - rows[21][NAME]
    assert gained(results) == pytest.approx(expected, abs=1e-11)


def test_a_leap_that_comes_back_costs_no_digit() -> None:
    results = followed(put(charge(), {20: 99_999.0}))
    assert column(results, "quality")[19:23] == [0, AWAY, 0, 0]
    assert gained(results) == round(COUNT * 30 / HOUR * 1e12) / 1e12


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_momentary_zero_gains_nothing(size: int) -> None:
    rows = charge()[:5]
    results = followed(put(rows, {0: 0.5 / 60, 1: 0.5, 2: 0.0, 3: 0.5, 4: 0.5}), size)
    assert gained(results) == 0.5
    assert column(results, "quality") == [0, 0, Quality.COUNTER_RESET, HERE, 0]


def test_energy_that_leaps_gains_current_times_voltage() -> None:
    rows = charge()
    name = "charge_energy(wh)"
    stays = {place: rows[place][name] + 1e5 for place in range(20, COUNT)}
    results = followed(put(rows, stays, name))
    assert column(results, "quality")[21] == Quality.COUNTER_LEAP | Quality.CHARGE_ENERGY_LEAP
    assert gained(results, "charge_energy_pwh") == pytest.approx(3.7 * COUNT * 30 / HOUR, abs=1e-9)
    assert gained(results) == pytest.approx(COUNT * 30 / HOUR, abs=1e-12)


def test_a_discharge_that_leaps_where_a_step_begins_gains_its_own_current_since_then() -> None:
    rows = charge()
    for place in range(20, COUNT):
        seconds = 30.0 * (place - 19) - 20
        rows[place] |= {"step_index": 2, "step_time(s)": seconds, "current(a)": -2.0, NAME: rows[19][NAME]}
        rows[place]["charge_energy(wh)"] = rows[19]["charge_energy(wh)"]
        rows[place]["discharge_capacity(ah)"] = 2.0 * seconds / HOUR
    name = "discharge_capacity(ah)"
    results = followed(put(rows, {place: rows[place][name] + 1e4 for place in range(20, COUNT)}, name))
    assert gained(results, "discharge_capacity_pah") == pytest.approx(rows[-1][name], abs=1e-11)


def test_before_any_current_a_counter_may_not_leap_either() -> None:
    rows = put(charge(**{"current(a)": 0.0, NAME: 0.0, "charge_energy(wh)": 0.0}), {5: 99_999.0, 6: 99_999.0})
    assert gained(followed(rows)) == 0.0


def test_counters_that_cyclers_start_anew_are_no_leaps() -> None:
    rows: Rows = []
    for cycle in range(1, 4):
        for place, value in enumerate((0.0, 0.5, 1.0, 1.0)):  # sparse: it is back where it was within a reading
            seconds = len(rows) * 1_800.0
            clock = STARTED + timedelta(seconds=seconds)
            rows.append(reading(len(rows) + 1, cycle_index=cycle, step_index=1 + place % 3, date_time=clock))
            rows[-1] |= {"test_time(s)": seconds, "step_time(s)": None, "current(a)": 1.0 if value else 0.0}
            rows[-1] |= {NAME: value, "charge_energy(wh)": None}
    for sparse in (rows, [row for row in rows if row[NAME] != 0.5]):
        results = followed(sparse)
        assert gained(results) == 3.0
        assert not any(value & Quality.COUNTER_LEAP for value in column(results, "quality"))


def test_a_cut_whose_counters_begin_high_gains_from_there() -> None:
    rows = [row | {"test_time(s)": row["test_time(s)"] + 9_000, "date_time": None} for row in charge(start=0.88)]
    results = followed(rows)
    assert gained(results) == pytest.approx(39 * 30 / HOUR, abs=1e-11)
    assert not any(value & Quality.COUNTER_LEAP for value in column(results, "quality"))


@pytest.mark.parametrize("size", [1, COUNT])
def test_a_cut_that_begins_at_no_time_gains_no_more_than_its_counters_do(size: int) -> None:
    rows = [
        row
        | {name: row[name] - 30 for name in ("test_time(s)", "step_time(s)")}
        | {"date_time": row["date_time"] - timedelta(seconds=30)}
        for row in charge(start=0.88)
    ]
    results = followed(rows, size)
    assert gained(results) == pytest.approx(39 * 30 / HOUR, abs=1e-11)
    both = HERE | Quality.CHARGE_ENERGY_LEAP
    assert column(results, "quality") == [both] + [0] * (COUNT - 1)
    assert column(results, NAME)[0] == rows[0][NAME]


def test_a_reading_whose_voltage_is_suspected_confirms_no_leap() -> None:
    rows = charge()
    rows[21]["voltage(v)"] = 4.4
    results = followed(put(rows, shifted(rows, 20, 500.0)))
    assert column(results, "quality")[20:24] == [AWAY, AWAY | Quality.SPIKE, HERE, 0]


def test_a_mended_reading_that_comes_late_is_no_leap() -> None:
    rows = charge()
    spoilt = [row | (BAD if place in {10, 20} else {}) for place, row in enumerate(rows)]
    late = [retry(rows[10] | {NAME: 99_999.0}, COUNT), retry(rows[20], COUNT + 1)]
    results = fold([[arrow(put(spoilt, {22: 99_999.0}))], late])
    assert gained(results) == pytest.approx(COUNT * 30 / HOUR, abs=1e-12)
    assert column(results, NAME)[COUNT - 2 :] == [None, rows[20][NAME]]
    with landed([results]) as connection:
        assert differing(connection)[1] == 0


def test_no_reading_is_put_before_one_at_which_a_counter_leaps() -> None:
    rows = charge()
    spoilt = put([row | (BAD if place == 20 else {}) for place, row in enumerate(rows)], {21: 99_999.0})
    results = fold([[arrow(spoilt)], [retry(rows[20], COUNT)]])
    assert results[-1].landed.num_rows == 0
    with landed([results]) as connection:
        assert differing(connection)[1] == 0


def test_a_state_of_before_leaps_were_followed_is_read_and_goes_on() -> None:
    rows = charge()
    (first,) = fold([[arrow(rows[:20])]])
    text = state_of(first).to_json()
    (tail,) = state_of(first).tests.values()
    older = msgspec.json.encode(tail).removesuffix(b",[]]") + b"]"
    assert msgspec.json.decode(older, type=Tail) == tail
    state = CellState.from_json(text.replace(msgspec.json.encode(tail), older))
    result = clean_cell(state, [arrow(put(rows, {20: 99_999.0})[20:], offset=20)])
    assert result is not None
    assert gained([first, result]) == pytest.approx(COUNT * 30 / HOUR, abs=1e-12)


@pytest.mark.parametrize("name", COUNTERS)
def test_each_counter_has_a_flag_of_its_own(name: str) -> None:
    rows = put(charge(), {20: 99_999.0}, name)
    flags = Quality(column(followed(rows), "quality")[20])
    assert flags == Quality.VALUE_DROPPED | Quality.COUNTER_LEAP | Quality(1 << 11 + COUNTERS.index(name))


@pytest.mark.parametrize("size", [1e-5, 1.0, 1e4])
@pytest.mark.parametrize(("share", "flags"), [(0.5, Quality(0)), (3.0, Quality.COUNTER_FELL)])
def test_by_how_much_a_counter_falls_as_noise_follows_the_current(size: float, share: float, flags: Quality) -> None:
    rows = [
        row | {name: size * row[name] for name in ("current(a)", NAME, "charge_energy(wh)")}
        for row in put(charge(), {20: 20 * 30 / HOUR - share * COUNTER_NOISE})
    ]
    rows[20]["current(a)"] = 0.0  # it falls from where it stood: nothing flows meanwhile
    rows[20][NAME] = rows[19][NAME] - share * COUNTER_NOISE * size
    assert Quality(column(followed(rows), "quality")[20]) == flags


@pytest.mark.parametrize("size", [1, COUNT])
def test_counters_that_64_bits_do_not_hold_in_pico_units_gain_what_they_gain(size: int) -> None:
    """A container of 15 MW after two years: 1,500 V and 10 kA."""
    start, power = 2.5e11, 1_000.0 * 10_000.0
    rows = charge(start=1.5e8, **{"current(a)": 10_000.0, "voltage(v)": 10.0})
    for place, row in enumerate(rows):
        row["test_time(s)"] += 9_000.0
        row[NAME] = 1.5e8 + 10_000.0 * 30 * place / HOUR
        row["charge_energy(wh)"] = start + 1e-2 * power * 30 * place / HOUR
    results = fold([[arrow(rows[at : at + size], offset=at)] for at in range(0, COUNT, size)])
    assert not any(value & Quality.COUNTER_LEAP for value in column(results, "quality"))
    assert gained(results) == pytest.approx(10_000.0 * 30 * (COUNT - 1) / HOUR, rel=1e-9)
    assert gained(results, "charge_energy_pwh") == pytest.approx(1e-2 * power * 30 * (COUNT - 1) / HOUR, rel=1e-8)


def test_a_counter_that_leaps_by_more_than_64_bits_hold_leaps() -> None:
    name = "charge_energy(wh)"
    for leap in (2**64 / 1e12, 2**65 / 1e12, -(2**64) / 1e12, 9e11):
        rows = charge()
        results = followed(put(rows, {20: rows[20][name] + leap}, name))
        assert column(results, "quality")[20] & Quality.CHARGE_ENERGY_LEAP, leap
        assert gained(results, "charge_energy_pwh") == pytest.approx(3.7 * COUNT * 30 / HOUR, abs=1e-9)
