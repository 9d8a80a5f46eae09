"""The tables of the peers: readings that are kept, readings that are refused, and two of aggregates."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import pyarrow as pa

from kernel.contract.reading import LANDED

Row: TypeAlias = dict[str, Any]
Item: TypeAlias = tuple[str, Row]
"""A row and the table that it is for."""

READINGS: Final = "battery_ts_cleaned"
QUARANTINE: Final = "battery_quarantine"
WINDOWS: Final = "battery_cell_windows"
CYCLES: Final = "battery_cell_cycles"

_STAMP: Final = pa.timestamp("us")

REFUSED: Final = pa.schema(
    [
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("row", pa.int32()),
        ("cell_id", pa.string()),
        ("source_file", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("payload", pa.string()),
    ]
)

WINDOW_KEYS: Final = {"cell_id": pa.string(), "window_start": _STAMP}
WINDOW_VALUES: Final = {
    "reading_count": "sum",
    "flagged_count": "sum",
    "voltage_sum_v": "sum",
    "voltage_min_v": "min",
    "voltage_max_v": "max",
    "voltage_last_v": "last",
    "current_sum_a": "sum",
    "current_min_a": "min",
    "current_max_a": "max",
    "current_last_a": "last",
    "temperature_count": "sum",
    "temperature_sum_c": "sum",
    "temperature_min_c": "min",
    "temperature_max_c": "max",
    "temperature_last_c": "last",
    "charge_throughput_ah": "sum",
    "energy_throughput_wh": "sum",
    "is_final": "or",
    "as_of_offset": "last",
}
"""Columns of the windows, and how rows since the last epoch are merged into them. A mean is a sum and a count."""

CYCLE_KEYS: Final = {"cell_id": pa.string(), "test_id": pa.string(), "cycle_index": pa.int32()}
CYCLE_VALUES: Final = {
    "reading_count": "sum",
    "charge_capacity_ah": "sum",
    "discharge_capacity_ah": "sum",
    "charge_energy_wh": "sum",
    "discharge_energy_wh": "sum",
    "voltage_min_v": "min",
    "voltage_max_v": "max",
    "temperature_min_c": "min",
    "temperature_max_c": "max",
    "resistance_count": "sum",
    "resistance_sum_ohm": "sum",
    "started_at": "min",
    "ended_at": "max",
    "is_final": "or",
    "as_of_offset": "last",
}
"""The same of the cycles."""

CAPACITIES: Final = ("charge_capacity_ah", "discharge_capacity_ah", "charge_energy_wh", "discharge_energy_wh")
"""Columns of a cycle, in the order of `COUNTERS`."""


def _schema(keys: dict[str, pa.DataType], values: dict[str, str]) -> pa.Schema:
    def kind(name: str) -> pa.DataType:
        if name.endswith(("_count", "_offset")):
            return pa.int64()
        return pa.bool_() if name == "is_final" else _STAMP if name.endswith("_at") else pa.float64()

    return pa.schema([*keys.items(), *((name, kind(name)) for name in values)])


SCHEMAS: Final = {
    READINGS: LANDED,
    QUARANTINE: REFUSED,
    WINDOWS: _schema(WINDOW_KEYS, WINDOW_VALUES),
    CYCLES: _schema(CYCLE_KEYS, CYCLE_VALUES),
}
"""The tables, and the staged rows that are inserted or merged into them."""
