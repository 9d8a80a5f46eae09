"""The chart of two measures of each cell, with their correlation below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from dashboard.escaping import literal
from dashboard.figures.scatter import HEIGHT, correlation_lines, placed, ranges_of, scatter
from dashboard.groups.attributes import Kind
from dashboard.groups.classes import classes_of
from dashboard.groups.panels import MOST_IN_COLOUR, MOST_PANELS, classes_here, draw_charts, largest_first
from dashboard.navigation import go
from dashboard.view import chart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plotly.graph_objects import Figure

    from dashboard.colours import Ink
    from dashboard.groups.attributes import Attribute
    from dashboard.groups.choices import GroupChoice


def draw_measures(
    choice: GroupChoice, all_cells: Sequence[str], cells: list[str], inks: Mapping[str, Ink],
    x: Attribute, y: Attribute,
) -> None:  # fmt: skip
    """Draw two measures of some cells against one another with their correlation, or say that no cell has both.

    Args:
        choice: the visitor's.
        all_cells: ids of all cells of the publication.
        cells: ids of those that are drawn.
        inks: of all cells.
        x: a number of each cell.
        y: another one, or the same.
    """
    drawn = placed(x, y, cells)
    said = [literal(line) for line in correlation_lines(x, y, cells)]
    if not drawn:
        st.info("  \n".join(["No cell has both measures.", *said[1:]]))
        return
    continuous = choice.colour is not None and choice.colour.kind is Kind.NUMBER
    classes = classes_here(choice, all_cells)
    if classes is not None:
        classes = classes.foremost(drawn, MOST_IN_COLOUR)
    groups = {cell: cell for cell in all_cells} if classes is None else classes.of
    ranges = ranges_of(x, y, drawn)

    def draw(chosen: list[str], height: int | None) -> Figure | None:
        return scatter(
            x, y, chosen, groups, inks if classes is None else classes.inks,
            by=choice.colour if continuous else None, legend=classes is not None, ranges=ranges,
            height=height or HEIGHT,
        )  # fmt: skip

    lines = draw_charts(
        "measures", choice, all_cells, cells, draw,
        f"{y.label.words} over {x.label.words} of {len(drawn)} cells", _show_points,
    )  # fmt: skip
    st.markdown(said[0])
    st.caption(" ".join([*said[1:], *lines, "Choose a point to open its cell."]))
    if choice.panels is not None:
        of_panels = _panel_correlations(choice.panels, all_cells, cells, x, y)
        st.caption("  \n".join(literal(line) for line in of_panels))


def _panel_correlations(
    panels: Attribute, all_cells: Sequence[str], cells: list[str], x: Attribute, y: Attribute
) -> list[str]:
    members = classes_of(panels, all_cells).among(cells)
    drawn, _ = largest_first(members, MOST_PANELS)
    return [f"{name}: {correlation_lines(x, y, members[name])[0]}" for name in drawn]


def _show_points(figure: Figure, name: str, alt: str) -> None:
    """A chart of which a chosen point leads to its cell."""
    if points := chart(figure, name, alt, selectable=True):
        cell = points[0].get("customdata")
        go("cell", cell=str(cell[0] if isinstance(cell, list) else cell))
