"""How one cell ages, over its cycles: from the tables `battery_cells`, `battery_cycles` and `battery_steps`.

A cell is one row of `battery_cells` as a dictionary; cycles are rows of `battery_cycles`, in the order of their
numbers. Each drawing is None where there is nothing to draw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow.compute as pc
from plotly.subplots import make_subplots

from dashboard.colours import FIRST, Ink, next_colours
from dashboard.figures.axes import (
    Outside,
    count_cycles,
    efficiency_range,
    fit_axis,
    from_zero,
    joint_range,
    robust_range,
)
from dashboard.figures.courses import MEDIAN_WORDS, Course, course_of, cycle_markers, cycle_symbols, drawn_rows
from dashboard.figures.fade import add_tests, fade, running_median, threshold_ah
from dashboard.figures.measures import AXES, MEASURES, Measure, column, cycles_of, has_place
from dashboard.figures.style import LAYOUT, MUTED, frame, kept_rows, write_notes
from dashboard.words.amounts import largest, resistance_amount

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import plotly.graph_objects as go
    import pyarrow as pa

__all__ = [
    "AXES", "MEASURES", "Measure", "charge_times", "column", "cycles_of", "efficiency", "fade", "resistance",
    "running_median", "temperature", "threshold_ah",
]  # fmt: skip

PULSE_SYMBOLS: Final = ("square", "triangle-up", "circle", "star")
"""Of resistances at one time after a current has set in, and at others."""

DIRECTIONS: Final = {"a discharge": -1.0, "a charge": 1.0}
"""The currents after which a resistance is told, by their sign."""


def efficiency(cycles: pa.Table, axis: str = "cycle", *, bands: bool = True, ink: Ink = FIRST) -> go.Figure | None:
    """Coulombic and energy efficiency, in %, each on its own scale: the coulombic one from 99 to 101 % at least."""
    courses = {key: _course(cycles, axis, MEASURES[key]) for key in ("ce", "ee")}
    courses = {key: course for key, course in courses.items() if len(course.y)}
    if not courses:
        return None
    figure = make_subplots(
        rows=len(courses), cols=1, shared_xaxes=True, vertical_spacing=0.08,
        row_heights=[0.6, 0.4] if len(courses) > 1 else None,
    )  # fmt: skip
    figure.update_layout(height=440, showlegend=True, **LAYOUT)
    notes = []
    for row, (key, course) in enumerate(courses.items(), start=1):
        kind = MEASURES[key].words.split()[0]
        _add_course(figure, course, ("each cycle", MEDIAN_WORDS, "each cycle"), ink.colour, "%{y:.2f} %", row)
        figure.update_yaxes(title_text=f"{kind} (%)", zeroline=False, row=row, col=1)
        if key == "ce":
            figure.update_yaxes(tickformat=".1f", row=row, col=1)
        usual = course.usual
        limits = efficiency_range(usual) if key == "ce" else robust_range(usual, (), course.median)
        line = fit_axis(figure, limits, [_of_course(course, ink.colour)], "%{customdata:,.2f} %", row)
        notes.append(line and f"{kind}: {line}")
    figure.update_xaxes(title_text=AXES[axis].title, zeroline=False, row=len(courses), col=1)
    count_cycles(figure, axis, np.concatenate([course.x for course in courses.values()]))
    if bands:
        add_tests(figure, cycles, column(cycles, AXES[axis].column))
    write_notes(figure, notes)
    return figure


def resistance(
    cycles: pa.Table, steps: pa.Table, axis: str = "cycle", *, bands: bool = True, ink: Ink = FIRST
) -> go.Figure | None:
    """Internal resistance: the cycler's own, and those at each stated time after a current has set in after a rest."""
    x = column(cycles, AXES[axis].column)
    pulses = _pulses(cycles, steps, x)
    amount = resistance_amount(
        largest(column(cycles, "internal_resistance_ohm"), *(ohm for _, ohm, _ in pulses.values()))
    )
    course = _course(cycles, axis, Measure("internal_resistance_ohm", "", amount.unit, amount.factor))
    if not len(course.y) and not pulses:
        return None
    figure = frame(AXES[axis].title, f"resistance ({amount.unit})")
    hover = f"%{{y:.{amount.decimals + 1}f}} {amount.unit}"
    if bands:
        add_tests(figure, cycles, x)
    drawn = [_of_course(course, ink.colour)]
    if len(course.y):
        names = ("the cycler's, each cycle", f"the cycler's, {MEDIAN_WORDS}", "the cycler's")
        _add_course(figure, course, names, ink.colour, hover)
    colours = next_colours(ink, len(pulses))
    for number, ((direction, seconds), (at, ohm, of_cycle)) in enumerate(pulses.items()):
        name = f"{seconds:g} s into {direction}"
        figure.add_scatter(
            x=at, y=amount.factor * ohm, customdata=of_cycle, name=name, mode="markers",
            marker={"color": colours[number], "size": 7, "symbol": PULSE_SYMBOLS[number % len(PULSE_SYMBOLS)]},
            hovertemplate=f"cycle %{{customdata}}<br>{hover}, {name}<extra></extra>",
        )  # fmt: skip
        drawn.append(Outside(at, amount.factor * ohm, of_cycle, colours[number]))
    # Of either kind by itself: a few pulses are no wild values among many of the cycler's.
    limits = joint_range([(course.usual, course.median), *((series.y, np.array([])) for series in drawn[1:])])
    count_cycles(figure, axis, np.concatenate([series.x for series in drawn]))
    line = fit_axis(figure, limits, drawn, f"%{{customdata:.{amount.decimals + 1}f}} {amount.unit}")
    write_notes(figure, [line])
    return figure


