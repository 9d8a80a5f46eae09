"""How figures look, so that they read alike on a light page, a dark page and on paper."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import plotly.graph_objects as go
from tsdownsample import MinMaxDownsampler

from dashboard.escaping import in_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

COLOURS: Final = (
    "#1F77C9", "#D55E00", "#B23E97", "#179C8F", "#B74B38", "#F55092", "#2E9CC5", "#A28D62", "#985D69",
)  # fmt: skip
"""Each with a contrast of at least 3 to 1 on white and on Streamlit's dark page (WCAG 2.2, 1.4.11), and told apart by
eyes without red or green receptors too: any two differ by 12 or more in CIELAB as such eyes see them (G. M. Machado, M.
M. Oliveira, L. A. F. Fernandes: A physiologically-based model for simulation of color vision deficiency. IEEE Trans.
Vis. Comput. Graph. 15(6), 2009). With that contrast on both pages there is no room for more hues. Those that follow one
another differ most."""

MUTED: Final = "#808080"
"""For what is context: rules, bands, cells that do not stand out."""

BAND: Final = "rgba(128, 128, 128, 0.13)"
"""Behind every other test."""

MOST_POINTS: Final = 4_000
"""Points of a line that are drawn: more than a screen has columns, and little to send."""


NOTE_CHARACTERS: Final = 48
"""Characters of a line below a drawing, so that a phone shows it whole."""

NOTE: Final = "note"
"""The name of what is written below a drawing."""

NOTE_GAP: Final = 12
"""Room above these lines."""

NOTE_PIXELS: Final = 17
"""Height of such a line."""

LEGEND_PIXELS: Final = 116
"""Height from which on a legend scrolls: on a phone one of many cells would leave no room for the drawing, while the
five lines that one of a single cell takes there are all to be seen."""

LAYOUT: Final[dict[str, Any]] = {
    "margin": {"l": 64, "r": 40, "t": 36, "b": 48},
    "legend": {
        "orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "left", "x": 0, "maxheight": LEGEND_PIXELS,
    },
    "modebar": {"orientation": "v"},  # beside the drawing, where it covers no legend
}  # fmt: skip


def colour(number: int) -> str:
    """The colour of the line of that number, from 0; they come again after the last."""
    return COLOURS[number % len(COLOURS)]


def kept_rows(y: npt.NDArray[np.float64], most: int = MOST_POINTS) -> npt.NDArray[np.int64]:
    """Which points of a line to draw where it has more than can be seen: none of its extremes is left out.

    Of each stretch of the line its lowest and its highest point are kept, and the ends of the line: a spike of one
    reading stays where it was. Points without a value are kept, as gaps, only where nothing has to be left out.

    Args:
        y: shape (n,).
        most: about how many points to keep.

    Returns:
        Rows of the points that are drawn, ascending.
    """
    if len(y) <= most:
        return np.arange(len(y))
    finite = np.flatnonzero(np.isfinite(y))
    if len(finite) <= most:
        return finite
    values = np.ascontiguousarray(y[finite], dtype=np.float64)
    kept = MinMaxDownsampler().downsample(values, n_out=most - most % 2)  # type: ignore[no-untyped-call]
    ends = [0, len(finite) - 1]
    drawn: npt.NDArray[np.int64] = finite[np.union1d(kept.astype(np.int64), ends)]
    return drawn


def frame(x_title: str, y_title: str, *, height: int = 380) -> go.Figure:
    """An empty figure with its axes named, each with its unit."""
    figure = go.Figure()
    figure.update_layout(
        height=height,
        hovermode="closest",
        showlegend=True,
        **LAYOUT,
    )
    figure.update_xaxes(title_text=x_title, zeroline=False)
    figure.update_yaxes(title_text=y_title, zeroline=False)
    return figure


def add_bands(figure: go.Figure, starts: Sequence[object], ends: Sequence[object]) -> None:
    """Shade every other one of some spans along x, over the whole height of the figure."""
    spans = list(zip(starts, ends, strict=True))[1::2]
    band = {"type": "rect", "yref": "paper", "y0": 0, "y1": 1, "fillcolor": BAND, "line_width": 0, "layer": "below"}
    # All at once: added one by one, each would be checked against all before it.
    figure.layout.shapes = (*figure.layout.shapes, *({**band, "x0": start, "x1": end} for start, end in spans))


def write_notes(figure: go.Figure, lines: Sequence[str | None]) -> None:
    """Write lines below the axis along x, each as wide as a phone shows."""
    written = [line for line in lines if line]
    if not written:
        return
    wrapped = [part for line in written for part in wrap(line, NOTE_CHARACTERS)]
    room = NOTE_GAP + NOTE_PIXELS * len(wrapped)
    figure.update_layout(
        height=(figure.layout.height or 0) + room,
        margin={**LAYOUT["margin"], "b": LAYOUT["margin"]["b"] + room},
        meta={NOTE: written},
    )
    figure.add_annotation(
        text="<br>".join(in_figure(line) for line in wrapped), name=NOTE, showarrow=False, align="left",
        xref="paper", yref="paper", x=0, y=0, xanchor="left", yanchor="top", yshift=-58,
        font={"color": MUTED, "size": 12},
    )  # fmt: skip


def set_notes_on_paper(figure: go.Figure, letters: int, bottom: int) -> None:
    """Write those lines as wide as paper is.

    Args:
        figure: that was given `write_notes`, or not.
        letters: size of the letters.
        bottom: room below the drawing for its axis, in its own pixels.
    """
    lines = (figure.layout.meta or {}).get(NOTE, [])
    figure.update_layout(margin_b=bottom + round(1.3 * letters) * len(lines))
    figure.update_annotations(
        selector={"name": NOTE}, text="<br>".join(in_figure(line) for line in lines), yshift=-bottom,
        font={"size": letters, "color": "black"},
    )  # fmt: skip


def said(figure: go.Figure, text: str) -> go.Figure:
    """A figure with nothing to draw, which says why."""
    figure.update_layout(showlegend=False)
    figure.update_xaxes(showticklabels=False)
    figure.update_yaxes(showticklabels=False)
    figure.add_annotation(text=text, showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5, font={"color": MUTED})
    return figure
