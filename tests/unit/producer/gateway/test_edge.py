"""What the gateway answers, each status by what leads to it."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaError
from pydantic import SecretStr
from structlog.testing import capture_logs
from support.acknowledging import Acknowledging
from support.asgi import ask
from support.builders import as_json, reading

import producer.gateway.edge
from kernel.base.settings import Settings
from kernel.contract.json_body import read_json
from kernel.contract.weight import Limits
from producer.gateway.bodies import Outgoing
from producer.gateway.delivery import BehindError, Delivery
from producer.gateway.edge import Terms, gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from starlette.applications import Starlette

TOKEN = "hush-hush-hush-hush"
TRANSPORT, REFUSED = KafkaError(KafkaError._TRANSPORT), KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)  # noqa: SLF001
DEADLINE_SECONDS = 30


class Place:
    """A gateway over a broker that a test rules."""

    def __init__(self) -> None:
        self.broker = Acknowledging()
        self.delivery = Delivery(self.broker, self.broker, "battery_topic")  # type: ignore[arg-type]

    def app(self, **terms: Any) -> Starlette:
        usual = {
            "token": None, "body_bytes": 100_000, "message_bytes": 50_000, "ack_seconds": 0.05,
            "limits": Limits(rows=1000),
        }  # fmt: skip
        if self.broker.open.is_set():
            usual["ack_seconds"] = DEADLINE_SECONDS
        return gateway(self.delivery, Terms(**{**usual, **terms}))

    def once_taken(self, app: Starlette) -> None:
        """Wait until readings are taken again."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while ask(app, "/readings", as_json(reading(9))).status != 202:
            assert time.monotonic() < deadline


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(producer.gateway.delivery, "PROBE_SECONDS", 0.1)
    place = Place()
    yield place
    place.broker.open.set()
    place.delivery.flush(1)


def test_202_comes_with_counts_once_the_broker_has_all(place: Place) -> None:
    body = as_json([reading(point, cell_id=cell) for cell in "AB" for point in (1, 2, 3)])
    answer = ask(place.app(), "/readings?source_file=rig-7", body)
    assert (answer.status, answer.said) == (202, {"accepted": 6, "cells": 2, "messages": 2, "notes": []})
    assert [(sent["topic"], sent["key"]) for sent in place.broker.sent] == [
        ("battery_topic", b"A"),
        ("battery_topic", b"B"),
    ]
    assert place.broker.sent[0]["headers"] == [
        ("content-type", "application/json"), ("schema-version", "1"), ("source-file", "rig-7"),
    ]  # fmt: skip
    assert read_json(place.broker.sent[0]["value"], Limits()).readings.column("data_point").to_pylist() == [1, 2, 3]


def test_lines_a_body_in_parts_and_late_readings_are_taken(place: Place) -> None:
    parts = [as_json(reading(1)) + b"\n", as_json(reading(2))[:9], as_json(reading(2))[9:]]
    kind = {"content-type": "application/x-ndjson; charset=utf-8"}
    assert ask(place.app(), "/readings?late=true", parts, headers=kind).said["accepted"] == 2
    assert place.broker.sent[0]["headers"][-2:] == [("source-file", "gateway"), ("late", "true")]


