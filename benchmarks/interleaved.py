"""Many cells at once: one reading a message, in JSON, as gateways send them, against the same job in Quix Streams."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.figures import Figure, tell
from benchmarks.peers import quix
from benchmarks.simulated import json_messages
from benchmarks.worker import log_of, run_peer

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.figures import Show

ROUNDS: Final = 3
CELLS: Final = 10_000
READINGS: Final = 100
"""Readings of each cell."""

PEER_READINGS: Final = 4


def measure(show: Show, folder: Path, *, tiny: bool) -> None:
    """Stream shuffled readings of many cells, and fewer readings of as many cells with Quix Streams; show the figure.

    Args:
        show: prints a figure.
        folder: where everything is put.
        tiny: take few cells and readings, for a quick check.
    """
    cells, rounds = (50, 1) if tiny else (CELLS, ROUNDS)
    ours, theirs = [], []
    with log_of(folder / "ours", json_messages(cells, 4 if tiny else READINGS)) as log:
        for number in range(rounds):
            run = log.stream(f"stream-{number}")
            ours.append(run.rows_per_second)
            tell(f"stream: {run.rows:,} messages of {cells:,} cells in {run.seconds:.2f} s")
    messages = cells * PEER_READINGS
    with log_of(folder / "theirs", json_messages(cells, PEER_READINGS)) as log:
        for number in range(rounds):
            found = run_peer(log, quix.__name__, f"quix-{number}", messages)
            if found.rows != messages:
                raise ValueError(f"Quix Streams wrote {found.rows} of {messages} rows")
            theirs.append(found.rows_per_second)
            tell(f"Quix Streams: {found.rows:,} messages in {found.seconds:.2f} s")
        stateless = run_peer(log, quix.__name__, "quix-stateless", messages, "--stateless")
        tell(f"Quix Streams without cleaning or state: {stateless.rows:,} messages in {stateless.seconds:.2f} s")
    show(Figure("stream_json_interleaved", median(ours), "rows/s", reference=median(theirs)))
