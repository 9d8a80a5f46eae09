"""Sizes: of a row in each table, in an object, in the log; and what a manifest of many commits costs to read."""

from __future__ import annotations

import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Final

import duckdb

from benchmarks.figures import Figure, tell
from benchmarks.fleet.channels import JSON_1, Fleet, Mix, Spool
from dataflows.fold.states import GroupStates
from dataflows.forward import fold
from kernel.base.settings import Settings
from kernel.base.tuning import tune_process
from kernel.contract.batch import MOST_ROWS, decode_poll
from kernel.contract.poll import Poll
from kernel.contract.reading import ARROW, JSON, LANDED
from kernel.edges.warehouse import open_warehouse
from sink.encode import GROUP_ROWS, ObjectWriter
from sink.manifest import read_manifest
from sink.tables import create_tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from benchmarks.figures import Show

TABLES: Final = ("battery_ts_cleaned", "_cell_state", "_progress", "_windows", "_cycles")
MOST_COPIED: Final = 2_000_000
COMMITS: Final = 100_000
FEWER_COMMITS: Final = 10_000
EPOCH_SECONDS: Final = 10
FLEETS: Final = (100, 1_000, 6_000)
"""Channels whose objects of one commit are measured; those of more are row groups of the largest."""

MESSAGES: Final = (Mix(JSON, 1), Mix(JSON, 10), Mix(ARROW, 10), Mix(ARROW, 60), Mix(ARROW, 600), Mix(ARROW, 3_600))
"""Messages whose cost is compared, the largest last."""

FOLDED_ROWS: Final = 60_000
"""Rows of a poll."""

LEAST_MESSAGES: Final = 32
TURNS: Final = 3
"""Polls, each with a message of every channel; the first, in which all cells are new, does not count."""


def bytes_each(settings: Settings, folder: Path) -> dict[str, float]:
    """The size of a row of each table of a warehouse in bytes: of a copy, which has no room left over from updates.

    Args:
        settings: where the warehouse is.
        folder: where to put the copies.
    """
    sizes = {}
    with open_warehouse(settings).connect("measure its tables") as connection:
        for table in TABLES:
            name = f"internal.{table}" if table.startswith("_") else table
            path = folder / f"{table}.duckdb"
            connection.execute(f"attach '{path}' as copied")
            connection.execute(f"create table copied.rows as from {name} limit {MOST_COPIED}")
            (rows,) = connection.execute("select count(*) from copied.rows").fetchone() or (0,)
            connection.execute("detach copied")
            sizes[table] = path.stat().st_size / rows
            path.unlink()
    return sizes


