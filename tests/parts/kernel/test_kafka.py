"""The topic as its brokers know it: brokers that stall, policies that would delete messages, looks without waiting."""

from __future__ import annotations

import re
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

import kernel.edges.kafka
from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from kernel.edges.kafka import NoBrokerError, TopicWatch, find_topic, open_topic
from producer.publish import Options, publish


def test_a_broker_that_stalls_half_way_is_one_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def stalled(*_: Any) -> None:
        raise TimeoutError

    known = SimpleNamespace(list_topics=lambda **_: SimpleNamespace(topics={"battery_topic"}), poll=lambda _: 0)
    monkeypatch.setattr(kernel.edges.kafka, "client", lambda *_: known)
    monkeypatch.setattr(kernel.edges.kafka, "_describe", stalled)
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
            described.set_result(
                SimpleNamespace(name="battery_topic", topic_id="log-one", partitions=[SimpleNamespace(id=0)])
            )
        return {"battery_topic": described}

    def client(*_: Any) -> SimpleNamespace:
        known = SimpleNamespace(topics={"battery_topic"})
        return SimpleNamespace(list_topics=lambda **_: known, describe_topics=describe, poll=lambda _: 0)

    monkeypatch.setattr(kernel.edges.kafka, "client", client)
    assert find_topic(Settings()).topic_id == "log-one"
    assert len(asked) == 2


@pytest.fixture
def settings(broker: int, request: pytest.FixtureRequest) -> Settings:
    """Of a topic that nobody has made yet."""
    topic = re.sub(r"\W", "_", request.node.name)[:200]
    return Settings(kafka_bootstrap_servers=f"127.0.0.1:{broker}", battery_topic=topic)


def make(settings: Settings, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    topic = NewTopic(settings.battery_topic, num_partitions=1, config=config)
    admin.create_topics([topic])[settings.battery_topic].result(30)


def policy_of(settings: Settings) -> str | None:
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    return kernel.edges.kafka._topic_config(admin, settings.battery_topic)["cleanup.policy"]  # noqa: SLF001


@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
def test_a_compacted_topic_is_refused_with_the_commands_that_mend_it(settings: Settings, policy: str) -> None:
    make(settings, **{"cleanup.policy": policy})
    with pytest.raises(BatteryError) as refused:
        open_topic(settings)
    name = settings.battery_topic
    assert str(refused.value) == (
        f"topic {name} has cleanup.policy={policy}: its brokers would delete all but the last message of each cell; "
        f"`rpk topic alter-config {name} --set cleanup.policy=delete` mends it, or `kafka-configs.sh "
        f"--bootstrap-server {settings.kafka_bootstrap_servers} --alter --entity-type topics --entity-name {name} "
        "--add-config cleanup.policy=delete`"
    )


def test_nothing_is_published_to_a_compacted_topic(settings: Settings) -> None:
    make(settings, **{"cleanup.policy": "compact"})
    with pytest.raises(BatteryError, match=r"cleanup\.policy=compact"):
        publish(settings, ["nowhere"], Options())


def test_a_topic_that_the_pipeline_makes_is_never_compacted(settings: Settings) -> None:
    open_topic(settings, create=True)
    assert policy_of(settings) == "delete"


def test_a_broker_that_takes_no_policy_makes_the_topic_as_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, str] | None] = []

    def create_topics(topics: list[NewTopic], **_: Any) -> dict[str, Future[None]]:
        asked.append(topics[0].config)
        made: Future[None] = Future()
        if topics[0].config:
            made.set_exception(KafkaException(KafkaError(KafkaError.INVALID_CONFIG)))
        else:
            made.set_result(None)
        return {topics[0].topic: made}

    monkeypatch.setattr(kernel.edges.kafka, "client", lambda *_: SimpleNamespace(create_topics=create_topics))
    kernel.edges.kafka._create(Settings(), "a_topic", "delete")  # noqa: SLF001
    assert asked == [{"cleanup.policy": "delete"}, None]


@pytest.mark.parametrize("said", [KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)), TimeoutError()])
def test_a_broker_that_does_not_tell_the_policy_is_no_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, said: Exception
) -> None:
    make(settings, **{"cleanup.policy": "compact"})

    def silent(*_: Any) -> None:
        raise said

    monkeypatch.setattr(kernel.edges.kafka, "_topic_config", silent)
    assert open_topic(settings).partitions == (0,)


def test_a_look_at_the_topic_waits_for_no_answer(settings: Settings) -> None:
    topic = open_topic(settings, create=True)
    watch = TopicWatch(settings)
    watch.look()
    while (seen := watch.seen()) is None:
        watch.look()  # asks no second time
    assert seen == topic
    assert watch.seen() is None  # once


def test_a_look_that_nobody_answers_is_none_and_the_next_one_is_that_of_a_new_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clients = []

    def client(*_: Any) -> SimpleNamespace:
        clients.append("")
        failed: Future[Any] = Future()
        failed.set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))  # noqa: SLF001
        return SimpleNamespace(describe_topics=lambda *_, **__: {"battery_topic": failed})

    monkeypatch.setattr(kernel.edges.kafka, "client", client)
    watch = TopicWatch(Settings())
    for looks in (1, 2):
        watch.look()
        assert (watch.seen(), len(clients)) == (None, looks)
