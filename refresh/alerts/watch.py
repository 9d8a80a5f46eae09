"""Alerts beside a refresh that keeps running: sent after each publication, and every few minutes without one.

A thread of its own sends them, so that a receiver that does not answer holds up nothing. A test can stop sending while
nothing is published.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Self

import structlog

from kernel.base.errors import BatteryError
from refresh.alerts.send import send_alerts

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from kernel.base.settings import Settings
    from refresh.alerts.send import SendReport

_log = structlog.get_logger()

EVERY_SECONDS: Final = 300.0
"""How often is looked whether a test has stopped, and tried again what nobody took, in s."""

END_SECONDS: Final = 5.0
"""How long the end of the refresh waits for a message that is being sent, in s."""


class AlertWatch:
    """Sends alerts in a thread until the block ends; without a connection to send them by it does nothing.

    Args:
        settings: of the pipeline.
        send: sends what is new.
        every_seconds: how often, where nothing is published.
    """

    def __init__(
        self,
        settings: Settings,
        send: Callable[[Settings], SendReport] = send_alerts,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._settings = settings
        self._send = send
        self._every = every_seconds
        self._due = threading.Event()
        self._ending = False
        self._complaint = ""
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin, with what has not been sent before."""
        if self._settings.airflow_conn_battery_alerts is not None:
            self._due.set()
            self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the thread."""
        self._ending = True
        self._due.set()
        if self._thread is not None:
            self._thread.join(END_SECONDS)

    def published(self) -> None:
        """Say that something has been published."""
        self._due.set()

    def _run(self) -> None:
        while True:
            self._due.wait(self._every)
            self._due.clear()
            if self._ending:
                return
            self._once()

    def _once(self) -> None:
        """Send what is new; the same complaint is logged once."""
        try:
            report = self._send(self._settings)
        except BatteryError as error:
            complaint = str(error)
        except Exception as error:  # noqa: BLE001  # whatever it is, the refresh goes on
            _log.debug("the alerts could not be sent", exc_info=True)
            complaint = f"unexpected {type(error).__name__}"
        else:
            complaint = report.unknown or ""
        if complaint and complaint != self._complaint:
            _log.warning("alerts on cells wait for the next run", why=complaint, in_seconds=self._every)
        self._complaint = complaint
