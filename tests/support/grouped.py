"""Rows of battery_cells of cells that a lab has described, for the tests of groups."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

SCHEMA = pa.schema(
    [
        ("cell_id", pa.string()), ("chemistry", pa.string()), ("nominal_capacity_ah", pa.float64()),
        ("initial_capacity_ah", pa.float64()), ("complete_cycle_count", pa.int64()), ("latest_soh", pa.float64()),
        ("eol_rule", pa.string()), ("eol_cycle", pa.int32()), ("knee_cycle", pa.float64()), ("stated", pa.string()),
        ("cell_group", pa.string()), ("mass_g", pa.float64()), ("temperature_c", pa.float64()),
        ("first_at", pa.timestamp("us")), ("tags", pa.list_(pa.string())), ("notes", pa.string()),
        ("metadata", pa.string()),
    ]
)  # fmt: skip


def described(**cells: dict[str, Any]) -> pa.Table:
    """Rows of battery_cells by id: columns that are given, all others are NULL; `metadata` is a dictionary."""
    rows = [
        {"cell_id": cell, "eol_rule": "median_11_below_80_percent_of_nominal"}
        | {name: json.dumps(value) if name in {"metadata", "stated"} else value for name, value in columns.items()}
        for cell, columns in cells.items()
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)
