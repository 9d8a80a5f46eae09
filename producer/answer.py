"""The answer of a server, within limits of time.

A thread asks the server and hands over what arrives; it may hang in a name look-up, a handshake or a header. The caller
waits for it with a deadline, and abandons the thread where it takes too long.
"""

from __future__ import annotations

import queue
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, cast

import requests

from kernel.base.errors import BatteryError
from kernel.base.masking import mask_urls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel.base.settings import Settings

CONNECT_SECONDS: Final = 10.0

_CHUNK: Final = 256 * 1024
_CHUNKS_AHEAD: Final = 16
_SLACK_SECONDS: Final = 5.0
"""The thread's own time limit is later by this, so that one place reports what took too long."""


class DownloadError(BatteryError):
    """A download that failed; if the connection broke, the same command can resume it."""


class DownloadLimitError(DownloadError):
    """A download that ran into a limit; nothing of it is kept."""


@dataclass(frozen=True)
class DownloadLimits:
    """What a download may take: bytes, s without a byte, and s altogether."""

    max_bytes: int
    idle_seconds: float
    total_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> DownloadLimits:
        """The limits that the settings give."""
        return cls(settings.download_max_bytes, settings.download_idle_seconds, settings.download_timeout_seconds)


class Answer:
    """What a server answers, as a thread of its own reads it, within limits of time."""

    def __init__(self, url: str, headers: dict[str, str], limits: DownloadLimits) -> None:
        self._url, self._headers, self._limits = url, headers, limits
        self._ends = time.monotonic() + limits.total_seconds
        self._items: queue.Queue[object] = queue.Queue(_CHUNKS_AHEAD)
        self._left = threading.Event()

    def __enter__(self) -> Self:
        """Begin to ask."""
        threading.Thread(target=self._ask, daemon=True, name="download").start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the thread behind: it ends with its present request."""
        self._left.set()

    def head(self) -> requests.Response:
        """Status and headers; the content is for `chunks` alone."""
        return cast("requests.Response", self._next())

    def chunks(self) -> Iterator[bytes]:
        """The content, as it comes."""
        while isinstance(chunk := self._next(), bytes):
            yield chunk

    def _next(self) -> object:
        timeout = min(self._limits.idle_seconds, self._ends - time.monotonic())
        try:
            item = self._items.get(timeout=timeout) if timeout > 0 else self._items.get_nowait()
        except queue.Empty:
            raise self._too_slow() from None
        if time.monotonic() > self._ends:  # a trickle is never idle
            raise self._too_slow()
        if isinstance(item, Exception):
            raise item
        return item

    def _too_slow(self) -> DownloadLimitError:
        shown, limits = mask_urls(self._url), self._limits
        if time.monotonic() < self._ends:
            return DownloadLimitError(
                f"{shown} has sent nothing for DOWNLOAD_IDLE_SECONDS={limits.idle_seconds:g}; nothing of it was kept"
            )
        return DownloadLimitError(
            f"{shown} takes longer than DOWNLOAD_TIMEOUT_SECONDS={limits.total_seconds:g}; nothing of it was kept: "
            "raise it, or copy the file here yourself"
        )

    def _ask(self) -> None:
        timeout = (CONNECT_SECONDS, self._limits.idle_seconds + _SLACK_SECONDS)
        try:
            with requests.get(self._url, headers=self._headers, stream=True, timeout=timeout) as answer:
                self._hand_over(answer)
                while not self._left.is_set() and (chunk := answer.raw.read1(_CHUNK, decode_content=False)):
                    self._hand_over(chunk)
            self._hand_over(None)
        except Exception as error:  # noqa: BLE001  # it is raised where it is waited for
            self._hand_over(error)

    def _hand_over(self, item: object) -> None:
        while not self._left.is_set():
            with suppress(queue.Full):
                self._items.put(item, timeout=1)
                return
