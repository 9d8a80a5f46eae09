"""Single cycles, many on one another: voltage over charge, over time, and incremental capacity.

From the lines of `dashboard/cycle/lines.py`, and from curves as `battery_ica` has them. Lines are coloured by cycle
number; several cells stand beside one another, with the same axes and colours.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from dashboard.cycle.lines import WAYS
from dashboard.cycle.scale import plain_scale
from dashboard.figures.measures import column
from dashboard.figures.panels import CycleColours, add_lines, colours_of, line, panels
from dashboard.figures.style import MUTED, said
from dashboard.words.amounts import capacity_amount, largest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt
    import plotly.graph_objects as go
    import pyarrow as pa

    from dashboard.cycle.lines import ChargeLines, TimeLines
    from dashboard.cycle.scale import ChargeScale
    from dashboard.figures.panels import Trace
    from dashboard.words.amounts import Amount

    Floats = npt.NDArray[np.float64]

DASHES: Final = {"charge": "solid", "discharge": "dash"}
"""How a few cycles are drawn in either direction."""

RANGE_SHARE: Final = 0.95
"""Of the charge whose dV/dQ the axis holds; it goes to infinity where a step ends, and what is beyond is cut off."""

RANGE_NOTE: Final = f"The axis holds {RANGE_SHARE:.0%} of the charge; dV/dQ goes on where a step begins and ends."
"""What must be said beside a figure of dV/dQ."""

RANGE_MARGIN: Final = 1.15

NO_CURVE: Final = "no step at constant current with enough readings"


@dataclass(frozen=True)
class CellCurves:
    """A cell, the cycles of it that are drawn, and their curves, rows of `battery_ica` in any order."""

    cell: str
    numbers: Sequence[int]
    curves: pa.Table


def over_charge(cells: Sequence[tuple[str, Sequence[ChargeLines]]], scale: ChargeScale) -> go.Figure:
    """Voltage over the charge moved since the charge, and the discharge, of each cycle began; a panel a cell."""
    figure, places = panels([cell for cell, _ in cells], scale.axis, ["voltage (V)"], height=460)
    colours = colours_of(of_cycle.number for _, lines in cells for of_cycle in lines)
    named: set[int] = set()
    drawn = [
        (trace, place)
        for (cell, lines), place in zip(cells, places, strict=True)
        for of_cycle in lines
        for trace in _traces_over_charge(of_cycle, scale, scale.of(cell, of_cycle.number), colours, named)
    ]
    if not drawn:
        return said(figure, "no current, or no counter of the charge")
    add_lines(figure, drawn, colours)
    return figure


def over_time(cells: Sequence[tuple[str, Sequence[TimeLines]]]) -> go.Figure:
    """Voltage in V and current, in A or what suits it, over the hours since each cycle began; a column a cell."""
    ampere = capacity_amount(largest(*(of_cycle.current for _, lines in cells for of_cycle in lines)), "A")
    titles = ["voltage (V)", f"current ({ampere.unit})"]
    figure, places = panels([cell for cell, _ in cells], "time since the cycle began (h)", titles, height=330)
    colours = colours_of(of_cycle.number for _, lines in cells for of_cycle in lines)
    named: set[int] = set()
    drawn: list[tuple[Trace, tuple[int, int]]] = []
    for (_, lines), (_, col) in zip(cells, places, strict=True):
        for of_cycle in lines:
            for row, (name, factor, unit) in enumerate(
                (("voltage", 1.0, "V"), ("current", ampere.factor, ampere.unit)), start=1
            ):
                y = factor * getattr(of_cycle, name)
                if not np.isfinite(y).any():
                    continue
                hover = f"%{{x:.3f}} h: %{{y:.4f}} {unit}"
                drawn.append((line(of_cycle.number, of_cycle.hours, y, colours, hover, named=named), (row, col)))
                drawn += [(trace, (row, col)) for trace in _dots(of_cycle, y, colours, hover)]
                outside = factor * of_cycle.left_out[row]
                drawn += [(_crosses(of_cycle.number, of_cycle.left_out[0], outside, unit), (row, col))] * bool(
                    len(outside)
                )
    if not drawn:
        return said(figure, "no readings")
    add_lines(figure, drawn, colours)
    return figure


def incremental(curves: pa.Table, numbers: Sequence[int]) -> go.Figure:
    """Incremental capacity dQ/dV of one cell over voltage, with its peaks."""
    return incremental_of([CellCurves("", numbers, curves)], plain_scale(_largest_charge([curves])))


def incremental_of(cells: Sequence[CellCurves], scale: ChargeScale) -> go.Figure:
    """Incremental capacity dQ/dV over voltage, that of discharges below 0 as papers show it, with peaks."""
    titles = "voltage (V)", f"dQ/dV ({scale.per_volt})"
    colours = colours_of(_numbers(cells))
    figure, places = panels([of.cell for of in cells], titles[0], [titles[1]], height=460)
    named: set[int] = set()
    drawn: list[tuple[Trace, tuple[int, int]]] = []
    for of, place in zip(cells, places, strict=True):
        peaks: list[tuple[int, Floats, Floats]] = []
        for number, way, rows in _each(of):
            factor = WAYS[way] * scale.of(of.cell, number)
            y = factor * column(rows, "dqdv_ah_per_v")
            if not np.isfinite(y).any():
                continue
            hover = f"{way}<br>%{{x:.3f}} V: %{{y:.4g}} {scale.per_volt}"
            drawn.append((line(number, column(rows, "voltage_v"), y, colours, hover, named=named), place))
            at = np.isfinite(column(rows, "peak_voltage_v"))
            peaks.append(
                (number, column(rows, "peak_voltage_v")[at], factor * column(rows, "peak_height_ah_per_v")[at])
            )
        drawn += [(trace, place) for trace in _peaks(peaks, colours, scale.per_volt)]
    if not drawn:
        return said(figure, NO_CURVE)
    add_lines(figure, drawn, colours)
    figure.update_yaxes(zeroline=True, zerolinecolor=MUTED, zerolinewidth=1)
    return figure


def differential(curves: pa.Table, numbers: Sequence[int]) -> go.Figure:
    """Differential voltage dV/dQ of one cell over the charge moved since the start of the step."""
    return differential_of([CellCurves("", numbers, curves)], plain_scale(_largest_charge([curves])))


def differential_of(cells: Sequence[CellCurves], scale: ChargeScale) -> go.Figure:
    """Differential voltage dV/dQ over the charge moved since the start of the step, that of discharges below 0.

    The axis holds `RANGE_SHARE` of the charge; beyond are the ends of steps: `RANGE_NOTE`.
    """
    title = f"dV/dQ ({scale.volts_per})"
    colours = colours_of(_numbers(cells))
    figure, places = panels([of.cell for of in cells], scale.axis, [title], height=460)
    named: set[int] = set()
    drawn: list[tuple[Trace, tuple[int, int]]] = []
    for of, place in zip(cells, places, strict=True):
        for number, way, rows in _each(of):
            factor = scale.of(of.cell, number)
            y = WAYS[way] / factor * column(rows, "dvdq_v_per_ah")
            if not np.isfinite(y).any():
                continue
            hover = f"{way}<br>%{{x:.4g}} {scale.unit}: %{{y:.4g}} {scale.volts_per}"
            x = factor * column(rows, "capacity_ah")
            drawn.append((line(number, x, y, colours, hover, named=named), place))
    if not drawn:
        return said(figure, NO_CURVE)
    add_lines(figure, drawn, colours)
    figure.update_yaxes(zeroline=True, zerolinecolor=MUTED, zerolinewidth=1)
    _cut_range(figure, np.concatenate([trace["y"] for trace, _ in drawn]))
    return figure


def charge_of(curves: pa.Table) -> Amount:
    """How the charge of curves is shown."""
    return capacity_amount(_largest_charge([curves]))


def _traces_over_charge(
    of_cycle: ChargeLines, scale: ChargeScale, factor: float, colours: CycleColours, named: set[int]
) -> Iterator[Trace]:
    """Both directions of a cycle; of many cycles in one trace, since they have one colour."""
    ways = {"charge": of_cycle.charge, "discharge": of_cycle.discharge}
    ways = {way: (factor * x, y) for way, (x, y) in ways.items() if len(x) and np.isfinite(factor)}
    hover = f"%{{x:.4f}} {scale.unit}: %{{y:.4f}} V"
    if colours.has_bar and ways:
        x, y = (np.concatenate([part for xy in ways.values() for part in (xy[axis], [np.nan])]) for axis in (0, 1))
        yield line(of_cycle.number, x[:-1], y[:-1], colours, hover, named=named)
    elif not colours.has_bar:
        for way, (x, y) in ways.items():
            yield line(of_cycle.number, x, y, colours, f"{way}<br>{hover}", dash=DASHES[way], named=named)


def _dots(of_cycle: TimeLines, y: Floats, colours: CycleColours, hover: str) -> list[Trace]:
    """The steps of one reading, of which no line can be drawn."""
    if not of_cycle.is_single.any():
        return []
    return [
        {
            "type": "scatter", "x": of_cycle.hours[of_cycle.is_single], "y": y[of_cycle.is_single], "mode": "markers",
            "name": f"cycle {of_cycle.number}, steps of one reading", "legendgroup": str(of_cycle.number),
            "showlegend": False, "marker": {"size": 4, "color": colours.of[of_cycle.number]},
            "hovertemplate": f"cycle {of_cycle.number}, {hover}<extra></extra>",
        }
    ]  # fmt: skip


def _crosses(number: int, hours: Floats, y: Floats, unit: str) -> Trace:
    """Readings that the models leave out."""
    return {
        "type": "scatter", "x": hours, "y": y, "mode": "markers", "name": f"cycle {number}, left out by the cleaning",
        "legendgroup": str(number), "showlegend": False, "marker": {"symbol": "x-thin-open", "size": 7, "color": MUTED},
        "hovertemplate": f"cycle {number}, left out by the cleaning<br>%{{x:.3f}} h: %{{y:.4f}} {unit}<extra></extra>",
    }  # fmt: skip


def _peaks(peaks: Sequence[tuple[int, Floats, Floats]], colours: CycleColours, unit: str) -> list[Trace]:
    """The peaks of a cell's curves, as one trace."""
    count = sum(len(x) for _, x, _ in peaks)
    if not count:
        return []
    return [
        {
            "type": "scatter", "mode": "markers", "name": "peaks", "showlegend": False,
            "x": np.concatenate([x for _, x, _ in peaks]), "y": np.concatenate([y for _, _, y in peaks]),
            "customdata": np.concatenate([np.full(len(x), number) for number, x, _ in peaks]),
            "marker": {
                "symbol": "triangle-up", "size": 5 if colours.has_bar else 8,
                "color": [colours.of[number] for number, x, _ in peaks for _ in x],
            },
            "hovertemplate": f"peak, cycle %{{customdata}}<br>%{{x:.3f}} V, %{{y:.4g}} {unit}<extra></extra>",
        }
    ]  # fmt: skip


