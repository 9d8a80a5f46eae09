"""How the stream is: rows by second, the objects of the newest commits, and what was refused."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Final

import numpy as np

from dashboard.figures.ageing import column
from dashboard.figures.style import COLOURS, MUTED, frame
from dashboard.words.codes import words_of

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import pyarrow as pa


BAR_ROOM: Final = 230
"""Height of bars at least, in pixels: the buttons beside them take as much."""

LABEL_CHARACTERS: Final = 20
"""Of a line of a bar's label, so that a phone has room for the bar."""


def rates(commits: pa.Table) -> go.Figure:
    """Rows landed and quarantined by second, of each commit: its rows by the time since the commit before.

    Args:
        commits: two at least, in the order of time.
    """
    figure = frame("committed at (UTC)", "rows by second", height=320)
    at = column(commits, "committed_at")
    seconds = np.maximum(np.diff(at).astype("timedelta64[us]").astype(np.float64) / 1e6, 1e-6)
    for name, ink in (("landed", COLOURS[0]), ("quarantined", COLOURS[1])):
        figure.add_scatter(
            x=at[1:], y=column(commits, name)[1:] / seconds, name=name, mode="lines+markers",
            line={"color": ink, "shape": "vh"}, marker={"size": 4}, hovertemplate="%{y:,.0f} rows/s<extra></extra>",
        )  # fmt: skip
    return figure


def objects(commits: pa.Table) -> go.Figure:
    """Size in MB of the objects of each commit."""
    figure = frame("committed at (UTC)", "objects of a commit (MB)", height=320)
    figure.update_layout(showlegend=False)
    figure.add_scatter(
        x=column(commits, "committed_at"), y=column(commits, "bytes") / 1e6, customdata=commits["commit"].to_pylist(),
        name="objects", mode="markers", marker={"color": COLOURS[2], "size": 6},
        hovertemplate="commit %{customdata}<br>%{y:.3f} MB<extra></extra>",
    )  # fmt: skip
    return figure


def refused(reasons: pa.Table) -> go.Figure:
    """Rows in the quarantine by reason; duplicates, which are no fault of anybody, muted."""
    figure = frame("rows", "", height=max(BAR_ROOM, 60 + 44 * reasons.num_rows))
    figure.update_layout(showlegend=False, margin={"l": 8, "r": 40, "t": 8, "b": 48})
    codes = reasons["reason"].to_pylist()
    labels = ["<br>".join(wrap(words_of("reason", code), LABEL_CHARACTERS)) for code in codes]
    figure.add_bar(
        x=reasons["rows"].to_pylist(), y=labels, orientation="h", name="rows",
        width=0.6, marker={"color": [MUTED if code == "duplicate" else COLOURS[1] for code in codes]},
        text=[f"{rows:,}" for rows in reasons["rows"].to_pylist()], textposition="auto",
        hovertemplate="%{y}: %{x:,} rows<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure
