"""No orphans: a process that the system ends along with the one that started it, however that ends.

Only Linux does so. Elsewhere such a process may outlive one that was killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_SET_DEATH_SIGNAL: Final = 1
"""PR_SET_PDEATHSIG of <linux/prctl.h>; it holds over an exec."""


def end_with_parent(parent: int) -> None:
    """From now on, this process is killed when the thread that started it ends.

    Args:
        parent: the process that started it; where that has ended by now, this process is killed at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)


def no_orphan(command: Sequence[str]) -> list[str]:
    """A command that is killed when the thread of this process that starts it ends; it keeps its process id."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606  # this process becomes it
