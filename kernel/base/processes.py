"""Child processes: starting, ending, restarting, and relaying their lines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from kernel.base.pauses import Pauses
from kernel.base.stopping import END_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

SHORT_LIFE_SECONDS: Final = 60.0
"""A process that ends by itself within this time of its start is likely to do so again, s."""


def battery_command(*arguments: str) -> list[str]:
    """The command line of a subcommand of `battery`, run by this Python."""
    return [sys.executable, "-m", "battery", *arguments]


def start_command(
    arguments: Iterable[str],
    environment: Mapping[str, str] | None = None,
    *,
    output: int | None = None,
    locks: Collection[int] = (),
) -> subprocess.Popen[str]:
    """Start a subcommand of `battery`, whose standard input closes when this process ends.

    With the option `--with-parent`, it ends then. It leads its own session, so Ctrl-C in a terminal does not reach it.

    Args:
        arguments: the subcommand with its arguments.
        environment: variables on top of those of this process.
        output: `subprocess.PIPE` to read its standard output and error as one; None leaves them those of this process.
        locks: descriptors of the locks that it holds along with this process.

    Raises:
        OSError: the system cannot start another process.
    """
    return subprocess.Popen(
        battery_command(*arguments),
        env=os.environ | dict(environment or {}),
        stdin=subprocess.PIPE,  # never written to
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
        start_new_session=True,
        pass_fds=tuple(locks),
    )


def end_process(process: subprocess.Popen[str] | subprocess.Popen[bytes], seconds: float = END_SECONDS) -> bool:
    """Send SIGTERM to a process that leads its session and wait for its end; kill it with its group if it does not end.

    Args:
        process: the process; nothing happens to one that has ended.
        seconds: how long it may take to end, s.

    Returns:
        Whether it ended without being killed.
    """
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        kill_processes([process])
        return False
    finally:
        release_processes([process])
    return True


def kill_processes(processes: Collection[subprocess.Popen[str] | subprocess.Popen[bytes]]) -> None:
    """Kill processes that lead their sessions, each with its group, and wait for the end of all."""
    for process in processes:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    for process in processes:
        process.wait()
    release_processes(processes)


def release_processes(processes: Iterable[subprocess.Popen[str] | subprocess.Popen[bytes]]) -> None:
    """Close the standard inputs of processes, which asks those that `start_command` started to end."""
    for process in processes:
        if process.stdin is not None:
            process.stdin.close()


class Restarts:
    """How often a process has ended by itself soon after its start, and how long to wait before the next start."""

    def __init__(self) -> None:
        self._pauses = Pauses()
        self._started = time.monotonic()
        self.short_lives = 0
        """How many lives in a row were short, up to and including the last one."""

    def started(self) -> None:
        """Note a start."""
        self._started = time.monotonic()

    def ended(self) -> float:
        """Note an end that was not requested; return the pause before the next start, s: it grows after short lives."""
        if time.monotonic() - self._started < SHORT_LIFE_SECONDS:
            self.short_lives += 1
        else:
            self.short_lives = 0
            self._pauses.reset()
        return self._pauses.next()

    def failed(self) -> float:
        """Note a start that failed; return the pause before the next one, s."""
        return self._pauses.next()


def relay_lines(lines: Iterable[str], tell: Callable[[str], object]) -> threading.Thread:
    """Pass the lines of another process on, from a thread that runs until they end.

    If nobody reads the output of this process, lines get lost; the other process must not hang for that.

    Args:
        lines: the output to read.
        tell: called with each line, without its end.
    """

    def relay() -> None:
        for line in lines:
            with suppress(OSError):
                tell(line.rstrip("\n"))

    thread = threading.Thread(target=relay, name="relay", daemon=True)
    thread.start()
    return thread
