"""What was seen last: so that a page shows something, and says how old it is, while nothing newer can be had."""

from __future__ import annotations

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
class Seen(Generic[T]):
    """What was seen, when (UTC), and why it has not been seen again since, where that failed."""

    value: T
    at: datetime
    complaint: str | None = None


class Remembered:
    """The last of each kind of look, shared by all visitors; one looks at a time, the others take what it found.

    Of more than `most` kinds, those that were looked at the longest time ago are forgotten.
    """

    def __init__(self, most: int = 64) -> None:
        self._one_at_a_time = threading.Lock()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._seen: dict[Hashable, tuple[float, Seen[object]]] = {}
        self._most = most

    def look(self, what: Hashable, make: Callable[[], T], fresh_seconds: float) -> Seen[T]:
        """Look, or remember a look that is not older than `fresh_seconds`; where looking fails, the last one.

        Raises:
            NothingYetError: there is nothing to see, whatever was seen before.
            BatteryError: looking failed, and nothing was seen before.
        """
        with self._one_at_a_time:
            lock = self._locks.setdefault(what, threading.Lock())
        with lock:
            found = self._seen.get(what)
            if found is not None and time.monotonic() - found[0] <= fresh_seconds:
                return cast("Seen[T]", found[1])
            try:
                seen: Seen[T] = Seen(make(), datetime.now(UTC).replace(tzinfo=None))
            except NothingYetError:
                self._seen.pop(what, None)
                raise
            except BatteryError as error:
                if found is None:
                    raise
                last = cast("Seen[T]", found[1])
                seen = Seen(last.value, last.at, str(error))
            with self._one_at_a_time:
                self._seen.pop(what, None)
                self._seen[what] = (time.monotonic(), cast("Seen[object]", seen))
                for forgotten in list(self._seen)[: -self._most]:
                    del self._seen[forgotten]
                    self._locks.pop(forgotten, None)
            return seen
