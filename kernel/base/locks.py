"""Locks between processes: a file that one process at a time has, and its children with it.

The lock belongs to an open file, and a child that is given its descriptor (`pass_fds`) has the same open file. So the
lock is free when the process and those children have ended, however they do.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from filelock import lock_descriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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
