"""Memory: the worker's peak on a long log, compared with a short one."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.figures import Figure, tell
from benchmarks.simulated import arrow_messages
from benchmarks.worker import log_of

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.figures import Show

SHORT: Final = 2_000_000
LONG: Final = 20_000_000
ROUNDS: Final = 3


def measure(show: Show, folder: Path, *, tiny: bool) -> None:
    """Stream a short and a long log, and show the peak of resident memory.

    Args:
        show: prints a figure.
        folder: where everything is put.
        tiny: take few rows, for a quick check.
    """
    sizes = {"short": 2_000, "long": 4_000} if tiny else {"short": SHORT, "long": LONG}
    peaks = {}
    for name, rows in sizes.items():
        with log_of(folder / name, arrow_messages(rows)) as log:
            runs = [log.stream(f"stream-{number}") for number in range(1 if tiny else ROUNDS)]
        peaks[name] = median(run.peak_bytes for run in runs) / 1e6
        tell(f"memory: {runs[0].rows:,} rows, peaks {', '.join(f'{run.peak_bytes / 1e6:.0f}' for run in runs)} MB")
    show(Figure("memory_peak", peaks["long"], "MB", reference=peaks["short"]))
