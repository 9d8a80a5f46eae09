"""How many messages of a partition have not landed: those read are counted, those still in the log by their offsets.

Pure bookkeeping of one partition; what it is told is `dataflows.source`'s to know.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Lag:
    """Messages behind `landed`, the last offset that had landed before; reading begins at `start`, where that is known.

    What an epoch has read has landed when the epoch is done. Messages up to `landed` that are read once more count as
    landed.
    """

    def __init__(self, landed: int, start: int | None) -> None:
        self._landed = landed
        self._reached = max(landed + 1, start or 0)
        self._read = 0
        self._in_epoch = 0

    def read(self, offsets: Sequence[int]) -> None:
        """Count messages that were received, in the order of their offsets."""
        if offsets:
            self._read += self._new(offsets)
            self._reached = max(self._reached, offsets[-1] + 1)

    def end_epoch(self, held: Iterable[Sequence[int]]) -> None:
        """Note that an epoch ends, which has read all but some messages that are held for the next one."""
        self._in_epoch = self._read - sum(map(self._new, held))

    def close_epoch(self) -> None:
        """Note that all which the epoch had read is done."""
        self._read -= self._in_epoch
        self._in_epoch = 0

    def messages(self, high: int | None) -> int:
        """How many have not landed.

        Args:
            high: the offset that the log's next message will get, for what was not received yet; None where the end of
                what may be read was reached.
        """
        return self._read + (0 if high is None else max(0, high - self._reached))

    def _new(self, offsets: Sequence[int]) -> int:
        return len(offsets) - bisect_right(offsets, self._landed)
