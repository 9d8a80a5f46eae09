"""Several cells on common axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

from dashboard.address import choose_many, choose_one, choose_whether
from dashboard.amounts import AH_COLUMN
from dashboard.escaping import spreadsheet_safe
from dashboard.figures.ageing import AXES, MEASURES, compare
from dashboard.ranking import outliers_first
from dashboard.view import chart, downloads, show_marts

if TYPE_CHECKING:
    from dashboard.view import Published
    from kernel.base.settings import Settings

FIRST_CELLS: Final = 4

FIGURES: Final[dict[str, Any]] = {
    "cell_id": "cell",
    "initial_capacity_ah": st.column_config.NumberColumn("initial capacity (Ah)", format=AH_COLUMN),
    "latest_capacity_ah": st.column_config.NumberColumn("last capacity (Ah)", format=AH_COLUMN),
    "complete_cycle_count": "complete cycles",
    "equivalent_full_cycles": st.column_config.NumberColumn("equivalent full cycles", format="%.1f"),
    "fade_ah_per_100_cycles": st.column_config.NumberColumn("fade (Ah/100 cycles)", format=AH_COLUMN),
    "eol_cycle": "end of life (cycle)",
    "eol_rule": "rule of the end of life",
    "knee_cycle": st.column_config.NumberColumn("knee (cycle)", format="%.0f"),
    "projected_eol_cycle": st.column_config.NumberColumn("projected end (cycle)", format="%.0f"),
    "chemistry": "chemistry",
}


def show() -> None:
    """Draw the page."""
    show_marts("Compare", _draw)


def _draw(settings: Settings, published: Published) -> None:  # noqa: ARG001
    cells = [row["cell_id"] for row in outliers_first(published.table("battery_cells"))]
    chosen = choose_many("Cells", cells, "cells", cells[:FIRST_CELLS])
    left, middle, right = st.columns(3, vertical_alignment="bottom")
    with left:
        measure = choose_one("Measure", list(MEASURES), "measure", "capacity", lambda key: MEASURES[key].title)
    with middle:
        axis = choose_one("Over", list(AXES), "over", "efc", lambda key: AXES[key].title)
    with right:
        relative = choose_whether("Relative to the first", "relative", first=False)
    if not chosen:
        st.info("Choose the cells to compare.")
        return
    cycles = published.table("battery_cycles")
    figure = compare(cycles, chosen, measure, axis, relative=relative)
    if not any(len(line.x) for line in figure.data):
        st.info(f"None of these cells has a {MEASURES[measure].title.rpartition(' (')[0]}.")
        return
    chart(figure, f"compare-{measure}", f"{MEASURES[measure].title} of {', '.join(chosen)} over {AXES[axis].title}")
    rows = published.table("battery_cells")
    rows = rows.filter(pc.is_in(rows["cell_id"], value_set=pa.array(chosen)))
    st.dataframe(
        spreadsheet_safe(rows),
        hide_index=True,
        column_order=list(FIGURES),
        column_config=FIGURES,
        key="compared",
        alt="Cells compared",
    )
    of_cells = cycles.filter(pc.is_in(cycles["cell_id"], value_set=pa.array(chosen)))
    downloads(of_cells, "compared-cycles")
