"""The state of cells: its size in bytes a cell, and the time to close an epoch in which every cell has a reading."""

from __future__ import annotations

import gc
import multiprocessing
import time
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.figures import Figure, tell
from benchmarks.simulated import json_messages
from dataflows.fold.clean import clean
from dataflows.fold.states import GroupStates
from kernel.base.tuning import tune_process
from kernel.contract.batch import MOST_ROWS, decode_poll
from kernel.contract.poll import Message, Poll, text_of
from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import SPARING, DuckDBFile
from sink.commit import Landing
from sink.lanes import Lane

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.figures import Show
    from dataflows.fold.states import CellStates
    from kernel.contract.results import Cleaned

CELLS: Final = 100_000
EPOCHS: Final = 4
"""Epochs with one reading of every cell; the first one, in which all cells are new, does not count."""

WINDOW_SECONDS: Final = 600
STAMP_MS: Final = 1_700_000_000_000


def measure(show: Show, folder: Path, *, tiny: bool) -> None:
    """Fold readings of many cells, and of a tenth as many as the reference, and show both figures.

    Args:
        show: prints a figure.
        folder: where everything is put.
        tiny: take few cells, for a quick check.
    """
    many = 200 if tiny else CELLS
    # In a process of its own, which is set up as a worker is and holds nothing else.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), tune_process) as worker:
        sizes = {cells: worker.submit(_bytes_each, cells).result() for cells in (many // 10, many)}
        closes = {cells: worker.submit(_close, folder / str(cells), cells).result() for cells in (many // 10, many)}
    show(Figure("state_per_cell", sizes[many], "B", reference=sizes[many // 10]))
    show(Figure("epoch_close", closes[many], "s", reference=closes[many // 10]))


def _bytes_each(cells: int) -> float:
    """Memory of the states in bytes a cell, after the last epoch."""
    states = GroupStates()
    polls = _epochs(cells)
    tracemalloc.start()
    for number, poll in enumerate(polls):
        before, _ = tracemalloc.get_traced_memory()
        for _ in _folded(states, poll):
            pass
        if number == 0:
            base = before
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    kept = states.of([text_of(key) for key in polls[-1].keys])
    stored = sum(map(len, kept.texts(np.arange(len(kept))))) / len(kept)
    tell(f"state: {cells:,} cells, {(after - base) / cells:.0f} B each in memory, {stored:.0f} B as stored")
    return (after - base) / cells


def _close(folder: Path, cells: int) -> float:
    """Time in s that the sink takes to land an epoch when it closes."""
    warehouse = DuckDBFile(folder / "battery.duckdb", 60, SPARING)
    landing = Landing(FolderStore(folder / "objects"), warehouse, WINDOW_SECONDS)
    landing.begin()
    lane = Lane(landing, 0, 1, 10 * cells)
    states = GroupStates()
    seconds = []
    for poll in _epochs(cells):
        lane.write_batch(list(_folded(states, poll)))
        started = time.perf_counter()
        lane.snapshot()
        seconds.append(time.perf_counter() - started)
    lane.close()
    tell(f"epoch: {cells:,} cells, closed in {', '.join(f'{second:.2f}' for second in seconds)} s")
    return median(seconds[1:])


def _folded(states: GroupStates, poll: Poll) -> Iterator[Cleaned[CellStates]]:
    for piece in poll.pieces(MOST_ROWS):
        for batch in decode_poll(piece, MOST_ROWS):
            cleaned = clean(states, batch, WINDOW_SECONDS)
            if cleaned is not None:
                states.update(cleaned.states)
                yield cleaned


def _epochs(cells: int) -> list[Poll]:
    """Polls with a reading of every cell, one poll an epoch."""
    by_turns = sorted(enumerate(json_messages(cells, EPOCHS)), key=lambda sent: sent[1].key)
    epochs = [[sent for _, sent in sorted(by_turns[number::EPOCHS])] for number in range(EPOCHS)]
    offset, polls = 0, []
    for epoch in epochs:
        messages = [
            Message("bench", 0, offset + place, STAMP_MS, sent.key, _bytes(sent.headers), sent.value)
            for place, sent in enumerate(epoch)
        ]
        offset += len(messages)
        polls.append(Poll.of(messages))
    return polls


def _bytes(headers: list[tuple[str, str | bytes | None]]) -> tuple[tuple[str, bytes | None], ...]:
    return tuple((name, value.encode() if isinstance(value, str) else value) for name, value in headers)
