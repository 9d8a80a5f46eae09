"""Sending alerts: what has not been sent yet goes out as one message, and is put on record after it was taken.

A process that dies between the two sends the message again in the next run; each alert in it has its `alert_id`, by
which whoever gets it can tell.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog

from kernel.base.errors import BatteryError
from kernel.base.locks import lock_file
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from refresh.alerts.connection import SETTING, Message, parse_connection
from refresh.alerts.found import STOPPED, Alert, find_alerts
from refresh.alerts.record import read_record, with_sent, with_withdrawn, write_record
from refresh.alerts.silence import still_silent
from refresh.dbt import work_folder
from refresh.marts import NothingYetError
from refresh.publication import open_publication
from refresh.turns import be_alone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kernel.base.settings import Settings

_log = structlog.get_logger()

EVENT: Final = "cells"
"""What an HTTP endpoint gets as `event`; the pipeline's own alerts have others."""

MOST_LINES: Final = 20
"""So many alerts have a line in the text of a message."""

MOST_ALERTS: Final = 500
"""So many alerts are in one message: the first refresh over many old cells may find thousands."""

LOCK_SECONDS: Final = 120.0
"""How long another process may be sending before this one leaves it to that one, in s."""


@dataclass(frozen=True)
class SendReport:
    """What a run has done: how many alerts were sent in how many messages, and what could not be told yet."""

    sent: int = 0
    messages: int = 0
    nothing: str | None = None
    unknown: str | None = None

    def lines(self) -> Iterator[str]:
        """What was done, for a person."""
        if self.nothing is not None:
            yield self.nothing
        elif self.sent:
            noun = "1 alert" if self.sent == 1 else f"{self.sent} alerts"
            yield f"sent {noun} in {'1 message' if self.messages == 1 else f'{self.messages} messages'}"
        else:
            yield "no new alert"
        if self.unknown is not None:
            yield f"not told yet whether a test has stopped sending: {self.unknown}"


def current_alerts(settings: Settings, now: datetime | None = None) -> list[Alert]:
    """The alerts of the newest publication, and the tests of it that have stopped sending by now.

    Args:
        settings: where the marts are.
        now: the time of looking (UTC, without zone); by default that of the clock.

    Raises:
        NothingYetError: nothing has been published.
        BatteryError: the marts cannot be read.
    """
    publication = open_publication(settings)
    return find_alerts(publication.table, publication.names, now or _now())


def send_alerts(settings: Settings, now: datetime | None = None) -> SendReport:
    """Send the alerts that have not been sent, each once; what fails is sent by the next run.

    Args:
        settings: where the marts are, and to whom alerts are sent.
        now: the time of looking (UTC, without zone); by default that of the clock.

    Raises:
        BatteryError: the connection is not one, nobody takes the message, or marts or store cannot be reached.
    """
    if settings.airflow_conn_battery_alerts is None:
        return SendReport(nothing=f"no alert is sent: {SETTING} is not set")
    connection = parse_connection(settings.airflow_conn_battery_alerts.get_secret_value())
    now = now or _now()
    with ExitStack() as held:
        if not _lock(settings, held) or not held.enter_context(be_alone(open_warehouse(settings))):
            return SendReport(nothing="another process is sending the alerts")
        try:
            alerts = current_alerts(settings, now)
        except NothingYetError as error:
            return SendReport(nothing=str(error))
        store = open_store(settings)
        record = read_record(store)
        new = [alert for alert in alerts if alert.alert_id not in record]
        silent, unknown = still_silent(settings, [alert for alert in new if alert.kind == STOPPED])
        new = [*silent, *(alert for alert in new if alert.kind != STOPPED)]
        marked = with_withdrawn(record, alerts, now)
        if marked != record:
            write_record(store, marked)
        parts = [new[first : first + MOST_ALERTS] for first in range(0, len(new), MOST_ALERTS)]
        for part in parts:
            connection.send(message_of(part))
            marked = with_sent(marked, part, now)
            write_record(store, marked)
            _log.info("alerts on cells were sent", count=len(part), by=connection.place)
    return SendReport(len(new), len(parts), unknown=unknown)


def message_of(alerts: Sequence[Alert]) -> Message:
    """One message about some alerts."""
    cells = len({alert.cell_id for alert in alerts})
    if len(alerts) == 1:
        subject = f"Cell {alerts[0].cell_id}: {alerts[0].kind.replace('_', ' ')}"
    else:
        subject = f"{len(alerts)} alerts on {'1 cell' if cells == 1 else f'{cells} cells'}"
    lines = [alert.line for alert in alerts[:MOST_LINES]]
    if len(alerts) > MOST_LINES:
        lines.append(f"and {len(alerts) - MOST_LINES} more; `battery alerts` and the page Fleet have them all")
    text = "\n".join(lines)
    body: dict[str, Any] = {
        "event": EVENT,
        "subject": subject,
        "text": text,
        "alerts": [alert.figures() for alert in alerts],
    }
    return Message(subject, text, body)


def _lock(settings: Settings, held: ExitStack) -> bool:
    """Be the only process of this machine that sends; False where another one still is after a while."""
    folder = work_folder(settings)
    deadline = time.monotonic() + LOCK_SECONDS

    def wait(seconds: float) -> None:
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(seconds)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        held.enter_context(lock_file(folder / "alerts.lock", wait))
    except TimeoutError:
        return False
    except OSError as error:
        raise BatteryError(f"the folder {folder} cannot be used: {error.strerror}") from None
    return True


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
