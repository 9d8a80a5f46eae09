"""Ending a worker cleanly: the sources stop, the epoch closes and commits, the process exits with 0.

SIGTERM and SIGINT start this. The processes of a cluster stop together or not at all: a process that gets a signal
passes it on to its supervisor, which closes the standard input of all. It closes, too, when the supervisor dies.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

STOP: Final = threading.Event()
"""Set when this process is to end."""

END_SECONDS: Final = 60.0
"""How long a process may take to end after SIGTERM, s: the worker commits, and may wait for the warehouse."""

_SUPERVISORS: Final[set[int]] = set()


def stop_on_signals() -> None:
    """Have SIGTERM and SIGINT set `STOP`, or pass them on to the supervisor where there is one."""

    def stop(number: int, _frame: FrameType | None) -> None:
        if os.getppid() in _SUPERVISORS:
            os.kill(os.getppid(), number)
        else:
            STOP.set()

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)


def leave_on_signals() -> None:
    """Have SIGTERM and SIGINT set `STOP` and end this process with exit code 0, whatever it is doing.

    The exception that ends it may get lost in a library: at its first query DuckDB tries to import optional libraries,
    and takes any exception as a sign that one is not installed. So an endless loop must check `STOP`, too.
    """

    def leave(_number: int, _frame: FrameType | None) -> None:
        STOP.set()
        sys.exit(0)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)


def end_with_parent(seconds: float = END_SECONDS) -> None:
    """Have this process receive SIGTERM when its standard input closes, and SIGKILL where that does not end it.

    The process that started it holds that input open; however the starting process ends, the input closes.
    A process that leads its group is killed with the group.

    Args:
        seconds: how long it may take to end, s.
    """

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass  # whatever is written there has no meaning
        _silence_unread_output()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(seconds)
        leads = os.getpgrp() == os.getpid()
        os.kill(-os.getpid() if leads else os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def _silence_unread_output() -> None:
    """Send output to /dev/null where its pipe has no reader any more: a signal handler that writes must not fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        poll = select.poll()
        poll.register(stream, 0)  # errors are reported in any case
        if any(event & select.POLLERR for _, event in poll.poll(0)):
            os.dup2(nowhere, stream)


def stop_with(supervisor: int) -> None:
    """Have this process stop when its supervisor closes its standard input, or dies.

    Args:
        supervisor: process id of the supervisor, which is sent the signals that this process receives.
    """
    _SUPERVISORS.add(supervisor)

    def wait() -> None:
        os.read(sys.stdin.fileno(), 1)
        STOP.set()

    threading.Thread(target=wait, daemon=True).start()


def kill_orphan(supervisor: int, seconds: float = END_SECONDS) -> None:
    """Have this process killed if it still runs so long after its supervisor has died: it may wait for lost processes.

    Args:
        supervisor: process id of the supervisor, which holds the standard input of this process open.
        seconds: how long it may take to end, s.
    """

    def wait() -> None:
        os.read(sys.stdin.fileno(), 1)
        time.sleep(seconds)
        if os.getppid() != supervisor:
            os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, name="kill-orphan", daemon=True).start()
