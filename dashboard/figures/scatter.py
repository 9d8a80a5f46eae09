"""Two measures of each cell against one another, and how far they go together, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ageing.correlation import CONFIDENCE, FEWEST, MOST_COUNTED, correlate
from dashboard.colours import Ink
from dashboard.escaping import in_figure
from dashboard.figures.panels import BAR, BAR_GAP, BAR_TITLE, SCALE
from dashboard.figures.style import MUTED, frame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import plotly.graph_objects as go

    from dashboard.groups.attributes import Attribute

HEIGHT: Final = 460

BAR_PIXELS: Final = 160
"""Length of the bar that says which colour is which number: a panel has little room."""

ROOM: Final = 0.05
"""Between the outermost points and the edges, as a share of the range."""


def scatter(
    x: Attribute,
    y: Attribute,
    cells: Sequence[str],
    groups: Mapping[str, str],
    inks: Mapping[str, Ink],
    *,
    by: Attribute | None = None,
    legend: bool = True,
    ranges: tuple[list[float], list[float]] | None = None,
    height: int = HEIGHT,
) -> go.Figure | None:
    """A point a cell, with its id; None where no cell has both measures.

    Args:
        x: a number of each cell.
        y: another one, or the same.
        cells: ids of the cells.
        groups: the group of each of them.
        inks: of the groups.
        by: a number that gives each point its colour on a continuous scale, in place of the group; cells without it
            are muted.
        legend: whether there is one.
        ranges: of both axes; None for what these cells need.
        height: in pixels.
    """
    drawn = placed(x, y, cells)
    if not drawn:
        return None
    figure = frame(str(x.label), str(y.label), height=height)
    members: dict[str, list[str]] = {}
    for cell in drawn:
        known = by is not None and np.isfinite(by.number(cell))
        members.setdefault(groups[cell] if by is None else by.name if known else by.unknown, []).append(cell)
    for group, of_group in members.items():
        scaled = by if by is not None and group == by.name else None
        figure.add_scatter(
            x=[x.number(cell) for cell in of_group], y=[y.number(cell) for cell in of_group],
            customdata=of_group, text=[_said(cell, x, y, by, group) for cell in of_group],
            name=in_figure(group), showlegend=legend and scaled is None, mode="markers",
            marker=_markers(of_group, scaled, Ink(MUTED) if by is not None else inks[group]),
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    if by is not None:
        figure.update_layout(margin_t=64)
    for axis, limits in zip(("xaxis", "yaxis"), ranges or ranges_of(x, y, drawn), strict=True):
        figure.update_layout({axis: {"range": limits, "autorange": False}})
    figure.update_layout(clickmode="event+select", dragmode="zoom")
    return figure


def placed(x: Attribute, y: Attribute, cells: Sequence[str]) -> list[str]:
    """The cells that have both measures, in their order."""
    return [cell for cell in cells if np.isfinite(x.number(cell)) and np.isfinite(y.number(cell))]


def ranges_of(x: Attribute, y: Attribute, cells: Sequence[str]) -> tuple[list[float], list[float]]:
    """Ranges of both axes that hold all of some cells."""

    def range_of(values: list[float]) -> list[float]:
        low, high = min(values), max(values)
        room = ROOM * (high - low) or ROOM * abs(high) or 1.0
        return [low - room, high + room]

    return range_of([x.number(cell) for cell in cells]), range_of([y.number(cell) for cell in cells])


def correlation_lines(x: Attribute, y: Attribute, cells: Sequence[str]) -> list[str]:
    """How far two measures of some cells go together, and which cells do not count; sentences in plain text."""
    drawn = placed(x, y, cells)
    lines = [_correlation(x, y, drawn)]
    for attribute in _both(x, y):
        absent = sum(not np.isfinite(attribute.number(cell)) for cell in cells)
        if absent:
            lines.append(f"{absent:,} of {len(cells):,} cells left out, {attribute.missing}.")
    if any(attribute.key in CENSORED and len(drawn) < len(cells) for attribute in (x, y)):
        lines.append("Those left out may yet live long, so what is said holds for cells that got there alone.")
    return lines


CENSORED: Final = frozenset({"eol_cycle", "knee_cycle", "projected_eol_cycle"})
"""Columns without a value until something has happened: the cells of which it has not are no random part of all."""


def _correlation(x: Attribute, y: Attribute, cells: Sequence[str]) -> str:
    values = [np.array([attribute.number(cell) for cell in cells]) for attribute in (x, y)]
    noun = "cell" if len(cells) == 1 else "cells"
    if len(cells) < FEWEST:
        return f"No correlation: {len(cells)} {noun} with both measures, and it takes {FEWEST} at least."
    found = correlate(*values)
    if found is None:
        same = " and ".join(
            dict.fromkeys(
                attribute.label.words
                for attribute, of in zip((x, y), values, strict=True)
                if np.ptp(of) <= 1e-13 * np.abs(of).max()  # as `correlate` has it
            )
        )
        return f"No correlation: “{same}” is the same for all {len(cells):,} cells."
    interval = ""
    if found.low is not None and found.high is not None:
        interval = f" ({100 * CONFIDENCE:.0f} % interval {_minus(found.low)} to {_minus(found.high)})"
    approximately = found.count > MOST_COUNTED
    return (
        f"Pearson r = {_minus(found.pearson)}{interval}, p {_p(found.pearson_p)}; Spearman ρ = "  # noqa: RUF001
        f"{_minus(found.spearman)}, p {_p(found.spearman_p, approximately)}; n = {found.count:,} cells."
    )


def _both(x: Attribute, y: Attribute) -> tuple[Attribute, ...]:
    return (x,) if x.key == y.key else (x, y)


def _minus(value: float) -> str:
    return f"{value:.2f}".replace("-", "\u2212")


def _p(value: float, approximately: bool = False) -> str:
    return "< 0.001" if value < 0.001 else f"{'≈' if approximately else '='} {value:.3f}"  # noqa: PLR2004  # what three decimals can show


def _said(cell: str, x: Attribute, y: Attribute, by: Attribute | None, group: str) -> str:
    """What a point says of its cell."""
    lines = [cell, *(f"{one.label.words}: {one.text(cell)}" for one in _both(x, y))]
    if by is not None:
        lines.append(f"{by.label.words}: {by.text(cell) or 'unknown'}")
    elif group not in {cell, ""}:
        lines.append(group)
    return "<br>".join(in_figure(line) for line in lines)


def _markers(cells: Sequence[str], by: Attribute | None, ink: Ink) -> dict[str, Any]:
    if by is None:
        return {"size": 9, "opacity": 0.85, "color": ink.colour}
    known = [by.number(cell) for cell in by.values]  # of all cells, so that a number has one colour in every panel
    title = {**BAR_TITLE, "text": f"{in_figure(str(by.label))}{BAR_GAP}"}
    return {
        "size": 9, "opacity": 0.9, "color": [by.number(cell) for cell in cells], "colorscale": list(SCALE),
        "cmin": min(known), "cmax": max(known), "showscale": True,
        "colorbar": {**BAR, "len": BAR_PIXELS, "title": title},
    }  # fmt: skip
