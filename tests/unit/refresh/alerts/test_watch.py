"""Alerts beside a refresh that keeps running: after each publication, and in the background."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from support.alerting import settings_of

from kernel.base.errors import BatteryError
from refresh.alerts.send import SendReport
from refresh.alerts.watch import AlertWatch

if TYPE_CHECKING:
    from pathlib import Path

    from kernel.base.settings import Settings

SECONDS = 20


def test_alerts_are_sent_at_the_start_after_each_publication_and_now_and_then(tmp_path: Path) -> None:
    settings, times = settings_of(tmp_path, '{"conn_type": "http", "host": "h"}'), threading.Semaphore(0)

    def send(given: Settings) -> SendReport:
        assert given is settings
        times.release()
        return SendReport()

    with AlertWatch(settings, send, every_seconds=3600) as watch:
        assert times.acquire(timeout=SECONDS)
        watch.published()
        assert times.acquire(timeout=SECONDS)
    with AlertWatch(settings, send, every_seconds=0.01):
        for _ in range(3):
            assert times.acquire(timeout=SECONDS)


@pytest.mark.parametrize("error", [BatteryError("it answered HTTP 503"), RuntimeError("who knows")])
def test_a_receiver_that_fails_holds_up_nothing_and_is_tried_again(tmp_path: Path, error: Exception) -> None:
    times = threading.Semaphore(0)

    def send(_: Settings) -> SendReport:
        times.release()
        raise error

    with AlertWatch(settings_of(tmp_path, '{"conn_type": "http", "host": "h"}'), send, every_seconds=0.01):
        for _ in range(3):
            assert times.acquire(timeout=SECONDS)


def test_without_a_connection_nothing_runs(tmp_path: Path) -> None:
    def send(_: Settings) -> SendReport:
        raise AssertionError

    before = threading.active_count()
    with AlertWatch(settings_of(tmp_path, None), send, every_seconds=0.01) as watch:
        watch.published()
        assert threading.active_count() == before
