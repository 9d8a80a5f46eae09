"""Which cells have something told of them that the published tables do not have yet."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from dashboard.cells.awaited import awaited_cells
from kernel.contract.cell_metadata import COLUMNS, Value

NAMES = [
    column.table_name for name, column in COLUMNS.items() if not name.endswith("_v") and name != "full_cycle_min_ah"
]


def published(**values: Any) -> pa.Table:
    """`battery_cells` with one cell A."""
    row = {"cell_id": "A", **dict.fromkeys(NAMES), "metadata": None, **values}
    return pa.table({name: pa.array([value]) for name, value in row.items()})


def is_awaited(told: dict[str, Value], **values: Any) -> bool:
    return awaited_cells({"A": told}, published(**values)) == ["A"]


def test_what_the_tables_have_is_not_awaited() -> None:
    told: dict[str, Value] = {"group": "fast", "mass_g": 1.5, "tags": ("a", "b"), "lot": "7", "charge_limit_v": 4.2}
    assert not is_awaited(told, cell_group="fast", mass_g=1.5, tags=["a", "b"], metadata='{"lot":"7"}')


def test_another_value_is_awaited_be_it_new_changed_or_taken_away() -> None:
    assert is_awaited({"group": "fast"})
    assert is_awaited({"group": "fast"}, cell_group="slow")
    assert is_awaited({}, cell_group="slow")
    assert is_awaited({"lot": "7"}, metadata='{"lot":"8"}')
    assert is_awaited({}, metadata='{"lot":"8"}')


def test_what_is_known_from_elsewhere_and_not_told_is_not_awaited() -> None:
    assert not is_awaited({}, nominal_capacity_ah=1.1, chemistry="LCO")
    assert is_awaited({"nominal_capacity_ah": 1.2}, nominal_capacity_ah=1.1)


def test_tables_of_an_earlier_version_lack_all_that_is_told() -> None:
    assert awaited_cells({"A": {"group": "fast"}}, pa.table({"cell_id": ["A", "B"]})) == ["A"]


def test_a_cell_without_readings_is_not_awaited_since_no_table_will_have_it() -> None:
    assert awaited_cells({"B": {"group": "fast"}}, published()) == []
