"""How cells age, over their cycles: from the tables `battery_cells`, `battery_cycles`, `battery_steps`, `battery_gaps`.

A cell is one row of `battery_cells` as a dictionary; cycles are rows of `battery_cycles`, those of a cell in the order
of their numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow.compute as pc
from plotly.subplots import make_subplots

from ageing import record
from dashboard.amounts import capacity_amount_of, largest, resistance_amount
from dashboard.escaping import in_figure
from dashboard.figures.style import COLOURS, LAYOUT, MOST_POINTS, MUTED, add_bands, colour, frame, kept_rows, said
from dashboard.rules import end_threshold_ah, rule_median_cycles, rule_percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt
    import plotly.graph_objects as go
    import pyarrow as pa

    Cell = Mapping[str, Any]


@dataclass(frozen=True)
class Axis:
    """What a life is drawn over: the column of `battery_cycles`, and the title with its unit."""

    column: str
    title: str


AXES: Final = {
    "cycle": Axis("cycle_number", "cycle number"),
    "efc": Axis("equivalent_full_cycles", "equivalent full cycles"),
    "date": Axis("started_at", "cycler's wall clock"),
}


@dataclass(frozen=True)
class Measure:
    """One figure a cycle: its column, its title with its unit, and what it is multiplied by to have that unit."""

    column: str
    title: str
    scale: float = 1.0


MEASURES: Final = {
    "capacity": Measure("discharge_capacity_ah", "discharge capacity (Ah)"),
    "soh": Measure("soh", "state of health (%)", 100.0),
    "ce": Measure("coulombic_efficiency", "coulombic efficiency (%)", 100.0),
    "ee": Measure("energy_efficiency", "energy efficiency (%)", 100.0),
    "resistance": Measure("internal_resistance_ohm", "internal resistance (mΩ)", 1000.0),
    "voltage": Measure("mean_discharge_voltage_v", "mean discharge voltage (V)"),
    "cc": Measure("cc_charge_time_s", "constant-current charge time (min)", 1 / 60),
    "cv": Measure("cv_charge_time_s", "constant-voltage charge time (min)", 1 / 60),
    "temperature": Measure("temperature_max_c", "highest temperature (°C)"),
}


def column(table: pa.Table, name: str) -> npt.NDArray[Any]:
    """A column as an array: floats with NaN for NULL, times as they are."""
    values = table.column(name)
    if values.type in {"timestamp[us]", "timestamp[ns]"}:
        return values.to_numpy()  # type: ignore[no-any-return]
    return values.cast("float64").to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def threshold_ah(cell: Cell) -> float | None:
    """The capacity in Ah below which the cell's life ends by the threshold of its `eol_rule`; None where unknown."""
    return end_threshold_ah(cell, cell["eol_rule"])


