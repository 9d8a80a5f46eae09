"""Many cells on common axes: the fleet's state of health, and any measure of some cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow.compute as pc

from dashboard.colours import Ink, ink_of
from dashboard.escaping import in_figure
from dashboard.figures.axes import (
    Outside,
    count_cycles,
    efficiency_range,
    fit_axis,
    joint_range,
    label_place,
    robust_range,
)
from dashboard.figures.courses import Course, course_of, cycle_markers
from dashboard.figures.measures import AXES, MEASURES, column, cycles_by_cell
from dashboard.figures.style import MUTED, frame, kept_rows, write_notes
from dashboard.words.amounts import capacity_amount, largest
from dashboard.words.rules import rule_percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt
    import plotly.graph_objects as go
    import pyarrow as pa

    Cell = Mapping[str, Any]

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

AS_MEASURED, TO_FIRST, TO_NOMINAL = "measured", "first", "nominal"
SCALES: Final = {
    AS_MEASURED: "as measured",
    TO_FIRST: "in % of the first cycle",
    TO_NOMINAL: "in % of the nominal capacity",
}
"""What a measure of several cells is drawn relative to."""


@dataclass(frozen=True)
class Line:
    """One cell in a drawing: its course, what it is drawn with, and what it is called in the legend."""

    cell: str
    course: Course
    ink: Ink
    group: str


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
    lines = _lines([cell["cell_id"] for cell in cells], cycles, AXES[axis].column, "soh", 100.0, inks)
    if not lines:
        return None
    figure = frame(AXES[axis].title, "state of health (%)", height=430)
    coloured = [lines[cell] for cell in foremost if cell in lines]
    others = [line for cell, line in lines.items() if cell not in set(foremost)]
    _add_muted(figure, others)
    with_points = len(coloured) <= MOST_WITH_POINTS
    for line in coloured:
        _add_line(figure, line, "%{y:.1f} %", _points_of_each(len(coloured)))
    courses = {cell: line.course for cell, line in lines.items()}
    _add_marks(figure, cells, courses)
    percents = sorted({rule_percent(cell["eol_rule"]) for cell in cells})
    usual, last = _usual(courses.values())
    limits = robust_range(usual, percents, last)
    for percent in percents:
        figure.add_hline(
            y=percent, line={"color": MUTED, "dash": "dash", "width": 1}, annotation_text=f"{percent} %",
            annotation_position=f"{label_place(percent, limits)} right", annotation_font={"color": MUTED},
        )  # fmt: skip
    outside = [_of_line(line, line.ink.colour, raw=with_points) for line in coloured]
    outside += [_of_line(line, MUTED, raw=False) for line in others]
    count_cycles(figure, axis, np.concatenate([course.x for course in courses.values()]))
    write_notes(figure, [fit_axis(figure, limits, outside, "%{customdata:,.1f} %")])
    return figure


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
    """One measure of several cells on common axes.

    Args:
        cycles: rows of `battery_cycles`, of these cells and of others.
        cells: rows of `battery_cells`.
        measure: of `MEASURES`.
        axis: of `AXES`.
        inks: of the cells, or of their groups.
        scale: of `SCALES`; relative to the nominal capacity only cells are drawn of which it is known.
        groups: the group of each cell, which gives it its ink; None where each cell has its own.

    Returns:
        The drawing; None where no cell has that measure.
    """
    shown = MEASURES[measure]
    ids = [cell["cell_id"] for cell in cells]
    if measure == "capacity" and scale == AS_MEASURED:
        amount = capacity_amount(largest(np.array([_size(cell) for cell in cells])))
        shown = replace(shown, unit=amount.unit, scale=amount.factor)
    lines = _lines(ids, cycles, AXES[axis].column, shown.column, shown.scale, inks, groups)
    if scale != AS_MEASURED:
        nominal = {cell["cell_id"]: cell["nominal_capacity_ah"] for cell in cells}
        basis = {
            cell: (nominal[cell] or np.nan) * shown.scale if scale == TO_NOMINAL else _first(line.course)
            for cell, line in lines.items()
        }
        lines = {cell: _relative(line, basis[cell]) for cell, line in lines.items() if np.isfinite(basis[cell])}
    if not lines:
        return None
    to = {TO_FIRST: ", relative to the first (%)", TO_NOMINAL: ", relative to the nominal (%)"}
    figure = frame(AXES[axis].title, shown.words + to[scale] if scale in to else shown.title, height=500)
    with_points = len(lines) <= MOST_WITH_POINTS
    unit = "%" if scale in to else shown.unit
    groups_seen: set[str] = set()
    for line in lines.values():
        hover = f"%{{y:{_digits(line.course.y)}}} {unit}"
        _add_line(figure, line, hover, _points_of_each(len(lines)), legend=line.group not in groups_seen)
        groups_seen.add(line.group)
    courses = [line.course for line in lines.values()]
    if measure == "ce" and scale == AS_MEASURED:
        limits = efficiency_range(np.concatenate([course.usual for course in courses]))
    else:  # each cell by itself: whoever chose it wants to see it
        limits = joint_range((course.usual, course.median) for course in courses)
    count_cycles(figure, axis, np.concatenate([course.x for course in courses]))
    if measure == "ce":
        figure.update_yaxes(tickformat=".1f")
    outside = [_of_line(line, line.ink.colour, raw=with_points) for line in lines.values()]
    write_notes(figure, [fit_axis(figure, limits, outside, f"%{{customdata:,.5~g}} {unit}")])
    return figure


def left_out(cycles: pa.Table, cells: Sequence[Cell], measure: str, axis: str, scale: str = AS_MEASURED) -> list[str]:
    """Ids of the cells that cannot be drawn: without such figures, such a place, or a nominal capacity."""
    known = pc.and_(pc.is_valid(cycles[MEASURES[measure].column]), pc.is_valid(cycles[AXES[axis].column]))
    drawn = set(pc.unique(cycles["cell_id"].filter(known)).to_pylist())
    return [
        cell["cell_id"]
        for cell in cells
        if cell["cell_id"] not in drawn or (scale == TO_NOMINAL and cell["nominal_capacity_ah"] is None)
    ]


def _size(cell: Cell) -> float:
    return float(cell["nominal_capacity_ah"] or cell["initial_capacity_ah"] or np.nan)


def _lines(
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


def _first(course: Course) -> float:
    """The first value that the others are relative to: that of the first usual cycle, else of the first one."""
    values = course.y[course.line] if course.line.any() else course.y
    return float(values[0]) or np.nan


def _relative(line: Line, basis: float) -> Line:
    course = line.course
    return replace(line, course=replace(course, y=100 * course.y / basis, median=100 * course.median / basis))


def _drawn_line(course: Course, most: int) -> npt.NDArray[np.int64]:
    """Rows of the points that the line of a course goes through; of a cell without usual cycles all, as points."""
    rows = np.flatnonzero(course.line)
    return rows[kept_rows(course.median[rows], most)]


def _points_of_each(cells: int) -> int:
    """How many single cycles of each of so many cells are drawn behind its line."""
    return min(CELL_POINTS, FAINT_POINTS // cells) if 0 < cells <= MOST_WITH_POINTS else 0


def _add_line(figure: go.Figure, line: Line, hover: str, points: int, *, legend: bool = True) -> None:
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


def _add_muted(figure: go.Figure, lines: Sequence[Line]) -> None:
    """The cells that are there for context: one trace with gaps between them."""
    if not lines:
        return
    x, y, names = [], [], []
    most = max(FEWEST_POINTS, min(CELL_POINTS, MUTED_POINTS // len(lines)))
    for line in lines:
        rows = _drawn_line(line.course, most)
        rows = rows if len(rows) else np.arange(len(line.course.y))
        values = line.course.median if line.course.line.any() else line.course.y
        x.append(np.append(line.course.x[rows], line.course.x[rows[-1]]))
        y.append(np.append(values[rows], np.nan))
        names += [in_figure(line.cell)] * (len(rows) + 1)
    noun = "cell" if len(lines) == 1 else "cells"
    figure.add_scatter(
        x=np.concatenate(x), y=np.concatenate(y), customdata=names, name=f"{len(lines):,} more {noun}",
        mode="lines+markers" if any(line.course.is_joined for line in lines) else "lines", legendrank=2000,
        line={"color": MUTED, "width": 1}, marker={"color": MUTED, "size": 3}, opacity=0.6,
        hovertemplate="%{customdata}<br>%{y:.1f} %<extra></extra>",
    )  # fmt: skip


def _add_marks(figure: go.Figure, cells: Sequence[Cell], courses: Mapping[str, Course]) -> None:
    """Where cells have come to their end of life, and to a knee, on their lines."""
    for name, key, symbol in (("end of life", "eol_cycle", "x"), ("knee", "knee_cycle", "diamond-open")):
        marked = [
            (cell, *_on_course(courses[cell["cell_id"]], cell[key]))
            for cell in cells
            if cell[key] is not None and cell["cell_id"] in courses
        ]
        if marked:
            figure.add_scatter(
                x=np.array([at for _, at, _ in marked]), y=[value for _, _, value in marked], name=name,
                mode="markers", legendrank=3000,
                text=[f"{in_figure(cell['cell_id'])}: {name} at cycle {cell[key]:.0f}" for cell, _, _ in marked],
                marker={"symbol": symbol, "size": 10, "color": MUTED, "line": {"width": 2}},
                hovertemplate="%{text}<extra></extra>",
            )  # fmt: skip


def _on_course(course: Course, at: float) -> tuple[Any, float]:
    """Where a cycle number is on the axis, and the value of the line there."""
    rows = np.flatnonzero(course.line) if course.line.any() else np.arange(len(course.y))
    row = rows[int(np.searchsorted(course.number[rows], at).clip(0, len(rows) - 1))]
    return course.x[row], float(course.median[row] if course.line.any() else course.y[row])


def _usual(courses: Iterable[Course]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What the range of the axis goes by: as many values of each line, and the last of each."""
    values, last = [], []
    for course in courses:
        line = course.median[course.line] if course.line.any() else course.y
        values.append(line[np.linspace(0, len(line) - 1, min(len(line), RANGE_POINTS)).astype(np.int64)])
        last.append(line[-1])
    return np.concatenate(values), np.array(last)


def _of_line(line: Line, of_colour: str, *, raw: bool) -> Outside:
    """What of a cell may lie outside the axis: its cycles where they are drawn, else the points of its line."""
    course = line.course
    rows = np.arange(len(course.y)) if raw or not course.line.any() else np.flatnonzero(course.line)
    y = course.y if raw or not course.line.any() else course.median
    return Outside(course.x[rows], y[rows], course.number[rows], of_colour, line.cell)


def _digits(y: npt.NDArray[np.float64]) -> str:
    """The format of the values of a cell: decimals for those of ordinary cells, digits for very small or large ones."""
    size = largest(y)
    return ".4~f" if size is None or 0.1 <= size < 1e4 else ".5~g"  # noqa: PLR2004  # what four decimals can show
