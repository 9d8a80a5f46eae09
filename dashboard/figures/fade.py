"""The fade of one cell: its capacity over its cycles, with the rule of its end of life, the knee and the projection."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ageing import record
from dashboard.colours import FIRST, Ink, next_colours
from dashboard.escaping import in_figure
from dashboard.figures.axes import Outside, count_cycles, fit_axis, from_zero, label_place, robust_range
from dashboard.figures.courses import FAINT, FAINT_POINTS, FEW
from dashboard.figures.measures import AXES, column, comparable, flags, has_place
from dashboard.figures.style import MOST_POINTS, MUTED, add_bands, frame, kept_rows, write_notes
from dashboard.words.amounts import capacity_amount_of
from dashboard.words.rules import end_rule, end_threshold_ah, rule_median_cycles

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import plotly.graph_objects as go
    import pyarrow as pa

    Cell = Mapping[str, Any]

WRAPPED: Final = 34
"""Characters of a line of a label in a drawing, so that a phone shows it whole."""


def threshold_ah(cell: Cell) -> float | None:
    """The capacity in Ah below which the cell's life ends by the threshold of its `eol_rule`; None where unknown."""
    return end_threshold_ah(cell, cell["eol_rule"])


def running_median(cycles: pa.Table, width: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """The running median that the default end-of-life rule goes by.

    Returns:
        Rows of `cycles` in the middle of each `width` comparable ones, and their median capacity in Ah.
    """
    rows = np.flatnonzero(comparable(cycles))
    middle, median = record.running_median(
        rows.astype(np.float64), column(cycles, "discharge_capacity_ah")[rows], width
    )
    return middle.astype(np.int64), median


def fade(
    cell: Cell, cycles: pa.Table, axis: str = "cycle", *, bands: bool = True, ink: Ink = FIRST
) -> go.Figure | None:
    """Capacity over a cell's life, with the rule of its end of life, the knee, and the projected end with its range.

    Of a cell that has never been discharged the charged capacities are drawn, and the drawing says so.
    """
    amount = capacity_amount_of(cell)
    x, number = column(cycles, AXES[axis].column), column(cycles, "cycle_number")
    placed, complete, shown = has_place(x), flags(cycles, "is_complete"), comparable(cycles)
    capacity, words = amount.factor * column(cycles, "discharge_capacity_ah"), "discharge capacity"
    notes: list[str | None] = []
    if not (capacity > 0).any():
        charged = amount.factor * column(cycles, "charge_capacity_ah")
        if (charged > 0).any():
            capacity, words = charged, "charge capacity"
            notes.append("nothing was discharged yet: what was charged is shown")
    elif not complete.any():
        notes.append("no complete cycle yet: what was cut short is shown")
    capacity = np.where(placed, capacity, np.nan)
    if not np.isfinite(capacity).any():
        return None
    figure = frame(AXES[axis].title, f"{words} ({amount.unit})", height=460)
    if bands:
        add_tests(figure, cycles, x)
    hover = f"%{{y:.{amount.decimals}f}} {amount.unit}"
    middle, median = running_median(cycles, rule_median_cycles(cell["eol_rule"]))
    middle, median = middle[placed[middle]], median[placed[middle]]
    whole = {"size": 4, "color": ink.colour, "opacity": FAINT} if len(middle) else {"size": 7, "color": ink.colour}
    drawn = []
    for name, chosen, marker in (
        ("complete cycles", shown, whole),
        ("reference tests", complete & ~shown, {"symbol": "diamond", "size": 9, "color": next_colours(ink, 3)[2]}),
        ("cut short", ~complete, {"symbol": "x-thin-open", "size": 6, "color": MUTED}),
    ):
        rows = np.flatnonzero(chosen & np.isfinite(capacity))
        kept = rows[kept_rows(capacity[rows], FAINT_POINTS if chosen is shown and len(middle) else MOST_POINTS)]
        if len(rows):
            figure.add_scatter(
                x=x[kept], y=capacity[kept], customdata=number[kept], name=name, mode="markers", marker=marker,
                hovertemplate=f"cycle %{{customdata}}<br>{hover}<extra></extra>",
            )  # fmt: skip
            drawn.append(Outside(x[rows], capacity[rows], number[rows], str(marker["color"])))
    if len(middle):
        figure.add_scatter(
            x=x[middle], y=amount.factor * median, name=f"median of {rule_median_cycles(cell['eol_rule'])}",
            mode="lines", line={"color": ink.colour, "width": 2.5},
            hovertemplate=f"median {hover}<extra></extra>",
        )  # fmt: skip
    level = threshold_ah(cell)
    of_range = complete if complete.any() and np.isfinite(capacity).sum() >= FEW else np.ones(len(capacity), dtype=bool)
    limits = robust_range(
        capacity[of_range],
        [] if level is None else [amount.factor * level],
        amount.factor * median,
    )
    if limits is not None and not (capacity < 0).any():
        limits = from_zero(limits)
    notes.append(fit_axis(figure, limits, drawn, f"%{{customdata:.{amount.decimals}f}} {amount.unit}"))
    count_cycles(figure, axis, x[placed])
    _add_end(figure, cell, axis, x, number, next_colours(ink, 1)[0], limits)
    _add_knee(figure, cell, x, number, capacity, next_colours(ink, 2)[1])
    write_notes(figure, notes)
    return figure


def add_tests(figure: go.Figure, cycles: pa.Table, x: npt.NDArray[Any]) -> None:
    """The tests of a cell as bands, from the first cycle of each to that of the next."""
    placed = np.flatnonzero(has_place(x))
    tests, x = cycles.column("test_id").take(placed).to_pylist(), x[placed]
    first = [row for row, test in enumerate(tests) if row == 0 or test != tests[row - 1]]
    starts = [x[row] for row in first]
    add_bands(figure, starts, [*starts[1:], x[-1]] if starts else [])


def _add_end(
    figure: go.Figure,
    cell: Cell,
    axis: str,
    x: npt.NDArray[Any],
    number: npt.NDArray[np.float64],
    of_colour: str,
    limits: tuple[float, float] | None,
) -> None:
    """The threshold with its rule, and the end of life that has come or is projected."""
    level_ah, amount = threshold_ah(cell), capacity_amount_of(cell)
    if level_ah is None:
        return
    level = amount.factor * level_ah
    label = f"{level:.{amount.decimals - 1}f} {amount.unit}: {end_rule(cell['eol_rule'])}"
    figure.add_hline(
        y=level, line={"color": MUTED, "dash": "dash", "width": 1},
        annotation_position=f"{label_place(level, limits)} left",
        annotation_text="<br>".join(in_figure(line) for line in wrap(label, WRAPPED)),
        annotation_font={"color": MUTED}, annotation_align="left",
    )  # fmt: skip
    at = _row_of(number, cell["eol_cycle"], x)
    if at is not None:
        figure.add_scatter(
            x=[x[at]], y=[level], name=f"end of life: cycle {cell['eol_cycle']}", mode="markers",
            marker={"symbol": "x", "size": 12, "color": of_colour},
            hovertemplate=f"end of life at cycle {cell['eol_cycle']}<extra></extra>",
        )  # fmt: skip
    projected = cell["projected_eol_cycle"]
    if projected is None or axis != "cycle":
        return
    low, high = cell["projected_eol_low_cycle"], cell["projected_eol_high_cycle"]
    until = f"{high:.0f}" if high is not None else "open"
    figure.add_scatter(
        x=[projected], y=[level], name=f"projected end: cycle {projected:.0f} ({low:.0f} to {until})",
        mode="markers", marker={"symbol": "x-open", "size": 12, "color": of_colour},
        error_x={
            "type": "data", "symmetric": False, "arrayminus": [projected - low],
            "array": [(high if high is not None else 2 * projected) - projected], "color": of_colour,
        },
        hovertemplate=f"projected: cycle {projected:.0f}, {low:.0f} to {until}<extra></extra>",
    )  # fmt: skip


def _add_knee(
    figure: go.Figure,
    cell: Cell,
    x: npt.NDArray[Any],
    number: npt.NDArray[np.float64],
    capacity: npt.NDArray[np.float64],
    of_colour: str,
) -> None:
    """The knee on the course of the capacity, with its interval."""
    low, knee, high = (_row_of(number, cell[name], x) for name in ("knee_low_cycle", "knee_cycle", "knee_high_cycle"))
    if low is None or knee is None or high is None:
        return
    figure.add_vrect(x0=x[low], x1=x[high], fillcolor=of_colour, opacity=0.15, line_width=0)
    figure.add_scatter(
        x=[x[knee]], y=[capacity[knee]], mode="markers",
        name=f"knee: cycle {cell['knee_cycle']:.0f} ({cell['knee_low_cycle']:.0f} to {cell['knee_high_cycle']:.0f})",
        marker={"symbol": "diamond", "size": 11, "color": of_colour},
        hovertemplate=f"knee at cycle {cell['knee_cycle']:.0f}<extra></extra>",
    )  # fmt: skip


def _row_of(number: npt.NDArray[np.float64], cycle: float | None, x: npt.NDArray[Any]) -> int | None:
    """The row of a cycle, or the one after it; None where it is none, or has no place along x."""
    if cycle is None or not len(number):
        return None
    row = int(np.searchsorted(number, cycle).clip(0, len(number) - 1))
    return row if has_place(x)[row] else None
