"""Incremental capacity over a whole life: voltage across, cycle number upwards, dQ/dV as the colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from plotly.subplots import make_subplots

from dashboard.cycle.lines import WAYS
from dashboard.escaping import in_figure
from dashboard.figures.measures import column
from dashboard.figures.panels import BAR, BAR_GAP, BAR_TITLE
from dashboard.figures.style import said

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import plotly.graph_objects as go
    import pyarrow as pa

    from dashboard.cycle.scale import ChargeScale

LEAST_CYCLES: Final = 3
"""Cycles below which there is no life to show."""

COLOUR_PERCENTILE: Final = 99.0
"""Of dQ/dV; the colours end there, so that one sharp peak does not take them all."""

GRID_DIGITS: Final = 6


def over_life(cells: Sequence[tuple[str, pa.Table]], scale: ChargeScale) -> go.Figure:
    """Maps of dQ/dV, charge and discharge apart; of several cells beside one another, with the same axes and colours.

    Args:
        cells: each with its curves, rows of `battery_ica`.
        scale: of the charge.
    """
    count = len(cells)
    rows, columns = (1, 2) if count == 1 else (2, count)
    places = {(0, way): (1, 1 + at) if count == 1 else (1 + at, 1) for at, way in enumerate(WAYS)}
    places |= {(number, way): (1 + at, 1 + number) for number in range(1, count) for at, way in enumerate(WAYS)}
    titles = (
        list(WAYS) if count == 1 else [f"{in_figure(cell)}, {way}" for way in WAYS for cell, _ in cells]
    )  # by row, as subplots are titled
    figure = make_subplots(
        rows=rows, cols=columns, shared_xaxes="all", shared_yaxes="all", subplot_titles=titles,
        horizontal_spacing=0.03, vertical_spacing=0.09,
    )  # fmt: skip
    figure.update_yaxes(title_text="cycle number", col=1)
    figure.update_xaxes(title_text="voltage (V)", row=rows)
    figure.update_layout(
        height=500 if rows == 1 else 720, margin={"l": 64, "r": 40, "t": 84, "b": 48}, modebar={"orientation": "v"}
    )
    highest: list[npt.NDArray[np.float32]] = []
    for number, (cell, curves) in enumerate(cells):
        for way in WAYS:
            drawn = _map(curves, way, cell, scale)
            if drawn is None:
                continue
            voltage, cycles, height = drawn
            highest.append(height[np.isfinite(height)])
            row, col = places[number, way]
            figure.add_heatmap(
                x=voltage, y=cycles, z=height, coloraxis="coloraxis", name=f"{cell}, {way}", hoverongaps=False,
                hovertemplate=f"{way}, cycle %{{y}}<br>%{{x:.3f}} V: %{{z:.4g}} {scale.per_volt}<extra></extra>",
                row=row, col=col,
            )  # fmt: skip
    if not highest:
        return said(figure, f"a map over life takes at least {LEAST_CYCLES} cycles with a step at constant current")
    top = float(np.percentile(np.concatenate(highest), COLOUR_PERCENTILE))
    figure.update_layout(
        coloraxis={
            "colorscale": "Viridis", "cmin": 0, "cmax": top if top > 0 else None,
            "colorbar": {**BAR, "title": {**BAR_TITLE, "text": f"dQ/dV ({scale.per_volt}){BAR_GAP}"}},
        }
    )  # fmt: skip
    return figure


def _map(
    curves: pa.Table, way: str, cell: str, scale: ChargeScale
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.float32]] | None:
    """Voltages (m,), cycle numbers (n,) and dQ/dV (n, m), NaN where a curve has no point; None of too few cycles."""
    is_way = np.array(curves["direction"].to_pylist()) == way
    if not is_way.any():
        return None
    voltage = np.round(column(curves, "voltage_v")[is_way], GRID_DIGITS)
    cycle = column(curves, "cycle_number")[is_way].astype(np.int64)
    factors = np.array([scale.of(cell, int(number)) for number in cycle])
    height = factors * column(curves, "dqdv_ah_per_v")[is_way]
    across, x = np.unique(voltage, return_inverse=True)
    upwards, y = np.unique(cycle, return_inverse=True)
    if len(upwards) < LEAST_CYCLES or not np.isfinite(height).any():
        return None
    drawn = np.full((len(upwards), len(across)), np.nan, dtype=np.float32)
    drawn[y, x] = height
    return across, upwards, drawn
