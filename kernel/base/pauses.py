"""Pauses between tries that fail: each twice as long as the one before, up to a limit."""

from __future__ import annotations

from typing import Final

FIRST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 60.0


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
