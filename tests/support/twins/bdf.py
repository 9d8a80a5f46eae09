"""The simulated cell as files of the Battery Data Format, by a writer of the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv
from support.twins.cell import restarted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from support.twins.cell import TwinCell


def unix_seconds(cell: TwinCell) -> np.ndarray:
    """The wall clock of each reading as seconds since 1970, shape (n,)."""
    return cell.date_time.astype("datetime64[us]").astype(np.int64) / 1e6


def machine_columns(cell: TwinCell) -> dict[str, np.ndarray]:
    """All columns under machine names, counters of the test."""
    return {
        "test_time_second": cell.test_time,
        "voltage_volt": cell.voltage,
        "current_ampere": cell.current,
        "unix_time_second": unix_seconds(cell),
        "cycle_count": cell.cycle,
        "step_count": cell.step_run,
        "step_index": cell.step,
        "record_index": cell.data_point,
        "step_time_second": cell.step_time,
        "charging_capacity_ah": cell.charge_capacity,
        "discharging_capacity_ah": cell.discharge_capacity,
        "charging_energy_wh": cell.charge_energy,
        "discharging_energy_wh": cell.discharge_energy,
        "ambient_temperature_celsius": np.full(len(cell), 25.0),
        "surface_temperature_t1_celsius": cell.temperature,
    }


def label_columns(cell: TwinCell) -> dict[str, np.ndarray | list[str]]:
    """Columns under labels with other units: h, mA, mV, mAh; discharge positive; counters of each step."""
    state = [{1: "charge", -1: "discharge", 0: "rest"}[int(one)] for one in cell.direction]
    return {
        "Test Time / h": cell.test_time / 3600,
        "Current / mA": -1e3 * cell.current,
        "Voltage / mV": 1e3 * cell.voltage,
        "Step Type / 1": state,
        "Cycle Count / 1": cell.cycle,
        "Step Index / 1": cell.step,
        "Charge Capacity / mAh": 1e3 * restarted(cell.charge_capacity, cell.step_run),
        "Discharge Capacity / mAh": 1e3 * restarted(cell.discharge_capacity, cell.step_run),
        "Unix Time / s": unix_seconds(cell),
    }


def minimal_columns(cell: TwinCell) -> dict[str, np.ndarray]:
    """The three columns that BDF requires."""
    return {"Test Time / s": cell.test_time, "Voltage / V": cell.voltage, "Current / A": cell.current}


def write_csv(path: Path, columns: Mapping[str, Any]) -> Path:
    """Write columns as comma-separated text."""
    csv.write_csv(pa.table(dict(columns)), path, csv.WriteOptions(quoting_style="needed"))
    return path


def write_parquet(path: Path, columns: Mapping[str, Any]) -> Path:
    """Write columns as Parquet."""
    pq.write_table(pa.table(dict(columns)), path)
    return path