@pytest.mark.parametrize(
    ("address", "body", "headers", "status", "said"),
    [
        ("/readings", b"nonsense", {}, 400, "the body is no JSON: "),
        ("/readings", b"{}", {}, 400, "object 1: it has no cell_id; send it, or say it for all as ?cell_id="),
        ("/readings?cellid=A", b"{}", {}, 400, "the address has 'cellid'; it may have cell_id, cycle_index, late, "),
        ("/readings?late=maybe", b"{}", {}, 400, "late is 'maybe', neither true nor false"),
        ("/readings?source_file=" + "x" * 1001, b"{}", {}, 400, "source_file takes more than 1000 bytes"),
        ("/readings", b"{}", {"host": "rebound.example:8600"}, 400, "the host 'rebound.example' is not this machine"),
        (
            "/readings",
            b"{}",
            {"content-type": "text/plain"},
            415,
            "content-type is 'text/plain'; send application/json",
        ),
        ("/readings", b"{}", {"content-type": ""}, 415, "content-type is ''; send application/json"),
        ("/readings", b"{}", {"content-encoding": "gzip"}, 415, "the body is compressed; send it as it is"),
        ("/readings", b"x" * 100_001, {}, 413, "the body is larger than GATEWAY_MAX_BYTES=100000; send fewer"),
        ("/readings", b"{}", {"content-length": "100001"}, 413, "the body is larger than GATEWAY_MAX_BYTES=100000"),
        ("/readings", b"[" + b"{}," * 1000 + b"{}]", {}, 413, "the body has 1001 readings, more than 1000"),
        ("/readings", as_json(reading(1, mood="x" * 60_000)), {}, 413, "a reading of cell 'CELL_1' takes "),
        ("/elsewhere", b"{}", {}, 404, "there is no POST /elsewhere; there are POST /readings and GET /health"),
    ],
)
def test_what_cannot_be_taken_is_one_line_and_leads_to_no_message(
    place: Place, address: str, body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    answer = ask(place.app(), address, body, headers=headers)
    assert answer.status == status
    (problem,) = answer.problems
    assert problem.startswith(said)
    assert place.broker.sent == []
    assert ask(place.app(), "/readings", as_json(reading(1))).status == 202


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8600", "[::1]:8600", "[::1]"])
def test_this_machine_has_several_names(place: Place, host: str) -> None:
    assert ask(place.app(), "/readings", as_json(reading(1)), headers={"host": host}).status == 202


def test_readings_cannot_be_had_by_get(place: Place) -> None:
    answer = ask(place.app(), "/readings", method="GET")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "authorization", ["", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Bearer hüsh", "Bearer "]
)
def test_without_the_token_nothing_is_taken_and_with_it_from_any_host(place: Place, authorization: str) -> None:
    app = place.app(token=SecretStr(TOKEN))
    given = {"host": "rig.lab.example", "authorization": authorization}
    with capture_logs() as log:
        answer = ask(app, "/readings", as_json(reading(1)), headers=given)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "hush" not in str(log) + str(answer)
    assert place.broker.sent == []
    for scheme in ("Bearer", "bearer"):
        given["authorization"] = f"{scheme} {TOKEN}"
        assert ask(app, "/readings", as_json(reading(1)), headers=given).status == 202


def test_429_says_when_to_come_again_while_the_broker_is_behind_and_readings_are_taken_again_after(
    place: Place,
) -> None:
    place.broker.open.clear()
    app = place.app()
    slow = ask(app, "/readings", as_json(reading(1)))
    assert (slow.status, slow.headers["retry-after"]) == (429, "5")
    assert slow.problems == ["the broker has not acknowledged in time; send the same again later"]
    more = ask(app, "/readings", as_json(reading(2)))
    assert (more.status, more.problems[0].partition(";")[0]) == (
        429,
        "the broker has not acknowledged earlier readings yet",
    )
    assert len(place.broker.sent) == 1, "what is to be sent again is not queued meanwhile"
    place.broker.open.set()
    place.once_taken(place.app())


def test_429_where_no_more_can_be_held_and_what_was_held_is_let_go(place: Place) -> None:
    place.delivery.hold(producer.gateway.delivery.HELD_BYTES - 100)
    full = ask(place.app(), "/readings", as_json([reading(point) for point in range(9)]))
    assert (full.status, full.headers["retry-after"]) == (429, "1")
    assert full.problems == ["too many readings wait for the broker; send the same again later"]
    place.delivery.release(producer.gateway.delivery.HELD_BYTES - 100)
    for _ in range(3):
        assert ask(place.app(), "/readings", b"x" * 90_000).status == 400
        assert ask(place.app(), "/readings", [b"x" * 90_000, b"x" * 20_000]).status == 413
        assert ask(place.app(), "/readings", as_json(reading(1))).status == 202
    place.delivery.hold(producer.gateway.delivery.HELD_BYTES)


def test_messages_take_room_until_the_broker_has_them(place: Place) -> None:
    place.broker.open.clear()
    delivery = Delivery(place.broker, place.broker, "battery_topic", 1000)  # type: ignore[arg-type]
    first = delivery.send([Outgoing("A", 1, b"x" * 600)], "rig")
    with pytest.raises(BehindError, match="too many readings wait for the broker"):
        delivery.send([Outgoing("A", 1, b"x" * 600)], "rig")
    place.broker.open.set()
    first.done.result(DEADLINE_SECONDS)
    delivery.send([Outgoing("A", 1, b"x" * 600)], "rig").done.result(DEADLINE_SECONDS)
    delivery.flush(1)


def test_429_where_the_queue_is_full(place: Place) -> None:
    place.broker.open.clear()
    place.broker.room = 1
    full = ask(place.app(), "/readings", as_json([reading(1, cell_id="A"), reading(1, cell_id="B")]))
    assert full.problems == ["the queue to the broker is full; send the same again later"]
    assert full.status == 429
    place.broker.room = 100
    place.broker.open.set()
    place.once_taken(place.app())


def test_503_where_the_broker_is_away(place: Place) -> None:
    place.broker.open.clear()
    place.broker.away = TRANSPORT
    app = place.app()
    away = ask(app, "/readings", as_json(reading(1)))
    assert (away.status, away.headers["retry-after"]) == (503, "5")
    assert away.problems == ["the broker does not answer; send the same again later"]
    assert ask(app, "/readings", as_json(reading(1))).status == 503
    assert ask(app, "/health", method="GET").status == 503
    place.broker.away = None
    place.broker.open.set()
    place.once_taken(place.app())
    assert ask(app, "/health", method="GET").said == {"status": "ok"}


def test_503_where_the_broker_refuses_and_says_why(place: Place) -> None:
    place.broker.error = REFUSED
    refused = ask(place.app(), "/readings", as_json([reading(1, cell_id=cell) for cell in "ABC"]))
    assert refused.status == 503
    assert refused.problems[0].startswith("the broker does not take readings: ")
    place.broker.error = None
    assert ask(place.app(), "/readings", as_json(reading(1))).status == 202


def test_a_body_that_does_not_come_is_not_waited_for_for_ever(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer.gateway.edge, "BODY_SECONDS", 0.01)
    answer = ask(place.app(), "/readings", [b"{"], stalls=True)
    assert answer.status == 408


def test_what_nobody_foresaw_is_one_line_and_no_trace(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by\nzero")

    monkeypatch.setattr(producer.gateway.edge, "read_body", fail)
    with capture_logs() as log:
        answer = ask(place.app(), "/readings", as_json(reading(1)))
    assert (answer.status, answer.problems) == (500, ["unexpected ZeroDivisionError: division by"])
    assert "Traceback" not in str(log)


def test_the_token_is_at_least_sixteen_characters_and_an_empty_one_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=re.escape("at least 16")):
        Settings(gateway_token=SecretStr("short"))
    monkeypatch.setenv("GATEWAY_TOKEN", "")
    assert Settings().gateway_token is None
