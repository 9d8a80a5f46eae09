from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dashboard.cycle.curves import curves_of, with_charge
from kernel.contract.reading import Quality

READINGS = 60


def readings(**columns: Any) -> pa.Table:
    """A charge at constant current from 3.4 V to 4.1 V, a reading every 30 s."""
    count = np.arange(READINGS)
    made: dict[str, Any] = {
        "cell_id": ["A"] * READINGS, "test_id": ["t"] * READINGS, "cycle_index": [1] * READINGS,
        "step_index": [2] * READINGS, "data_point": count + 1, "test_time_s": 30.0 * count,
        "step_time_s": 30.0 * count, "current_a": [1.2] * READINGS, "quality": [0] * READINGS,
        "voltage_v": 3.4 + 0.7 * (count / (READINGS - 1)) ** 0.8, "charge_counter_ah": 5.0 + 0.01 * count,
        "discharge_counter_ah": np.zeros(READINGS), "is_kept": [True] * READINGS,
    }  # fmt: skip
    return pa.table(made | columns)


def steps(*rows: dict[str, Any]) -> pa.Table:
    whole = {
        "cell_id": "A", "test_id": "t", "cycle_index": 1, "step_number": 1, "kind": "cc_charge", "first_data_point": 1,
        "last_data_point": READINGS, "test_time_start_s": 0.0, "cc_time_s": 1800.0, "duration_s": 1800.0,
        "charge_capacity_ah": 0.6, "discharge_capacity_ah": 0.0,
    }  # fmt: skip
    return pa.Table.from_pylist([whole | row for row in rows or ({},)])


CYCLES = pa.table({"cell_id": ["A"], "test_id": ["t"], "cycle_index": [1], "cycle_number": [41]})


def test_a_charge_at_constant_current_becomes_a_curve_of_its_cycle() -> None:
    curve = curves_of(readings(), CYCLES, steps())
    assert set(curve["cycle_number"].to_pylist()) == {41}
    assert set(curve["direction"].to_pylist()) == {"charge"}
    assert curve["capacity_ah"].to_pylist()[0] < 0.02
    assert 0.55 < curve["capacity_ah"].to_pylist()[-1] < 0.6


def test_a_reading_that_is_left_out_elsewhere_is_left_out_here() -> None:
    kept = [row != 20 for row in range(READINGS)]
    spiked = np.where(kept, readings()["voltage_v"].to_numpy(), 2.0)
    curve = curves_of(readings(voltage_v=spiked, is_kept=kept), CYCLES, steps())
    assert curve.equals(curves_of(readings().filter(pa.array(kept)), CYCLES, steps()))
    assert not curve.equals(curves_of(readings(voltage_v=spiked), CYCLES, steps()))


def test_of_a_step_that_goes_over_to_constant_voltage_only_the_first_part_counts() -> None:
    step = {"kind": "cccv_charge", "cc_time_s": 30.0 * 40}
    curve = curves_of(readings(), CYCLES, steps(step))
    assert curve.equals(curves_of(readings().slice(0, 41), CYCLES, steps()))


def test_of_several_charges_of_a_cycle_the_one_that_moved_most_is_drawn() -> None:
    small = {"step_number": 2, "first_data_point": 1, "last_data_point": 30, "charge_capacity_ah": 0.3}
    assert curves_of(readings(), CYCLES, steps(small, {})).equals(curves_of(readings(), CYCLES, steps()))


def test_no_curve_is_drawn_of_a_step_in_which_the_counter_leaps_and_stays() -> None:
    quality = [int(Quality.COUNTER_LEAP | Quality.CHARGE_CAPACITY_LEAP) if row == 30 else 0 for row in range(READINGS)]
    leaping = readings(quality=quality)
    assert curves_of(leaping, CYCLES, steps()).num_rows == 0
    dropped = leaping.set_column(
        leaping.schema.get_field_index("charge_counter_ah"), "charge_counter_ah",
        pa.array([None if row == 30 else 5.0 + 0.01 * row for row in range(READINGS)]),
    )  # fmt: skip
    assert curves_of(dropped, CYCLES, steps()).num_rows > 0


def cycle_readings(counters: list[float | None], **columns: Any) -> pa.Table:
    count = len(counters)
    made = {
        "cell_id": ["A"] * count, "test_id": ["t"] * count, "cycle_index": [7] * count, "step_index": [1] * count,
        "data_point": range(100, 100 + count), "test_time_s": [9000.0 + 60 * row for row in range(count)],
        "step_time_s": pa.array([60.0 * row for row in range(count)], pa.float64()), "current_a": [1.0] * count,
        "voltage_v": [3.7] * count, "charge_counter_ah": pa.array(counters, pa.float64()),
        "discharge_counter_ah": [2.0] * count, "is_kept": [True] * count, "quality": [0] * count,
    }  # fmt: skip
    return pa.table(made | columns)


def test_a_cycle_begins_at_zero_charge_in_either_direction() -> None:
    moved = with_charge(cycle_readings([5.0, 5.25, 5.5]))
    assert moved["charge_ah"].to_pylist() == [0.0, 0.25, 0.5]
    assert moved["discharge_ah"].to_pylist() == [0.0] * 3
    assert with_charge(cycle_readings([])).num_rows == 0


def test_charge_goes_on_where_a_counter_is_reset_and_over_a_reading_without_it() -> None:
    moved = with_charge(cycle_readings([4.0, 4.5, 0.25, None, 0.5]))
    assert moved["charge_ah"].to_pylist() == [0.0, 0.5, 0.75, None, 1.0]


def test_a_counter_that_falls_within_a_step_is_corrected_and_one_that_falls_with_a_new_step_is_reset() -> None:
    counters: list[float | None] = [1.0, 0.75, 1.0]
    assert with_charge(cycle_readings(counters))["charge_ah"].to_pylist() == [0.0, -0.25, 0.0]
    new_step = cycle_readings(counters, step_index=[1, 2, 2])
    assert with_charge(new_step)["charge_ah"].to_pylist() == [0.0, 0.75, 1.0]


def test_nothing_is_drawn_over_a_step_in_which_a_counter_leaps_and_the_current_counts_for_it() -> None:
    leap = int(Quality.COUNTER_LEAP | Quality.CHARGE_CAPACITY_LEAP)
    steps_of = {"step_index": [1, 1, 2, 2, 3], "step_time_s": [0.0, 60.0, 60.0, 120.0, 60.0]}
    moved = with_charge(cycle_readings([4.0, 4.25, 900.0, 900.25, 900.5], quality=[0, 0, leap, 0, 0], **steps_of))
    # The current moves 1/60 Ah in the minute of the leap.
    assert moved["charge_ah"].to_pylist() == [0.0, 0.25, None, None, pytest.approx(0.25 + 1 / 60 + 0.5, abs=1e-12)]
    assert moved["discharge_ah"].to_pylist() == [0.0] * 5
