"""How much memory the reading children of a test take, looked at from outside again and again."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

from producer import spool
from producer.child import Child, Limits


def held(process: str) -> int:
    """The most memory that a process has held so far, in bytes."""
    return int(Path(f"/proc/{process}/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024


def held_at_start(folder: Path) -> int:
    """What a child holds that has read nothing yet, in bytes."""
    child = Child(Limits(2**30, 60), folder, spool.__name__)
    found = child.result(held, "self")
    child.end()
    assert isinstance(found, int)
    return found


def running(process: int) -> bool:
    """Whether a process is there and not merely waiting for somebody to take note of its end."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Largest:
    """The most memory that a child of this process comes to hold while a block runs, in bytes."""

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
                            self.bytes = max(self.bytes, held(child))