def _cut_range(figure: go.Figure, values: Floats) -> None:
    """Cut the y axis where dV/dQ goes to infinity.

    The curves have a point every so many volts, so that each stands for a charge of 1 by its magnitude.
    """
    values = values[np.isfinite(values) & (values != 0)]
    ends = [_holding(np.abs(side)) for side in (values[values > 0], values[values < 0])]
    margin = 0.03 * sum(ends)
    figure.update_yaxes(range=[-ends[1] - margin, ends[0] + margin])


def _holding(magnitudes: Floats) -> float:
    """The magnitude of dV/dQ below which `RANGE_SHARE` of the charge has moved, and a little more."""
    ordered = np.sort(magnitudes)
    moved = np.cumsum(1 / ordered)
    if not len(ordered):
        return 0.0
    return RANGE_MARGIN * float(ordered[np.searchsorted(moved, RANGE_SHARE * moved[-1]).clip(0, len(ordered) - 1)])


def _each(of: CellCurves) -> Iterator[tuple[int, str, pa.Table]]:
    """The curves of the wanted cycles, each with its cycle and direction, voltages ascending."""
    ordered = of.curves.sort_by([("cycle_number", "ascending"), ("direction", "ascending"), ("voltage_v", "ascending")])
    wanted = set(of.numbers)
    number = column(ordered, "cycle_number")
    is_charge = np.array(ordered["direction"].to_pylist()) == "charge"
    starts = np.flatnonzero((np.diff(number) != 0) | (np.diff(is_charge) != 0)) + 1
    bounds = [0, *starts.tolist(), ordered.num_rows] if ordered.num_rows else []
    for first, last in itertools.pairwise(bounds):
        if int(number[first]) in wanted:
            yield int(number[first]), "charge" if is_charge[first] else "discharge", ordered.slice(first, last - first)


def _numbers(cells: Sequence[CellCurves]) -> Iterable[int]:
    """The cycles of which there is a curve."""
    return {
        number for of in cells for number in set(of.curves["cycle_number"].to_pylist()).intersection(of.numbers)
    }  # fmt: skip


def _largest_charge(curves: Sequence[pa.Table]) -> float | None:
    return largest(*(column(table, "capacity_ah") for table in curves))
