"""What deserves a look now: the published alerts, and the live tests that have been silent for too long."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    import pyarrow as pa

STOPPED: Final = "stopped"
"""The kind of a live test that sends nothing any more."""

ALERTS: Final = "battery_alerts"
LIVE_TESTS: Final = "battery_live_tests"

_HOUR: Final = 3600.0


@dataclass(frozen=True)
class Alert:
    """One finding about a cell.

    Attributes:
        alert_id: what identifies it, over refreshes.
        cell_id: the cell.
        cell_group: the group that the lab counts it to.
        kind: one of `refresh.alerts.rules.KINDS`.
        since_cycle: the cycle number since which it is so; None for a test that has stopped.
        since_at: the cycler's wall clock then.
        is_over: whether it has been so, and is not any more.
        value: what was measured, in `unit`.
        threshold: what it is compared with, in `unit`.
        unit: of both; `1` stands for a share of 1.
        threshold_from: `default`, `all cells` or `group`.
        sentence: the finding in words, without the name of the cell.
        test_id: the test that has stopped; None for the other kinds.
        last_arrived_at: when its last reading came (UTC).
        due_at: when the next one should have come at the latest (UTC).
    """

    alert_id: str
    cell_id: str
    cell_group: str | None
    kind: str
    since_cycle: int | None
    since_at: datetime | None
    is_over: bool
    value: float
    threshold: float
    unit: str
    threshold_from: str
    sentence: str
    test_id: str | None = None
    last_arrived_at: datetime | None = None
    due_at: datetime | None = None

    @property
    def line(self) -> str:
        """One line for a person."""
        return f"{self.cell_id} {self.sentence}"

    def figures(self) -> dict[str, Any]:
        """The fields for a program, times in ISO 8601."""
        return {
            name: value.isoformat() if hasattr(value, "isoformat") else value
            for name, value in asdict(self).items()
            if value is not None
        }


def find_alerts(table: Callable[[str], pa.Table], names: Collection[str], now: datetime) -> list[Alert]:
    """The alerts of a publication, and the tests of it that have stopped by now.

    Args:
        table: reads a published table by its name.
        names: of the published tables; an earlier version lacks those of alerts, and then there are none.
        now: the time of looking (UTC, without zone).

    Raises:
        BatteryError: a table cannot be read.
    """
    published = published_alerts(table(ALERTS)) if ALERTS in names else []
    stopped = stopped_tests(table(LIVE_TESTS), now) if LIVE_TESTS in names else []
    return [*stopped, *published]


def published_alerts(rows: pa.Table) -> list[Alert]:
    """The rows of `battery_alerts`: those that hold come first, and of each the latest."""
    columns = [name for name in rows.column_names if name in Alert.__dataclass_fields__]
    found = [Alert(**row) for row in rows.select(columns).to_pylist()]
    return sorted(
        found, key=lambda alert: (alert.is_over, alert.since_at is None, _latest_first(alert), alert.alert_id)
    )


def stopped_tests(live_tests: pa.Table, now: datetime) -> list[Alert]:
    """The live tests of which the last reading came longer ago than they may be silent.

    Args:
        live_tests: rows of `battery_live_tests`.
        now: the time of looking (UTC, without zone).
    """
    return [
        _stopped(row, now)
        for row in live_tests.sort_by([("last_arrived_at", "descending"), ("cell_id", "ascending")]).to_pylist()
        if (now - row["last_arrived_at"]).total_seconds() > row["silence_s"]
    ]


def _stopped(row: dict[str, Any], now: datetime) -> Alert:
    silent_h = (now - row["last_arrived_at"]).total_seconds() / _HOUR
    limit = f"the limit is {row['silence_s'] / _HOUR:.3g} h"
    if row["silence_s"] > _HOUR * row["threshold"]:
        limit += f", since it is used to pauses of {row['usual_pause_s'] / _HOUR:.2g} h"
    at = row["last_arrived_at"]
    return Alert(
        alert_id=f"{row['cell_id']}/{STOPPED}/{row['test_id']}/{at.isoformat(timespec='milliseconds')}",
        cell_id=row["cell_id"],
        cell_group=row["cell_group"],
        kind=STOPPED,
        since_cycle=None,
        since_at=row["last_at"],
        is_over=False,
        value=round(silent_h, 2),
        threshold=row["threshold"],
        unit="h",
        threshold_from=row["threshold_from"],
        sentence=f"has sent nothing since {at:%Y-%m-%d %H:%M} UTC, for {silent_h:.3g} h; {limit}",
        test_id=row["test_id"],
        last_arrived_at=at,
        due_at=at + timedelta(seconds=row["silence_s"]),
    )


def _latest_first(alert: Alert) -> float:
    return 0.0 if alert.since_at is None else -alert.since_at.timestamp()
