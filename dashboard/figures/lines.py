"""Lines of cells on common axes: a cell's course by itself, or those of many cells as one trace."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from dashboard.colours import Ink, ink_of
from dashboard.escaping import in_figure
from dashboard.figures.axes import Outside
from dashboard.figures.courses import Course, course_of, cycle_markers
from dashboard.figures.measures import column, cycles_by_cell
from dashboard.figures.style import MUTED, kept_rows
from dashboard.words.amounts import largest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt
    import plotly.graph_objects as go
    import pyarrow as pa

CELL_POINTS: Final = 400
"""Points of the line of a cell that are drawn, and of its single cycles where there are few cells."""

FAINT_POINTS: Final = 1_000
"""Single cycles of all cells that are drawn: they cost a browser most of its time."""

MUTED_POINTS: Final = 12_000
"""Points of the lines of all cells that are there for context."""

FEWEST_POINTS: Final = 16
"""Of the line of one of them at least."""

RANGE_POINTS: Final = 40
"""Values that each cell gives to the range of the axis: a long life must not push a short one out of it."""

MOST_WITH_POINTS: Final = 12
"""Cells up to which single cycles are drawn behind the lines."""


@dataclass(frozen=True)
class Line:
    """One cell in a drawing: its course, what it is drawn with, and what it is called in the legend."""

    cell: str
    course: Course
    ink: Ink
    group: str


def lines_of(
    ids: Sequence[str],
    cycles: pa.Table,
    x: str,
    name: str,
    factor: float,
    inks: Mapping[str, Ink],
    groups: Mapping[str, str] | None = None,
) -> dict[str, Line]:
    """The lines of the cells that have a value, in the order of `ids`."""
    by_cell = cycles_by_cell(cycles)
    lines = {}
    for cell in ids:
        of_cell = by_cell.get(cell)
        if of_cell is None:
            continue
        course = course_of(of_cell, x, factor * column(of_cell, name))
        group = cell if groups is None else groups[cell]
        if len(course.y):
            lines[cell] = Line(cell, course, ink_of(inks, group), group)
    return lines


def first_value(course: Course) -> float:
    """The first value that the others are relative to: that of the first usual cycle, else of the first one."""
    values = course.y[course.line] if course.line.any() else course.y
    return float(values[0]) or np.nan


def relative_line(line: Line, basis: float) -> Line:
    """A line with its values in % of a basis."""
    course = line.course
    return replace(line, course=replace(course, y=100 * course.y / basis, median=100 * course.median / basis))


def _drawn_line(course: Course, most: int) -> npt.NDArray[np.int64]:
    """Rows of the points that the line of a course goes through; of a cell without usual cycles all, as points."""
    rows = np.flatnonzero(course.line)
    return rows[kept_rows(course.median[rows], most)]


def points_of_each(cells: int) -> int:
    """How many single cycles of each of so many cells are drawn behind its line."""
    return min(CELL_POINTS, FAINT_POINTS // cells) if 0 < cells <= MOST_WITH_POINTS else 0


def add_line(figure: go.Figure, line: Line, hover: str, points: int, *, legend: bool = True) -> None:
    """A cell: its line, with so many single cycles behind it; too few cycles for a line are points that are joined."""
    course, ink = line.course, line.ink
    cell = in_figure(line.cell)
    usual = _drawn_line(course, CELL_POINTS)
    if points and not course.is_joined:
        rows = kept_rows(course.y, points)
        figure.add_scatter(
            x=course.x[rows], y=course.y[rows], customdata=course.number[rows], name=f"{cell}, each cycle",
            mode="markers", legendgroup=line.group, showlegend=False,
            marker=cycle_markers(course, rows, ink.colour),
            hovertemplate=f"{cell}, cycle %{{customdata}}<br>{hover}<extra></extra>",
        )  # fmt: skip
    few = course.is_joined
    if len(usual):
        figure.add_scatter(
            x=course.x[usual], y=course.median[usual], name=in_figure(line.group), legendgroup=line.group,
            showlegend=legend, mode="lines+markers" if few else "lines",
            line={"color": ink.colour, "width": 2, "dash": ink.dash}, marker={"color": ink.colour, "size": 7},
            hovertemplate=f"{cell}<br>{hover}<extra></extra>",
        )  # fmt: skip
        return
    figure.add_scatter(  # none is a usual cycle: what there is, is shown, and joins nothing
        x=course.x, y=course.y, customdata=course.number, name=in_figure(line.group), legendgroup=line.group,
        showlegend=legend, mode="markers",
        marker={"color": ink.colour, "size": 7, "symbol": np.where(course.complete, "diamond", "x-thin-open").tolist()},
        hovertemplate=f"{cell}, cycle %{{customdata}}<br>{hover}<extra></extra>",
    )  # fmt: skip


def add_together(
    figure: go.Figure, lines: Sequence[Line], name: str, ink: Ink, hover: str, *, most: int = MUTED_POINTS
) -> None:
    """Many cells as one trace with gaps between them, so that any number of them is quick to draw.

    Args:
        figure: to draw in.
        lines: of the cells.
        name: in the legend.
        ink: of all of them; muted ones are there for context, and stand last in the legend.
        hover: the value of a point, with its unit.
        most: points in all.
    """
    if not lines:
        return
    x, y, names = [], [], []
    each = max(FEWEST_POINTS, min(CELL_POINTS, most // len(lines)))
    for line in lines:
        rows = _drawn_line(line.course, each)
        rows = rows if len(rows) else np.arange(len(line.course.y))
        values = line.course.median if line.course.line.any() else line.course.y
        x.append(np.append(line.course.x[rows], line.course.x[rows[-1]]))
        y.append(np.append(values[rows], np.nan))
        names += [in_figure(line.cell)] * (len(rows) + 1)
    is_muted = ink.colour == MUTED
    figure.add_scatter(
        x=np.concatenate(x), y=np.concatenate(y), customdata=names, name=in_figure(name),
        mode="lines+markers" if any(line.course.is_joined for line in lines) else "lines",
        legendrank=2000 if is_muted else None,
        line={"color": ink.colour, "width": 1 if is_muted else 1.5, "dash": ink.dash},
        marker={"color": ink.colour, "size": 3}, opacity=0.6 if is_muted else 0.8,
        hovertemplate=f"%{{customdata}}<br>{hover}<extra></extra>",
    )  # fmt: skip


def usual_values(courses: Iterable[Course]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What the range of the axis goes by: as many values of each line, and the last of each."""
    values, last = [], []
    for course in courses:
        line = course.median[course.line] if course.line.any() else course.y
        values.append(line[np.linspace(0, len(line) - 1, min(len(line), RANGE_POINTS)).astype(np.int64)])
        last.append(line[-1])
    return np.concatenate(values), np.array(last)


def outside_of(line: Line, of_colour: str, *, raw: bool) -> Outside:
    """What of a cell may lie outside the axis: its cycles where they are drawn, else the points of its line."""
    course = line.course
    rows = np.arange(len(course.y)) if raw or not course.line.any() else np.flatnonzero(course.line)
    y = course.y if raw or not course.line.any() else course.median
    return Outside(course.x[rows], y[rows], course.number[rows], of_colour, line.cell)


def digits_of(y: npt.NDArray[np.float64]) -> str:
    """The format of the values of a cell: decimals for those of ordinary cells, digits for very small or large ones."""
    size = largest(y)
    return ".4~f" if size is None or 0.1 <= size < 1e4 else ".5~g"  # noqa: PLR2004  # what four decimals can show
