from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from ageing.tables import draw_curves, judge_fades


def charge(cell: str, cycle: int, counter_from: float = 0.0) -> pa.Table:
    """A charge from 3.0 V to 4.2 V at constant dQ/dV, with a counter that need not begin at zero."""
    voltage = np.linspace(3.0, 4.2, 200)
    return pa.table(
        {
            "cell_id": [cell] * 200,
            "test_id": ["T"] * 200,
            "cycle_index": pa.array([cycle] * 200, pa.int32()),
            "cycle_number": pa.array([cycle] * 200, pa.int32()),
            "direction": ["charge"] * 200,
            "voltage_v": voltage,
            "counter_ah": counter_from + voltage - 3.0,
        }
    )


def fade(cell: str, capacity: list[float], nominal: float) -> pa.Table:
    numbers = pa.array(range(1, len(capacity) + 1), pa.int32())
    soh = [value / nominal for value in capacity]
    return pa.table(
        {"cell_id": [cell] * len(capacity), "cycle_number": numbers, "discharge_capacity_ah": capacity, "soh": soh}
    )


def test_every_charge_has_a_curve_of_its_own_whatever_its_counter_begins_at() -> None:
    curves = draw_curves(pa.concat_tables([charge("A", 1), charge("A", 2, counter_from=7.0), charge("B", 2)]))
    found = curves.group_by(["cell_id", "cycle_number"]).aggregate([("capacity_ah", "max")]).to_pylist()
    capacities = {(row["cell_id"], row["cycle_number"]): row["capacity_ah_max"] for row in found}
    assert capacities == {key: pytest.approx(1.2, abs=0.01) for key in (("A", 1), ("A", 2), ("B", 2))}


def test_a_grids_voltages_are_the_decimal_numbers_that_they_stand_for() -> None:
    voltages = draw_curves(charge("A", 1)).column("voltage_v").to_pylist()
    assert voltages == [round(0.01 * number, 2) for number in range(300, 421)]


def test_the_recent_fade_is_that_of_the_last_cycles_alone() -> None:
    slow = [1.1 - 1e-4 * n for n in range(200)]
    fast = [slow[-1] - 1e-3 * n for n in range(1, 101)]
    (cell,) = judge_fades(fade("A", slow + fast, nominal=1.1), 0.8, 100, 11).to_pylist()
    assert cell["recent_fade_ah_per_cycle"] == pytest.approx(-1e-3, rel=1e-3)
    assert cell["fade_ah_per_cycle"] > -9e-4


def test_a_life_is_projected_to_a_share_of_the_cells_own_basis() -> None:
    noise = np.random.default_rng(1).normal(0, 1e-4, 200)
    capacity = (2.2 - 1e-3 * np.arange(1, 201) + noise).tolist()
    (cell,) = judge_fades(fade("A", capacity, nominal=2.2), 0.8, 100, 11).to_pylist()
    assert cell["projected_eol_cycle"] == pytest.approx(440, rel=0.02)


def test_a_life_has_ended_by_a_median_over_as_many_cycles_as_the_models_say() -> None:
    noise = np.random.default_rng(1).normal(0, 1e-4, 200)
    capacity = 2.2 - 1e-3 * np.arange(1, 201) + noise
    capacity[100:104] = 1.0  # four disturbed cycles
    cycles = fade("A", capacity.tolist(), nominal=2.2)
    projected = {width: judge_fades(cycles, 0.8, 100, width)["projected_eol_cycle"].to_pylist() for width in (5, 11)}
    assert projected == {5: [None], 11: [pytest.approx(440, rel=0.02)]}


def test_tables_without_rows_give_tables_without_rows() -> None:
    assert draw_curves(charge("A", 1).slice(0, 0)).num_rows == 0
    assert judge_fades(fade("A", [], nominal=1.1), 0.8, 100, 11).num_rows == 0
