"""The place that alerts are sent to: an Airflow connection, read and used without Airflow.

AIRFLOW_CONN_BATTERY_ALERTS holds it as JSON or as a URI, as Airflow has them. Its type decides how alerts are sent:
`http` to any endpoint, which gets JSON, `slackwebhook` to a Slack incoming webhook, `smtp` as an e-mail. No error and
no log line has more of it than its host: path, password and headers may be secrets.
"""

from __future__ import annotations

import json
import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import requests

from kernel.base.errors import BatteryError

SETTING: Final = "AIRFLOW_CONN_BATTERY_ALERTS"

TIMEOUT_SECONDS: Final = 20.0

SLACK: Final = "https://hooks.slack.com/services"
"""Where a connection of Slack leads that names no host."""

_OPTIONS: Final = frozenset(
    {
        "allow_redirects", "cert", "check_response", "headers", "max_redirects", "proxies", "proxy", "srv_lookup",
        "stream", "timeout", "trust_env", "verify", "verify_ssl",
    }
)  # fmt: skip
"""What in the extra of an HTTP connection is no header, as in Airflow."""


@dataclass(frozen=True)
class Message:
    """What is sent: `body` as JSON to an HTTP endpoint, subject and text to people."""

    subject: str
    text: str
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Connection:
    """An Airflow connection, by Airflow's names of its parts; `conn_type` decides how it is used."""

    conn_type: str
    host: str = ""
    port: int | None = None
    schema: str = ""
    login: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def place(self) -> str:
        """Where it leads, in words that hold no secret."""
        where = urlsplit(self.host).hostname if "://" in self.host else self.host.partition("/")[0].rpartition("@")[2]
        return f"{self.conn_type} at {where or 'its default host'}"

    def send(self, message: Message) -> None:
        """Send it.

        Raises:
            BatteryError: it was not taken; one line, without secrets.
        """
        try:
            if self.conn_type in {"http", "https"}:
                self._post(self._url(), message.body)
            elif self.conn_type == "slackwebhook":
                self._post(self._slack_url(), {"text": f"{message.subject}\n{message.text}"})
            elif self.conn_type == "smtp":
                self._mail(message)
            else:
                raise BatteryError(f"{SETTING} is of type {self.conn_type}; alerts go by http, slackwebhook or smtp")
        except requests.RequestException as error:
            raise BatteryError(f"alerts cannot be sent by {self.place}: no answer ({type(error).__name__})") from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise BatteryError(f"alerts cannot be sent by {self.place}: {type(error).__name__}") from None

    def _url(self) -> str:
        url = self.host if "://" in self.host else f"{self.schema or self.conn_type}://{self.host}"
        return f"{url}:{self.port}" if self.port else url

    def _slack_url(self) -> str:
        base = self.host or SLACK
        base = base if "://" in base else f"{self.schema or 'https'}://{base}"
        return f"{base.rstrip('/')}/{(self.password or '').lstrip('/')}".rstrip("/")

    def _post(self, url: str, body: Mapping[str, Any]) -> None:
        with_login = self.conn_type != "slackwebhook" and self.login
        headers = {name: str(value) for name, value in self.extra.items() if name not in _OPTIONS}
        more = self.extra.get("headers")
        answer = requests.post(
            url,
            json=dict(body),
            headers={**headers, **(more if isinstance(more, Mapping) else {})},
            auth=(self.login or "", self.password or "") if with_login else None,
            timeout=float(self.extra.get("timeout") or TIMEOUT_SECONDS),
            verify=self.extra.get("verify", True),
        )
        if answer.status_code >= HTTPStatus.BAD_REQUEST:
            raise BatteryError(f"alerts cannot be sent by {self.place}: it answered HTTP {answer.status_code}")

    def _mail(self, message: Message) -> None:
        to = self.extra.get("to")
        if not to:
            raise BatteryError(f'{SETTING} needs "to" in its extra: an e-mail address')
        mail = EmailMessage()
        mail["Subject"] = message.subject
        mail["To"] = to if isinstance(to, str) else ", ".join(to)
        mail["From"] = self.extra.get("from_email") or self.login or "battery@localhost"
        mail.set_content(message.text)
        secure = not self.extra.get("disable_ssl", False)
        timeout = float(self.extra.get("timeout") or TIMEOUT_SECONDS)
        context = ssl.create_default_context()
        client: smtplib.SMTP
        if secure:
            client = smtplib.SMTP_SSL(self.host, self.port or 465, timeout=timeout, context=context)
        else:
            client = smtplib.SMTP(self.host, self.port or 25, timeout=timeout)
        with client:
            if not secure and not self.extra.get("disable_tls", False):
                client.starttls(context=context)
            if self.login and self.password:
                client.login(self.login, self.password)
            client.send_message(mail)


def parse_connection(text: str) -> Connection:
    """Read a connection as Airflow keeps it in the environment: as JSON, or as a URI.

    >>> parse_connection('{"conn_type": "http", "host": "https://lab.example.org/hook"}').place
    'http at lab.example.org'
    >>> parse_connection("http://lab.example.org:8080/https").port
    8080

    Raises:
        BatteryError: it is neither; the message does not repeat it, since it may hold a password.
    """
    try:
        if text.lstrip().startswith("{"):
            parts = json.loads(text)
            extra = parts.get("extra") or {}
            return Connection(
                str(parts["conn_type"]),
                str(parts.get("host") or ""),
                int(parts["port"]) if parts.get("port") else None,
                str(parts.get("schema") or ""),
                parts.get("login"),
                parts.get("password"),
                json.loads(extra) if isinstance(extra, str) else dict(extra),
            )
        return _of_uri(text)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BatteryError(
            f"{SETTING} is no Airflow connection: write it as JSON with conn_type and host, or as a URI such as "
            "http://alerts.example.org/https"
        ) from None


def _of_uri(text: str) -> Connection:
    """As Airflow reads one: the scheme is the type, the path is the schema, the query is the extra."""
    kind, separator, rest = text.strip().partition("://")
    if not separator or not kind:
        raise ValueError
    protocol, has_protocol, inner = rest.partition("://")  # such as http://https://lab.example.org
    uri = urlsplit(f"//{inner if has_protocol else rest}")
    host = unquote(uri.hostname or "")
    if has_protocol:
        host = f"{protocol}://{host}"
    query = dict(parse_qsl(uri.query, keep_blank_values=True))
    extra = json.loads(query["__extra__"]) if "__extra__" in query else query
    return Connection(
        kind.replace("-", "_").lower(),
        host,
        uri.port,
        unquote(uri.path.lstrip("/")),
        unquote(uri.username) if uri.username else None,
        unquote(uri.password) if uri.password else None,
        extra,
    )
