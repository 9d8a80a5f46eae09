"""Locks between processes: a file that one process at a time has, and its children with it.

The lock belongs to an open file, and a child that is given its descriptor (`pass_fds`) has the same open file. So the
lock is free when the process and those children have ended, however they do.
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
"""Time between two looks at a lock that another process has."""


@contextmanager
def lock_file(path: Path, wait: Callable[[float], object]) -> Iterator[int]:
    """Have a lock until the block ends, and until the children that were given it have ended.

    Args:
        path: its file, which is made where it is absent and stays.
        wait: called again and again while another process has the lock, with the time to wait, s; what it raises ends
            the wait.

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


@contextmanager
def exclusive_lock(settings: Settings, what: str) -> Iterator[Path]:
    """Keep others out of REPLAY_DIR, which is lent: a replay reads objects that a compaction or a sweep would remove.

    Args:
        settings: where REPLAY_DIR is.
        what: what is running, for those who are refused meanwhile.

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
        lock.truncate(0)  # it tells of one that was killed
        lock.write(what)
        lock.flush()
        yield root
