"""The worker's pulse: each lane leaves a mark when its epoch has closed, committed or idle, for whoever asks.

A worker that waits for its store or its warehouse closes no epoch, so its marks grow old: that is what tells it from
one that is well. It needs no port, and no look at the warehouse, which others may hold.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from battery.errors import BatteryError

if TYPE_CHECKING:
    from pathlib import Path

    from battery.settings import Settings

MISSED_EPOCHS: Final = 3
LATENESS_SECONDS: Final = 15.0
"""An epoch closes every COMMIT_INTERVAL_SECONDS; a mark may be as old as three of them and this, for a long commit."""


class Pulse:
    """The marks of a worker's lanes, empty files in RECOVERY_DIR/pulse; `longest` is how old, in s, one may become."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.recovery_dir / "pulse"
        self._lanes = settings.lanes
        self.longest = MISSED_EPOCHS * settings.commit_interval_seconds + LATENESS_SECONDS

    def beat(self, lane: int) -> None:
        """Leave a mark: the lane's epoch has closed.

        Raises:
            BatteryError: RECOVERY_DIR cannot be written.
        """
        mark = self._mark(lane)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            mark.touch()
        except OSError as error:
            raise BatteryError(f"RECOVERY_DIR: cannot write {mark}: {error.strerror}") from None

    def age(self) -> float:
        """How long ago, in s, the slowest lane closed an epoch.

        Raises:
            BatteryError: a lane has never closed one, or the last time is longer ago than a worker that is well takes.
        """
        ages = [self._since(lane) for lane in range(self._lanes)]
        if None in ages:
            raise BatteryError(f"no worker has closed an epoch yet: there is no {self._mark(ages.index(None))}")
        oldest = max(age for age in ages if age is not None)
        if oldest > self.longest:
            raise BatteryError(
                f"the worker has closed no epoch for {oldest:.0f} s, expected within {self.longest:.0f} s: it has "
                "ended, or waits for its store or warehouse; its log says which"
            )
        return oldest

    def oldest(self) -> float | None:
        """How long ago, in s, the slowest lane closed an epoch, however long that is; None where one never has."""
        ages = [age for age in (self._since(lane) for lane in range(self._lanes)) if age is not None]
        return max(ages) if len(ages) == self._lanes else None

    def _mark(self, lane: int) -> Path:
        return self._folder / f"lane-{lane:02d}"

    def _since(self, lane: int) -> float | None:
        try:
            return time.time() - self._mark(lane).stat().st_mtime
        except FileNotFoundError:
            return None
