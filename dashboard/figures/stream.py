"""How the stream is: rows by second, the objects of the newest commits, and what was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dashboard.figures.ageing import column
from dashboard.figures.style import COLOURS, MUTED, frame, said

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import pyarrow as pa


def rates(commits: pa.Table) -> go.Figure:
    """Rows landed and quarantined by second, of each commit: its rows by the time since the commit before."""
    figure = frame("committed at (UTC)", "rows by second", height=320)
    at = column(commits, "committed_at") if commits.num_rows else np.empty(0)
    if len(at) < 2:  # noqa: PLR2004  # a rate needs two
        return said(figure, "a rate needs two commits")
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
    if not commits.num_rows:
        return said(figure, "no commit yet")
    figure.add_scatter(
        x=column(commits, "committed_at"), y=column(commits, "bytes") / 1e6, customdata=commits["commit"].to_pylist(),
        name="objects", mode="markers", marker={"color": COLOURS[2], "size": 6},
        hovertemplate="commit %{customdata}<br>%{y:.3f} MB<extra></extra>",
    )  # fmt: skip
    return figure


def refused(reasons: pa.Table) -> go.Figure:
    """Rows in the quarantine by reason; duplicates, which are no fault of anybody, muted."""
    figure = frame("rows", "", height=max(220, 60 + 36 * reasons.num_rows))
    figure.update_layout(showlegend=False, margin={"l": 120, "r": 40, "t": 8, "b": 48})
    names = reasons["reason"].to_pylist()
    figure.add_bar(
        x=reasons["rows"].to_pylist(), y=names, orientation="h", name="rows",
        marker={"color": [MUTED if name == "duplicate" else COLOURS[1] for name in names]},
        text=[f"{rows:,}" for rows in reasons["rows"].to_pylist()], textposition="auto",
        hovertemplate="%{y}: %{x:,} rows<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", title_text="reason")
    return figure