def running_median(cycles: pa.Table, width: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """The running median that the default end-of-life rule goes by.

    Returns:
        Rows of `cycles` in the middle of each `width` comparable ones, and their median capacity in Ah.
    """
    rows = np.flatnonzero(_comparable(cycles))
    middle, median = record.running_median(
        rows.astype(np.float64), column(cycles, "discharge_capacity_ah")[rows], width
    )
    return middle.astype(np.int64), median


def fade(cell: Cell, cycles: pa.Table, axis: str = "cycle", *, bands: bool = True) -> go.Figure:
    """Capacity over a cell's life, with the rule of its end of life, the knee, and the projected end with its range."""
    amount = capacity_amount_of(cell)
    x, capacity = column(cycles, AXES[axis].column), amount.factor * column(cycles, "discharge_capacity_ah")
    number = column(cycles, "cycle_number")
    figure = frame(AXES[axis].title, f"discharge capacity ({amount.unit})", height=460)
    if bands:
        _add_tests(figure, cycles, x)
    comparable = _comparable(cycles)
    complete = _flags(cycles, "is_complete")
    for name, chosen, marker in (
        ("complete cycles", comparable, {"size": 4, "color": COLOURS[0]}),
        ("reference tests", complete & ~comparable, {"symbol": "diamond", "size": 9, "color": COLOURS[2]}),
        ("cut short", ~complete, {"symbol": "x-thin-open", "size": 6, "color": MUTED}),
    ):
        rows = np.flatnonzero(chosen)
        rows = rows[kept_rows(capacity[rows])]
        if len(rows):
            figure.add_scatter(
                x=x[rows], y=capacity[rows], customdata=number[rows], name=name, mode="markers", marker=marker,
                hovertemplate=f"cycle %{{customdata}}<br>%{{y:.{amount.decimals}f}} {amount.unit}<extra></extra>",
            )  # fmt: skip
    width = rule_median_cycles(cell["eol_rule"])
    middle, median = running_median(cycles, width)
    if len(middle):
        figure.add_scatter(
            x=x[middle], y=amount.factor * median, name=f"median of {width}", mode="lines",
            line={"color": COLOURS[1], "width": 2},
            hovertemplate=f"median %{{y:.{amount.decimals}f}} {amount.unit}<extra></extra>",
        )  # fmt: skip
    _add_end(figure, cell, axis, x, number)
    _add_knee(figure, cell, x, number, capacity)
    return figure


def efficiency(cycles: pa.Table, axis: str = "cycle", *, bands: bool = True) -> go.Figure:
    """Coulombic and energy efficiency, in %, each on its own scale."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    x, number = column(cycles, AXES[axis].column), column(cycles, "cycle_number")
    for row, key in enumerate(("ce", "ee"), start=1):
        measure = MEASURES[key]
        drawn_x, y = decimated_measure(cycles, measure, x)
        figure.add_scatter(
            x=drawn_x, y=y, name=measure.title.removesuffix(" (%)"), mode="lines", line={"color": colour(row - 1)},
            hovertemplate="%{y:.3f} %<extra></extra>", row=row, col=1,
        )  # fmt: skip
        figure.update_yaxes(title_text=measure.title.split()[0] + " (%)", zeroline=False, row=row, col=1)
    figure.update_xaxes(title_text=AXES[axis].title, zeroline=False, row=2, col=1)
    figure.update_layout(height=420, **LAYOUT)
    if bands:
        _add_tests(figure, cycles, x)
    return figure if len(number) else said(figure, "no cycle yet")


def resistance(cycles: pa.Table, steps: pa.Table, axis: str = "cycle", *, bands: bool = True) -> go.Figure:
    """Internal resistance: the cycler's own, and that at a stated time after a discharge has set in."""
    x = column(cycles, AXES[axis].column)
    at, ohm, seconds = _pulses(cycles, steps, x)
    amount = resistance_amount(largest(column(cycles, "internal_resistance_ohm"), ohm))
    figure = frame(AXES[axis].title, f"resistance ({amount.unit})")
    hover = f"%{{y:.{amount.decimals + 1}f}} {amount.unit}"
    if bands:
        _add_tests(figure, cycles, x)
    drawn_x, y = decimated_measure(cycles, replace(MEASURES["resistance"], scale=amount.factor), x)
    if len(drawn_x):
        figure.add_scatter(
            x=drawn_x, y=y, name="measured by the cycler", mode="lines", line={"color": COLOURS[0]},
            hovertemplate=f"{hover}<extra></extra>",
        )  # fmt: skip
    if len(at):
        times = ", ".join(f"{time:g}" for time in np.unique(seconds))
        figure.add_scatter(
            x=at, y=amount.factor * ohm, customdata=seconds, name=f"at {times} s of discharge", mode="markers",
            marker={"color": COLOURS[1], "size": 4},
            hovertemplate=f"{hover} at %{{customdata:g}} s<extra></extra>",
        )  # fmt: skip
    return figure if figure.data else said(figure, "no resistance was measured")


def temperature(cycles: pa.Table, axis: str = "cycle", *, bands: bool = True) -> go.Figure:
    """Mean and highest temperature of each cycle in °C."""
    figure = frame(AXES[axis].title, "temperature (°C)")
    x = column(cycles, AXES[axis].column)
    for number, (name, title) in enumerate((("temperature_max_c", "highest"), ("temperature_mean_c", "mean"))):
        drawn_x, y = decimated_measure(cycles, Measure(name, title), x)
        if len(drawn_x):
            figure.add_scatter(
                x=drawn_x, y=y, name=title, mode="lines", line={"color": colour(1 - number)},
                hovertemplate="%{y:.1f} °C<extra></extra>",
            )  # fmt: skip
    if not figure.data:
        return said(figure, "this cell has no temperature sensor")
    if bands:
        _add_tests(figure, cycles, x)
    return figure


def charge_times(cycles: pa.Table, axis: str = "cycle", *, bands: bool = True) -> go.Figure:
    """Time charged at constant current and at constant voltage, in minutes."""
    figure = frame(AXES[axis].title, "charge time (min)")
    x = column(cycles, AXES[axis].column)
    for number, key in enumerate(("cc", "cv")):
        drawn_x, y = decimated_measure(cycles, MEASURES[key], x)
        if len(drawn_x):
            figure.add_scatter(
                x=drawn_x, y=y, name=MEASURES[key].title.split()[0].replace("-", " "), mode="lines",
                line={"color": colour(number)}, hovertemplate="%{y:.1f} min<extra></extra>",
            )  # fmt: skip
    if not figure.data:
        return said(figure, "no charge yet")
    if bands:
        _add_tests(figure, cycles, x)
    return figure


def fleet(cells: Sequence[Cell], cycles: pa.Table, axis: str, foremost: Sequence[str]) -> go.Figure:
    """State of health of many cells in %, with the end of life and the knee of each; those foremost in colour."""
    figure = frame(AXES[axis].title, "state of health (%)", height=460)
    ordered = sorted(cells, key=lambda cell: cell["cell_id"] in foremost)  # those drawn last are on top
    for cell in ordered:
        of_cell = cycles_of(cycles, cell["cell_id"])
        rows = of_cell.filter(pc.is_valid(of_cell["soh"]))
        in_front = cell["cell_id"] in foremost
        ink = colour(list(foremost).index(cell["cell_id"])) if in_front else MUTED
        x, y = decimated_measure(rows, MEASURES["soh"], column(rows, AXES[axis].column), 400)
        figure.add_scatter(
            x=x, y=y, name=in_figure(cell["cell_id"]), mode="lines", line={"color": ink, "width": 2 if in_front else 1},
            opacity=1 if in_front else 0.6, showlegend=in_front, legendrank=1 if in_front else 2,
            hovertemplate=f"{in_figure(cell['cell_id'])}<br>%{{y:.1f}} %<extra></extra>",
        )  # fmt: skip
    for name, key, symbol in (("end of life", "eol_cycle", "x"), ("knee", "knee_cycle", "diamond-open")):
        marked = [(cell, *_on_course(cycles_of(cycles, cell["cell_id"]), cell[key], axis)) for cell in ordered]
        marked = [mark for mark in marked if mark[1] is not None]
        if marked:
            figure.add_scatter(
                x=[at for _, at, _ in marked], y=[health for _, _, health in marked], name=name, mode="markers",
                text=[f"{in_figure(cell['cell_id'])}: {name} at cycle {cell[key]:.0f}" for cell, _, _ in marked],
                marker={"symbol": symbol, "size": 11, "color": MUTED, "line": {"width": 2}},
                hovertemplate="%{text}<extra></extra>",
            )  # fmt: skip
    for percent in sorted({rule_percent(cell["eol_rule"]) for cell in cells}):
        figure.add_hline(
            y=percent, line={"color": MUTED, "dash": "dash", "width": 1},
            annotation_text=f"{percent} %", annotation_position="bottom left",
        )  # fmt: skip
    return figure


def compare(cycles: pa.Table, cells: Sequence[str], measure: str, axis: str, *, relative: bool = False) -> go.Figure:
    """One measure of several cells on common axes; relative to each cell's first value in %, if so wished."""
    shown = MEASURES[measure]
    title = f"{shown.title.rpartition(' (')[0]}, relative to the first (%)" if relative else shown.title
    figure = frame(AXES[axis].title, title, height=520)
    for number, cell in enumerate(cells):
        of_cell = cycles_of(cycles, cell)
        rows = of_cell.filter(of_cell["is_complete"])
        x, y = decimated_measure(rows, shown, column(rows, AXES[axis].column))
        if relative and len(y):
            y = 100 * y / y[0]
        figure.add_scatter(
            x=x, y=y, name=in_figure(cell), mode="lines", line={"color": colour(number)},
            hovertemplate=f"{in_figure(cell)}<br>%{{y:{_digits(y)}}}<extra></extra>",
        )  # fmt: skip
    return figure


def _digits(y: npt.NDArray[np.float64]) -> str:
    """The format of the values of a cell: decimals for those of ordinary cells, digits for very small or large ones."""
    size = largest(y)
    return ".4~f" if size is None or 0.1 <= size < 1e4 else ".5~g"  # noqa: PLR2004  # what four decimals can show


def cycles_of(cycles: pa.Table, cell: str) -> pa.Table:
    """The cycles of one cell in the order of their numbers."""
    return cycles.filter(pc.equal(cycles["cell_id"], cell)).sort_by("cycle_number")


def decimated_measure(
    cycles: pa.Table, measure: Measure, x: npt.NDArray[Any], most: int = MOST_POINTS
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """A measure in its unit over x, without the cycles that have none, and with no more points than can be seen."""
    y = measure.scale * column(cycles, measure.column)
    finite = np.flatnonzero(np.isfinite(y))
    rows = finite[kept_rows(y[finite], most)]
    return x[rows], y[rows]


def _flags(cycles: pa.Table, name: str) -> npt.NDArray[np.bool_]:
    return pc.fill_null(cycles.column(name), fill_value=False).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _comparable(cycles: pa.Table) -> npt.NDArray[np.bool_]:
    """Complete cycles that are no reference tests: those that fade and end of life are told by."""
    comparable: npt.NDArray[np.bool_] = _flags(cycles, "is_complete") & ~_flags(cycles, "is_reference_test")
    return comparable


def _add_tests(figure: go.Figure, cycles: pa.Table, x: npt.NDArray[Any]) -> None:
    """The tests of a cell as bands, from the first cycle of each to that of the next."""
    tests = cycles.column("test_id").to_pylist()
    first = [row for row, test in enumerate(tests) if row == 0 or test != tests[row - 1]]
    starts = [x[row] for row in first]
    add_bands(figure, starts, [*starts[1:], x[-1]] if starts else [])


def _add_end(figure: go.Figure, cell: Cell, axis: str, x: npt.NDArray[Any], number: npt.NDArray[np.float64]) -> None:
    """The threshold with the name of its rule, and the end of life that has come or is projected."""
    level_ah, amount = threshold_ah(cell), capacity_amount_of(cell)
    if level_ah is None:
        return
    level = amount.factor * level_ah
    figure.add_hline(
        y=level, line={"color": MUTED, "dash": "dash", "width": 1}, annotation_position="bottom left",
        annotation_text=f"{level:.{amount.decimals - 1}f} {amount.unit}: {in_figure(cell['eol_rule'])}",
        annotation_font={"color": MUTED},
    )  # fmt: skip
    if cell["eol_cycle"] is not None:
        at = x[np.searchsorted(number, cell["eol_cycle"])]
        figure.add_scatter(
            x=[at], y=[level], name=f"end of life: cycle {cell['eol_cycle']}", mode="markers",
            marker={"symbol": "x", "size": 12, "color": COLOURS[6]},
            hovertemplate=f"end of life at cycle {cell['eol_cycle']}<extra></extra>",
        )  # fmt: skip
    projected = cell["projected_eol_cycle"]
    if projected is None or axis != "cycle":
        return
    low, high = cell["projected_eol_low_cycle"], cell["projected_eol_high_cycle"]
    until = f"{high:.0f}" if high is not None else "open"
    figure.add_scatter(
        x=[projected], y=[level], name=f"projected end of life: cycle {projected:.0f} ({low:.0f} to {until})",
        mode="markers", marker={"symbol": "x-open", "size": 12, "color": COLOURS[6]},
        error_x={
            "type": "data", "symmetric": False, "arrayminus": [projected - low],
            "array": [(high if high is not None else 2 * projected) - projected], "color": COLOURS[6],
        },
        hovertemplate=f"projected: cycle {projected:.0f}, {low:.0f} to {until}<extra></extra>",
    )  # fmt: skip


def _add_knee(
    figure: go.Figure,
    cell: Cell,
    x: npt.NDArray[Any],
    number: npt.NDArray[np.float64],
    capacity: npt.NDArray[np.float64],
) -> None:
    """The knee on the course of the capacity, with its interval."""
    if cell["knee_cycle"] is None:
        return
    low, knee, high = (
        int(np.searchsorted(number, cell[name]).clip(0, len(number) - 1))
        for name in ("knee_low_cycle", "knee_cycle", "knee_high_cycle")
    )
    figure.add_vrect(x0=x[low], x1=x[high], fillcolor=COLOURS[5], opacity=0.15, line_width=0)
    figure.add_scatter(
        x=[x[knee]], y=[capacity[knee]], mode="markers",
        name=f"knee: cycle {cell['knee_cycle']:.0f} ({cell['knee_low_cycle']:.0f} to {cell['knee_high_cycle']:.0f})",
        marker={"symbol": "diamond", "size": 11, "color": COLOURS[5]},
        hovertemplate=f"knee at cycle {cell['knee_cycle']:.0f}<extra></extra>",
    )  # fmt: skip


def _on_course(cycles: pa.Table, at: float | None, axis: str) -> tuple[Any, float | None]:
    """Where a cycle number is on the axis, and the state of health in % there; None where there is none."""
    rows = cycles.filter(pc.is_valid(cycles["soh"]))
    if at is None or not rows.num_rows:
        return None, None
    row = int(np.searchsorted(column(rows, "cycle_number"), at).clip(0, rows.num_rows - 1))
    return column(rows, AXES[axis].column)[row], 100 * float(column(rows, "soh")[row])


def _pulses(
    cycles: pa.Table, steps: pa.Table, x: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Of each discharge at constant current that has one: x, its resistance in Ω, and at which time in s."""
    place = {
        key: row
        for row, key in enumerate(zip(cycles["test_id"].to_pylist(), cycles["cycle_index"].to_pylist(), strict=True))
    }
    pulses = steps.filter(pc.and_(pc.equal(steps["kind"], "cc_discharge"), pc.is_valid(steps["pulse_resistance_ohm"])))
    rows = [
        place.get(key, -1) for key in zip(pulses["test_id"].to_pylist(), pulses["cycle_index"].to_pylist(), strict=True)
    ]
    in_cycles = np.array(rows, dtype=np.int64) >= 0
    return (
        x[np.array(rows, dtype=np.int64)[in_cycles]],
        column(pulses, "pulse_resistance_ohm")[in_cycles],
        column(pulses, "pulse_time_s")[in_cycles],
    )
