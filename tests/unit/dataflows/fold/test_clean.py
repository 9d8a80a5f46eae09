"""What each reason and flag means, on the smallest log that shows it."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import CELL, STARTED, TEST, arrow, reading
from support.delivered import together
from support.landed import clean_cell, landed, rows_of, state_of

from dataflows.fold.clean import clean
from dataflows.fold.state import CellState
from dataflows.fold.states import CellStates, GroupStates
from kernel.contract.reading import COUNTERS, Quality, instrument_range

if TYPE_CHECKING:
    from kernel.contract.results import Cleaned

WINDOW_SECONDS = 600


def cleaned(rows: list[dict[str, Any]], state: CellState | None = None, **of: Any) -> Cleaned[CellStates]:
    found = clean_cell(state or CellState(), [arrow(rows, **of)])
    assert found is not None
    return found


def flags(result: Cleaned[CellStates]) -> list[int]:
    found: list[int] = result.landed.column("quality").to_pylist()
    return found


def refused(result: Cleaned[CellStates]) -> list[tuple[int, str]]:
    return [(row["row"], row["reason"]) for row in result.quarantined.to_pylist()]


def steady(count: int, **changes: Any) -> list[dict[str, Any]]:
    """A discharge that loses 1 mV a sample."""
    return [
        reading(point, **{"voltage(v)": 3.7 - 0.001 * point, "current(a)": -1.1, "step_index": 7, **changes})
        for point in range(1, count + 1)
    ]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("voltage(v)", None, "missing_value"),
        ("test_id", "", "missing_value"),
        ("cycle_index", None, "missing_value"),
        ("voltage(v)", math.nan, "not_finite"),
        ("current(a)", math.inf, "not_finite"),
        ("charge_energy(wh)", math.nan, "not_finite"),
        ("voltage(v)", 10.5, "out_of_range"),
        ("test_time(s)", -1.0, "out_of_range"),
        ("data_point", -1, "out_of_range"),
        ("data_point", 2**53, "out_of_range"),
        ("test_id", "T" * 1_001, "out_of_range"),
        ("source_file", "ä" * 501, "out_of_range"),
        ("date_time", datetime(1800, 1, 1), "out_of_range"),  # noqa: DTZ001
    ],
)
def test_an_unusable_reading_is_quarantined_with_its_reason_and_the_others_land(
    column: str, value: object, reason: str
) -> None:
    result = cleaned([reading(1), reading(2, **{column: value}), reading(3)])
    assert refused(result) == [(1, reason)]
    assert result.landed.column("data_point").to_pylist() == [1, 3]
    (row,) = result.quarantined.to_pylist()
    assert column in row["detail"]
    assert row["payload"]


def test_what_a_reading_may_be_at_most_lands() -> None:
    result = cleaned([reading(1, data_point=2**31 - 1, test_id="T" * 1_000)])
    assert result.landed.num_rows == 1


@pytest.mark.parametrize("voltage", [4.2156, 4.25, 2.699, 0.5, 5.0])
def test_protocol_limits_are_no_limits(voltage: float) -> None:
    result = cleaned([reading(point, **{"voltage(v)": voltage}) for point in range(1, 8)])
    assert flags(result) == [0] * 7


@pytest.mark.parametrize("value", [math.nan, math.inf, -300.0])
def test_a_dead_sensor_costs_its_value_and_is_flagged(value: float) -> None:
    result = cleaned([reading(1, **{"temperature(c)": value})])
    assert result.landed.column("temperature(c)").to_pylist() == [None]
    assert flags(result) == [Quality.VALUE_DROPPED]


def test_a_run_of_duplicates_is_one_row_with_its_count_and_no_payload() -> None:
    first = cleaned([reading(point) for point in range(1, 6)])
    second = cleaned([reading(point) for point in range(1, 8)], state_of(first), offset=1)
    with landed([[first], [second]]) as connection:
        assert rows_of(connection, 'select reason, "row", row_count, payload, detail from battery_quarantine') == [
            ("duplicate", 0, 5, None, f"data points 1 to 5 of test {TEST} have landed with the same values")
        ]
    assert second.landed.column("data_point").to_pylist() == [6, 7]


def test_another_test_of_the_cell_is_no_duplicate() -> None:
    first = cleaned([reading(1), reading(2)])
    second = cleaned([reading(1, test_id="2024-02-01T08:00:00")], state_of(first), offset=1)
    assert second.landed.num_rows == 1


def test_time_that_falls_within_a_test_is_quarantined() -> None:
    result = cleaned([reading(1), reading(2, **{"test_time(s)": 10.0}), reading(3)])
    assert refused(result) == [(1, "time_backwards")]


def test_a_spike_is_flagged_and_its_neighbours_are_not() -> None:
    rows = steady(12)
    rows[6]["voltage(v)"] += 0.1
    assert flags(cleaned(rows)) == [0] * 6 + [Quality.SPIKE] + [0] * 5


def test_a_new_step_is_no_spike() -> None:
    rows = steady(6) + [reading(7 + k, **{"voltage(v)": 3.3 + 0.001 * k, "step_index": 8}) for k in range(6)]
    assert flags(cleaned(rows)) == [0] * 12


def test_the_knee_at_the_end_of_a_discharge_is_no_spike() -> None:
    # The last samples of a discharge as CALCE's cells show it: every change up to twice the one before.
    volts = [3.343, 3.324, 3.299, 3.270, 3.232, 3.183, 3.117, 3.025, 2.884, 2.699]
    rows = [reading(k + 1, **{"voltage(v)": v, "current(a)": -1.1}) for k, v in enumerate(volts)]
    assert flags(cleaned(rows)) == [0] * 10


def test_a_jump_that_the_current_explains_is_no_spike() -> None:
    rows = steady(8)
    rows[5].update({"current(a)": -2.2, "voltage(v)": rows[5]["voltage(v)"] - 0.15})
    assert flags(cleaned(rows)) == [0] * 8


def test_a_temperature_that_jumps_for_one_sample_is_flagged() -> None:
    rows = steady(8, **{"temperature(c)": 25.0})
    rows[5]["temperature(c)"] = 80.0
    assert flags(cleaned(rows)) == [0] * 5 + [Quality.TEMPERATURE_SPIKE] + [0] * 2


def test_missing_readings_are_flagged_on_the_one_after_them() -> None:
    rows = [reading(1), reading(3), reading(4, **{"test_time(s)": 4000.0})]
    rows[2]["date_time"] = rows[1]["date_time"] + timedelta(seconds=4000.0 - 90.0)
    assert flags(cleaned(rows)) == [0, Quality.GAP, Quality.GAP]


def test_twenty_minutes_without_a_reading_are_no_gap() -> None:
    rows = [reading(1), reading(2, **{"test_time(s)": 1211.0}, date_time=STARTED + timedelta(seconds=1211))]
    assert flags(cleaned(rows)) == [0, 0]


def test_a_clock_that_jumps_is_flagged_once() -> None:
    rows = [reading(point) for point in range(1, 6)]
    for row in rows[2:]:
        row["date_time"] += timedelta(hours=1)
    assert flags(cleaned(rows)) == [0, 0, Quality.CLOCK_JUMP, 0, 0]


def test_a_cycle_index_that_falls_is_flagged() -> None:
    rows = [reading(1, cycle_index=2), reading(2, cycle_index=1), reading(3, cycle_index=1)]
    assert flags(cleaned(rows)) == [0, Quality.CYCLE_BACKWARDS, 0]


def test_a_counter_that_starts_anew_is_flagged_and_counts_from_zero() -> None:
    charge = [0.1, 0.2, 0.05, 0.15]
    result = cleaned([reading(k + 1, **{"charge_capacity(ah)": c}) for k, c in enumerate(charge)])
    assert flags(result) == [0, 0, Quality.COUNTER_RESET, 0]
    (cycle,) = result.cycles.to_pylist()
    assert cycle["charge_capacity_pah"] == 350_000_000_000  # 0.2 Ah before the reset, 0.15 Ah after it


def test_a_counter_that_lost_its_last_digit_is_no_reset() -> None:
    charge = [50.0, 51.0, 50.999999, 51.5]
    rows = [reading(k + 1, **{"charge_capacity(ah)": c, "current(a)": 100.0}) for k, c in enumerate(charge)]
    result = cleaned(rows)
    assert flags(result) == [0, 0, Quality.COUNTER_FELL, 0]
    (cycle,) = result.cycles.to_pylist()
    assert cycle["charge_capacity_pah"] == 51_500_000_000_000


def test_a_counter_that_each_cycle_starts_anew_may_be_far_on_again_when_it_is_next_logged() -> None:
    charge = [1.1, 1.095, 1.0901]
    rows = [
        reading(k + 1, cycle_index=k + 1, **{"charge_capacity(ah)": c, "current(a)": 100.0})
        for k, c in enumerate(charge)
    ]
    for calls in ([rows], [[row] for row in rows]):
        state, gained = CellState(), []
        for offset, call in enumerate(calls):
            result = cleaned(call, state=state, offset=offset)
            state = state_of(result)
            gained += [c["charge_capacity_pah"] for c in result.cycles.to_pylist() if c["reading_count"]]
        assert gained == [round(c * 1e12) for c in charge]


def test_a_counter_that_was_not_logged_when_its_step_began_is_known_to_have_crossed_it() -> None:
    rows = [
        reading(1, **{"charge_capacity(ah)": 1.1}),
        reading(2, step_index=2, **{"charge_capacity(ah)": None}),
        reading(3, step_index=2, **{"charge_capacity(ah)": 1.0}),
    ]
    first = cleaned(rows[:2])
    (cycle,) = cleaned(rows[2:], state=state_of(first), offset=1).cycles.to_pylist()
    assert cycle["charge_capacity_pah"] == 10**12


def test_a_counter_that_runs_below_zero_is_no_reset() -> None:
    rows = [reading(k + 1, **{"discharge_capacity(ah)": -0.25 * k}) for k in range(5)]
    result = cleaned(rows)
    assert flags(result) == [0] + [Quality.COUNTER_FELL] * 4
    (cycle,) = result.cycles.to_pylist()
    assert cycle["discharge_capacity_pah"] == -(10**12)


def test_a_counter_measured_late_in_a_call_gains_the_same_as_in_a_call_of_its_own() -> None:
    rows = [reading(1, **{"charge_capacity(ah)": None}), reading(2, **{"charge_capacity(ah)": 0.5})]
    (whole,) = cleaned(rows).cycles.to_pylist()
    first = cleaned(rows[:1])
    (second,) = cleaned(rows[1:], state=state_of(first), offset=1).cycles.to_pylist()
    assert whole["charge_capacity_pah"] == second["charge_capacity_pah"] == 500_000_000_000


def test_a_cycle_counts_what_the_counters_gained_since_the_cycle_before() -> None:
    rows = [
        reading(1, **{"charge_capacity(ah)": 1.0, "current(a)": 100.0}),
        reading(2, cycle_index=2, **{"charge_capacity(ah)": 1.5, "discharge_capacity(ah)": 0.25}),
        reading(3, cycle_index=2, **{"charge_capacity(ah)": 2.25, "discharge_capacity(ah)": 0.75}),
    ]
    first, second = cleaned(rows).cycles.to_pylist()
    assert (first["charge_capacity_pah"], first["is_final"]) == (10**12, True)
    assert (second["charge_capacity_pah"], second["discharge_capacity_pah"]) == (1_250_000_000_000, 750_000_000_000)
    assert second["is_final"] is False


def test_the_gains_of_a_thousand_readings_add_up_to_the_difference_of_the_ends_to_the_last_digit() -> None:
    result = cleaned([reading(point, **{"charge_capacity(ah)": point / 7e4}) for point in range(1, 1001)])
    (cycle,) = result.cycles.to_pylist()
    assert cycle["charge_capacity_pah"] == round(1000 / 7e4 * 1e12)


def test_a_test_whose_beginning_is_missing_counts_from_its_first_reading() -> None:
    start = STARTED + timedelta(seconds=9000)
    rows = [
        reading(
            300 + k,
            date_time=start,
            **{"test_time(s)": 9000.0 + k, "charge_capacity(ah)": 30.0 + k, "current(a)": 100.0},
        )
        for k in range(3)
    ]
    (cycle,) = cleaned(rows).cycles.to_pylist()
    assert cycle["charge_capacity_pah"] == 2 * 10**12


def test_a_zero_resistance_before_the_first_pulse_is_no_measurement() -> None:
    ohms = [0.0, 0.0, 0.093, 0.0, None]
    result = cleaned([reading(k + 1, **{"internal_resistance(ohm)": r}) for k, r in enumerate(ohms)])
    assert result.landed.column("internal_resistance(ohm)").to_pylist() == [None, None, 0.093, 0.0, None]
    assert flags(result) == [0] * 5


def test_a_window_holds_the_readings_of_its_ten_minutes() -> None:
    rows = [reading(point, **{"voltage(v)": 3.0 + point / 100}) for point in range(1, 31)]
    first, second = cleaned(rows).windows.to_pylist()
    assert (first["window_start"], first["reading_count"], first["is_final"]) == (STARTED, 19, True)
    assert (second["window_start"], second["reading_count"]) == (STARTED + timedelta(minutes=10), 11)
    assert second["is_final"] is False
    assert (first["voltage_min_v"], first["voltage_max_v"], first["voltage_last_v"]) == (3.01, 3.19, 3.19)
    assert first["voltage_sum_nv"] == sum(round((3.0 + point / 100) * 1e9) for point in range(1, 20))


def test_leaving_a_window_and_a_cycle_makes_them_final_even_across_messages() -> None:
    first = cleaned([reading(1)])
    later = STARTED + timedelta(minutes=20)
    second = cleaned([reading(2, cycle_index=2, date_time=later)], state_of(first), offset=1)
    assert [(w["reading_count"], w["is_final"]) for w in second.windows.to_pylist()] == [(0, True), (1, False)]
    assert [(c["cycle_index"], c["reading_count"], c["is_final"]) for c in second.cycles.to_pylist()] == [
        (1, 0, True),
        (2, 1, False),
    ]


def test_a_reading_without_a_clock_lands_and_is_in_no_window() -> None:
    result = cleaned([reading(1, date_time=None), reading(2)])
    assert result.landed.num_rows == 2
    assert [window["reading_count"] for window in result.windows.to_pylist()] == [1]


def test_a_reading_lands_with_its_lineage_and_the_brokers_time_stamp() -> None:
    (row,) = cleaned([reading(1)], offset=41, partition=2).landed.to_pylist()
    assert (row["kafka_partition"], row["kafka_offset"], row["kafka_row"]) == (2, 41, 0)
    assert row["streamed_at"].isoformat() == "2023-11-14T22:13:20.041000"


def test_a_reading_that_names_no_file_takes_the_messages() -> None:
    (row,) = cleaned([reading(1, source_file=None)]).landed.to_pylist()
    assert row["source_file"] == "CELL_1_1_1_24.xlsx"


def test_the_state_remembers_every_test_of_the_cell() -> None:
    state = state_of(cleaned([reading(1), reading(1, test_id="later")]))
    assert set(state.tests) == {TEST, "later"}
    assert state.test_id == "later"
    assert CellState.from_json(state.to_json()) == state
    assert CELL.encode() not in state.to_json()  # the key says it


def test_the_same_state_has_the_same_text_whatever_came_first() -> None:
    (one,) = state_of(cleaned([reading()])).tests.values()
    there = CellState({"log-one": {0: 1, 1: 2}, "log-two": {0: 3}}, {"A": one, "B": one})
    back = CellState({"log-two": {0: 3}, "log-one": {1: 2, 0: 1}}, {"B": one, "A": one})
    assert there == back
    assert there.to_json() == back.to_json()


def test_a_step_that_begins_in_one_cell_is_crossed_by_the_counters_of_no_other() -> None:
    cells, states = GroupStates(), dict[str, CellState]()
    for offset, changes in enumerate(({}, dict.fromkeys(COUNTERS))):
        rows = {"A": reading(offset + 1, cell_id="A", step_index=offset + 1, **changes)}
        rows["B"] = reading(offset + 1, cell_id="B", **changes)
        poll = [
            arrow([row], key=cell.encode(), offset=2 * offset + place) for place, (cell, row) in enumerate(rows.items())
        ]
        cleaned = clean(cells, together(poll), WINDOW_SECONDS)
        assert cleaned is not None
        cells.update(cleaned.states)
        states |= cleaned.states
    crossed = {cell: tail.crossed for cell, state in states.items() for tail in state.tests.values()}
    assert crossed == {"A": (True,) * 4, "B": (False,) * 4}


def test_a_pack_lands_where_the_instrument_is_said_to_reach_so_far() -> None:
    pack = arrow(
        [reading(1, **{"voltage(v)": 1_500.0, "current(a)": -10_000.0}), reading(2, **{"voltage(v)": 1_500.5})]
    )
    wide = clean(GroupStates(), together([pack]), WINDOW_SECONDS, instrument_range(1_500, 10_000))
    assert wide is not None
    assert wide.landed.column("data_point").to_pylist() == [1]
    (detail,) = wide.quarantined.column("detail").to_pylist()
    assert detail.startswith("voltage(v) is 1500.5, beyond the instrument's -1500 to 1500; where it is real, set ")
    narrow = clean(GroupStates(), together([pack]), WINDOW_SECONDS)
    assert narrow is not None
    assert narrow.quarantined.column("reason").to_pylist() == ["out_of_range"] * 2


@pytest.mark.parametrize(
    ("voltage", "setting"),
    [(10.5, "15"), (-12.0, "15"), (99.0, "100"), (499.0, "500"), (20_000.5, "50000")],
)
def test_a_voltage_beyond_the_instrument_is_told_with_the_setting_that_it_needs(voltage: float, setting: str) -> None:
    refused = clean(GroupStates(), together([arrow([reading(1, **{"voltage(v)": voltage})])]), WINDOW_SECONDS)
    assert refused is not None
    (detail,) = refused.quarantined.column("detail").to_pylist()
    assert detail == (
        f"voltage(v) is {voltage}, beyond the instrument's -10 to 10; where it is real, "
        f"set INSTRUMENT_MAX_VOLTAGE_V={setting}"
    )


@pytest.mark.parametrize(
    ("voltage", "setting"), [(500.0, "500"), (812.3, "1000"), (3_700.0, "5000"), (-4_200.0, "5000")]
)
def test_thousands_of_volts_at_a_channel_for_one_cell_are_asked_whether_they_are_millivolts_before_all_else(
    voltage: float, setting: str
) -> None:
    refused = clean(GroupStates(), together([arrow([reading(1, **{"voltage(v)": voltage})])]), WINDOW_SECONDS)
    assert refused is not None
    (detail,) = refused.quarantined.column("detail").to_pylist()
    assert detail == (
        f"voltage(v) is {voltage}, beyond the instrument's -10 to 10; is it in mV? then say so in the mapping file, "
        f"and publish the file again (--again); where it is real, set INSTRUMENT_MAX_VOLTAGE_V={setting}"
    )


def test_what_a_cell_of_10_microamperes_and_a_pack_of_10_kiloamperes_show_lands_by_default() -> None:
    rows = [
        reading(1, **{"current(a)": 1e-5, "charge_capacity(ah)": 1e-8, "internal_resistance(ohm)": 2e4}),
        reading(2, **{"current(a)": -10_000.0, "charge_capacity(ah)": 1e8, "internal_resistance(ohm)": 9e-6}),
    ]
    cleaned = clean(GroupStates(), together([arrow(rows)]), WINDOW_SECONDS)
    assert cleaned is not None
    assert cleaned.landed.column("current(a)").to_pylist() == [1e-5, -10_000.0]
    assert cleaned.landed.column("internal_resistance(ohm)").to_pylist() == [2e4, 9e-6]
