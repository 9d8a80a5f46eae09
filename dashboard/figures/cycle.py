"""Single cycles: voltage and current over time, voltage over charge, and incremental capacity, several on one another.

From the readings of a look at the landing tables (`dashboard/landing.py`) and from curves as `battery_ica` has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.compute as pc
from plotly.subplots import make_subplots

from dashboard.amounts import capacity_amount, largest
from dashboard.figures.ageing import column
from dashboard.figures.style import LAYOUT, colour, frame, kept_rows, said

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import plotly.graph_objects as go
    import pyarrow as pa

    from dashboard.amounts import Amount

SECONDS_PER_HOUR: Final = 3600.0

DIRECTIONS: Final = {"charge": "solid", "discharge": "dash"}
"""How the curves of either direction are drawn."""


@dataclass(frozen=True)
class CycleReadings:
    """One cycle: its number over all tests of the cell, and its readings in their order, with the charge moved.

    The readings have the columns of `dashboard.curves.with_charge`.
    """

    number: int
    readings: pa.Table


def over_time(cycles: Sequence[CycleReadings]) -> go.Figure:
    """Voltage in V and current, in A or what suits it, over the hours since each cycle began."""
    ampere = capacity_amount(largest(*(column(cycle.readings, "current_a") for cycle in cycles)), "A")
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for number, cycle in enumerate(cycles):
        time = column(cycle.readings, "test_time_s")
        hours = (time - time[0]) / SECONDS_PER_HOUR if len(time) else time
        drawn = (("voltage_v", "V", 1.0), ("current_a", ampere.unit, ampere.factor))
        for row, (name, unit, factor) in enumerate(drawn, start=1):
            values = factor * column(cycle.readings, name)
            rows = kept_rows(values)
            figure.add_scatter(
                x=hours[rows], y=values[rows], name=f"cycle {cycle.number}", mode="lines",
                legendgroup=str(cycle.number), showlegend=row == 1, line={"color": colour(number), "width": 1.5},
                hovertemplate=f"cycle {cycle.number}<br>%{{x:.3f}} h: %{{y:.4f}} {unit}<extra></extra>",
                row=row, col=1,
            )  # fmt: skip
    figure.update_yaxes(title_text="voltage (V)", zeroline=False, row=1, col=1)
    figure.update_yaxes(title_text=f"current ({ampere.unit})", row=2, col=1)
    figure.update_xaxes(title_text="time since the cycle began (h)", zeroline=False, row=2, col=1)
    figure.update_layout(height=520, showlegend=True, **LAYOUT)
    return figure if figure.data else said(figure, "no readings")


def over_charge(cycles: Sequence[CycleReadings]) -> go.Figure:
    """Voltage over the charge moved since the charge, and the discharge, of each cycle began."""
    charge = capacity_amount(largest(*(column(cycle.readings, f"{way}_ah") for cycle in cycles for way in DIRECTIONS)))
    figure = frame(f"charge moved since it began ({charge.unit})", "voltage (V)", height=440)
    for number, cycle in enumerate(cycles):
        current = column(cycle.readings, "current_a")
        voltage = column(cycle.readings, "voltage_v")
        for direction, flows in (("charge", current > 0), ("discharge", current < 0)):
            moved = charge.factor * column(cycle.readings, f"{direction}_ah")
            moving = flows & np.isfinite(moved)
            if not moving.any():
                continue
            x, y = _in_pieces(moving, moved, voltage)
            rows = kept_rows(y)
            figure.add_scatter(
                x=x[rows], y=y[rows], name=f"cycle {cycle.number}, {direction}", mode="lines",
                line={"color": colour(number), "dash": DIRECTIONS[direction], "width": 1.5},
                hovertemplate=(
                    f"cycle {cycle.number}, {direction}<br>%{{x:.4f}} {charge.unit}: %{{y:.4f}} V<extra></extra>"
                ),
            )  # fmt: skip
    return figure if figure.data else said(figure, "no current, or no counter of the charge")


def incremental(curves: pa.Table, numbers: Sequence[int]) -> go.Figure:
    """Incremental capacity dQ/dV over voltage, with its peaks."""
    charge = charge_of(curves)
    unit = f"{charge.unit}/V"
    figure = _curves(curves, numbers, ("voltage_v", 1.0), ("dqdv_ah_per_v", charge.factor), ("dQ/dV", unit))
    for number, (cycle, direction) in enumerate(_drawn(curves, numbers)):
        rows = _rows(curves, cycle, direction)
        peaks = np.isfinite(column(rows, "peak_voltage_v"))
        if peaks.any():
            figure.add_scatter(
                x=column(rows, "peak_voltage_v")[peaks], y=charge.factor * column(rows, "peak_height_ah_per_v")[peaks],
                name="peaks", legendgroup="peaks", showlegend=number == 0, mode="markers",
                marker={"symbol": "triangle-up", "size": 9, "color": colour(list(numbers).index(cycle))},
                hovertemplate=(
                    f"peak, cycle {cycle}, {direction}<br>%{{x:.3f}} V, %{{y:.3f}} {unit}<extra></extra>"
                ),
            )  # fmt: skip
    return figure


def differential(curves: pa.Table, numbers: Sequence[int]) -> go.Figure:
    """Differential voltage dV/dQ over the charge moved since the start of the step."""
    charge = charge_of(curves)
    y = "dvdq_v_per_ah", 1 / charge.factor
    return _curves(curves, numbers, ("capacity_ah", charge.factor), y, ("dV/dQ", f"V/{charge.unit}"))


def charge_of(curves: pa.Table) -> Amount:
    """How the charge of curves is shown."""
    return capacity_amount(largest(column(curves, "capacity_ah")))


def _in_pieces(
    moving: npt.NDArray[np.bool_], x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The points where the current flows, with a gap where it does not: no line leads from a charge to a pulse."""
    rows = np.flatnonzero(moving)
    breaks = np.flatnonzero(np.diff(rows) > 1) + 1
    return np.insert(x[rows], breaks, np.nan), np.insert(y[rows], breaks, np.nan)


