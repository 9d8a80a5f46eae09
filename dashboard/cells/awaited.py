"""Which cells have something told of them that the published tables do not have yet."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from kernel.contract.cell_metadata import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from kernel.contract.cell_metadata import Value

DESCRIBED: Final = frozenset({"chemistry", "nominal_capacity_ah", "protocol"})
"""Columns of `battery_cells` that hold what is known from elsewhere, where nothing is told."""

UNPUBLISHED: Final = frozenset({"charge_limit_v", "discharge_limit_v", "full_cycle_min_ah", "full_cycle_max_v"})
"""What the models use and `battery_cells` does not show, so that it tells nothing."""


def awaited_cells(told: Mapping[str, Mapping[str, Value]], cells: pa.Table) -> list[str]:
    """The cells whose published row differs from what is told of them.

    Args:
        told: what is told, by cell and column.
        cells: `battery_cells` as it was published; columns that an earlier version lacks count as empty.
    """
    names = [name for name in COLUMNS if name not in UNPUBLISHED]
    values = {name: _column(cells, COLUMNS[name].table_name) for name in names}
    free = _column(cells, "metadata")
    awaited = []
    for row, cell_id in enumerate(cells["cell_id"].to_pylist()):
        known = told.get(cell_id, {})
        differs = any(
            _published(values[name][row]) != known.get(name) for name in names if name in known or name not in DESCRIBED
        )
        own = {name: value for name, value in known.items() if name not in COLUMNS}
        if differs or json.loads(free[row] or "{}") != own:
            awaited.append(cell_id)
    return awaited


def _column(cells: pa.Table, name: str) -> list[Any]:
    return cells[name].to_pylist() if name in cells.column_names else [None] * cells.num_rows


def _published(value: str | float | list[str] | None) -> Value | None:
    """A value as it is told: tags are a tuple, and a cell without tags has none."""
    return (tuple(value) or None) if isinstance(value, list) else value
