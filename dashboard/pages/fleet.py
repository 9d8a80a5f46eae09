"""All cells: how healthy each is, which have come to their end or to a knee, and which do not age like the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import streamlit as st

from ageing.outliers import FAR
from dashboard.address import choose_one
from dashboard.alerts import show_alerts
from dashboard.colours import inks_of
from dashboard.escaping import literal, spreadsheet_safe
from dashboard.figures.courses import CAPTION, course_of
from dashboard.figures.fleet import FLEET_HEIGHT, MOST_WITH_POINTS, draw_fleet, fleet_courses, left_out
from dashboard.figures.measures import AXES, column, cycles_by_cell
from dashboard.figures.style import COLOURS, kept_rows
from dashboard.groups.choices import (
    DRAWN,
    EACH,
    MEANS,
    OF_CELLS,
    attributes_here,
    choose_colour,
    choose_groups,
    choose_measures,
)
from dashboard.groups.mean_charts import MeansOf, draw_means
from dashboard.groups.measure_charts import draw_measures
from dashboard.groups.panels import MOST_IN_COLOUR, classes_here, draw_charts
from dashboard.groups.table import show_group_table
from dashboard.navigation import go
from dashboard.ranking import ALL, SHOWN, chosen_cells, outliers_first
from dashboard.view import UNKNOWN, choices, downloads, key_figures, show_marts
from dashboard.words.amounts import AH_COLUMN, OHM_COLUMN
from dashboard.words.labels import label_of, tooltip_of
from dashboard.words.rules import end_rule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plotly.graph_objects import Figure
    from streamlit.elements.lib.column_types import ColumnConfig

    from dashboard.groups.choices import GroupChoice
    from dashboard.view import Published
    from kernel.base.settings import Settings

COURSE_POINTS: Final = 40

FULL_BAR: Final = 110.0
"""The SOH in % at which the bar in the table is full."""

NAMED: Final = 4
"""Cells that a line names at most."""

MART: Final = "battery_cells"


def show() -> None:
    """Draw the page."""
    show_marts("Fleet", _draw)


def _draw(settings: Settings, published: Published) -> None:
    cells, cycles = published.table(MART), published.table("battery_cycles")
    attributes = attributes_here(published)
    ordered = outliers_first(cells)
    ids = [row["cell_id"] for row in ordered]
    figures = st.container()
    show_alerts(settings, published)
    with choices():
        which = choose_one("Show", list(SHOWN), "show", ALL, SHOWN.__getitem__)
        drawn = choose_one("Draw", list(DRAWN), "draw", EACH, DRAWN.__getitem__)
        if drawn == OF_CELLS:
            x, y = choose_measures(attributes)
        else:
            axis = choose_one("Over", list(AXES), "over", "cycle", lambda key: AXES[key].title)
        choice = choose_groups(attributes, ids, choose_colour(attributes), with_band=drawn == MEANS)
    wanted = set(choice.matching(ids))
    rows = [row for row in chosen_cells(ordered, which) if row["cell_id"] in wanted]
    with figures:
        _show_figures(rows, len(ordered))
    if not rows:
        said = literal("; ".join([*([] if which == ALL else [SHOWN[which]]), *map(str, choice.conditions)]))
        st.info(
            f"None of {len(ordered)} cells is left: {said}. Take a filter away to see others."
            if choice.conditions
            else f"None of {len(ordered)} cells is among the {SHOWN[which]} here; show all cells to see them."
        )
        return
    if choice.conditions:
        st.caption(literal(f"{len(rows):,} of {len(ordered):,} cells: {choice.filtered_by}."))
    shown = [row["cell_id"] for row in rows]
    if drawn == OF_CELLS:
        draw_measures(choice, ids, shown, inks_of(cells), x, y)
    elif drawn == MEANS:
        draw_means(published, choice, ids, rows, MeansOf("soh", axis))
    else:
        _draw_each(rows, cells, cycles, axis, choice, ids)
    if drawn == MEANS or (drawn == EACH and choice.colour is not None):
        show_group_table(choice, ids, rows)
    table = _table(rows, cycles)
    picked = st.dataframe(
        spreadsheet_safe(table), hide_index=True, column_config=_columns(rows), column_order=list(_columns(rows)),
        on_select="rerun", selection_mode="single-row", key="cells", placeholder=UNKNOWN,
        alt="The cells, those that stand out first",
    )  # fmt: skip
    st.caption("Choose a row to open its cell; a column's title sorts by it.")
    downloads(table.drop_columns(["course"]), "cells")
    if picked.selection.rows:
        go("cell", cell=rows[picked.selection.rows[0]]["cell_id"])


def _draw_each(
    rows: Sequence[Mapping[str, Any]], cells: pa.Table, cycles: pa.Table, axis: str, choice: GroupChoice,
    ids: Sequence[str],
) -> None:  # fmt: skip
    """Draw the course of each cell."""
    shown = [row["cell_id"] for row in rows]
    without = left_out(cycles, rows, "soh", axis)
    classes = classes_here(choice, ids)
    if classes is not None:
        classes = classes.foremost(shown, MOST_IN_COLOUR)
    courses = fleet_courses(
        rows, cycles, axis, inks_of(cells) if classes is None else classes.inks,
        None if classes is None else classes.of,
    )  # fmt: skip
    if courses is None:
        st.info(f"None of these cells has a state of health over the {AXES[axis].title} yet: the table has the rest.")
        return
    foremost = foremost_cells(rows, without) if classes is None else None

    def draw(chosen: list[str], height: int | None) -> Figure | None:
        of_chosen = courses.among(chosen)
        if not of_chosen.lines:
            return None
        members = set(chosen)
        own = [row for row in rows if row["cell_id"] in members]
        return draw_fleet(
            own, of_chosen, foremost_cells(own, without) if foremost is not None and height else foremost,
            height=height or FLEET_HEIGHT,
        )  # fmt: skip

    lines = draw_charts(
        "fleet", choice, ids, shown, draw,
        f"State of health of {len(rows)} cells over {AXES[axis].title}; the table below has the figures.",
    )  # fmt: skip
    everyone = [row["cell_id"] for row in rows]
    coloured = everyone if foremost is None or choice.panels is not None else foremost
    st.caption(" ".join([*chart_lines(len(rows), coloured, without, axis), *lines]))


def foremost_cells(rows: Sequence[Mapping[str, Any]], without: Sequence[str]) -> list[str]:
    """The cells in colour: all, where a legend holds them; else the first of those that can be drawn."""
    absent = set(without)
    drawn = [row["cell_id"] for row in rows if row["cell_id"] not in absent]
    return drawn if len(drawn) <= MOST_WITH_POINTS else drawn[:MOST_IN_COLOUR]


def chart_lines(count: int, foremost: Sequence[str], without: Sequence[str], axis: str) -> list[str]:
    """What the lines are, which of so many cells are in colour, and which cannot be drawn."""
    lines = [CAPTION]
    if len(foremost) < count - len(without):
        lines.append(f"In colour: the first {len(foremost)} of the table, which begins with those that stand out.")
    if without:
        noun = "1 cell is" if len(without) == 1 else f"{len(without):,} cells are"
        lacking = "a complete cycle yet" if axis == "cycle" else f"a complete cycle with known {AXES[axis].title}"
        more = f" and {len(without) - NAMED} more" if len(without) > NAMED else ""
        lines.append(f"{noun} not drawn, without {lacking}: {', '.join(map(literal, without[:NAMED]))}{more}.")
    return lines


def _show_figures(rows: Sequence[Mapping[str, Any]], count: int) -> None:
    """The key figures of the cells that are shown, of so many."""
    health = [row["latest_soh"] for row in rows if row["latest_soh"] is not None]
    key_figures(
        {
            "cells": f"{len(rows):,}" if len(rows) == count else f"{len(rows):,} of {count:,}",
            "median SOH (%)": f"{100 * np.median(health):.1f}" if health else UNKNOWN,
            "past end of life": f"{sum(row['eol_cycle'] is not None for row in rows):,}",
            "past a knee": f"{sum(row['knee_cycle'] is not None for row in rows):,}",
            "stand out": f"{sum(row['stands_out'] is not None for row in rows):,}",
        }
    )


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, ColumnConfig]:
    """The columns of the table, those that matter first; their tooltips have what they mean and their identifiers."""

    def number(name: str, of: str | None = None, form: str = "%.0f", title: str | None = None) -> ColumnConfig:
        column_name = of or name
        return st.column_config.NumberColumn(
            title or str(label_of(column_name)), help=tooltip_of(MART, column_name), format=form
        )

    beyond = sum(100 * (row["latest_soh"] or 0) > FULL_BAR for row in rows)
    more = (
        f" {beyond} of these cells {'has' if beyond == 1 else 'have'} more; the number says how much." if beyond else ""
    )
    return {
        "cell_id": st.column_config.TextColumn("cell", help=tooltip_of(MART, "cell_id"), pinned=True),
        "soh_percent": st.column_config.ProgressColumn(
            "SOH (%)", format="%.1f", min_value=0, max_value=FULL_BAR, color=COLOURS[0],
            help=f"The bar is full at {FULL_BAR:.0f} %.{more} {tooltip_of(MART, 'latest_soh')}",
        ),
        "course": st.column_config.LineChartColumn(
            "course", help="state of health over the cycles (%)", y_min=0, y_max=FULL_BAR, width=110
        ),
        "complete_cycle_count": number("complete_cycle_count", title="complete cycles"),
        "eol_cycle": number("eol_cycle", title="end of life (cycle)"),
        "projected_eol_cycle": number("projected_eol_cycle", title="projected end (cycle)"),
        "stands_out": st.column_config.TextColumn(
            "stands out by", width="medium",
            help=f"what is further from the other cells' than a modified z-score of {FAR}, and how far"
        ),
        "knee_cycle": number("knee_cycle", title="knee (cycle)"),
        "latest_capacity_ah": number("latest_capacity_ah", form=AH_COLUMN),
        "fade_ah_per_100_cycles": number("fade_ah_per_100_cycles", form=AH_COLUMN),
        "recent_fade_ah_per_100_cycles": number("recent_fade_ah_per_100_cycles", form=AH_COLUMN),
        "equivalent_full_cycles": number("equivalent_full_cycles", form="%.1f"),
        "resistance_mohm": number("resistance_mohm", "latest_internal_resistance_ohm", OHM_COLUMN, "resistance (mΩ)"),
        "projected_eol_low_cycle": number("projected_eol_low_cycle", title="projected, earliest"),
        "projected_eol_high_cycle": number("projected_eol_high_cycle", title="projected, latest"),
        "chemistry": st.column_config.TextColumn("chemistry", help=tooltip_of(MART, "chemistry")),
        "rule": st.column_config.TextColumn(
            "rule for the end of life",
            help=f"{tooltip_of(MART, 'eol_rule')} Here: {', '.join(sorted({row['eol_rule'] for row in rows}))}",
        ),
        "quarantined_count": number("quarantined_count", title="readings quarantined"),
        "last_at": st.column_config.DatetimeColumn(
            "last reading (cycler's clock)", format="YYYY-MM-DD HH:mm", help=tooltip_of(MART, "last_at")
        ),
    }  # fmt: skip


def _table(rows: Sequence[Mapping[str, Any]], cycles: pa.Table) -> pa.Table:
    """The rows with what the table shows besides: the course, percents, the rule in words."""
    by_cell = cycles_by_cell(cycles)
    courses: list[list[float]] = []
    for row in rows:
        of_cell = by_cell.get(row["cell_id"])
        if of_cell is None:
            courses.append([])
            continue
        course = course_of(of_cell, "cycle_number", 100 * column(of_cell, "soh"))
        line = course.median[course.line] if course.line.any() else course.y
        courses.append(line[kept_rows(line, COURSE_POINTS)].tolist())
    table = pa.Table.from_pylist(
        [{name: value for name, value in row.items() if name != "eol_alternatives"} for row in rows]
    )
    ohm = column(table, "latest_internal_resistance_ohm")
    return (
        table.append_column("course", pa.array(courses, pa.list_(pa.float64())))
        .append_column("soh_percent", pa.array(100 * column(table, "latest_soh"), from_pandas=True))
        .append_column("resistance_mohm", pa.array(1000 * ohm, from_pandas=True))
        .append_column("rule", pa.array([end_rule(row["eol_rule"]) for row in rows]))
    )
