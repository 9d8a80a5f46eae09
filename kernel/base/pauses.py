"""Pauses between tries that fail: each longer than the one before, up to a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import tenacity

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 60.0

NOTICE_SECONDS: Final = 1.0
"""A wait that is shorter than this is not worth a log line."""


class Pauses:
    """The pauses of something that is tried again and again."""

    def __init__(self, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS) -> None:
        """Begin with the first pause.

        Args:
            first: length of the first pause, s.
            longest: no pause is longer than that, s.
        """
        self._first = first
        self._longest = longest
        self._next = first

    def next(self) -> float:
        """How long to wait now, s."""
        pause = min(self._next, self._longest)
        self._next = 2 * pause
        return pause

    def reset(self) -> None:
        """It works again: the next pause is the first one."""
        self._next = self._first


def wait_for(
    may_pass: Callable[[BaseException], bool],
    notice: Callable[[BaseException], object],
    *,
    seconds: float,
    first: float,
    longest: float,
) -> tenacity.Retrying:
    """What calls a function until it no longer fails in a way that may pass; says once that it waits.

    Example:
        >>> answers = iter([ConnectionError("refused"), "42"])
        >>> def ask():
        ...     answer = next(answers)
        ...     if isinstance(answer, Exception):
        ...         raise answer
        ...     return answer
        >>> retry = wait_for(lambda error: isinstance(error, OSError), print, seconds=10, first=0.01, longest=0.1)
        >>> retry(ask)
        '42'

    Args:
        may_pass: whether the call may succeed later after such an error; any other error is raised at once.
        notice: called once with the latest error, when the wait has taken longer than `NOTICE_SECONDS`.
        seconds: how long to wait in all, s; then the latest error is raised.
        first: what the pauses grow from, s; each is a random share of its limit.
        longest: no pause is longer than that, s.
    """
    noticed = False

    def notice_once(state: tenacity.RetryCallState) -> None:
        nonlocal noticed
        error = state.outcome.exception() if state.outcome else None
        if error is not None and not noticed and (state.seconds_since_start or 0.0) > NOTICE_SECONDS:
            noticed = True
            notice(error)

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(may_pass),
        wait=tenacity.wait_random_exponential(multiplier=first, max=longest),
        stop=tenacity.stop_after_delay(seconds),
        after=notice_once,
        reraise=True,
    )
