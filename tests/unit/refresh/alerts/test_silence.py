"""Whether a live test is silent, or only what it sends is on its way."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pytest
from support.alerting import LIVE, NOW, live, settings_of

import refresh.alerts.silence
from refresh.alerts.found import stopped_tests
from refresh.alerts.silence import still_silent

if TYPE_CHECKING:
    from pathlib import Path

    from refresh.alerts.found import Alert

Landed = tuple[str, float, int]
"""A reading that has landed: its cell, how many hours ago it came, and its partition."""


def judge(
    folder: Path, monkeypatch: pytest.MonkeyPatch, landed: list[Landed], lag: dict[int, int] | None
) -> tuple[list[str], str | None]:
    """Which of the tests of A, whose last reading came two hours ago by what was published, count as silent."""
    with duckdb.connect(str(folder / "battery.duckdb")) as connection:
        connection.execute(
            "create table battery_ts (cell_id varchar, test_id varchar, streamed_at timestamp, kafka_partition integer)"
        )
        for cell, hours, partition in landed:
            at: datetime = NOW - timedelta(hours=hours)
            connection.execute("insert into battery_ts values (?, 't', ?, ?)", [cell, at, partition])
    state = SimpleNamespace(
        lag=None if lag is None else sum(lag.values()),
        broker="no broker answers",
        partitions=[SimpleNamespace(partition=number, lag=count) for number, count in (lag or {}).items()],
    )
    monkeypatch.setattr(refresh.alerts.silence, "look_at_overview", lambda _: None)
    monkeypatch.setattr(refresh.alerts.silence, "status", lambda *_: state)
    stopped: list[Alert] = stopped_tests(pa.Table.from_pylist([live("A", 2.0)], schema=LIVE), NOW)
    silent, reason = still_silent(settings_of(folder, None), stopped)
    return [alert.cell_id for alert in silent], reason


@pytest.mark.parametrize(
    ("landed", "lag", "silent", "reason"),
    [
        pytest.param([("A", 2.0, 0)], {0: 0}, ["A"], None, id="nothing waits"),
        pytest.param([("A", 2.0, 0), ("A", 0.1, 0)], {0: 0}, [], None, id="it has sent since, and it landed"),
        pytest.param([("A", 2.0, 0), ("B", 0.1, 1)], {0: 3, 1: 0}, [], "3 messages wait to land", id="its own waits"),
        pytest.param([("A", 2.0, 0), ("B", 0.1, 0)], {0: 3}, ["A"], None, id="what waits is younger than the limit"),
        pytest.param([("A", 2.0, 0)], {0: 0, 1: 3}, ["A"], None, id="another partition waits"),
        pytest.param([("A", 2.0, 0)], None, [], "no broker answers", id="the broker does not answer"),
    ],
)
def test_a_test_is_silent_only_if_what_it_sent_has_landed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, landed: list[Landed], lag: dict[int, int] | None,
    silent: list[str], reason: str | None,
) -> None:  # fmt: skip
    assert judge(tmp_path, monkeypatch, landed, lag) == (silent, reason)


def test_where_the_landing_cannot_be_read_nothing_is_told_and_the_reason_is(tmp_path: Path) -> None:
    stopped = stopped_tests(pa.Table.from_pylist([live("A", 2.0)], schema=LIVE), NOW)
    silent, reason = still_silent(settings_of(tmp_path, None), stopped)
    assert silent == []
    assert reason is not None
    assert "\n" not in reason


def test_nothing_is_asked_where_no_test_looks_stopped(tmp_path: Path) -> None:
    assert still_silent(settings_of(tmp_path, None), []) == ([], None)
