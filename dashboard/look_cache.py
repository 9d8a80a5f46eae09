"""The last result of each look, so that a page shows something, with its age, while nothing newer can be had."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from kernel.base.errors import BatteryError
from refresh.marts import NothingYetError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")


@dataclass(frozen=True)
class Look(Generic[T]):
    """The result of a look, when it was taken (UTC), and why no newer one could be taken, where that failed."""

    value: T
    at: datetime
    complaint: str | None = None


class LookCache:
    """The last look of each kind, shared by all visitors: one visitor looks at a time, the others take the result.

    It keeps `most` kinds of looks and drops those that were taken the longest time ago.
    """

    def __init__(self, most: int = 64) -> None:
        self._one_at_a_time = threading.Lock()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._looks: dict[Hashable, tuple[float, Look[object]]] = {}
        self._most = most

    def expire(self, what: Hashable) -> None:
        """Take the next look of this kind anew, however short ago the last one was."""
        with self._one_at_a_time:
            if what in self._looks:
                self._looks[what] = (-math.inf, self._looks[what][1])

    def look(self, what: Hashable, make: Callable[[], T], fresh_seconds: float) -> Look[T]:
        """Look, or return the last look if it is not older than `fresh_seconds`, or if looking fails.

        Raises:
            NothingYetError: there is nothing to see; the last look is dropped.
            BatteryError: looking failed, and there is no last look.
        """
        with self._one_at_a_time:
            lock = self._locks.setdefault(what, threading.Lock())
        with lock:
            last = self._looks.get(what)
            if last is not None and time.monotonic() - last[0] <= fresh_seconds:
                return cast("Look[T]", last[1])
            try:
                look: Look[T] = Look(make(), datetime.now(UTC).replace(tzinfo=None))
            except NothingYetError:
                self._looks.pop(what, None)
                raise
            except BatteryError as error:
                if last is None:
                    raise
                old = cast("Look[T]", last[1])
                look = Look(old.value, old.at, str(error))
            with self._one_at_a_time:
                self._looks.pop(what, None)
                self._looks[what] = (time.monotonic(), cast("Look[object]", look))
                for oldest in list(self._looks)[: -self._most]:
                    del self._looks[oldest]
                    self._locks.pop(oldest, None)
            return look
