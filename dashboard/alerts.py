"""Alerts on pages: which cells deserve a look, in words, and the way to each of them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import streamlit as st

from dashboard.escaping import literal, spreadsheet_safe
from dashboard.landing import look_at_news
from dashboard.navigation import go
from dashboard.view import UNKNOWN, look
from dashboard.words.labels import tooltip_of
from kernel.base.errors import BatteryError
from refresh.alerts.found import ALERTS, LIVE_TESTS, STOPPED, Alert, find_alerts
from refresh.alerts.rules import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.elements.lib.column_types import ColumnConfig

    from dashboard.view import Published
    from kernel.base.settings import Settings

TABLE_HEIGHT: Final = 280
"""Of a long table of alerts, in pixels."""

SHORT_TABLE: Final = 6
"""Rows that need no more than that."""

FROM: Final = {"default": "default", "all cells": "the lab's, for all cells", "group": "the lab's, for its group"}
"""Where a threshold comes from, in words."""


def show_alerts(settings: Settings, published: Published) -> None:
    """Draw a line that counts the alerts, which opens to a table of them; a quiet line where there is none."""
    if ALERTS not in published.seen.value.places:  # an earlier version has published
        return
    alerts = alerts_now(settings, published)
    if not alerts:
        st.caption("No cell deserves a look by the thresholds that are set.", help=_help())
        return
    with st.expander(summary(alerts), icon=":material/notifications:"):
        st.caption("Choose a row to open its cell.", help=_help())
        picked = st.dataframe(
            spreadsheet_safe(alert_table(alerts)), hide_index=True, column_config=_columns(), on_select="rerun",
            selection_mode="single-row", key="alerts", placeholder=UNKNOWN, alt="Cells that deserve a look",
            height=TABLE_HEIGHT if len(alerts) > SHORT_TABLE else "auto",
        )  # fmt: skip
    if picked.selection.rows:
        go("cell", cell=alerts[picked.selection.rows[0]].cell_id)


def show_alerts_of_cell(settings: Settings, published: Published, cell: str) -> None:
    """Draw a line that names the alerts on a cell, with each in words behind it; nothing where there is none."""
    alerts = [alert for alert in alerts_now(settings, published) if alert.cell_id == cell]
    if not alerts:
        return
    named = dict.fromkeys(KINDS[alert.kind].words + (" (over)" if alert.is_over else "") for alert in alerts)
    colour = "gray" if all(alert.is_over for alert in alerts) else "orange"
    st.markdown(
        f":{colour}[:material/notifications:] Deserves a look: {', '.join(named)}.",
        help="\n".join(
            f"- {KINDS[alert.kind].words}: {literal(alert.sentence)} ({FROM[alert.threshold_from]})" for alert in alerts
        ),
    )


def alerts_now(settings: Settings, published: Published) -> list[Alert]:
    """The alerts of a publication, and the tests of it that have stopped sending.

    Where more has landed since the publication, tests are judged as they were then: their next readings may be there.
    """
    names = published.seen.value.places
    now = datetime.now(UTC).replace(tzinfo=None)
    alerts = find_alerts(published.table, names, now)
    if not any(alert.kind == STOPPED for alert in alerts):
        return alerts
    at = published.seen.value.published_at
    try:
        news = look(("news", settings), lambda: look_at_news(settings)).value
    except BatteryError:
        news = "unknown"
    if not news:
        return alerts
    without = [name for name in names if name != LIVE_TESTS]
    return find_alerts(published.table, names if at else without, at or now)


def summary(alerts: Sequence[Alert]) -> str:
    """How many cells deserve a look, and by what.

    Args:
        alerts: one at least.
    """
    holding = [alert for alert in alerts if not alert.is_over]
    over = len(alerts) - len(holding)
    if not holding:
        return f"No cell deserves a look now; {over} {'alert is' if over == 1 else 'alerts are'} over"
    cells = len({alert.cell_id for alert in holding})
    by_kind = Counter(alert.kind for alert in holding)
    parts = ", ".join(f"{by_kind[kind]:,} {kind_.words}" for kind, kind_ in KINDS.items() if by_kind[kind])
    more = f"; {over:,} more over" if over else ""
    return f"**{cells:,} {'cell deserves' if cells == 1 else 'cells deserve'} a look**: {parts}{more}"


def alert_table(alerts: Sequence[Alert]) -> pa.Table:
    """The alerts as rows of a table for people: cell, what, since when, measured, limit and where that comes from."""
    rows: list[dict[str, Any]] = [
        {
            "cell": alert.cell_id,
            "what": KINDS[alert.kind].words + (" (over)" if alert.is_over else ""),
            "since_cycle": alert.since_cycle,
            "since_at": alert.since_at,
            "measured": measured(alert),
            "limit": amount(alert.kind, alert.threshold),
            "from": FROM[alert.threshold_from],
            "words": alert.sentence,
        }
        for alert in alerts
    ]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def measured(alert: Alert) -> str:
    """The value of an alert with its unit."""
    if alert.kind == "end_of_life" and alert.value <= 0:
        return f"{-alert.value:.0f} cycles ago"
    return amount(alert.kind, alert.value)


def amount(kind: str, value: float) -> str:
    """A value or threshold of a kind of alert with its unit.

    >>> amount("low_efficiency", 0.98), amount("high_temperature", 60)
    ('98 %', '60 °C')
    """
    return _AMOUNTS[kind](value)


_AMOUNTS: Final = {
    "fast_fade": lambda value: f"{value:.3g} % in 100 cycles",
    "knee": lambda value: f"clearness {value:.2g}",
    "end_of_life": lambda value: f"{value:.0f} cycles before",
    "low_efficiency": lambda value: f"{100 * value:.4g} %",
    "high_temperature": lambda value: f"{value:.3g} °C",
    "stopped": lambda value: f"{value:.3g} h",
}

_SCHEMA: Final = pa.schema(
    {
        "cell": pa.string(), "what": pa.string(), "since_cycle": pa.int64(), "since_at": pa.timestamp("us"),
        "measured": pa.string(), "limit": pa.string(), "from": pa.string(), "words": pa.string(),
    }
)  # fmt: skip


def _columns() -> dict[str, ColumnConfig]:
    def text(title: str, name: str, width: str | None = None) -> ColumnConfig:
        return st.column_config.TextColumn(title, help=tooltip_of(ALERTS, name), width=width)  # type: ignore[arg-type]

    return {
        "cell": st.column_config.TextColumn("cell", help=tooltip_of(ALERTS, "cell_id"), pinned=True),
        "what": text("what", "kind"),
        "since_cycle": st.column_config.NumberColumn(
            "since cycle", help=tooltip_of(ALERTS, "since_cycle"), format="%.0f"
        ),
        "since_at": st.column_config.DatetimeColumn(
            "since (cycler's clock)", format="YYYY-MM-DD HH:mm", help=tooltip_of(ALERTS, "since_at")
        ),
        "measured": text("measured", "value"),
        "limit": text("limit", "threshold"),
        "from": text("limit from", "threshold_from"),
        "words": text("in words", "sentence", "large"),
    }


def _help() -> str:
    return (
        "Fast fade, a knee, the end of life, low coulombic efficiency, heat, and live tests that stopped sending. The "
        "limits are the lab's own (`BATTERY_ALERT_RULES`, by group of cells), else the defaults. `battery alerts send` "
        "and the hourly refresh send each alert once."
    )
