"""A temporary folder for each run; the folder of a run that was killed is removed by the next run.

A run holds a lock in its folder as long as its process lives. So a folder whose lock is free belongs to no run.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
from filelock import FileLock, Timeout

from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = structlog.get_logger()

PREFIX: Final = "battery-run-"
LOCK: Final = "lock"

BEGIN_SECONDS: Final = 3600.0
"""A folder still without its final name after so long, s, is of a run that ended before it held the lock."""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder below TMPDIR until the block ends, and remove those of runs that were killed.

    Raises:
        BatteryError: the folder cannot be made.
    """
    root = Path(tempfile.gettempdir())
    remove_abandoned(root)
    try:
        unlocked = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=root))
    except OSError as error:
        raise BatteryError(f"cannot make a folder in {root}: {error.strerror}; TMPDIR names another place") from None
    lock = FileLock(unlocked / LOCK)
    with lock:
        folder = unlocked.rename(root / unlocked.name.removeprefix("."))  # other runs may see it once it is locked
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(root: Path) -> None:
    """Remove the folders of this user's runs that have ended; those of other users and of live runs stay."""
    for folder in sorted((*root.glob(f"{PREFIX}*"), *root.glob(f".{PREFIX}*"))):
        with suppress(OSError, Timeout):  # another run removes it too, or its own run lives
            status = folder.lstat()
            is_starting = folder.name.startswith(".") and status.st_mtime > time.time() - BEGIN_SECONDS
            if is_starting or not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                continue
            with FileLock(folder / LOCK, blocking=False):
                shutil.rmtree(folder)
            _log.info("removed the folder of a run that was killed", folder=str(folder))
