"""Readings under the labels of the Battery Data Format (BDF).

The labels are the preferred ones of https://battery-data-alliance.github.io/battery-data-format/, as its package
`batterydf` 0.1.0 checks them. It passes over the last three, which it does not know: `Step Time`, `Record Index`, and
the cell, so that a file whose name was changed still says whose it is. `producer/readers/bdf.py` reads them all.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

LABELS: Final = {
    "test_time_s": "Test Time / s",
    "voltage_v": "Voltage / V",
    "current_a": "Current / A",
    "unix_time_s": "Unix Time / s",
    "cycle_index": "Cycle Count / 1",
    "step_number": "Step Count / 1",
    "step_index": "Step Index / 1",
    "temperature_c": "Ambient Temperature / degC",
    "charge_counter_ah": "Charging Capacity / Ah",
    "discharge_counter_ah": "Discharging Capacity / Ah",
    "charge_energy_counter_wh": "Charging Energy / Wh",
    "discharge_energy_counter_wh": "Discharging Energy / Wh",
    "internal_resistance_ohm": "Internal Resistance / ohm",
    "step_time_s": "Step Time / s",
    "data_point": "Record Index / 1",
    "cell_id": "Cell ID",
}
"""The label of each column of the readings, in the order of a file."""

_US: Final = 1e6


def as_bdf(readings: pa.Table) -> pa.Table:
    """The readings of one test under the labels of BDF; a column without any value is left out.

    Args:
        readings: of one test in their order, as `refresh.readings` has them, shape (n,).

    Returns:
        Shape (n,), SI units with Ah and Wh; the counters are the cycler's own, as they landed, and its wall clock is
        written as if its zone were UTC.
    """
    columns = {name: readings[name] for name in readings.schema.names if name in LABELS}
    columns["step_number"] = pa.chunked_array([number_steps(readings)])
    stamps = pc.cast(pc.cast(readings["date_time"], pa.timestamp("us")), pa.int64())
    columns["unix_time_s"] = pc.divide(pc.cast(stamps, pa.float64()), _US)
    filled = {name: column for name, column in columns.items() if column.null_count < len(column)}
    return pa.table({label: filled[name] for name, label in LABELS.items() if name in filled})


def number_steps(readings: pa.Table) -> pa.Array:
    """The number of the step of each reading in the order of time, from 1, shape (n,).

    A reading begins a step where step or cycle differ from the reading before, or the time of the step falls, as in
    `dbt_project/macros/steps.sql`.
    """
    if not readings.num_rows:
        return pa.array([], pa.int64())
    begins = np.zeros(readings.num_rows, bool)
    for name in ("step_index", "cycle_index"):
        values = readings[name].to_numpy()
        begins[1:] |= values[1:] != values[:-1]
    times = readings["step_time_s"].to_numpy()  # NULL becomes NaN, which is never less
    begins[1:] |= times[1:] < times[:-1]
    return pa.array(1 + np.cumsum(begins), pa.int64())
