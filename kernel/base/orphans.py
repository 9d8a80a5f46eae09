"""No orphans: a process that the system ends along with the one that started it, however that ends.

Only Linux does so. Elsewhere such a process may outlive one that was killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from queue import SimpleQueue
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


def start_no_orphan(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a silent command in a session of its own, which the system kills when this process ends.

    The system goes by the thread that has started it, so that is one which waits until the command has ended.

    Args:
        command: the path of a program, and its arguments.

    Raises:
        OSError: the system has no room for it.
    """
    started: SimpleQueue[subprocess.Popen[bytes] | Exception] = SimpleQueue()

    def start() -> None:
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except Exception as error:  # noqa: BLE001  # it is raised where it is waited for
            started.put(error)
            return
        started.put(process)
        process.wait()

    threading.Thread(target=start, name="no-orphan", daemon=True).start()
    result = started.get()
    if isinstance(result, Exception):
        raise result
    return result


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606  # this process becomes it
