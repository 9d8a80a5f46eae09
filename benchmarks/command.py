"""Start of the command: the time of `battery --help`, compared with a Python that does nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.figures import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.figures import Show

ROUNDS: Final = 9


def measure(show: Show, folder: Path, *, tiny: bool) -> None:
    """Start both in turn and show the figure.

    Args:
        show: prints a figure.
        folder: where to start them.
        tiny: start each once.
    """
    ours, bare = [], []
    for _ in range(1 if tiny else ROUNDS):
        ours.append(_seconds([sys.executable, "-m", "battery", "--help"], folder))
        bare.append(_seconds([sys.executable, "-c", "pass"], folder))
    show(Figure("cli_start", median(ours), "s", reference=median(bare)))


def _seconds(command: Sequence[str], folder: Path) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started
