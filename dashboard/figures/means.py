"""Means of classes of cells over their lives, each with a band of its cells' spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.compute as pc

from dashboard.escaping import in_figure
from dashboard.figures.axes import robust_range
from dashboard.figures.measures import column
from dashboard.figures.style import frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import plotly.graph_objects as go
    import pyarrow as pa

    from dashboard.colours import Ink

SD, RANGE = "sd", "range"
BANDS: Final = {SD: "± standard deviation", RANGE: "lowest to highest"}
"""What the band around a mean is."""

OPACITY: Final = 0.16
"""How opaque a band is: three that overlap can still be told apart."""

HEIGHT: Final = 460


def means(
    rows: pa.Table,
    counts: Mapping[str, int],
    inks: Mapping[str, Ink],
    titles: tuple[str, str],
    unit: str,
    *,
    band: str = SD,
    limits: tuple[float, float] | None = None,
    height: int = HEIGHT,
) -> go.Figure:
    """A line for the mean of each class, and a band around it where it is the mean of two cells or more.

    Where a single cell is left the line is dotted, since it is that cell's and no mean.

    Args:
        rows: as `dashboard.groups.means.class_means` returns them, at least one.
        counts: cells of each class that is drawn, in the order of the legend.
        inks: of the classes.
        titles: of the axes along x and y, with their units.
        unit: of the values.
        band: of `BANDS`.
        limits: of the axis along y; None for what these classes need.
        height: in pixels.
    """
    figure = frame(*titles, height=height)
    for name, count in counts.items():
        of_class = rows.filter(pc.equal(rows["class"], name)).sort_by("position")
        if of_class.num_rows:
            _add_band(figure, of_class, name, inks[name], band)
            _add_mean(figure, of_class, f"{name} (n = {count})", inks[name], unit)
    limits = limits or mean_limits(rows, band)
    if limits is not None:
        figure.update_yaxes(range=list(limits), autorange=False)
    return figure


def mean_limits(rows: pa.Table, band: str = SD) -> tuple[float, float] | None:
    """The range of the axis for all means and most of their bands; None where there are no means."""
    low, high = _edges(rows, band)
    return robust_range(np.concatenate([low, high]), (), column(rows, "mean"))


def _edges(rows: pa.Table, band: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The lower and the upper edge of the band; NaN where there is none."""
    many = column(rows, "cell_count") > 1
    mean, sd = column(rows, "mean"), column(rows, "sd")
    low, high = (column(rows, "low"), column(rows, "high")) if band == RANGE else (mean - sd, mean + sd)
    return np.where(many, low, np.nan), np.where(many, high, np.nan)


def _add_band(figure: go.Figure, rows: pa.Table, name: str, ink: Ink, band: str) -> None:
    """The band as one trace: an area of its own for each stretch of positions with two cells or more."""
    x = column(rows, "position")
    low, high = _edges(rows, band)
    outlines = [
        (np.concatenate([x[run], x[run][::-1], [np.nan]]), np.concatenate([high[run], low[run][::-1], [np.nan]]))
        for run in _runs(np.isfinite(low) & np.isfinite(high))
    ]
    if not outlines:
        return
    figure.add_scatter(
        x=np.concatenate([part for part, _ in outlines])[:-1], y=np.concatenate([part for _, part in outlines])[:-1],
        name=f"{in_figure(name)}, {BANDS[band]}", legendgroup=name, showlegend=False, mode="lines", line={"width": 0},
        fill="toself", fillcolor=_translucent(ink.colour), hoverinfo="skip",
    )  # fmt: skip


def _add_mean(figure: go.Figure, rows: pa.Table, name: str, ink: Ink, unit: str) -> None:
    """The line of the means, and a dotted one where it is of a single cell, both with the figures of each point."""
    x, y, many = column(rows, "position"), column(rows, "mean"), column(rows, "cell_count") > 1
    group, said, few = in_figure(str(rows["class"][0].as_py())), _figures(rows, unit), len(x) <= FEW_POINTS
    looks = (
        (many, in_figure(name), {"width": 2.5, "dash": ink.dash}, "lines+markers" if few else "lines"),
        (~many, f"{group}, one cell", {"width": 1.5, "dash": "dot"}, "lines+markers"),
    )
    for chosen, called, line, mode in looks:
        if chosen.any():
            is_first = chosen is looks[0][0] or not many.any()
            figure.add_scatter(
                x=x, y=np.where(chosen, y, np.nan), name=in_figure(name) if is_first else called, legendgroup=group,
                showlegend=is_first, mode=mode, line={"color": ink.colour, **line},
                marker={"size": 5 if few else 3, "color": ink.colour}, customdata=said,
                hovertemplate=f"{group}<br>%{{customdata}}<extra></extra>",
            )  # fmt: skip


FEW_POINTS: Final = 12
"""Points up to which each is marked."""


def _figures(rows: pa.Table, unit: str) -> list[str]:
    """What a point says: its mean, its spread and of how many cells."""
    said = []
    digits = _decimals(column(rows, "mean"))
    for row in rows.to_pylist():
        at, cells = f"{row['position']:,.5g}", row["cell_count"]
        mean = f"{row['mean']:,.{digits}f}"
        if cells == 1:
            said.append(f"at {at}: {mean} {unit}, one cell".replace("  ", " "))
        else:
            spread = f"± {row['sd']:,.{digits}f}, {row['low']:,.{digits}f} to {row['high']:,.{digits}f} {unit}"
            said.append(f"at {at}: {mean} {spread}, n = {cells}")
    return said


def _decimals(values: npt.NDArray[np.float64]) -> int:
    """Decimals that give the largest of some values five significant digits: a spread is a small part of it."""
    finite = np.abs(values[np.isfinite(values)])
    size = float(finite.max(initial=0.0))
    return 2 if size == 0 else int(np.clip(4 - np.floor(np.log10(size)), 1, 9))


def _runs(chosen: npt.NDArray[np.bool_]) -> list[slice]:
    """The stretches of rows that are chosen."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8)))
    return [slice(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _translucent(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {OPACITY})"
