"""The published marts of one cell, for the Cell page and the report alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from dashboard.colours import FIRST, Ink, inks_of
from dashboard.figures.ageing import cycles_of
from dashboard.words.thresholds import thresholds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa


@dataclass(frozen=True)
class CellMarts:
    """The published marts of one cell: its row of `battery_cells`, and its rows of the others, in order.

    `thresholds` are those that the marts were built with, by name; `ink` is what the cell is drawn with on all pages.
    """

    cell: Mapping[str, Any]
    cycles: pa.Table
    steps: pa.Table
    gaps: pa.Table
    tests: pa.Table
    curves: pa.Table
    thresholds: Mapping[str, float]
    ink: Ink = FIRST


def marts_of_cell(table: Callable[[str], pa.Table], cell: str, *, has_thresholds: bool) -> CellMarts:
    """The marts of a cell.

    Args:
        table: reads a published mart by its name.
        cell: its id.
        has_thresholds: whether the publication has the table `battery_thresholds`, which earlier versions lack.

    Raises:
        KeyError: there is no such cell.
        BatteryError: a mart cannot be read.
    """

    def rows_of(name: str) -> pa.Table:
        rows = table(name)
        return rows.filter(pc.equal(rows["cell_id"], cell))

    cells = rows_of("battery_cells").to_pylist()
    if not cells:
        raise KeyError(cell)
    inks = inks_of(table("battery_cells"))
    return CellMarts(
        cells[0],
        cycles_of(table("battery_cycles"), cell),
        rows_of("battery_steps"),
        rows_of("battery_gaps").sort_by("started_at"),
        rows_of("battery_tests").sort_by("ordered_at"),
        rows_of("battery_ica"),
        thresholds_of(table("battery_thresholds") if has_thresholds else None),
        inks[cell],
    )
