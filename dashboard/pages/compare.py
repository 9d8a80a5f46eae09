"""Several cells on common axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

from dashboard.address import choose_many, choose_one
from dashboard.colours import Ink, deal_inks, inks_of
from dashboard.escaping import literal
from dashboard.figures.courses import CAPTION
from dashboard.figures.fleet import AS_MEASURED, MOST_WITH_POINTS, SCALES, TO_FIRST, TO_NOMINAL, compare, left_out
from dashboard.figures.measures import AXES, MEASURES
from dashboard.ranking import outliers_first
from dashboard.view import chart, choices, downloads, show_marts
from dashboard.words.tables import show_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dashboard.view import Published
    from kernel.base.settings import Settings

FIRST_CELLS: Final = 4

NAMED: Final = 4
"""Cells that a line names at most."""

ALIKE: Final = 5.0
"""Cells whose capacities differ by a larger factor cannot be compared on one axis in Ah."""

BY_CELL, BY_CHEMISTRY, BY_CAPACITY = "cell", "chemistry", "capacity"
COLOURED: Final = {BY_CELL: "cell", BY_CHEMISTRY: "chemistry", BY_CAPACITY: "nominal capacity"}
"""What lines of one colour have in common."""

FIGURES: Final = (
    "cell_id", "latest_soh", "initial_capacity_ah", "latest_capacity_ah", "complete_cycle_count", "eol_cycle",
    "projected_eol_cycle", "knee_cycle", "fade_ah_per_100_cycles", "equivalent_full_cycles", "chemistry",
    "nominal_capacity_ah", "eol_rule",
)  # fmt: skip
"""Columns of the table, those that matter first."""


def show() -> None:
    """Draw the page."""
    show_marts("Compare", _draw)


def _draw(settings: Settings, published: Published) -> None:  # noqa: ARG001
    cells = published.table("battery_cells")
    ordered = {row["cell_id"]: row for row in outliers_first(cells)}
    chosen = choose_many("Cells", list(ordered), "cells", first_cells(list(ordered.values())))
    with choices():
        measure = choose_one("Measure", list(MEASURES), "measure", "capacity", lambda key: MEASURES[key].words)
        scale = choose_one("Scale", scales_of(measure), "scale", AS_MEASURED, SCALES.__getitem__)
        axis = choose_one("Over", list(AXES), "over", "efc", lambda key: AXES[key].title)
        coloured = choose_one("Colour by", list(COLOURED), "colour", BY_CELL, COLOURED.__getitem__)
    if not chosen:
        st.info("Choose the cells to compare.")
        return
    rows = [ordered[cell] for cell in chosen]
    cycles = published.table("battery_cycles")
    groups = None if coloured == BY_CELL else {row["cell_id"]: group_of(row, coloured) for row in rows}
    inks: Mapping[str, Ink] = inks_of(cells)
    if groups is not None:  # of all cells, so that a group has its colour whichever cells are chosen
        inks = deal_inks(sorted({group_of(row, coloured) for row in ordered.values()}))
    figure = compare(cycles, rows, measure, axis, inks, scale=scale, groups=groups)
    words = MEASURES[measure].words
    if figure is None:
        st.info(f"None of these cells has a {words} over {AXES[axis].title}{_scaled(scale)}.")
    else:
        chart(figure, f"compare-{measure}", f"{words} of {', '.join(chosen)} over {AXES[axis].title}, {SCALES[scale]}")
        lines = [CAPTION if len(rows) <= MOST_WITH_POINTS else CAPTION.partition("; points")[0] + "."]
        without = left_out(cycles, rows, measure, axis, scale)
        if without:
            more = f" and {len(without) - NAMED} more" if len(without) > NAMED else ""
            names = ", ".join(literal(cell) for cell in without[:NAMED])
            lines.append(f"Not drawn, without {words} over {AXES[axis].title}{_scaled(scale)}: {names}{more}.")
        if measure == "capacity" and scale == AS_MEASURED and size_ratio(rows) > ALIKE:
            lines.append(f"Capacities of so different cells are best compared {SCALES[TO_FIRST]}.")
        st.caption(" ".join(lines))
    table = cells.filter(pc.is_in(cells["cell_id"], value_set=pa.array(chosen)))
    show_table(table, "battery_cells", FIGURES, key="compared", alt="Cells compared")
    of_cells = cycles.filter(pc.is_in(cycles["cell_id"], value_set=pa.array(chosen)))
    downloads(of_cells, "compared-cycles")


def first_cells(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The cells to begin with: of the size of the one with the most cycles, those that stand out first.

    Capacities of a coin cell and of a cylindrical cell on one axis would show neither.
    """
    longest = max(rows, key=lambda row: row["complete_cycle_count"] or 0)
    alike = [row["cell_id"] for row in rows if group_of(row, BY_CAPACITY) == group_of(longest, BY_CAPACITY)]
    first = dict.fromkeys([longest["cell_id"], *alike])
    return list(first)[:FIRST_CELLS]


def group_of(row: Mapping[str, Any], by: str) -> str:
    """What a cell has in common with others: its chemistry, or its nominal capacity."""
    if by == BY_CHEMISTRY:
        return row["chemistry"] or "chemistry unknown"
    nominal = row["nominal_capacity_ah"]
    return "nominal capacity unknown" if nominal is None else f"{nominal:g} Ah"


def size_ratio(rows: Sequence[Mapping[str, Any]]) -> float:
    """How many times larger the largest of some cells is than the smallest; 1 where no capacity is known."""
    sizes = [row["nominal_capacity_ah"] or row["initial_capacity_ah"] for row in rows]
    known = [size for size in sizes if size]
    return max(known) / min(known) if known else 1.0


def scales_of(measure: str) -> list[str]:
    """What a measure can be relative to: to a nominal capacity only a capacity."""
    return [scale for scale in SCALES if scale != TO_NOMINAL or measure == "capacity"]


def _scaled(scale: str) -> str:
    return "" if scale == AS_MEASURED else f", {SCALES[scale]}"
