"""All cells: how healthy each is, which have come to their end or to a knee, and which do not age like the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import streamlit as st

from ageing.outliers import FAR
from dashboard.address import choose_many, choose_one
from dashboard.amounts import AH_COLUMN, OHM_COLUMN
from dashboard.escaping import spreadsheet_safe
from dashboard.figures.ageing import AXES, MEASURES, column, cycles_of, decimated_measure, fleet
from dashboard.figures.style import COLOURS
from dashboard.navigation import go
from dashboard.ranking import ALL, SHOWN, chosen_cells, outliers_first
from dashboard.view import UNKNOWN, chart, downloads, key_figures, show_marts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dashboard.view import Published
    from kernel.base.settings import Settings

MOST_IN_COLOUR: Final = 8

COURSE_POINTS: Final = 40

COLUMNS: Final[dict[str, Any]] = {
    "cell_id": "cell",
    "stands_out": st.column_config.TextColumn("stands out by", help=f"modified z-score beyond {FAR} among all cells"),
    "soh_percent": st.column_config.ProgressColumn(
        "SOH (%)", format="%.1f", min_value=0, max_value=110, color=COLOURS[0]
    ),
    "course": st.column_config.LineChartColumn(
        "course", help="state of health over the cycles (%)", y_min=0, y_max=110
    ),
    "latest_capacity_ah": st.column_config.NumberColumn("capacity (Ah)", format=AH_COLUMN),
    "complete_cycle_count": "complete cycles",
    "equivalent_full_cycles": st.column_config.NumberColumn("equivalent full cycles", format="%.1f"),
    "fade_ah_per_100_cycles": st.column_config.NumberColumn("fade (Ah/100 cycles)", format=AH_COLUMN),
    "recent_fade_ah_per_100_cycles": st.column_config.NumberColumn("recent fade (Ah/100 cycles)", format=AH_COLUMN),
    "eol_cycle": st.column_config.NumberColumn("end of life (cycle)"),
    "knee_cycle": st.column_config.NumberColumn("knee (cycle)", format="%.0f"),
    "projected_eol_cycle": st.column_config.NumberColumn("projected end (cycle)", format="%.0f"),
    "projected_eol_low_cycle": st.column_config.NumberColumn("earliest", format="%.0f"),
    "projected_eol_high_cycle": st.column_config.NumberColumn("latest", format="%.0f"),
    "resistance_mohm": st.column_config.NumberColumn("resistance (mΩ)", format=OHM_COLUMN),
    "eol_rule": "rule of the end of life",
    "chemistry": "chemistry",
    "quarantined_count": "rows quarantined",
    "last_at": st.column_config.DatetimeColumn("last reading (cycler's clock)", format="YYYY-MM-DD HH:mm"),
}


def show() -> None:
    """Draw the page."""
    show_marts("Fleet", _draw)


def _draw(settings: Settings, published: Published) -> None:  # noqa: ARG001
    cells, cycles = published.table("battery_cells"), published.table("battery_cycles")
    ordered = outliers_first(cells)
    _show_figures(ordered)
    left, middle, right = st.columns(3)
    with left:
        which = choose_one("Show", list(SHOWN), "show", ALL, SHOWN.__getitem__)
    with middle:
        chemistries = choose_many(
            "Chemistry", sorted({row["chemistry"] for row in ordered if row["chemistry"]}), "chemistry", []
        )
    with right:
        axis = choose_one("Over", list(AXES), "over", "cycle", lambda key: AXES[key].title)
    rows = chosen_cells(ordered, which, chemistries)
    if not rows:
        st.info(f"None of {len(ordered)} cells is among the {SHOWN[which]} here; show all cells to see them.")
        return
    foremost = [row["cell_id"] for row in rows[:MOST_IN_COLOUR]]
    chart(
        fleet(rows, cycles, axis, foremost), "fleet",
        f"State of health of {len(rows)} cells over {AXES[axis].title}; the table below has the figures.",
    )  # fmt: skip
    if len(rows) > MOST_IN_COLOUR:
        st.caption(f"In colour: the first {MOST_IN_COLOUR} cells of the table, which begins with those that stand out.")
    table = _table(rows, cycles)
    st.caption("Choose a row to open its cell; a column's title sorts by it.")
    picked = st.dataframe(
        spreadsheet_safe(table), hide_index=True, column_config=COLUMNS, column_order=list(COLUMNS), on_select="rerun",
        selection_mode="single-row", key="cells", alt="The cells, those that stand out first",
    )  # fmt: skip
    downloads(table.drop_columns(["course"]), "cells")
    if picked.selection.rows:
        go("cell", cell=rows[picked.selection.rows[0]]["cell_id"])


def _show_figures(rows: Sequence[Mapping[str, Any]]) -> None:
    health = [row["latest_soh"] for row in rows if row["latest_soh"] is not None]
    figures = {
        "cells": f"{len(rows):,}",
        "median SOH (%)": f"{100 * np.median(health):.1f}" if health else UNKNOWN,
        "past end of life": f"{sum(row['eol_cycle'] is not None for row in rows):,}",
        "past a knee": f"{sum(row['knee_cycle'] is not None for row in rows):,}",
        "stand out": f"{sum(row['stands_out'] is not None for row in rows):,}",
        "readings": f"{sum(row['reading_count'] for row in rows):,}",
    }
    key_figures(figures)


def _table(rows: Sequence[Mapping[str, Any]], cycles: pa.Table) -> pa.Table:
    courses = []
    for row in rows:
        of_cell = cycles_of(cycles, row["cell_id"])
        courses.append(
            decimated_measure(of_cell, MEASURES["soh"], column(of_cell, "cycle_number"), COURSE_POINTS)[1].tolist()
        )
    table = pa.Table.from_pylist(
        [{name: value for name, value in row.items() if name != "eol_alternatives"} for row in rows]
    )
    ohm = column(table, "latest_internal_resistance_ohm")
    return (
        table.append_column("course", pa.array(courses, pa.list_(pa.float64())))
        .append_column("soh_percent", pa.array(100 * column(table, "latest_soh"), from_pandas=True))
        .append_column("resistance_mohm", pa.array(1000 * ohm, from_pandas=True))
    )
