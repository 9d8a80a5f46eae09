"""The Kafka edge where no broker helps: what becomes of clients that cannot be made and of brokers that stall."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

import battery.topic
from battery.settings import Settings
from battery.topic import NoBrokerError, open_topic


def test_a_broker_that_stalls_half_way_is_one_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def stalled(*_: Any) -> None:
        raise TimeoutError

    known = SimpleNamespace(list_topics=lambda **_: SimpleNamespace(topics={"battery_topic"}), poll=lambda _: 0)
    monkeypatch.setattr(battery.topic, "client", lambda *_: known)
    monkeypatch.setattr(battery.topic, "_describe", stalled)
    with pytest.raises(NoBrokerError, match="no broker answers at KAFKA_BOOTSTRAP_SERVERS="):
        open_topic(Settings())


def test_a_client_that_waits_for_a_broker_which_has_died_is_given_up_for_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def describe(*_: Any, **__: Any) -> dict[str, Any]:
        asked.append("")
        described: Future[Any] = Future()
        if len(asked) == 1:
            described.set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))  # noqa: SLF001
        else:
            described.set_result(SimpleNamespace(topic_id="log-one", partitions=[SimpleNamespace(id=0)]))
        return {"battery_topic": described}

    def client(*_: Any) -> SimpleNamespace:
        known = SimpleNamespace(topics={"battery_topic"})
        return SimpleNamespace(list_topics=lambda **_: known, describe_topics=describe, poll=lambda _: 0)

    monkeypatch.setattr(battery.topic, "client", client)
    assert open_topic(Settings()).topic_id == "log-one"
    assert len(asked) == 2