def _curves(
    curves: pa.Table, numbers: Sequence[int], x: tuple[str, float], y: tuple[str, float], title: tuple[str, str]
) -> go.Figure:
    """A column over another, each with its factor; `title` is what the figure shows, and its unit."""
    of_charge = f"charge moved since it began ({charge_of(curves).unit})"
    figure = frame("voltage (V)" if x[0] == "voltage_v" else of_charge, f"{title[0]} ({title[1]})", height=440)
    for cycle, direction in _drawn(curves, numbers):
        rows = _rows(curves, cycle, direction)
        figure.add_scatter(
            x=x[1] * column(rows, x[0]), y=y[1] * column(rows, y[0]), name=f"cycle {cycle}, {direction}", mode="lines",
            line={"color": colour(list(numbers).index(cycle)), "dash": DIRECTIONS[direction], "width": 1.5},
            hovertemplate=f"cycle {cycle}, {direction}<br>%{{x:.3f}}: %{{y:.3f}} {title[1]}<extra></extra>",
        )  # fmt: skip
    return figure if figure.data else said(figure, "no step at constant current with enough readings")


def _drawn(curves: pa.Table, numbers: Sequence[int]) -> list[tuple[int, str]]:
    """The cycles and directions of which there is a curve, in the order of `numbers`."""
    curve_keys = set(zip(curves["cycle_number"].to_pylist(), curves["direction"].to_pylist(), strict=True))
    return [(number, direction) for number in numbers for direction in DIRECTIONS if (number, direction) in curve_keys]


def _rows(curves: pa.Table, number: int, direction: str) -> pa.Table:
    return curves.filter(pc.and_(pc.equal(curves["cycle_number"], number), pc.equal(curves["direction"], direction)))
