"""Many cells on common axes: the fleet's state of health, and any measure of some cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow.compute as pc

from dashboard.colours import Ink
from dashboard.escaping import in_figure
from dashboard.figures.axes import (
    count_cycles,
    efficiency_range,
    fit_axis,
    joint_range,
    label_place,
    robust_range,
)
from dashboard.figures.lines import (
    MOST_WITH_POINTS,
    MUTED_POINTS,
    Line,
    add_line,
    add_together,
    digits_of,
    first_value,
    lines_of,
    outside_of,
    points_of_each,
    relative_line,
    usual_values,
)
from dashboard.figures.measures import AXES, MEASURES
from dashboard.figures.style import MUTED, frame, write_notes
from dashboard.words.amounts import capacity_amount, largest
from dashboard.words.rules import rule_percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import plotly.graph_objects as go
    import pyarrow as pa

    from dashboard.figures.courses import Course
    from dashboard.figures.measures import Measure

    Cell = Mapping[str, Any]

__all__ = [
    "AS_MEASURED", "MOST_WITH_POINTS", "SCALES", "TO_FIRST", "TO_NOMINAL", "Courses", "compared_courses",
    "draw_compared", "draw_fleet", "fleet_courses", "left_out",
]  # fmt: skip

FLEET_HEIGHT: Final = 430
COMPARED_HEIGHT: Final = 500
PANEL_HEIGHT: Final = 320
"""Height of a drawing that is one of several, in pixels."""

AS_MEASURED, TO_FIRST, TO_NOMINAL = "measured", "first", "nominal"
SCALES: Final = {
    AS_MEASURED: "as measured",
    TO_FIRST: "in % of the first cycle",
    TO_NOMINAL: "in % of the nominal capacity",
}
"""What a measure of several cells is drawn relative to."""


@dataclass(frozen=True)
class Courses:
    """The lines of some cells, and what they are drawn on, which is the same for a part of them.

    Attributes:
        lines: by cell, in the order in which they are drawn.
        axis: of `AXES`.
        title: of the axis along y, with its unit.
        unit: of the values.
        limits: of that axis.
    """

    lines: Mapping[str, Line]
    axis: str
    title: str
    unit: str
    limits: tuple[float, float] | None

    def among(self, cells: Iterable[str]) -> Courses:
        """The lines of a part of the cells, on the same axes."""
        return replace(self, lines={cell: self.lines[cell] for cell in cells if cell in self.lines})


def fleet_courses(
    cells: Sequence[Cell],
    cycles: pa.Table,
    axis: str,
    inks: Mapping[str, Ink],
    groups: Mapping[str, str] | None = None,
) -> Courses | None:
    """The courses of the state of health of many cells, in %; None where no cell has one.

    Args:
        cells: rows of `battery_cells`.
        cycles: rows of `battery_cycles`, of these cells and of others.
        axis: of `AXES`.
        inks: of the cells, or of their groups.
        groups: the group of each cell, which gives it its ink; None where each cell has its own.
    """
    lines = lines_of([cell["cell_id"] for cell in cells], cycles, AXES[axis].column, "soh", 100.0, inks, groups)
    if not lines:
        return None
    usual, last = usual_values(line.course for line in lines.values())
    return Courses(lines, axis, "state of health (%)", "%", robust_range(usual, _percents(cells), last))


def draw_fleet(
    cells: Sequence[Cell], courses: Courses, foremost: Sequence[str] | None = None, *, height: int = FLEET_HEIGHT
) -> go.Figure:
    """Draw courses of the state of health, with the ends of life and the knees.

    Args:
        cells: rows of `battery_cells` of these cells; others do not matter.
        courses: of some cells, at least one.
        foremost: ids of the cells in colour; None draws each in the ink of its group.
        height: in pixels.
    """
    figure = frame(AXES[courses.axis].title, courses.title, height=height)
    lines, drawn = courses.lines, {cell: line.course for cell, line in courses.lines.items()}
    hover = "%{y:.1f} %"
    if foremost is None:
        with_points = _add_groups(figure, list(lines.values()), lambda _: hover)
        outside = [outside_of(line, line.ink.colour, raw=with_points) for line in lines.values()]
    else:
        coloured = [lines[cell] for cell in foremost if cell in lines]
        others = [line for cell, line in lines.items() if cell not in set(foremost)]
        with_points = len(coloured) <= MOST_WITH_POINTS
        _add_others(figure, others, hover)
        for line in coloured:
            add_line(figure, line, hover, points_of_each(len(coloured)))
        outside = [outside_of(line, line.ink.colour, raw=with_points) for line in coloured]
        outside += [outside_of(line, MUTED, raw=False) for line in others]
    _add_marks(figure, cells, drawn)
    for percent in _percents(cells):
        figure.add_hline(
            y=percent, line={"color": MUTED, "dash": "dash", "width": 1}, annotation_text=f"{percent} %",
            annotation_position=f"{label_place(percent, courses.limits)} right", annotation_font={"color": MUTED},
        )  # fmt: skip
    count_cycles(figure, courses.axis, np.concatenate([course.x for course in drawn.values()]))
    write_notes(figure, [fit_axis(figure, courses.limits, outside, "%{customdata:,.1f} %")])
    return figure


def compared_courses(
    cycles: pa.Table,
    cells: Sequence[Cell],
    measure: str,
    axis: str,
    inks: Mapping[str, Ink],
    *,
    scale: str = AS_MEASURED,
    groups: Mapping[str, str] | None = None,
) -> Courses | None:
    """The courses of one measure of several cells; None where no cell has that measure.

    Args:
        cycles: rows of `battery_cycles`, of these cells and of others.
        cells: rows of `battery_cells`.
        measure: of `MEASURES`.
        axis: of `AXES`.
        inks: of the cells, or of their groups.
        scale: of `SCALES`; relative to the nominal capacity only cells are drawn of which it is known.
        groups: the group of each cell, which gives it its ink; None where each cell has its own.
    """
    shown = scaled_measure(cells, measure, scale)
    ids = [cell["cell_id"] for cell in cells]
    lines = lines_of(ids, cycles, AXES[axis].column, shown.column, shown.scale, inks, groups)
    if scale != AS_MEASURED:
        nominal = {cell["cell_id"]: cell["nominal_capacity_ah"] for cell in cells}
        basis = {
            cell: (nominal[cell] or np.nan) * shown.scale if scale == TO_NOMINAL else first_value(line.course)
            for cell, line in lines.items()
        }
        lines = {cell: relative_line(line, basis[cell]) for cell, line in lines.items() if np.isfinite(basis[cell])}
    if not lines:
        return None
    drawn = [line.course for line in lines.values()]
    if measure == "ce" and scale == AS_MEASURED:
        limits = efficiency_range(np.concatenate([course.usual for course in drawn]))
    else:  # each cell by itself: whoever chose it wants to see it
        limits = joint_range((course.usual, course.median) for course in drawn)
    unit = "%" if scale in _RELATIVE else shown.unit
    return Courses(lines, axis, measure_title(shown, scale), unit, limits)


def draw_compared(
    courses: Courses, foremost: Sequence[str] | None = None, *, is_grouped: bool, height: int = COMPARED_HEIGHT
) -> go.Figure:
    """Draw courses of one measure of several cells.

    Args:
        courses: of some cells, at least one.
        foremost: ids of the cells in colour, where the others are muted; None draws all in colour.
        is_grouped: whether cells of one ink stand in the legend as one.
        height: in pixels.
    """
    figure = frame(AXES[courses.axis].title, courses.title, height=height)
    lines = [line for line in courses.lines.values() if foremost is None or line.cell in set(foremost)]
    others = [line for line in courses.lines.values() if foremost is not None and line.cell not in set(foremost)]

    def hover(line: Line) -> str:
        return f"%{{y:{digits_of(line.course.y)}}} {courses.unit}"

    with_points = len(lines) <= MOST_WITH_POINTS
    if is_grouped:
        _add_groups(figure, lines, hover)
    else:
        if others:
            _add_others(figure, others, hover(others[0]))
        for line in lines:
            add_line(figure, line, hover(line), points_of_each(len(lines)))
    count_cycles(figure, courses.axis, np.concatenate([line.course.x for line in courses.lines.values()]))
    if courses.title.startswith(MEASURES["ce"].words):
        figure.update_yaxes(tickformat=".1f")
    outside = [outside_of(line, line.ink.colour, raw=with_points) for line in lines]
    outside += [outside_of(line, MUTED, raw=False) for line in others]
    write_notes(figure, [fit_axis(figure, courses.limits, outside, f"%{{customdata:,.5~g}} {courses.unit}")])
    return figure


def scaled_measure(cells: Sequence[Cell], measure: str, scale: str) -> Measure:
    """A measure as it is shown of some cells: capacities in a unit that suits the largest of them."""
    shown = MEASURES[measure]
    if measure == "capacity" and scale == AS_MEASURED:
        amount = capacity_amount(largest(np.array([_size(cell) for cell in cells])))
        shown = replace(shown, unit=amount.unit, scale=amount.factor)
    return shown


def measure_title(shown: Measure, scale: str) -> str:
    """The title of the axis of a measure."""
    return shown.words + _RELATIVE[scale] if scale in _RELATIVE else shown.title


_RELATIVE: Final = {TO_FIRST: ", relative to the first (%)", TO_NOMINAL: ", relative to the nominal (%)"}


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


def _percents(cells: Sequence[Cell]) -> list[int]:
    """The shares of capacity at which the lives of cells end."""
    return sorted({rule_percent(cell["eol_rule"]) for cell in cells})


def _add_others(figure: go.Figure, lines: Sequence[Line], hover: str) -> None:
    """The cells that are there for context."""
    noun = "cell" if len(lines) == 1 else "cells"
    add_together(figure, lines, f"{len(lines):,} more {noun}", Ink(MUTED), hover)


def _add_groups(figure: go.Figure, lines: Sequence[Line], hover: Callable[[Line], str]) -> bool:
    """Cells by group, each with its ink; few cells with their single cycles behind their lines.

    Returns:
        Whether single cycles are drawn.
    """
    groups: dict[str, list[Line]] = {}
    with_points = len(lines) <= MOST_WITH_POINTS
    for line in lines:
        if with_points:
            add_line(figure, line, hover(line), points_of_each(len(lines)), legend=line.group not in groups)
        groups.setdefault(line.group, []).append(line)
    if not with_points:
        for group, members in sorted(groups.items(), key=lambda item: item[1][0].ink.colour != MUTED):
            share = MUTED_POINTS * len(members) // len(lines)
            add_together(figure, members, group, members[0].ink, hover(members[0]), most=share)
    return with_points


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
