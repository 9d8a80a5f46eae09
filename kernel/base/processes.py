"""Child processes: how they are started and ended, when they are started again, and who passes their lines on."""

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
"""A process that ends by itself within that time of its start is likely to do so again."""


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
    """Start a subcommand of `battery` that ends when its standard input closes, which it does when this process ends.

    It leads a session of its own: a terminal's Ctrl-C does not reach it.

    Args:
        arguments: the subcommand and what stands behind it.
        environment: variables on top of those of this process.
        output: `subprocess.PIPE` to read its standard output and error as one; None leaves them those of this process.
        locks: descriptors of the locks that it holds along with this process.

    Raises:
        OSError: the system has no room for a process.
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
    """Send SIGTERM to a process that leads its session, and wait for its end; kill it with its group where none comes.

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
    """How often something has ended by itself soon after its start, and how long to wait before its next start."""

    def __init__(self) -> None:
        self._pauses = Pauses()
        self._started = time.monotonic()
        self.short_lives = 0
        """How many lives in a row were short, the last one among them."""

    def started(self) -> None:
        """Note a start."""
        self._started = time.monotonic()

    def ended(self) -> float:
        """Note an end that nobody asked for; the pause before the next start, s: it grows while lives are short."""
        if time.monotonic() - self._started < SHORT_LIFE_SECONDS:
            self.short_lives += 1
        else:
            self.short_lives = 0
            self._pauses.reset()
        return self._pauses.next()

    def failed(self) -> float:
        """Note a start that failed; the pause before the next one, s."""
        return self._pauses.next()


def relay_lines(lines: Iterable[str], tell: Callable[[str], object]) -> threading.Thread:
    """Pass the lines of another process on, from a thread that runs until they end.

    Where nobody reads the output of this process, lines get lost: a process whose lines nobody took would hang.

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
