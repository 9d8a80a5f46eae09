"""How many messages of a partition have not landed: those read are counted, those still in the log by their offsets.

Pure bookkeeping of one partition; `dataflows.source` supplies the numbers.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Lag:
    """The messages of a partition that have not landed.

    What an epoch has read has landed when the epoch is closed. Messages up to `landed` that are read again count as
    landed.

    >>> lag = Lag(landed=5, start=6)
    >>> lag.read([6, 7])
    >>> lag.messages(log_end=10)
    4
    >>> lag.end_epoch([], next_offset=8)
    >>> lag.close_epoch()
    >>> lag.messages(log_end=10), lag.next_to_land
    (2, 8)

    Args:
        landed: the last offset that had landed before.
        start: the offset where reading begins; None where that is not known.

    Attributes:
        next_to_land: all messages before this offset have landed.
    """

    def __init__(self, landed: int, start: int | None) -> None:
        self._landed = landed
        self._reached = max(landed + 1, start or 0)
        self._read = 0
        self._read_in_epoch = 0
        self._epoch_end = landed + 1
        self._is_known = False
        self.next_to_land = landed + 1

    def read(self, offsets: Sequence[int]) -> None:
        """Count messages that were received, in the order of their offsets; none where the log has ended."""
        self._is_known = True
        if offsets:
            self._read += self._new(offsets)
            self._reached = max(self._reached, offsets[-1] + 1)

    def end_epoch(self, held: Iterable[Sequence[int]], next_offset: int) -> None:
        """Note that an epoch ends.

        Args:
            held: the offsets of messages that were received and are kept for the next epoch.
            next_offset: the epoch has read all messages before it.
        """
        self._read_in_epoch = self._read - sum(map(self._new, held))
        self._epoch_end = next_offset

    def close_epoch(self) -> None:
        """Note that all which the ended epoch has read has landed."""
        self._read -= self._read_in_epoch
        self._read_in_epoch = 0
        self.next_to_land = max(self.next_to_land, self._epoch_end)

    def messages(self, log_end: int | None) -> int | None:
        """How many messages have not landed; None before anything was read.

        Args:
            log_end: the offset that the next message of the log will get; None where all has been received.
        """
        if not self._is_known:
            return None
        return self._read + (0 if log_end is None else max(0, log_end - self._reached))

    def _new(self, offsets: Sequence[int]) -> int:
        return len(offsets) - bisect_right(offsets, self._landed)
