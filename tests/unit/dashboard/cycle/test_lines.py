from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from dashboard.cycle.lines import MOST_OVER_CHARGE, MOST_OVER_TIME, over_charge_lines, over_time_lines

NUMBERS = {("t", 4): 7}


def readings(current: list[float], **columns: Any) -> pa.Table:
    """Readings of a cycle, one every half hour, with the columns of with_charge; the charge follows the current."""
    count = len(current)
    moved = 0.5 * np.asarray(current)
    made = {
        "test_id": ["t"] * count, "cycle_index": [4] * count, "data_point": np.arange(count) + 100,
        "step_index": [1] * count, "step_number": [1] * count, "current_a": current, "is_kept": [True] * count,
        "test_time_s": 100.0 + 1800.0 * np.arange(count), "voltage_v": 3.0 + 0.1 * np.arange(count),
        "charge_ah": np.cumsum(np.maximum(moved, 0)), "discharge_ah": np.cumsum(np.maximum(-moved, 0)),
    }  # fmt: skip
    return pa.table(made | columns)


def steps(*rows: tuple[str, int]) -> pa.Table:
    return pa.table(
        {
            "test_id": pa.array(["t"] * len(rows), pa.string()),
            "kind": pa.array([kind for kind, _ in rows], pa.string()),
            "first_data_point": pa.array([first for _, first in rows], pa.int64()),
        }
    )


def gaps(values: Any) -> list[int]:
    return np.flatnonzero(np.isnan(values)).tolist()


def test_charge_and_discharge_are_two_lines_of_which_each_begins_where_it_flows() -> None:
    (lines,) = over_charge_lines(readings([0.5, 0.5, 0.0, -1.0, -1.0]), steps(), NUMBERS)
    assert lines.number == 7
    assert lines.charge[0].tolist() == [0.25, 0.5]
    assert lines.discharge[0].tolist() == [0.5, 1.0]
    assert lines.discharge[1].tolist() == [3.3, 3.4]


def test_no_line_leads_from_one_step_to_the_next_even_where_the_current_goes_on() -> None:
    (lines,) = over_charge_lines(readings([0.5] * 4, step_number=[1, 1, 2, 2]), steps(), NUMBERS)
    assert gaps(lines.charge[0]) == [2]
    assert len(lines.charge[0]) == 5


def test_no_line_leads_from_a_charge_over_the_rest_to_a_later_pulse() -> None:
    (lines,) = over_charge_lines(readings([0.5, 0.5, 0.0, 0.5]), steps(), NUMBERS)
    assert gaps(lines.charge[1]) == [2]


def test_a_rest_is_left_out_whatever_the_noise_of_its_current() -> None:
    noisy = readings([0.5, 0.5, 1e-5, 1e-5], step_number=[1, 1, 2, 2])
    (lines,) = over_charge_lines(noisy, steps(("cc_charge", 100), ("rest", 102)), NUMBERS)
    assert lines.charge[0].tolist() == [0.25, 0.5]


def test_a_reading_that_the_models_leave_out_is_no_part_of_a_line_and_leaves_no_gap() -> None:
    spiked = readings([0.5] * 4, is_kept=[True, False, True, True], voltage_v=[3.0, 12.0, 3.2, 3.3])
    (over_charge,) = over_charge_lines(spiked, steps(), NUMBERS)
    assert over_charge.charge[1].tolist() == [3.0, 3.2, 3.3]
    (over_time,) = over_time_lines(spiked, NUMBERS)
    assert over_time.voltage.tolist() == [3.0, 3.2, 3.3]
    assert [values.tolist() for values in over_time.left_out] == [[0.5], [12.0], [0.5]]


def test_a_cycle_begins_at_zero_hours_and_each_step_is_a_line_of_its_own() -> None:
    (lines,) = over_time_lines(readings([0.5, 0.5, 0.0, -1.0], step_number=[1, 1, 2, 3]), NUMBERS)
    assert lines.hours[[0, 1, 3, 5]].tolist() == [0.0, 0.5, 1.0, 1.5]
    assert gaps(lines.hours) == gaps(lines.voltage) == gaps(lines.current) == [2, 4]
    assert np.flatnonzero(lines.is_single).tolist() == [3, 5]


def test_where_a_file_tells_no_steps_apart_the_direction_of_the_current_does() -> None:
    unknown = readings([0.5, 0.5, 1e-6, -1e-6, -1.0, -1.0])
    (lines,) = over_time_lines(unknown, NUMBERS)
    assert gaps(lines.voltage) == [2, 5]  # a rest whose noise changes sign is one rest


def test_a_load_profile_is_one_line_however_often_its_current_turns() -> None:
    (lines,) = over_time_lines(readings([0.5, -0.5] * 20 + [-1.0], step_number=[1] * 40 + [2]), NUMBERS)
    assert gaps(lines.voltage) == [40]


def test_a_long_line_has_as_many_points_as_can_be_seen_and_both_ends_of_each_step() -> None:
    count = 50_000
    step = np.arange(count) // 10_000
    long = readings([0.5] * count, step_number=step, voltage_v=3 + np.sin(np.arange(count)))
    (over_charge,) = over_charge_lines(long, steps(), NUMBERS)
    assert len(over_charge.charge[0]) <= MOST_OVER_CHARGE + 20
    assert len(gaps(over_charge.charge[0])) == 4
    (over_time,) = over_time_lines(long, NUMBERS)
    assert len(over_time.hours) <= 2 * MOST_OVER_TIME + 20
    assert {9_999 * 0.5, 10_000 * 0.5} <= set(over_time.hours.tolist())


def test_cycles_are_told_apart_by_test_and_number_and_come_in_the_order_of_their_lives() -> None:
    both = pa.concat_tables(
        [readings([0.5]), readings([0.5, 0.5], cycle_index=[5, 5]), readings([0.5] * 3, test_id=["u"] * 3)]
    )
    numbers = {("t", 4): 9, ("u", 4): 2}  # nobody asked for cycle 5 of the first test
    lines = over_charge_lines(both, steps(), numbers)
    assert [(of.number, len(of.charge[0])) for of in lines] == [(2, 3), (9, 1)]
    assert over_charge_lines(readings([]).cast(both.schema), steps(), numbers) == []