def measure(show: Show, folder: Path, *, tiny: bool) -> None:
    """Measure messages, objects and manifests, and show their figures.

    Args:
        show: prints a figure.
        folder: where everything is put.
        tiny: take few rows, for a quick check.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _messages(show, folder, 60 if tiny else FOLDED_ROWS)
    _objects(show, folder, (4, 8, 16) if tiny else FLEETS)
    _manifests(show, folder, *((20, 10) if tiny else (COMMITS, FEWER_COMMITS)))


def _messages(show: Show, folder: Path, rows: int) -> None:
    """What decoding and folding a row costs, and its bytes in the log, by the size of messages."""
    cost, size = {}, {}
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), tune_process) as process:
        for mix in MESSAGES:
            cost[mix], size[mix] = process.submit(_cost, mix, rows, folder / mix.name).result()
            tell(f"{mix.words}: {cost[mix]:.2f} µs and {size[mix]:.0f} B a row")
    for mix in MESSAGES:
        show(Figure(f"fold_{mix.name}", cost[mix], "µs/row", reference=cost[MESSAGES[-1]]))
        show(Figure(f"bytes_log_{mix.name}", size[mix], "B/row", reference=size[MESSAGES[-1]]))


def _cost(mix: Mix, rows: int, path: Path) -> tuple[float, float]:
    """Time of a processor in µs to decode and fold a row, once the cells are known, and bytes of its message.

    Every poll holds about as many rows, whatever the size of its messages: each channel sends one.
    """
    fleet = Fleet(max(LEAST_MESSAGES, rows // mix.rows), mix, TURNS * mix.rows, kinds=64, partitions=1)
    spool, states, spent, folded = Spool(fleet, path), GroupStates(), 0.0, 0
    for turn in range(TURNS):
        polls = [poll for second in spool.polls(turn * mix.rows, mix.rows) for poll in second]
        poll = Poll.of([message for poll in polls for message in poll])
        started = time.thread_time()
        landed = sum(batch.num_rows for batch in _folded(states, poll))
        if turn:
            spent += time.thread_time() - started
            folded += landed
    return 1e6 * spent / folded, spool.bytes / spool.rows


def _folded(states: GroupStates, poll: Poll) -> Iterator[pa.RecordBatch]:
    for piece in poll.pieces(MOST_ROWS):
        for batch in decode_poll(piece, MOST_ROWS):
            for cleaned in fold(states, batch, Settings().window_seconds):
                yield cleaned.landed


def _objects(show: Show, folder: Path, fleets: tuple[int, ...]) -> None:
    """Bytes of a row in the object of a commit of 10 s, by channels, against that in an object of many commits."""
    for channels in fleets:
        epochs = max(2, min(60, -(-GROUP_ROWS // (channels * EPOCH_SECONDS))))
        fleet = Fleet(channels, JSON_1, epochs * EPOCH_SECONDS, kinds=channels)
        spool, states = Spool(fleet, folder / "objects"), GroupStates()
        merged = ObjectWriter(LANDED, "merged")
        bytes_of_commits = 0
        for first in range(0, fleet.seconds, EPOCH_SECONDS):
            commit = ObjectWriter(LANDED, "one")
            for polls in spool.polls(first, EPOCH_SECONDS):
                batches = [batch for poll in polls for batch in _folded(states, poll)]
                commit.add(batches)
                merged.add(batches)
            bytes_of_commits += len(commit.finish())
        each, together = bytes_of_commits / spool.rows, len(merged.finish()) / spool.rows
        tell(f"{channels:,} channels: {each:.1f} B a row in objects of {EPOCH_SECONDS} s, {together:.1f} B merged")
        show(Figure(f"bytes_object_{channels}", each, "B/row", reference=together))


def _manifests(show: Show, folder: Path, many: int, fewer: int) -> None:
    """Time and memory to read the manifest of many commits, and the bytes of one."""
    found = {}
    for commits in (fewer, many):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            found[commits] = process.submit(_read, folder / f"{commits}.duckdb", commits).result()
        seconds, memory, size = found[commits]
        tell(f"manifest of {commits:,} commits: read in {seconds:.2f} s, {memory / 1e6:.0f} MB, {size:.0f} B each")
    show(Figure("manifest_read", found[many][0], "s", reference=found[fewer][0]))
    show(Figure("manifest_memory", found[many][1] / 1e6, "MB", reference=found[fewer][1] / 1e6))
    show(Figure("bytes_commits", found[many][2], "B", reference=found[fewer][2]))


_FILL_COMMITS: Final = """
    insert into internal._commits
    select
        printf('%06d-00-%012d', 1, seq), 0, seq, 1,
        printf('battery_ts_cleaned/lane=00/%06d-%012d.parquet', 1, seq), 'battery_ts_cleaned', 10000, 400000,
        sha256(seq::varchar),
        [{'topic_id': 'AAAAAAAAAAAAAAAAAAAAAA', 'partition': p, 'first': seq * 2500, 'last': seq * 2500 + 2499,
          'rows': 2500} for p in range(4)],
        timestamp '2026-01-05 08:00:00' + to_seconds(10 * seq)
    from range(1, $commits + 1) as made (seq)
"""


def _read(path: Path, commits: int) -> tuple[float, float, float]:
    """Time of a processor in s to read a manifest, memory of the process in bytes, and bytes of a commit."""
    with duckdb.connect(path) as connection:
        create_tables(connection)
        empty = path.stat().st_size
        connection.execute(_FILL_COMMITS, {"commits": commits})
        connection.execute("checkpoint")
    size = (path.stat().st_size - empty) / commits
    with duckdb.connect(path, read_only=True) as connection:
        started = time.process_time()
        manifest = read_manifest(connection)
        seconds = time.process_time() - started
    if len(manifest.commits) != commits:
        raise ValueError(f"read {len(manifest.commits)} of {commits} commits")
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, size
