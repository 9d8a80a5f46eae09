"""The range of an axis that a few wild values do not flatten; what lies outside is marked at its edge and counted.

A range holds what most of the values say: it is drawn around the values without the outermost `TRIMMED` of them, with
some room; of few values, which percentiles say little of, never closer than Tukey's outer fences (J. W. Tukey:
Exploratory Data Analysis, 1977). What a reader looks for, such as a threshold, is always inside; so is the line through
the running medians, unless that would flatten all else: a course that falls fast at its end is not cut off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dashboard.escaping import in_figure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt
    import plotly.graph_objects as go

TRIMMED: Final = 0.02
"""Share of the values at either end that the range need not hold."""

TRIMMED_CLOSE: Final = 0.05
"""The same for a range that is to show small differences."""

REACH: Final = 0.25
"""How far the fence is from what is left, as a share of its span."""

FEWEST: Final = 5
"""Values from which on one of them can be told to be wild."""

LEFT_OUT: Final = 0.1
"""Share of the values that may lie outside at most, or one of them."""

MANY: Final = 40
"""Values from which on their percentiles say enough."""

OUTER: Final = 3.0
"""Tukey's outer fences, in interquartile ranges from the quartiles."""

PADDING: Final = 0.05
"""Room between the outermost value and the edge, as a share of the range."""

LEAST: Final = 0.02
"""The least span of a range, as a share of the values' size: what differs by less looks equal."""

ALONE: Final = 0.2
"""The span around a single value, or around equal ones."""

FEW_CYCLES: Final = 10
"""Up to so many cycles along x, each has its tick."""

WIDEST: Final = 5.0
"""How many times wider the range may become for values that are wished to be inside."""

NAMED: Final = 3
"""Cycles outside that are named."""

BELOW_ZERO: Final = 0.03
"""Room below 0 where nothing is less, as a share of the range."""

LABEL_ROOM: Final = 0.15
"""Share of a drawing that two lines of words take below a horizontal line."""

EFFICIENT: Final = (99.0, 101.0)
"""Coulombic efficiencies in % that are looked at closely: what a cell that ages slowly has."""

NEARLY: Final = (98.0, 102.0)
"""The median of a cell of which that holds."""


@dataclass(frozen=True)
class Outside:
    """What is drawn of a cell and may lie outside: positions along x, values, and cycle numbers, shape (n,) each.

    `cell` is named where several are drawn.
    """

    x: npt.NDArray[Any]
    y: npt.NDArray[np.float64]
    number: npt.NDArray[np.float64]
    colour: str
    cell: str = ""


def robust_range(
    values: npt.NDArray[np.float64],
    required: Iterable[float] = (),
    wished: npt.NDArray[np.float64] | None = None,
    *,
    close: bool = False,
    padding: float = PADDING,
) -> tuple[float, float] | None:
    """The range of an axis that holds what most of the values say, and all that is required.

    Args:
        values: shape (n,), in the unit of the axis; those that are not finite are left out.
        required: what must be inside, such as a threshold.
        wished: what should be inside, such as the medians of a course, unless the range would be `WIDEST` times
            wider for it; shape (m,).
        close: whether small differences matter more than the outermost values.
        padding: room between the outermost value and the edge, as a share of the range.

    Returns:
        Its lower and upper end, the lower one less; None where nothing is finite.
    """
    drawn = np.sort(values[np.isfinite(values)])
    inside = [value for value in required if np.isfinite(value)]
    if not len(drawn) and not inside:
        return None
    if len(drawn):
        inside += _most(drawn, close=close)
    low, high = min(inside), max(inside)
    if wished is not None and len(wished):
        low, high = _widened(low, high, wished)
    if len(drawn) and not close:  # what lies just outside would look like what is far away
        near = 0.1 * (high - low)
        low = float(drawn[0]) if low - near <= drawn[0] < low else low
        high = float(drawn[-1]) if high < drawn[-1] <= high + near else high
    size = max(abs(low), abs(high))
    span = max(high - low, LEAST * size) if low < high else ALONE * size or 1.0
    middle, reach = low / 2 + high / 2, span * (0.5 + padding)
    return middle - reach, middle + reach


def joint_range(
    series: Iterable[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]], required: Iterable[float] = ()
) -> tuple[float, float] | None:
    """The range of an axis for several series, each by itself: one that is high throughout is no wild value of another.

    Args:
        series: of each its values and what is wished to be inside, as in `robust_range`.
        required: what must be inside.
    """
    inside = [*required]
    for values, wished in series:
        finite = values[np.isfinite(values)]
        if len(finite) and finite.min() == finite.max():  # it needs no room of its own beside the others
            inside.append(float(finite[0]))
        else:
            inside += robust_range(finite, (), wished, padding=0.0) or ()
    return robust_range(np.array([]), inside)


def efficiency_range(percent: npt.NDArray[np.float64]) -> tuple[float, float] | None:
    """The range for coulombic efficiencies in %: 99 to 101 at a glance, and what most of the cycles have.

    Where the median is not near 100 the cell is another kind, and the range is its own, with 100 in it.
    """
    drawn = percent[np.isfinite(percent)]
    if not len(drawn):
        return None
    near = NEARLY[0] <= float(np.median(drawn)) <= NEARLY[1]
    return robust_range(drawn, EFFICIENT if near else (100.0,), close=True)


def count_cycles(figure: go.Figure, axis: str, x: npt.NDArray[Any]) -> None:
    """Give each of a few cycles its tick along x, since there are no halves of them.

    Args:
        figure: whose axes along x are meant.
        axis: of `AXES`.
        x: where something is drawn.
    """
    if axis != "cycle" or not len(x) or x.max() - x.min() > FEW_CYCLES:
        return
    figure.update_xaxes(dtick=1)
    if x.max() == x.min():
        figure.update_xaxes(range=[x[0] - 1, x[0] + 1])


