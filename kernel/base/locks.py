"""Locks between processes: a file that one process holds at a time, together with its children.

The lock belongs to the open file, and a child that is given its descriptor (`pass_fds`) shares that open file. So the
lock is free when the process and those children have ended, in whatever way.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from filelock import lock_descriptor

from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kernel.base.settings import Settings

LOOK_SECONDS: Final = 0.2
"""Time between two attempts to take a lock that another process holds, s."""


@contextmanager
def lock_file(path: Path, wait: Callable[[float], object]) -> Iterator[int]:
    """Hold a lock until the block ends, and until the children that were given it have ended.

    Args:
        path: its file; it is made where it is missing, and not removed.
        wait: called repeatedly while another process holds the lock, with the time to wait, s; an exception from it
            ends the wait.

    Returns:
        The descriptor of its file.

    Raises:
        OSError: the file cannot be made or opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not lock_descriptor(descriptor, blocking=False):
            wait(LOOK_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock of a file now; False where there is no such file.

    Whoever tries to take it at that very moment waits `LOOK_SECONDS` longer.

    Raises:
        OSError: the file cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not lock_descriptor(descriptor, blocking=False)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive_lock(settings: Settings, what: str) -> Iterator[Path]:
    """Hold REPLAY_DIR alone: a replay reads objects that a compaction or a sweep would remove.

    Args:
        settings: where REPLAY_DIR is.
        what: what is running, as the error of those who are refused names it.

    Raises:
        BatteryError: REPLAY_DIR cannot be used, or something is running there.
    """
    root = settings.replay_dir.resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = (root / "lock").open("a+")
    except OSError as error:
        raise BatteryError(f"REPLAY_DIR={root} cannot be used: {error.strerror}") from None
    with lock:
        if not lock_descriptor(lock.fileno(), blocking=False):
            lock.seek(0)
            running = lock.read() or "replay"
            raise BatteryError(
                f"{'another' if running == what else 'a'} {running} is running in REPLAY_DIR={root}; wait for it, or "
                "stop it"
            )
        lock.truncate(0)  # it may name one that was killed
        lock.write(what)
        lock.flush()
        yield root
