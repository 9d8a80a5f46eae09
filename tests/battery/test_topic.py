"""The Kafka edge where no broker helps: what becomes of clients that cannot be made and of brokers that stall."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import battery.topic
from battery.settings import Settings
from battery.topic import NoBrokerError, open_topic


def test_a_broker_that_stalls_half_way_is_one_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def stalled(*_: Any) -> None:
        raise TimeoutError

    known = SimpleNamespace(list_topics=lambda **_: SimpleNamespace(topics={"battery_topic"}), poll=lambda _: 0)
    monkeypatch.setattr(battery.topic, "_client", lambda *_: known)
    monkeypatch.setattr(battery.topic, "_describe", stalled)
    with pytest.raises(NoBrokerError, match="no broker answers at KAFKA_BOOTSTRAP_SERVERS="):
        open_topic(Settings())
