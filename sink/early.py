"""When a lane commits before its epoch closes: once nothing more waits to be read, so that a drop is seen soon.

A stream that never pauses is committed every COMMIT_INTERVAL_SECONDS, and so is a thin one that pauses between its
messages: objects would get many and small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_SECONDS: Final = 0.1
"""How often a lane looks whether to commit early."""

QUIET_SECONDS: Final = 0.3
"""How long nothing more must have come."""

LEAST_ROWS: Final = 1000
"""So many rows are worth a commit of their own although the commit before was less than an interval ago."""

LEAST_SHARE: Final = 0.2
"""Two commits are this share of the interval apart, unless the rows are too many to wait."""


@dataclass(frozen=True)
class EarlyCommits:
    """Tells when to commit before the epoch closes.

    `interval_seconds` is COMMIT_INTERVAL_SECONDS; `quiet_seconds` tells for how long nothing more has come to this
    process.

    >>> early = EarlyCommits(10, lambda: 0.5)
    >>> early.is_due(rows=1, since_commit=12), early.is_due(rows=1, since_commit=5), early.is_due(2000, since_commit=5)
    (True, False, True)
    """

    interval_seconds: float
    quiet_seconds: Callable[[], float]

    def is_due(self, rows: int, since_commit: float) -> bool:
        """Whether to commit now.

        Args:
            rows: how many rows are waiting in the lane.
            since_commit: how long ago the lane's last commit began, in s.
        """
        if not rows or self.quiet_seconds() < QUIET_SECONDS:
            return False
        least = LEAST_SHARE * self.interval_seconds if rows >= LEAST_ROWS else self.interval_seconds
        return since_commit >= least
