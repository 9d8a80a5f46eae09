"""Charts of cells: one, or a panel for each value of what the visitor has chosen for panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import streamlit as st

from dashboard.escaping import literal
from dashboard.figures.fleet import PANEL_HEIGHT
from dashboard.figures.style import COLOURS
from dashboard.groups.classes import Classes, classes_of
from dashboard.view import chart

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from plotly.graph_objects import Figure

    from dashboard.groups.choices import GroupChoice

    Draw = Callable[[list[str], int | None], Figure | None]

MOST_PANELS: Final = 6
"""Panels on a page: those with the most cells."""

MOST_IN_COLOUR: Final = len(COLOURS)
"""Cells or groups in colour where there are more than eyes tell apart."""

NAMED: Final = 4
"""Groups that a line names at most."""

STYLE: Final = """
<style>
.st-key-group-panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(19rem, 100%), 1fr)); }
</style>
"""
"""Panels of one width side by side as far as there is room, on a phone one below the other."""


def classes_here(choice: GroupChoice, all_cells: Sequence[str]) -> Classes | None:
    """The classes that give cells their colours; None where each cell has its own."""
    return None if choice.colour is None else classes_of(choice.colour, all_cells)


def draw_charts(
    name: str, choice: GroupChoice, all_cells: Sequence[str], cells: list[str], draw: Draw, alt: str,
    show: Callable[[Figure, str, str], object] = chart,
) -> list[str]:  # fmt: skip
    """Draw one chart of some cells, or a panel for each value of what the visitor chose for panels.

    Args:
        name: of the chart.
        choice: the visitor's.
        all_cells: ids of all cells of the publication.
        cells: ids of those that are drawn, one of which can be at least.
        draw: the drawing of some of them at a height, None for its own; None where none of them can be drawn.
        alt: what the chart shows.
        show: puts a drawing on the page, by its name and what it shows.

    Returns:
        What has to be said of the panels.
    """
    if choice.panels is None:
        figure = draw(cells, None)
        if figure is not None:
            show(figure, name, alt)
        return []
    classes = classes_of(choice.panels, all_cells)
    members = classes.among(cells)
    foremost, others = largest_first(members, MOST_PANELS)
    figures = {panel: draw(members[panel], PANEL_HEIGHT) for panel in foremost}
    drawn = {panel: figure for panel, figure in figures.items() if figure is not None}
    share_x(list(drawn.values()))
    st.html(STYLE)
    with st.container(gap="medium", key="group-panels"):
        for number, (panel, figure) in enumerate(drawn.items(), start=1):
            with st.container(gap="small"):
                st.markdown(f"**{literal(panel)}** · n = {foremost[panel]:,}")
                show(figure, f"{name}-{number}", f"{panel}: {alt}")
    empty = [panel for panel in foremost if panel not in drawn]
    lines = []
    if others:
        total = sum(others.values())
        lines.append(f"The {MOST_PANELS} largest of {len(members)} panels; not drawn: {named(others)} ({total} cells).")
    if empty:
        lines.append(f"Nothing to draw of {', '.join(map(literal, empty[:NAMED]))}.")
    return lines


def share_x(figures: Sequence[Figure]) -> None:
    """Give drawings one range along x: that of all they show; those that have one keep it."""
    shown = [
        np.asarray(trace.x)
        for figure in figures
        if figure.layout.xaxis.range is None
        for trace in figure.data
        if trace.x is not None and len(trace.x)
    ]
    if not shown:
        return
    low, high = min(np.nanmin(x) for x in shown), max(np.nanmax(x) for x in shown)
    for figure in figures:
        if figure.layout.xaxis.range is None and low < high:
            figure.update_xaxes(range=[low, high])


def largest_first(members: Mapping[str, Sequence[str]], most: int) -> tuple[dict[str, int], dict[str, int]]:
    """The classes that are drawn, the largest where there are more than `most`, and those that are not; each with n."""
    largest = set(sorted(members, key=lambda name: -len(members[name]))[:most])
    counts = {name: len(cells) for name, cells in members.items()}
    return (
        {name: count for name, count in counts.items() if name in largest},
        {name: count for name, count in counts.items() if name not in largest},
    )


def named(groups: Mapping[str, int]) -> str:
    """Groups that are left out, the first by name, as Markdown."""
    more = f" and {len(groups) - NAMED} more" if len(groups) > NAMED else ""
    return ", ".join(literal(name) for name in list(groups)[:NAMED]) + more
