"""How much address space the reading children of a test take, looked at from outside again and again.

Memory that a process holds is part of that, and it is what the limit is on.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

from producer.child import LEFTOVER_SHARE, Child, Limits
from producer.spool import modules_to_read_with


def addresses(process: str, figure: str) -> int:
    """The address space of a process in bytes: `VmSize` now, or `VmPeak` at most so far."""
    return int(Path(f"/proc/{process}/status").read_text().partition(f"{figure}:")[2].split()[0]) * 1024


def most_allowed(folder: Path, memory_bytes: int) -> int:
    """What a child may come to: what it begins with, its limit, and what it may keep from earlier work, in bytes."""
    child = Child(Limits(2**30, 60), folder, *modules_to_read_with())
    at_start = child.result(addresses, "self", "VmSize")
    child.end()
    assert isinstance(at_start, int)
    return at_start + memory_bytes + memory_bytes // LEFTOVER_SHARE


def running(process: int) -> bool:
    """Whether a process is there and not merely waiting for somebody to take note of its end."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Largest:
    """The most address space that a child of this process comes to while a block runs, in bytes."""

    def __init__(self) -> None:
        self.bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.002):
            for task in Path(f"/proc/{os.getpid()}/task").iterdir():
                with suppress(OSError, IndexError):  # it has ended
                    for child in (task / "children").read_text().split():
                        if (
                            "producer.child" in Path(f"/proc/{child}/cmdline").read_text()
                        ):  # no mere copy of this process
                            self.bytes = max(self.bytes, addresses(child, "VmPeak"))