def temperature(cycles: pa.Table, axis: str = "cycle", *, bands: bool = True, ink: Ink = FIRST) -> go.Figure | None:
    """Mean and highest temperature of each cycle in °C; None where nothing was measured."""
    series = (
        ("highest", "temperature_max_c", next_colours(ink, 1)[0]),
        ("mean", "temperature_mean_c", ink.colour),
    )
    courses = [
        (words, _course(cycles, axis, Measure(name, words, "°C")), of_colour) for words, name, of_colour in series
    ]
    return _of_courses(cycles, axis, courses, "temperature (°C)", "°C", bands=bands)


def charge_times(cycles: pa.Table, axis: str = "cycle", *, bands: bool = True, ink: Ink = FIRST) -> go.Figure | None:
    """Time charged at constant current, at constant voltage, and in all, in minutes."""
    current, voltage = (MEASURES[key].scale * column(cycles, MEASURES[key].column) for key in ("cc", "cv"))
    colours = next_colours(ink, 1)
    series = [("constant current", current, ink.colour), ("constant voltage", voltage, colours[0])]
    if (voltage > 0).any() and (current > 0).any():
        series = [("in all", current + voltage, MUTED), *series]
    courses = [
        (words, course_of(cycles, AXES[axis].column, values), of_colour)
        for words, values, of_colour in series
        if (values > 0).any()
    ]
    return _of_courses(cycles, axis, courses, "charge time (min)", "min", required=[0.0], bands=bands)


def _course(cycles: pa.Table, axis: str, measure: Measure) -> Course:
    return course_of(cycles, AXES[axis].column, measure.scale * column(cycles, measure.column))


def _of_courses(
    cycles: pa.Table,
    axis: str,
    courses: Sequence[tuple[str, Course, str]],
    title: str,
    unit: str,
    *,
    required: Sequence[float] = (),
    bands: bool,
) -> go.Figure | None:
    """Some courses, each with its words and its colour, on one axis; None where none has a point."""
    drawn = [(words, course, of_colour) for words, course, of_colour in courses if len(course.y)]
    if not drawn:
        return None
    figure = frame(AXES[axis].title, title)
    for words, course, of_colour in drawn:
        _add_course(figure, course, (f"{words}, each cycle", words, words), of_colour, f"{words}: %{{y:.1f}} {unit}")
    limits = joint_range(((course.usual, course.median) for _, course, _ in drawn), required)
    if limits is not None and required:
        limits = from_zero(limits)
    outside = [_of_course(course, of_colour) for _, course, of_colour in drawn]
    count_cycles(figure, axis, np.concatenate([series.x for series in outside]))
    line = fit_axis(figure, limits, outside, f"%{{customdata:,.1f}} {unit}")
    if bands:
        add_tests(figure, cycles, column(cycles, AXES[axis].column))
    write_notes(figure, [line, None if drawn[0][1].is_joined else f"lines: {MEDIAN_WORDS}"])
    return figure


