"""The worker's pulse: an empty file whose time is renewed at the end of every epoch, for health checks.

An epoch ends when all of it has landed, in every process, and also when no message came; so one file stands for all
processes. A worker that waits for its store or its warehouse ends no epoch, and its file grows old, as that of a dead
worker does. The check needs no port, and no access to the warehouse, which another process may hold.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from kernel.base.settings import Settings

MISSED_EPOCHS: Final = 3
LATENESS_SECONDS: Final = 15.0
"""How old the file may become on top of three epochs of COMMIT_INTERVAL_SECONDS, s: a commit may take long."""


class Pulse:
    """The file of a worker in RECOVERY_DIR/pulse; `longest` is how old, in s, it may become.

    Args:
        settings: where RECOVERY_DIR is, and how long an epoch lasts.
        lateness_seconds: how old the file may become on top of some missed epochs, s.
    """

    def __init__(self, settings: Settings, lateness_seconds: float = LATENESS_SECONDS) -> None:
        self._file = settings.recovery_dir / "pulse" / "epoch"
        self.longest = MISSED_EPOCHS * settings.commit_interval_seconds + lateness_seconds

    def beat(self) -> None:
        """Renew the file: an epoch has ended.

        Raises:
            BatteryError: RECOVERY_DIR cannot be written.
        """
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.touch()
        except OSError as error:
            raise BatteryError(f"RECOVERY_DIR: cannot write {self._file}: {error.strerror}") from None

    def age(self) -> float:
        """How long ago, in s, the last epoch ended.

        Raises:
            BatteryError: no epoch has ended yet, or the last one ended longer ago than a healthy worker takes.
        """
        age = self.since()
        if age is None:
            raise BatteryError(f"no worker has closed an epoch yet: there is no {self._file}")
        if age > self.longest:
            raise BatteryError(
                f"the worker has closed no epoch for {age:.0f} s, expected within {self.longest:.0f} s: it has "
                "ended, or waits for its store or warehouse; its log says which"
            )
        return age

    def since(self) -> float | None:
        """How long ago, in s, the last epoch ended, whatever the limit; None where none has ended yet."""
        try:
            return time.time() - self._file.stat().st_mtime
        except FileNotFoundError:
            return None
