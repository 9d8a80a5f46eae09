"""Several cells on common axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

from dashboard.address import choose_many, choose_one
from dashboard.colours import DASHES, inks_of
from dashboard.escaping import literal
from dashboard.figures.courses import CAPTION
from dashboard.figures.fleet import (
    AS_MEASURED,
    COMPARED_HEIGHT,
    MOST_WITH_POINTS,
    SCALES,
    TO_FIRST,
    TO_NOMINAL,
    compared_courses,
    draw_compared,
    left_out,
)
from dashboard.figures.measures import AXES, MEASURES
from dashboard.figures.style import COLOURS
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
from dashboard.ranking import outliers_first
from dashboard.view import choices, downloads, show_marts
from dashboard.words.tables import show_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plotly.graph_objects import Figure

    from dashboard.groups.choices import GroupChoice
    from dashboard.view import Published
    from kernel.base.settings import Settings

FIRST_CELLS: Final = 4

NAMED: Final = 4
"""Cells that a line names at most."""

ALIKE: Final = 5.0
"""Cells whose capacities differ by a larger factor cannot be compared on one axis in Ah."""

MOST_INKS: Final = len(COLOURS) * len(DASHES)
"""Cells that have inks of their own."""

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
    cells, cycles = published.table("battery_cells"), published.table("battery_cycles")
    attributes = attributes_here(published)
    ordered = {row["cell_id"]: row for row in outliers_first(cells)}
    place = st.container()
    with choices():
        drawn = choose_one("Draw", list(DRAWN), "draw", EACH, DRAWN.__getitem__)
        if drawn == OF_CELLS:
            x, y = choose_measures(attributes)
        else:
            measure = choose_one("Measure", list(MEASURES), "measure", "capacity", lambda key: MEASURES[key].words)
            scale = choose_one("Scale", scales_of(measure), "scale", AS_MEASURED, SCALES.__getitem__)
            axis = choose_one("Over", list(AXES), "over", "efc", lambda key: AXES[key].title)
        choice = choose_groups(attributes, list(ordered), choose_colour(attributes), with_band=drawn == MEANS)
    with place:
        chosen = _choose_cells(ordered, choice)
    if not chosen:
        return
    rows = [ordered[cell] for cell in chosen]
    if drawn == OF_CELLS:
        draw_measures(choice, list(ordered), chosen, inks_of(cells), x, y)
    elif drawn == MEANS:
        draw_means(published, choice, list(ordered), rows, MeansOf(measure, axis, scale))
        show_group_table(choice, list(ordered), rows)
    else:
        _draw_each(rows, cells, cycles, measure, scale, axis, choice)
    table = cells.filter(pc.is_in(cells["cell_id"], value_set=pa.array(chosen)))
    show_table(table, "battery_cells", FIGURES, key="compared", alt="Cells compared")
    of_cells = cycles.filter(pc.is_in(cycles["cell_id"], value_set=pa.array(chosen)))
    downloads(of_cells, "compared-cycles")


def _choose_cells(ordered: Mapping[str, Mapping[str, Any]], choice: GroupChoice) -> list[str]:
    """The cells that are compared: those that match the filters, or where there are none those that are chosen."""
    if not choice.conditions:
        chosen = choose_many("Cells", list(ordered), "cells", first_cells(list(ordered.values())))
        if not chosen:
            st.info("Choose the cells to compare.")
        return chosen
    matched = choice.matching(list(ordered))
    noun = "cell" if len(matched) == 1 else "cells"
    said = literal(f"{choice.filtered_by}.")
    if matched:
        st.caption(f"{len(matched):,} of {len(ordered)} {noun}: {said} Take the filters away to choose cells by name.")
    else:
        st.info(f"None of {len(ordered)} cells is left by the filters: {said}")
    return matched


def _draw_each(
    rows: Sequence[Mapping[str, Any]], cells: pa.Table, cycles: pa.Table, measure: str, scale: str, axis: str,
    choice: GroupChoice,
) -> None:  # fmt: skip
    """Draw the course of each cell."""
    ids, chosen = cells["cell_id"].to_pylist(), [row["cell_id"] for row in rows]
    classes = classes_here(choice, ids)
    if classes is not None:
        classes = classes.foremost(chosen, MOST_IN_COLOUR)
    courses = compared_courses(
        cycles, rows, measure, axis, inks_of(cells) if classes is None else classes.inks, scale=scale,
        groups=None if classes is None else classes.of,
    )  # fmt: skip
    words = MEASURES[measure].words
    if courses is None:
        st.info(f"None of these cells has a {words} over {AXES[axis].title}{_scaled(scale)}.")
        return

    def draw(some: list[str], height: int | None) -> Figure | None:
        of_some = courses.among(some)
        if not of_some.lines:
            return None
        foremost = None if classes is not None or len(some) <= MOST_INKS else list(of_some.lines)[:MOST_IN_COLOUR]
        return draw_compared(of_some, foremost, is_grouped=classes is not None, height=height or COMPARED_HEIGHT)

    said = ", ".join(chosen[:MOST_INKS]) + (f" and {len(chosen) - MOST_INKS} more" if len(chosen) > MOST_INKS else "")
    lines = draw_charts(
        f"compare-{measure}", choice, ids, chosen, draw, f"{words} of {said} over {AXES[axis].title}, {SCALES[scale]}"
    )
    lines.insert(0, CAPTION if len(rows) <= MOST_WITH_POINTS else CAPTION.partition("; points")[0] + ".")
    without = left_out(cycles, rows, measure, axis, scale)
    if without:
        more = f" and {len(without) - NAMED} more" if len(without) > NAMED else ""
        names = ", ".join(literal(cell) for cell in without[:NAMED])
        lines.append(f"Not drawn, without {words} over {AXES[axis].title}{_scaled(scale)}: {names}{more}.")
    if classes is None and choice.panels is None and len(chosen) > MOST_INKS:
        lines.append(f"In colour: the first {MOST_IN_COLOUR}; colour by what cells have in common to tell more apart.")
    if measure == "capacity" and scale == AS_MEASURED and size_ratio(rows) > ALIKE:
        lines.append(f"Capacities of so different cells are best compared {SCALES[TO_FIRST]}.")
    st.caption(" ".join(lines))


def first_cells(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The cells to begin with: of the size of the one with the most cycles, those that stand out first.

    Capacities of a coin cell and of a cylindrical cell on one axis would show neither.
    """
    longest = max(rows, key=lambda row: row["complete_cycle_count"] or 0)
    alike = [row["cell_id"] for row in rows if row["nominal_capacity_ah"] == longest["nominal_capacity_ah"]]
    first = dict.fromkeys([longest["cell_id"], *alike])
    return list(first)[:FIRST_CELLS]


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
