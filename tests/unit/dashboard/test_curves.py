from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from dashboard.curves import curves_of

READINGS = 60


def readings(**columns: Any) -> pa.Table:
    """A charge at constant current from 3.4 V to 4.1 V, a reading every 30 s."""
    count = np.arange(READINGS)
    made: dict[str, Any] = {
        "cell_id": ["A"] * READINGS, "test_id": ["t"] * READINGS, "data_point": count + 1, "test_time_s": 30.0 * count,
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
