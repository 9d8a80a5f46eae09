"""When a refresh that keeps running builds: soon after the landing pauses, and for a share of the time at most."""

from __future__ import annotations

from typing import Final

from kernel.base.pauses import Pauses

QUIET_SECONDS: Final = 1.5
"""Models are built when nothing has landed for so long: what comes together is built together."""

LONGEST_WAIT_SECONDS: Final = 20.0
"""They are built so long after the first news at the latest: a live stream never pauses."""

SHARE: Final = 0.25
"""The share of the time that refreshes may take in the long run, under a stream that never pauses.

What waits is built all the same once nothing has landed for `LONGEST_WAIT_SECONDS`, and for as long as the last refresh
took: that is no stream, and a drop after one long build would wait for three times its length."""

MOST_CREDIT_SECONDS: Final = 60.0
"""How much time for refreshes is saved up while there is nothing to do: the next few drops are built at once."""

FIRST_RETRY_SECONDS: Final = 30.0
LONGEST_RETRY_SECONDS: Final = 600.0


class Pace:
    """What a refresh has seen of the news so far, and the time that it may still take.

    All times are those of one monotonic clock, in s.

    Example:
        >>> pace = Pace(now=0)
        >>> [pace.is_due("9 rows", now) for now in (0, 1, 1.5)]
        [False, False, True]
    """

    def __init__(self, now: float) -> None:
        self._news: str | None = None
        self._built: str | None = None
        """The news with which the last refresh began."""
        self._first = self._newest = now
        self._credit, self._credited = MOST_CREDIT_SECONDS, now
        self._took = 0.0
        self._failed: str | None = None
        self._retry_at = now
        self._pauses = Pauses(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)

    def is_due(self, news: str | None, now: float) -> bool:
        """Whether to build now.

        Args:
            news: what is new since the last refresh; None for nothing.
            now: the time.
        """
        self._earn(now)
        if news is None:
            self._news = None
            return False
        if self._news is None or self._news == self._failed:
            self._first = now
        if news != self._news:
            self._news, self._newest = news, now
        is_settled = now - self._newest >= QUIET_SECONDS or now - self._first >= LONGEST_WAIT_SECONDS
        may_try = news != self._failed or now >= self._retry_at
        has_paused = now - self._newest >= max(LONGEST_WAIT_SECONDS, self._took)
        return is_settled and may_try and (self._credit > 0 or has_paused)

    def refreshed(self, began: float, now: float) -> None:
        """Note that a refresh has succeeded."""
        self._spend(began, now)
        self._failed = None
        self._pauses.reset()

    def failed(self, began: float, now: float) -> float:
        """Note that a refresh has failed; the pause before it is tried again with the same news, in s."""
        self._spend(began, now)
        self._failed, pause = self._built, self._pauses.next()
        self._retry_at = now + pause
        return pause

    def _earn(self, now: float) -> None:
        self._credit = min(MOST_CREDIT_SECONDS, self._credit + SHARE * (now - self._credited))
        self._credited = now

    def _spend(self, began: float, now: float) -> None:
        """Take the time of a refresh from what was saved; what lands meanwhile is news after it."""
        self._took = now - began
        self._credit -= self._took
        self._credited = now
        self._built, self._news = self._news, None
