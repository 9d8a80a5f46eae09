"""What is sent, to somebody who listens at a port: each alert once, whatever happens in between."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.alerting import NOW, knee, live, publish_alerts, settings_of
from support.webhook import Webhook, listening

import refresh.alerts.send
from kernel.base.errors import BatteryError
from kernel.edges.objects import FolderStore
from refresh.alerts.record import RECORD, read_record
from refresh.alerts.send import MOST_ALERTS, SendReport, send_alerts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from kernel.base.settings import Settings
    from refresh.alerts.found import Alert


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with listening() as heard:
        yield heard


@pytest.fixture
def settings(tmp_path: Path, webhook: Webhook) -> Settings:
    return settings_of(tmp_path, webhook.connection)


def send(settings: Settings) -> SendReport:
    return send_alerts(settings, NOW)


def ids(webhook: Webhook) -> list[list[str]]:
    """The alerts of each message that was taken."""
    return [[alert["alert_id"] for alert in message["alerts"]] for message in webhook.alerts]


def test_what_is_new_goes_as_one_message_and_nothing_goes_twice(
    tmp_path: Path, settings: Settings, webhook: Webhook
) -> None:
    publish_alerts(tmp_path, [knee("A"), knee("B")])
    assert list(send(settings).lines()) == ["sent 2 alerts in 1 message"]
    assert list(send(settings).lines()) == ["no new alert"]
    publish_alerts(tmp_path, [knee("A"), knee("B"), knee("C")])
    send(settings)
    assert ids(webhook) == [["A/knee", "B/knee"], ["C/knee"]]
    assert [message["subject"] for message in webhook.alerts] == ["2 alerts on 2 cells", "Cell C: knee"]
    assert webhook.alerts[1]["text"] == "C fades faster since a knee at cycle 98"
    assert webhook.alerts[1]["alerts"][0]["since_at"] == "2024-03-09T00:00:00"
    assert {message["event"] for message in webhook.alerts} == {"cells"}


def test_many_old_cells_are_a_few_messages_with_a_short_text(
    tmp_path: Path, settings: Settings, webhook: Webhook
) -> None:
    publish_alerts(tmp_path, [knee(f"A{number:04d}") for number in range(MOST_ALERTS + 1)])
    assert send(settings) == SendReport(MOST_ALERTS + 1, 2)
    assert [len(message) for message in ids(webhook)] == [MOST_ALERTS, 1]
    assert webhook.alerts[0]["text"].splitlines()[-1].startswith(f"and {MOST_ALERTS - 20} more; ")


def test_what_nobody_takes_goes_with_the_next_run(tmp_path: Path, settings: Settings, webhook: Webhook) -> None:
    publish_alerts(tmp_path, [knee("A")])
    webhook.status = 503
    for _ in range(2):
        with pytest.raises(BatteryError, match="it answered HTTP 503"):
            send(settings)
    webhook.status = 200
    assert send(settings).sent == 1
    assert send(settings).sent == 0
    assert ids(webhook) == [["A/knee"]]


def test_a_process_that_dies_between_sending_and_recording_sends_the_same_alert_ids_again(
    tmp_path: Path, settings: Settings, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_alerts(tmp_path, [knee("A"), knee("B")])
    with monkeypatch.context() as dying:
        dying.setattr(refresh.alerts.send, "write_record", _die)
        with pytest.raises(KeyboardInterrupt):
            send(settings)
    send(settings)
    send(settings)
    assert ids(webhook) == [["A/knee", "B/knee"]] * 2


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_alert_that_is_withdrawn_is_marked_so_and_is_not_sent_again_when_it_returns(
    tmp_path: Path, settings: Settings, webhook: Webhook
) -> None:
    store = FolderStore(tmp_path / "objects")
    publish_alerts(tmp_path, [knee("A"), knee("B")])
    send(settings)
    publish_alerts(tmp_path, [knee("B")])
    send(settings)
    assert {key: sent.withdrawn_at for key, sent in read_record(store).items()} == {"A/knee": NOW, "B/knee": None}
    publish_alerts(tmp_path, [knee("A"), knee("B")])
    send(settings)
    assert read_record(store)["A/knee"].withdrawn_at is None
    assert len(ids(webhook)) == 1


def test_without_a_connection_nothing_is_sent_and_nothing_counts_as_sent(tmp_path: Path, webhook: Webhook) -> None:
    publish_alerts(tmp_path, [knee("A")])
    report = send_alerts(settings_of(tmp_path, None), NOW)
    assert list(report.lines()) == ["no alert is sent: AIRFLOW_CONN_BATTERY_ALERTS is not set"]
    assert send_alerts(settings_of(tmp_path, webhook.connection), NOW).sent == 1


def test_nothing_is_sent_where_nothing_has_been_published(tmp_path: Path, webhook: Webhook) -> None:
    report = send_alerts(settings_of(tmp_path, webhook.connection), NOW)
    assert "no figures have been published yet" in next(report.lines())


def test_a_damaged_record_is_told_with_what_to_do(tmp_path: Path, settings: Settings, webhook: Webhook) -> None:
    publish_alerts(tmp_path, [knee("A")])
    FolderStore(tmp_path / "objects").put(RECORD, b'{"version": 1, "alerts": {"A/knee": 7}}')
    with pytest.raises(BatteryError, match=r"^alerts/sent\.json in the OBJECT_STORE is damaged .*; take it from a b"):
        send(settings)
    assert webhook.bodies == []


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Why it cannot be told whether tests are silent, None where it can; each answer once."""
    reasons: list[str | None] = []

    def still_silent(_: Settings, stopped: Sequence[Alert]) -> tuple[list[Alert], str | None]:
        if not stopped:
            return [], None
        reason = reasons.pop(0)
        return ([] if reason else list(stopped)), reason

    monkeypatch.setattr(refresh.alerts.send, "still_silent", still_silent)
    return reasons


def test_a_test_that_stopped_is_told_once_and_once_more_when_it_stops_again(
    tmp_path: Path, settings: Settings, webhook: Webhook, silence: list[str | None]
) -> None:
    silence.extend([None, None])
    publish_alerts(tmp_path, [], [live("A", 0.9), live("B", 1.1), live("C", 5.0, silence_s=6 * 3600.0)])
    send(settings)
    send(settings)
    (first,) = webhook.alerts
    assert first["text"] == "B has sent nothing since 2026-01-02 10:54 UTC, for 1.1 h; the limit is 1 h"
    publish_alerts(tmp_path, [], [live("B", 0.5)])
    send(settings)
    publish_alerts(tmp_path, [], [live("B", 1.05)])
    send(settings)
    sent: list[dict[str, Any]] = [alert for message in webhook.alerts for alert in message["alerts"]]
    assert [alert["kind"] for alert in sent] == ["stopped"] * 2
    assert len({alert["alert_id"] for alert in sent}) == 2


def test_where_it_cannot_be_told_whether_a_test_is_silent_the_others_go_and_that_one_waits(
    tmp_path: Path, settings: Settings, webhook: Webhook, silence: list[str | None]
) -> None:
    silence.extend(["3 messages wait to land", None])
    publish_alerts(tmp_path, [knee("A")], [live("B", 2.0)])
    assert list(send(settings).lines()) == [
        "sent 1 alert in 1 message",
        "not told yet whether a test has stopped sending: 3 messages wait to land",
    ]
    send(settings)
    assert [json.loads(body)["alerts"][0]["kind"] for body in webhook.bodies] == ["knee", "stopped"]
