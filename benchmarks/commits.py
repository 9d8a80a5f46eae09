"""Small commits: four lanes that land a thousand rows each, again and again, in PostgreSQL and in a DuckDB file."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.figures import Figure, tell
from benchmarks.fleet.channels import JSON_1, Fleet, Spool
from benchmarks.postgresql import postgresql
from dataflows.fold.states import GroupStates
from dataflows.forward import fold
from kernel.base.settings import Settings
from kernel.base.tuning import tune_process
from kernel.contract.batch import MOST_ROWS, decode_poll
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from sink.commit import Landing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.figures import Show
    from dataflows.fold.states import CellStates
    from kernel.contract.results import Cleaned

LANES: Final = 4
CHANNELS: Final = 100
SECONDS: Final = 10
"""Readings of each channel in a commit: a thousand in all."""

COMMITS: Final = 60
"""Commits of each lane."""

COMMITS_OF_FILE: Final = 8
"""The same in a DuckDB file, which takes them one after the other."""

ROUNDS: Final = 3


def measure(show: Show, folder: Path, *, tiny: bool) -> None:
    """Commit in both kinds of warehouse in turn, and show the figure.

    Args:
        show: prints a figure.
        folder: where everything is put.
        tiny: make few commits, for a quick check.
    """
    commits, rounds = (2, 1) if tiny else (COMMITS, ROUNDS)
    few = min(commits, COMMITS_OF_FILE)
    tune_process()
    lanes = [_results(folder / f"waiting-{lane}", lane, commits) for lane in range(LANES)]
    ours, file = [], []
    with postgresql() as server:
        for number in range(rounds):
            ours.append(_commit(folder / f"postgres-{number}", server.warehouse(), lanes))
            place = folder / f"file-{number}"
            file.append(_commit(place, str(place / "battery.duckdb"), [lane[:few] for lane in lanes]))
            tell(f"commits of 1,000 rows by {LANES} lanes: {ours[-1]:.1f}/s, in a DuckDB file {file[-1]:.1f}/s")
    show(Figure("commit_small", median(ours), "commits/s", reference=median(file)))


def _results(path: Path, lane: int, commits: int) -> list[list[Cleaned[CellStates]]]:
    """What each commit of a lane lands: some seconds of channels of its own."""
    fleet = Fleet(CHANNELS, JSON_1, commits * SECONDS, kinds=CHANNELS, partitions=1, first=lane * CHANNELS)
    path.parent.mkdir(parents=True, exist_ok=True)
    states, found = GroupStates(), []
    spool = Spool(fleet, path)
    width = Settings().window_seconds
    for first in range(0, fleet.seconds, SECONDS):
        polls = [poll for second in spool.polls(first, SECONDS) for poll in second]
        batches = [batch for poll in polls for batch in decode_poll(poll, MOST_ROWS)]
        found.append([cleaned for batch in batches for cleaned in fold(states, batch, width)])
    return found


def _commit(folder: Path, warehouse: str, lanes: Sequence[Sequence[Sequence[Cleaned[CellStates]]]]) -> float:
    """Land all commits, each lane in a thread of its own; commits/s."""
    settings = Settings(warehouse=warehouse, object_store=f"file://{folder / 'objects'}")
    landing = Landing(open_store(settings), open_warehouse(settings, sparing=True), settings.window_seconds)
    landing.begin()

    def run(lane: int) -> None:
        for seq, results in enumerate(lanes[lane], start=1):
            landing.commit(lane, seq, results)

    started = time.perf_counter()
    with ThreadPoolExecutor(len(lanes)) as threads:
        list(threads.map(run, range(len(lanes))))
    return sum(map(len, lanes)) / (time.perf_counter() - started)
