"""The place that alerts are sent to: read as Airflow reads a connection, and never told with its secrets."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest
from support.mail import getting_mails
from support.webhook import Webhook, listening

from kernel.base.errors import BatteryError
from kernel.base.ports import free_port
from refresh.alerts.connection import Connection, Message, parse_connection

if TYPE_CHECKING:
    from collections.abc import Iterator

MESSAGE = Message("two alerts", "A fades\nB gets hot", {"event": "cells", "alerts": [{"alert_id": "A/knee"}]})


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with listening() as heard:
        yield heard


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            json.dumps({"conn_type": "http", "host": "h", "port": 8080, "extra": '{"X-Key": "k"}'}),
            Connection("http", "h", 8080, extra={"X-Key": "k"}),
        ),
        (
            "http://lab:p%40ss@h.example.org:443/https?X-Key=k",
            Connection("http", "h.example.org", 443, "https", "lab", "p@ss", {"X-Key": "k"}),
        ),
        ("http://https://h.example.org", Connection("http", "https://h.example.org")),
        ("smtp://h?__extra__=%7B%22to%22%3A%20%5B%22a%40b%22%5D%7D", Connection("smtp", "h", extra={"to": ["a@b"]})),
    ],
)
def test_a_connection_is_read_as_airflow_keeps_it(text: str, expected: Connection) -> None:
    assert parse_connection(text) == expected


@pytest.mark.parametrize("text", ["", "secret", "{secret", '{"host": "secret"}', "http://secret:secret@h:port"])
def test_what_is_no_connection_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(BatteryError, match="is no Airflow connection: write it as JSON") as refused:
        parse_connection(text)
    assert "secret" not in str(refused.value)


def test_an_http_endpoint_gets_json_with_the_login_and_headers_of_the_connection(webhook: Webhook) -> None:
    parse_connection(f"http://lab:p%40ss@127.0.0.1:{webhook.port}?X-Key=k&timeout=5").send(MESSAGE)
    assert webhook.alerts == [MESSAGE.body]
    assert webhook.headers[0]["X-Key"] == "k"
    assert "timeout" not in webhook.headers[0]
    assert webhook.headers[0]["Authorization"] == f"Basic {b64encode(b'lab:p@ss').decode()}"


def test_slack_gets_a_text(webhook: Webhook) -> None:
    Connection("slackwebhook", f"http://127.0.0.1:{webhook.port}", password="T0/B0/X").send(MESSAGE)
    assert webhook.alerts == [{"text": "two alerts\nA fades\nB gets hot"}]


def test_a_mail_goes_to_whom_the_extra_names() -> None:
    with getting_mails() as (port, mails):
        extra = {"to": "lab@example.org", "from_email": "b@example.org", "disable_ssl": True, "disable_tls": True}
        Connection("smtp", "127.0.0.1", port, extra=extra).send(MESSAGE)
    (mail,) = mails
    assert b"To: lab@example.org" in mail
    assert b"Subject: two alerts" in mail
    assert b"A fades\r\nB gets hot" in mail


def test_a_receiver_that_refuses_or_is_not_there_is_told_by_its_host_alone(webhook: Webhook) -> None:
    webhook.status = 503
    secret = f"http://lab:secret@127.0.0.1:{webhook.port}/"
    with pytest.raises(BatteryError, match=r"^alerts cannot be sent by http at 127\.0\.0\.1: it answered HTTP 503$"):
        parse_connection(secret).send(MESSAGE)
    nobody = Connection("http", f"http://lab:secret@127.0.0.1:{free_port()}/secret?secret")
    with pytest.raises(BatteryError, match=r"^alerts cannot be sent by http at 127\.0\.0\.1: no answer \(Conn\w+\)$"):
        nobody.send(MESSAGE)
    with pytest.raises(BatteryError, match='needs "to" in its extra'):
        Connection("smtp", "h").send(MESSAGE)
    with pytest.raises(BatteryError, match="is of type postgres; alerts go by http, slackwebhook or smtp"):
        Connection("postgres", "h").send(MESSAGE)


def test_a_connection_does_not_show_its_secrets() -> None:
    assert "secret" not in repr(Connection("http", "h", password="secret", extra={"X": "secret"}))
