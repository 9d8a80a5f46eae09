"""Ending a worker cleanly: sources stop, the epoch closes and commits, the process exits with 0.

SIGTERM and SIGINT ask for it. The processes of a cluster stop together or not at all, so one of them passes a signal
on to its supervisor, which asks all by closing their standard input; and when the supervisor is gone, that closes too.
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
"""How long a process may take to end when asked to: the worker commits, and may wait for a warehouse."""

_SUPERVISORS: Final[set[int]] = set()


def stop_on_signals() -> None:
    """From now on, a signal sets `STOP`, or is passed on to the supervisor where there is one."""

    def ask(number: int, _frame: FrameType | None) -> None:
        if os.getppid() in _SUPERVISORS:
            os.kill(os.getppid(), number)
        else:
            STOP.set()

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, ask)
        signal.signal(signal.SIGINT, ask)


def leave_on_signals() -> None:
    """From now on, a signal sets `STOP` and ends this process with exit code 0, wherever it is.

    The exception that does so may get lost in another library: DuckDB imports some that it looks for at the first
    query, and takes whatever they raise for their absence. So what runs for ever asks `STOP`, too.
    """

    def leave(_number: int, _frame: FrameType | None) -> None:
        STOP.set()
        sys.exit(0)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)


def end_with_parent(seconds: float = END_SECONDS) -> None:
    """From now on, this process is sent SIGTERM when its standard input closes, and killed where that does not end it.

    Whoever started it holds that open as long as it is to run, and cannot outlive it: however that one ends, it closes.
    A process that leads its group is killed along with the group.

    Args:
        seconds: how long it may take to end, s.
    """

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass  # nobody writes, and what is written means nothing
        _silence_unread_output()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(seconds)
        leads = os.getpgrp() == os.getpid()
        os.kill(-os.getpid() if leads else os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def _silence_unread_output() -> None:
    """Let what is written to a pipe that nobody reads any more go nowhere, and not raise where a signal is handled."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        looked = select.poll()
        looked.register(stream, 0)  # errors are told in any case
        if any(event & select.POLLERR for _, event in looked.poll(0)):
            os.dup2(nowhere, stream)


def stop_with(supervisor: int) -> None:
    """From now on, this process belongs to another one, which holds its standard input open as long as it is to run."""
    _SUPERVISORS.add(supervisor)

    def wait() -> None:
        os.read(sys.stdin.fileno(), 1)
        STOP.set()

    threading.Thread(target=wait, daemon=True).start()
