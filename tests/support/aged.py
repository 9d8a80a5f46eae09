"""Rows of the marts of a cell that ages, for the tests of what is drawn of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

CELL = {
    "cell_id": "A", "nominal_capacity_ah": 1.0, "initial_capacity_ah": 1.1, "complete_cycle_count": 30,
    "eol_rule": "median_11_below_80_percent_of_nominal", "eol_cycle": None, "knee_cycle": None, "knee_low_cycle": None,
    "knee_high_cycle": None, "projected_eol_cycle": None, "projected_eol_low_cycle": None,
    "projected_eol_high_cycle": None,
}  # fmt: skip


def cycles_table(count: int = 30, cell: str = "A", **columns: Any) -> pa.Table:
    """Rows of battery_cycles: capacity falls by 0.01 Ah a cycle from 1 Ah; two tests."""
    number = np.arange(1, count + 1)
    capacity = 1.0 - 0.01 * number
    made: dict[str, Any] = {
        "cell_id": pa.array([cell] * count, pa.string()),
        "test_id": pa.array(["first" if row < count // 2 else "second" for row in range(count)], pa.string()),
        "cycle_index": number,
        "cycle_number": number,
        "started_at": pa.array(
            np.datetime64("2020-01-01T00:00:00", "us") + number * np.timedelta64(3_600_000_000, "us")
        ),
        "charge_capacity_ah": capacity,
        "discharge_capacity_ah": capacity,
        "soh": capacity,
        "coulombic_efficiency": np.full(count, 0.999),
        "energy_efficiency": np.full(count, 0.91),
        "internal_resistance_ohm": np.full(count, 0.09),
        "mean_discharge_voltage_v": np.full(count, 3.6),
        "cc_charge_time_s": np.full(count, 6000.0),
        "cv_charge_time_s": np.full(count, 1200.0),
        "temperature_mean_c": pa.nulls(count, pa.float64()),
        "temperature_max_c": pa.nulls(count, pa.float64()),
        "equivalent_full_cycles": number * 0.98,
        "is_complete": pa.array([True] * count, pa.bool_()),
        "is_reference_test": pa.array([False] * count, pa.bool_()),
    }
    return pa.table(made | columns)


def steps_table(**columns: Any) -> pa.Table:
    """Rows of battery_steps: one discharge of the second test, with a resistance at 10 s."""
    made: dict[str, list[Any]] = {
        "cell_id": ["A"], "test_id": ["second"], "cycle_index": [20], "kind": ["cc_discharge"],
        "pulse_resistance_ohm": [0.15], "pulse_time_s": [10.0], "current_median_a": [-1.1],
    }  # fmt: skip
    return pa.table(made | columns)


def traces(figure: Any) -> dict[str, Any]:
    """What is drawn, by name."""
    return {trace.name: trace for trace in figure.data}


def titles(figure: Any) -> set[str]:
    """The titles of the axes."""
    return {axis.title.text for axis in (*figure.select_xaxes(), *figure.select_yaxes()) if axis.title.text}


def notes(figure: Any) -> str:
    """What is written on a drawing, without its line breaks."""
    return " ".join(note.text for note in figure.layout.annotations).replace("<br>", " ")
