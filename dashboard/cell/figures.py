"""The figures of one cell, each with its title and its caption: one list for the Cell page and the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dashboard.cell.pulses import pulse_resistance_of
from dashboard.figures.ageing import AXES, charge_times, efficiency, fade, resistance, temperature, threshold_ah
from dashboard.figures.cycle import RANGE_NOTE, charge_of, differential, incremental
from dashboard.words.amounts import capacity_amount_of
from dashboard.words.rules import end_rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import plotly.graph_objects as go
    import pyarrow as pa

    from dashboard.cell.marts import CellMarts

BANDS: Final = "Grey bands tell the tests apart."


@dataclass(frozen=True)
class Figure:
    """One figure of a cell: a name for its file, a title, a caption with what must be said, and the drawing."""

    name: str
    title: str
    caption: str
    drawing: go.Figure


def figures_of(marts: CellMarts, axis: str = "cycle", *, bands: bool = True) -> Iterator[Figure]:
    """The figures of a cell, the fade first; those that have nothing to show are left out.

    Args:
        marts: of the cell.
        axis: what its life is drawn over, one of `AXES`.
        bands: whether its tests are told apart by bands.
    """
    cell, cycles = marts.cell, marts.cycles
    name, over = cell["cell_id"], f"over the {AXES[axis].title}"
    shaded = f" {BANDS}" if bands and marts.tests.num_rows > 1 else ""
    yield from _drawn(
        "fade",
        "Capacity fade",
        f"{fade_caption(cell, over)}{shaded}",
        fade(cell, cycles, axis, bands=bands, ink=marts.ink),
    )
    yield from _drawn(
        "efficiency", "Efficiency",
        f"Coulombic and energy efficiency (%) of {name} {over}, between the ends of two complete discharges.{shaded}",
        efficiency(cycles, axis, bands=bands, ink=marts.ink),
    )  # fmt: skip
    pulses = pulse_resistance_of(marts.steps, marts.thresholds)
    yield from _drawn(
        "resistance", "Resistance",
        f"Internal resistance of {name} {over}. The cycler's own is the mean over a cycle's discharge. "
        f"{pulses.sentence}{shaded}",
        resistance(cycles, marts.steps, axis, bands=bands, ink=marts.ink),
    )  # fmt: skip
    yield from _drawn(
        "temperature", "Temperature", f"Highest and mean temperature (°C) of each cycle of {name} {over}.{shaded}",
        temperature(cycles, axis, bands=bands, ink=marts.ink),
    )  # fmt: skip
    yield from _drawn(
        "charge-time", "Charge time",
        f"Time (min) charged at constant current and at constant voltage of each cycle of {name} {over}.{shaded}",
        charge_times(cycles, axis, bands=bands, ink=marts.ink),
    )  # fmt: skip
    yield from _curves(name, marts.curves)


def _curves(cell: str, curves: pa.Table) -> Iterator[Figure]:
    """The curves of the first, the middle and the last cycle that there are any of."""
    numbers = chosen_cycles(curves)
    if not numbers:
        return
    of = ", ".join(map(str, numbers))
    charge = charge_of(curves).unit
    yield from _drawn(
        "dqdv", "Incremental capacity",
        f"Incremental capacity dQ/dV ({charge}/V) of {cell} over the voltage (V) at constant current, cycles {of}; "
        "charge above 0, discharge below; triangles are peaks.",
        incremental(curves, numbers),
    )  # fmt: skip
    yield from _drawn(
        "dvdq", "Differential voltage",
        f"Differential voltage dV/dQ (V/{charge}) of {cell} over the charge moved since the step began ({charge}) at "
        f"constant current, cycles {of}; charge above 0, discharge below. {RANGE_NOTE}",
        differential(curves, numbers),
    )  # fmt: skip


def _drawn(name: str, title: str, caption: str, drawing: go.Figure | None) -> Iterator[Figure]:
    """The figure, if there is anything in it."""
    if drawing is not None and any(trace.x is not None and len(trace.x) for trace in drawing.data):
        yield Figure(name, title, caption, drawing)


def chosen_cycles(curves: pa.Table) -> list[int]:
    """The first, the middle and the last cycle that there are curves of: how the cell has changed."""
    numbers = sorted(curves["cycle_number"].unique().to_pylist())
    return list(dict.fromkeys((numbers[0], numbers[len(numbers) // 2], numbers[-1]))) if numbers else []


def fade_caption(cell: Mapping[str, Any], over: str) -> str:
    """The caption of the fade figure, with the threshold of the end of life where there is one."""
    level, amount = threshold_ah(cell), capacity_amount_of(cell)
    words = f"Discharge capacity ({amount.unit}) of {cell['cell_id']} {over}."
    if level is None:
        return words
    return f"{words} Dashed: the end of life, {end_rule(cell['eol_rule'])}, {amount.text(level)} {amount.unit}."
