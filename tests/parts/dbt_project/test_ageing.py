"""Simulated cells with a known knee and a known end of life, and cells that have neither."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import pytest
from support.modelled import Row, Warehouse, create_landing, cycling, run_dbt

KNEE: Final = 400
KNEE_END_OF_LIFE: Final = 560
"""SIM_KNEE loses 0.06 Ah until its knee and 1 mAh a cycle from there on: it passes 0.88 Ah 160 cycles later."""

LINE_END_OF_LIFE: Final = 550
"""SIM_LINE loses 0.4 mAh a cycle from 1.1 Ah on."""

NULL_WITHOUT_COMPLETE_CYCLES: Final = (
    "initial_capacity_ah", "latest_capacity_ah", "latest_soh", "soh_basis", "fade_ah_per_100_cycles",
    "recent_fade_ah_per_100_cycles", "eol_cycle", "knee_cycle", "knee_confidence", "projected_eol_cycle",
    "recovered_ah",
)  # fmt: skip


def life(cell: str, capacities: np.ndarray[Any, np.dtype[np.float64]], per_test: int = 100) -> list[Row]:
    """A life in tests of some cycles each, with half a day between them."""
    rows, start = [], datetime(2020, 1, 1)  # noqa: DTZ001  # a cycler's wall clock has no zone
    for first in range(0, len(capacities), per_test):
        rows += cycling(cell, start, capacities[first : first + per_test].tolist())
        start = rows[-1]["date_time"] + timedelta(hours=12)
    return rows


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    noise = np.random.default_rng(35)
    number = np.arange(1, 601, dtype=np.float64)
    knee = 1.1 - 1.5e-4 * np.minimum(number, KNEE) - 1e-3 * np.maximum(number - KNEE, 0)
    line = 1.1 - 4e-4 * number[:300]
    start = datetime(2020, 1, 1)  # noqa: DTZ001
    warehouse = Warehouse(tmp_path_factory.mktemp("ageing") / "battery.duckdb")
    create_landing(
        warehouse.path,
        [
            *life("SIM_KNEE", knee + noise.normal(0, 0.002, len(knee))),
            *life("SIM_LINE", line + noise.normal(0, 0.002, len(line))),
            *life("SIM_NOISE", 1 + noise.normal(0, 0.01, 100)),
            *life("SIM_RESTED", np.array([*np.linspace(1.1, 1.0, 12), *np.linspace(1.05, 1.0, 12)]), per_test=12),
            *cycling("SIM_PARTIAL", start, [0.5] * 15, discharged_to=3.4),
            *cycling("SIM_ONE", start, [1.1]),
            *cycling("SIM_WARM", start, [1.1, 1.09], temperature=31.5),
        ],
    )
    run_dbt(warehouse.settings)
    found = {row["cell_id"]: row for row in warehouse.rows("battery_cells", "cell_id")}
    for row in warehouse.rows("battery_cycles", "cell_id, cycle_number"):
        found[row["cell_id"]].setdefault("cycles", []).append(row)
    return found


def test_a_known_knee_is_found_within_two_percent_of_the_life(cells: dict[str, dict[str, Any]]) -> None:
    cell = cells["SIM_KNEE"]
    assert cell["knee_cycle"] == pytest.approx(KNEE, abs=0.02 * 600)
    assert cell["knee_low_cycle"] <= KNEE <= cell["knee_high_cycle"]
    assert cell["knee_method"] == "bacon_watts"
    assert cell["knee_confidence"] > 0.7


def test_a_known_end_of_life_is_found_within_five_cycles(cells: dict[str, dict[str, Any]]) -> None:
    assert cells["SIM_KNEE"]["eol_cycle"] == pytest.approx(KNEE_END_OF_LIFE, abs=5)
    assert cells["SIM_KNEE"]["projected_eol_cycle"] is None


def test_a_straight_fade_has_no_knee_and_is_projected_to_its_end_within_a_tenth(
    cells: dict[str, dict[str, Any]],
) -> None:
    cell = cells["SIM_LINE"]
    assert cell["knee_cycle"] is None
    assert cell["eol_cycle"] is None
    assert cell["projected_eol_cycle"] == pytest.approx(LINE_END_OF_LIFE, rel=0.1)
    assert cell["projected_eol_low_cycle"] < LINE_END_OF_LIFE
    assert cell["projected_eol_high_cycle"] is None or cell["projected_eol_high_cycle"] > LINE_END_OF_LIFE
    assert cell["fade_ah_per_100_cycles"] == pytest.approx(0.04, rel=0.02)


def test_noise_without_a_fade_has_neither_knee_nor_end(cells: dict[str, dict[str, Any]]) -> None:
    cell = cells["SIM_NOISE"]
    assert (cell["knee_cycle"], cell["eol_cycle"], cell["projected_eol_cycle"]) == (None, None, None)


def test_a_pause_that_gives_capacity_back_is_counted(cells: dict[str, dict[str, Any]]) -> None:
    cell = cells["SIM_RESTED"]
    assert (cell["gap_count"], cell["recovery_count"], cell["longest_gap_h"]) == (1, 1, pytest.approx(12, abs=0.1))
    # From the median of the five cycles before the pause to the first one after it.
    assert cell["recovered_ah"] == pytest.approx(1.05 - np.linspace(1.1, 1.0, 12)[-3], abs=1e-9)


def test_a_cell_of_partial_cycles_only_has_nulls(cells: dict[str, dict[str, Any]]) -> None:
    cell = cells["SIM_PARTIAL"]
    assert {name: cell[name] for name in NULL_WITHOUT_COMPLETE_CYCLES if cell[name] is not None} == {}
    assert (cell["cycle_count"], cell["complete_cycle_count"]) == (15, 0)
    assert {cycle["coulombic_efficiency"] for cycle in cell["cycles"]} == {None}


def test_a_cell_of_one_cycle_has_its_capacity_and_no_course(cells: dict[str, dict[str, Any]]) -> None:
    cell = cells["SIM_ONE"]
    assert (cell["initial_capacity_ah"], cell["latest_soh"]) == (pytest.approx(1.1), pytest.approx(1.0))
    course = ("fade_ah_per_100_cycles", "eol_cycle", "knee_cycle", "projected_eol_cycle", "longest_gap_h")
    assert [cell[name] for name in course] == [None] * len(course)


def test_a_temperature_is_told_where_there_is_a_sensor_and_null_elsewhere(cells: dict[str, dict[str, Any]]) -> None:
    told = {name: {cycle["temperature_mean_c"] for cycle in cell["cycles"]} for name, cell in cells.items()}
    assert told.pop("SIM_WARM") == {31.5}
    assert set().union(*told.values()) == {None}
