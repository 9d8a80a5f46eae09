"""Figures of many cells drawn at once, where the pages keep the courses to draw parts of them on the same axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboard.figures.fleet import AS_MEASURED, compared_courses, draw_compared, draw_fleet, fleet_courses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import plotly.graph_objects as go
    import pyarrow as pa

    from dashboard.colours import Ink

    Cell = Mapping[str, Any]


def fleet(
    cells: Sequence[Cell], cycles: pa.Table, axis: str, foremost: Sequence[str], inks: Mapping[str, Ink]
) -> go.Figure | None:
    """State of health of many cells in %, with the end of life and the knee of each; those foremost in their inks.

    The others are muted, and one trace, so that a fleet of any size is quick to draw.

    Args:
        cells: rows of `battery_cells`.
        cycles: rows of `battery_cycles`, of these cells and of others.
        axis: of `AXES`.
        foremost: ids of the cells in colour.
        inks: of all cells of the publication.

    Returns:
        The drawing; None where no cell has a state of health.
    """
    courses = fleet_courses(cells, cycles, axis, inks)
    return None if courses is None else draw_fleet(cells, courses, foremost)


def compare(
    cycles: pa.Table,
    cells: Sequence[Cell],
    measure: str,
    axis: str,
    inks: Mapping[str, Ink],
    *,
    scale: str = AS_MEASURED,
    groups: Mapping[str, str] | None = None,
) -> go.Figure | None:
    """One measure of several cells on common axes; the arguments are those of `compared_courses`.

    Returns:
        The drawing; None where no cell has that measure.
    """
    courses = compared_courses(cycles, cells, measure, axis, inks, scale=scale, groups=groups)
    return None if courses is None else draw_compared(courses, is_grouped=groups is not None)