def from_zero(limits: tuple[float, float]) -> tuple[float, float]:
    """The range of what is never below 0: it begins a little below, so that points at 0 are whole."""
    low, high = limits
    return (low, high) if low >= 0 or high <= 0 else (max(low, -BELOW_ZERO * (high - low)), high)


def label_place(level: float, limits: tuple[float, float] | None) -> str:
    """Where the words of a horizontal line belong: below it, unless it is so low that the axis has its ticks there.

    >>> label_place(0.9, (0.0, 1.0)), label_place(0.1, (0.0, 1.0))
    ('bottom', 'top')
    """
    return "top" if limits is not None and level - limits[0] < LABEL_ROOM * (limits[1] - limits[0]) else "bottom"


def is_outside(values: npt.NDArray[np.float64], limits: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Which finite values lie outside a range."""
    outside: npt.NDArray[np.bool_] = np.isfinite(values) & ((values < limits[0]) | (values > limits[1]))
    return outside


def outside_line(points: Sequence[tuple[str, int]], count: int) -> str | None:
    """What lies outside an axis in one line; None where nothing does.

    Args:
        points: of each that does, its cell ("" where there is one cell only) and its cycle number.
        count: points that are drawn in all.
    """
    if not points:
        return None
    marked = list(dict.fromkeys(points))
    if all(not cell for cell, _ in marked):
        said = ("cycle " if len(marked) == 1 else "cycles ") + ", ".join(f"{cycle}" for _, cycle in marked[:NAMED])
    else:
        said = ", ".join(f"{cell} cycle {cycle}" for cell, cycle in marked[:NAMED])
    more = f" and {len(marked) - NAMED:,} more" if len(marked) > NAMED else ""
    verb = "lies" if len(points) == 1 else "lie"
    return f"{len(points):,} of {count:,} {'point' if count == 1 else 'points'} {verb} outside (▲▼): {said}{more}"


def fit_axis(
    figure: go.Figure,
    limits: tuple[float, float] | None,
    drawn: Sequence[Outside],
    value: str,
    row: int | None = None,
) -> str | None:
    """Give the y axis its range and mark at its edge what lies outside; what is outside, in one line.

    Args:
        figure: whose traces are already there.
        limits: the range; None leaves the axis as it is.
        drawn: all that is drawn.
        value: a format for the true value that a mark shows, such as "%{customdata:.2f} %".
        row: the subplot's, from 1, where there are several.
    """
    if limits is None or not drawn:
        return None
    place: dict[str, Any] = {} if row is None else {"row": row, "col": 1}
    figure.update_yaxes(range=list(limits), autorange=False, **place)
    outside = [np.flatnonzero(is_outside(series.y, limits)) for series in drawn]
    points = [
        (series.cell, int(series.number[at]), series.colour)
        for series, rows in zip(drawn, outside, strict=True)
        for at in rows.tolist()
    ]
    count = sum(int(np.isfinite(series.y).sum()) for series in drawn)
    line = outside_line([(cell, cycle) for cell, cycle, _ in points], count)
    if line is None:
        return None
    inset = 0.015 * (limits[1] - limits[0])
    y = np.concatenate([series.y[rows] for series, rows in zip(drawn, outside, strict=True)])
    below = y < limits[0]
    figure.add_scatter(
        x=np.concatenate([series.x[rows] for series, rows in zip(drawn, outside, strict=True)]),
        y=np.where(below, limits[0] + inset, limits[1] - inset),
        customdata=y,
        text=[f"{in_figure(cell)} cycle {cycle}".strip() for cell, cycle, _ in points],
        name="outside the axis", mode="markers", showlegend=False,
        marker={
            "symbol": np.where(below, "triangle-down", "triangle-up").tolist(), "size": 8,
            "color": [of_colour for _, _, of_colour in points],
        },
        hovertemplate=f"%{{text}}: {value}, outside the axis<extra></extra>",
        **place,
    )  # fmt: skip
    return line


def _most(drawn: npt.NDArray[np.float64], *, close: bool) -> list[float]:
    """The ends of what most of some sorted values say."""
    count = len(drawn)
    if count < FEWEST:
        return [float(drawn[0]), float(drawn[-1])]
    trimmed = max(1, int((TRIMMED_CLOSE if close else TRIMMED) * count))
    low, high = float(drawn[trimmed]), float(drawn[count - 1 - trimmed])
    if not close or count < MANY:
        reach = REACH * (high - low)
        low, high = low - reach, high + reach
    if count < MANY:
        lower, upper = (float(value) for value in np.percentile(drawn, [25, 75]))
        outer = OUTER * (upper - lower)
        low, high = min(low, lower - outer), max(high, upper + outer)
    # No more than so many are left out: what many values have is no wild one.
    left_out = max(1, int(LEFT_OUT * count))
    away = np.maximum(low - drawn, drawn - high)
    held = drawn[away <= max(0.0, float(np.sort(away)[count - 1 - left_out]))]
    return [float(held[0]), float(held[-1])]


def _widened(low: float, high: float, wished: npt.NDArray[np.float64]) -> tuple[float, float]:
    """A range with as many of the wished values inside as do not make it `WIDEST` times wider."""
    span = max(high - low, LEAST * max(abs(low), abs(high)))
    room = (WIDEST - 1) / 2 * span
    near = wished[np.isfinite(wished) & (wished >= low - room) & (wished <= high + room)]
    return (min(low, float(near.min())), max(high, float(near.max()))) if len(near) else (low, high)