def _of_course(course: Course, of_colour: str) -> Outside:
    return Outside(course.x, course.y, course.number, of_colour)


def _add_course(
    figure: go.Figure,
    course: Course,
    names: tuple[str, str, str],
    of_colour: str,
    hover: str,
    row: int | None = None,
) -> None:
    """The cycles of a course as points, and the median through them; of a few cycles the line that joins them.

    Args:
        figure: that they are added to.
        course: of the cell.
        names: of the points, of the line, and of the line that joins a few cycles.
        of_colour: of both.
        hover: what is shown of a value, with its unit.
        row: the subplot's, from 1, where there are several; the legend shows those of the first.
    """
    place: dict[str, Any] = {} if row is None else {"row": row, "col": 1}
    first = row in {None, 1}
    rows = drawn_rows(course)
    if course.is_joined:
        figure.add_scatter(
            x=course.x[rows], y=course.y[rows], customdata=course.number[rows], name=names[2], showlegend=first,
            mode="lines+markers" if int(course.line.sum()) == len(rows) else "markers",
            line={"color": of_colour, "width": 1.5},
            marker={"color": of_colour, "size": 7, "symbol": cycle_symbols(course, rows)},
            legendgroup=names[2], hovertemplate=f"cycle %{{customdata}}<br>{hover}<extra></extra>", **place,
        )  # fmt: skip
        return
    figure.add_scatter(
        x=course.x[rows], y=course.y[rows], customdata=course.number[rows], name=names[0], mode="markers",
        marker=cycle_markers(course, rows, of_colour),
        legendgroup=names[0], showlegend=first and names[0] == "each cycle",
        hovertemplate=f"cycle %{{customdata}}<br>{hover}<extra></extra>", **place,
    )  # fmt: skip
    line = np.flatnonzero(course.line)
    line = line[kept_rows(course.median[line])]
    figure.add_scatter(
        x=course.x[line], y=course.median[line], name=names[1], mode="lines",
        line={"color": of_colour, "width": 2}, legendgroup=names[1], showlegend=first,
        hovertemplate=f"median {hover}<extra></extra>", **place,
    )  # fmt: skip


def _pulses(
    cycles: pa.Table, steps: pa.Table, x: npt.NDArray[Any]
) -> dict[tuple[str, float], tuple[npt.NDArray[Any], npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """By direction and time in s after the current has set in: x, resistance in Ω, and cycle number of each."""
    place = {
        key: row
        for row, key in enumerate(zip(cycles["test_id"].to_pylist(), cycles["cycle_index"].to_pylist(), strict=True))
    }
    told = pc.and_(pc.is_valid(steps["pulse_resistance_ohm"]), pc.is_valid(steps["pulse_time_s"]))
    pulses = steps.filter(told)
    keys = zip(pulses["test_id"].to_pylist(), pulses["cycle_index"].to_pylist(), strict=True)
    rows = np.array([place.get(key, -1) for key in keys], dtype=np.int64)
    ohm, seconds, number = (
        column(pulses, "pulse_resistance_ohm"), column(pulses, "pulse_time_s"), column(cycles, "cycle_number"),
    )  # fmt: skip
    signs = np.sign(column(pulses, "current_median_a"))
    in_cycles = rows >= 0
    in_cycles[in_cycles] = has_place(x)[rows[in_cycles]]
    found = {}
    for direction, sign in DIRECTIONS.items():
        of_direction = in_cycles & (signs == sign)
        for time in np.unique(seconds[of_direction]).tolist():
            chosen = of_direction & (seconds == time)
            found[direction, time] = (x[rows[chosen]], ohm[chosen], number[rows[chosen]])
    return found
