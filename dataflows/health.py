"""The worker's pulse: a mark that is renewed whenever an epoch is done, for whoever asks how the worker is.

An epoch is done when all of it has landed, in every process, and also when nothing came; so one mark tells of all of
them. A worker that waits for its store or its warehouse finishes no epoch, and its mark grows old, as that of a dead
one does. It needs no port, and no look at the warehouse, which others may hold.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from kernel.base.settings import Settings

MISSED_EPOCHS: Final = 3
LATENESS_SECONDS: Final = 15.0
"""An epoch takes COMMIT_INTERVAL_SECONDS; the mark may be as old as three of them and this, for a long commit."""


class Pulse:
    """The mark of a worker, an empty file in RECOVERY_DIR/pulse; `longest` is how old, in s, it may become.

    Args:
        settings: where RECOVERY_DIR is, and how long an epoch lasts.
        lateness_seconds: how old the mark may become on top of some missed epochs, s.
    """

    def __init__(self, settings: Settings, lateness_seconds: float = LATENESS_SECONDS) -> None:
        self._mark = settings.recovery_dir / "pulse" / "epoch"
        self.longest = MISSED_EPOCHS * settings.commit_interval_seconds + lateness_seconds

    def beat(self) -> None:
        """Renew the mark: an epoch is done.

        Raises:
            BatteryError: RECOVERY_DIR cannot be written.
        """
        try:
            self._mark.parent.mkdir(parents=True, exist_ok=True)
            self._mark.touch()
        except OSError as error:
            raise BatteryError(f"RECOVERY_DIR: cannot write {self._mark}: {error.strerror}") from None

    def age(self) -> float:
        """How long ago, in s, an epoch was done.

        Raises:
            BatteryError: none ever was, or the last one is longer ago than a worker that is well takes.
        """
        found = self.since()
        if found is None:
            raise BatteryError(f"no worker has closed an epoch yet: there is no {self._mark}")
        if found > self.longest:
            raise BatteryError(
                f"the worker has closed no epoch for {found:.0f} s, expected within {self.longest:.0f} s: it has "
                "ended, or waits for its store or warehouse; its log says which"
            )
        return found

    def since(self) -> float | None:
        """How long ago, in s, an epoch was done, however long that is; None where none ever was."""
        try:
            return time.time() - self._mark.stat().st_mtime
        except FileNotFoundError:
            return None
