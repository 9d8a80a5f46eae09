"""Small multiples of several cells, lines coloured by cycle number, and the bar that says which colour is which."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from dashboard.escaping import in_figure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt
    import plotly.graph_objects as go

    Floats = npt.NDArray[np.float64]
    Trace = dict[str, Any]

MOST_CELLS: Final = 4
"""Panels beside one another that can still be read."""

FEW: Final = 8
"""Cycles up to which a legend names each; more are told apart by the colour bar."""

SCALE: Final = (
    "#7A4FC9", "#4B6FD6", "#1C80B8", "#0F8A86", "#2F8F55", "#7C8A1B", "#AE8100", "#C8702A", "#D2553F",
)  # fmt: skip
"""From the first cycle to the last, in the order of viridis and on to red: each with a contrast of at least 3 to 1 on
white and on Streamlit's dark page (WCAG 2.2, 1.4.11)."""

PANEL_HEIGHT: Final = 420
BAR: Final = {
    "orientation": "h", "thickness": 8, "lenmode": "pixels", "len": 220, "x": 0, "xanchor": "left", "yref": "container",
    "y": 1, "yanchor": "top", "xpad": 0, "ypad": 8, "outlinewidth": 0, "nticks": 6,
}  # fmt: skip
"""A colour bar above the drawing, where it takes no width: a phone has little."""


BAR_TITLE: Final[dict[str, Any]] = {"side": "top", "font": {"size": 12}}
"""Its title."""

BAR_GAP: Final = "<br> "
"""A line below the title: without it the bar lies over its letters."""


@dataclass(frozen=True)
class CycleColours:
    """The colours of some cycles, the same in all panels, and whether a bar explains them or a legend."""

    of: dict[int, str]
    has_bar: bool


def colours_of(numbers: Iterable[int]) -> CycleColours:
    """Colours by cycle number; a few cycles are told apart by their order, however close their numbers are."""
    distinct = sorted(set(numbers))
    if not distinct:
        return CycleColours({}, has_bar=False)
    has_bar = len(distinct) > FEW
    low, high = distinct[0], distinct[-1]
    places = (
        [(number - low) / (high - low) for number in distinct]
        if has_bar
        else [place / max(1, len(distinct) - 1) for place in range(len(distinct))]
    )
    return CycleColours(dict(zip(distinct, sample_colorscale(list(SCALE), places), strict=True)), has_bar)


def panels(
    names: Sequence[str], x_title: str, y_titles: Sequence[str], *, height: int = PANEL_HEIGHT
) -> tuple[go.Figure, list[tuple[int, int]]]:
    """An empty figure with a panel a cell, or one a cell and y axis, all over the same x.

    Args:
        names: of the cells, at most `MOST_CELLS`; a single one has no title above it.
        x_title: with its unit.
        y_titles: with their units. One is shared by all panels; with several, each is a row of panels.
        height: of a row of panels in pixels.

    Returns:
        The figure, and row and column of each cell's (first) panel.
    """
    count = len(names)
    columns = count if len(y_titles) > 1 or count <= 3 else 2  # noqa: PLR2004  # four cells stand two by two
    rows = len(y_titles) if len(y_titles) > 1 else math.ceil(count / columns)
    titles = [in_figure(name) for name in names] if count > 1 else None
    figure = make_subplots(
        rows=rows, cols=columns, shared_xaxes="all", shared_yaxes="all" if len(y_titles) == 1 else "rows",
        subplot_titles=titles, horizontal_spacing=0.03, vertical_spacing=0.12 if rows * columns == MOST_CELLS else 0.06,
    )  # fmt: skip
    for row in range(1, rows + 1):
        figure.update_yaxes(title_text=y_titles[row - 1 if len(y_titles) > 1 else 0], row=row, col=1)
    for column in range(1, columns + 1):
        figure.update_xaxes(title_text=x_title, row=rows, col=column)
    figure.update_xaxes(zeroline=False, title_standoff=8)
    figure.update_yaxes(zeroline=False, title_standoff=16)
    figure.update_layout(
        height=height if rows == 1 else int(height * rows * 0.75),
        hovermode="closest",
        margin={"l": 64, "r": 40, "t": 56 if count == 1 else 80, "b": 48},
        modebar={"orientation": "v"},
        legend={"orientation": "h", "yref": "container", "yanchor": "top", "y": 1, "xanchor": "left", "x": 0},
    )
    places = [(1 + number // columns, 1 + number % columns) for number in range(count)]
    return figure, places


def add_lines(figure: go.Figure, traces: Sequence[tuple[Trace, tuple[int, int]]], colours: CycleColours) -> None:
    """Add lines to their panels, and the bar or the legend that explains their colours."""
    figure.add_traces(
        [trace for trace, _ in traces], rows=[row for _, (row, _) in traces], cols=[col for _, (_, col) in traces]
    )
    figure.update_layout(showlegend=not colours.has_bar)
    if colours.has_bar and traces:
        _add_bar(figure, min(colours.of), max(colours.of))


def line(  # what a line is
    number: int, x: Floats, y: Floats, colours: CycleColours, hover: str, *, dash: str = "solid", named: set[int]
) -> Trace:
    """A line of a cycle; the first of each cycle, noted in `named`, stands in the legend.

    `hover` is what is said of a point, after the cycle.
    """
    first = number not in named
    named.add(number)
    few_points = 0 < np.count_nonzero(np.isfinite(y)) <= FEW_POINTS
    return {
        "type": "scatter", "x": x, "y": y, "name": f"cycle {number}", "legendgroup": str(number), "legendrank": number,
        "showlegend": first and not colours.has_bar, "mode": "lines+markers" if few_points else "lines",
        "line": {"color": colours.of[number], "width": 1.2 if colours.has_bar else 1.5, "dash": dash},
        "marker": {"size": 4}, "hovertemplate": f"cycle {number}, {hover}<extra></extra>",
    }  # fmt: skip


FEW_POINTS: Final = 12
"""Points up to which each is marked: a line over so few hides where something was measured."""


def _add_bar(figure: go.Figure, low: int, high: int) -> None:
    """The colour bar, on a trace that draws nothing."""
    figure.add_scatter(
        x=[None], y=[None], mode="markers", name="cycle number", showlegend=False, hoverinfo="skip",
        marker={
            "color": [low, high], "cmin": low, "cmax": high, "colorscale": list(SCALE), "showscale": True,
            "colorbar": {**BAR, "title": {**BAR_TITLE, "text": f"cycle number{BAR_GAP}"}},
        },
    )  # fmt: skip
