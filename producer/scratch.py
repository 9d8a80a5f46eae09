"""A temporary folder for each run, which the next run removes where its own was killed.

A run holds a lock in its folder for as long as it lives; the system takes it away with the process. So a folder whose
lock is free belongs to nobody any more.
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
"""A folder that has not got its name after so long was given up before its lock was held."""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Lend a folder below TMPDIR until the block ends, and remove those of runs that were killed.

    Raises:
        BatteryError: there is no room for it.
    """
    root = Path(tempfile.gettempdir())
    remove_abandoned(root)
    try:
        unlocked = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=root))
    except OSError as error:
        raise BatteryError(f"cannot make a folder in {root}: {error.strerror}; TMPDIR names another place") from None
    lock = FileLock(unlocked / LOCK)
    with lock:
        folder = unlocked.rename(root / unlocked.name.removeprefix("."))  # others see it now that its lock is held
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(root: Path) -> None:
    """Remove the folders of this user's runs that are no more; those of others and of living runs stay."""
    for folder in sorted((*root.glob(f"{PREFIX}*"), *root.glob(f".{PREFIX}*"))):
        with suppress(OSError, Timeout):  # another run clears up at the same time; or its run lives
            status = folder.lstat()
            is_starting = folder.name.startswith(".") and status.st_mtime > time.time() - BEGIN_SECONDS
            if is_starting or not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                continue
            with FileLock(folder / LOCK, blocking=False):
                shutil.rmtree(folder)
            _log.info("removed what a run that was killed had left", folder=str(folder))
