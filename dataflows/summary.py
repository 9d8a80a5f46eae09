"""What this run of the worker has read and landed, and a progress bar where the run has an end."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from kernel.base.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Tally:
    """Counts messages read, a poll at a time, and rows landed, a commit at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._progress: Progress | None = None
        self._left: dict[int, int | None] = {}
        self._messages = 0
        self._rows = 0
        self._commits = 0
        self._quarantined: Counter[str] = Counter()

    @contextmanager
    def shown(self, *, until_end: bool, lines: bool) -> Iterator[None]:
        """Show the progress until the block ends, where the run stops at the end of the log.

        Args:
            until_end: whether the run stops there; if not, nothing is shown.
            lines: show it in log lines, even on a terminal.
        """
        self._started = time.monotonic()
        if not until_end:
            yield
            return
        with Progress("streaming", "messages", lines=lines) as self._progress:
            yield

    def expect(self, partition: int) -> None:
        """Note a partition that will be read, and whose length is not known yet."""
        with self._lock:
            self._left[partition] = None

    def read(self, partition: int, messages: int, left: int | None) -> None:
        """Count a poll of a partition.

        Args:
            partition: its number.
            messages: how many messages the poll brought.
            left: how many messages it has left; None where that is not known yet.
        """
        with self._lock:
            self._messages += messages
            self._left[partition] = left
            if self._progress is not None:
                remaining = [count for count in self._left.values() if count is not None]
                if len(remaining) == len(self._left):
                    self._progress.expect(self._messages + sum(remaining))
                if messages:
                    self._progress.advance(messages)

    def landed(self, rows: int, quarantined: Mapping[str, int]) -> None:
        """Count a commit: its rows that landed, and those that were quarantined, by reason."""
        with self._lock:
            self._commits += 1
            self._rows += rows
            self._quarantined.update(quarantined)

    def lines(self) -> Iterator[str]:
        """The totals, as lines for a person."""
        refused = self._quarantined.total()
        seconds = time.monotonic() - self._started
        rate = (self._rows + refused) / max(seconds, 1e-9)
        yield (
            f"landed {self._rows} rows and quarantined {refused} of {self._messages} messages "
            f"in {self._commits} commits; {seconds:.1f} s, {rate:.0f} rows/s"
        )
        for reason, rows in sorted(self._quarantined.items()):
            yield f"  quarantined as {reason}: {rows}"


TALLY: Final = Tally()
"""The tally of this process."""
