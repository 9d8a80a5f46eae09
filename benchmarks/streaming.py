"""Streaming: rows/s from broker to commit, compared with a bare append, a row-at-a-time pipeline and a replay.

The worker lands Parquet objects and appends to DuckDB, cleaned, flagged, aggregated and accounted for. The bare append
is DuckDB alone: the same rows, from memory, in transactions of the same size, with all processors.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.figures import Figure, tell
from benchmarks.peers import rowwise
from benchmarks.simulated import arrow_messages, json_messages
from benchmarks.worker import log_of, run_of, run_peer
from kernel.contract.reading import LANDED
from sink.tables import create_tables

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.figures import Show
    from benchmarks.worker import Log

ROUNDS: Final = 3
ROWS: Final = 4_000_000
ROWWISE_ROWS: Final = 60_000
"""Rows for the row-at-a-time pipeline, which is slow enough to be timed on fewer."""


def measure(show: Show, folder: Path, *, tiny: bool) -> None:
    """Stream, append and replay in turn, and show `stream_arrow`, `replay` and `stream_vs_rowwise`.

    Args:
        show: prints a figure.
        folder: where everything is put.
        tiny: take few rows, for a quick check.
    """
    rounds = 1 if tiny else ROUNDS
    streamed, bare, replayed = [], [], []
    with log_of(folder / "arrow", arrow_messages(5_000 if tiny else ROWS)) as log:
        for number in range(rounds):
            name = f"stream-{number}"
            run = log.stream(name)
            streamed.append(run.rows_per_second)
            tell(f"stream: {run.rows:,} rows in {run.seconds:.2f} s, {len(run.commits)} commits")
            bare.append(append(log, name, run.rows))
            replayed.append(_replay(log, name, run.rows))
    rows = 2_000 if tiny else ROWWISE_ROWS
    peers = []
    with log_of(folder / "json", json_messages(20, rows // 20)) as log:
        for number in range(rounds):
            found = run_peer(log, rowwise.__name__, f"rowwise-{number}", rows, "--encoding", "json")
            if found.rows != rows:
                raise ValueError(f"row by row {found.rows} of {rows} rows landed")
            peers.append(found.rows_per_second)
            tell(f"row by row: {found.rows:,} rows in {found.seconds:.2f} s")
    show(Figure("stream_arrow", median(streamed), "rows/s", reference=median(bare)))
    show(Figure("replay", median(replayed), "rows/s", reference=median(streamed)))
    show(Figure("stream_vs_rowwise", median(streamed), "rows/s", reference=median(peers)))


def append(log: Log, name: str, rows: int) -> float:
    """Append the objects that a worker landed to a new DuckDB file, one transaction an object; rows/s."""
    objects = sorted((log.folder / name / "objects" / "battery_ts_cleaned").rglob("*.parquet"))
    tables = [pa.Table.from_batches(pq.ParquetFile(path).iter_batches(65_536)).cast(LANDED) for path in objects]
    path = log.folder / f"{name}-bare.duckdb"
    started = time.perf_counter()
    with duckdb.connect(path) as connection:
        create_tables(connection)
        for table in tables:
            connection.register("staged", table)
            connection.begin()
            connection.execute("insert into battery_ts_cleaned select * from staged")
            connection.commit()
    seconds = time.perf_counter() - started
    with duckdb.connect(path, read_only=True) as connection:
        landed = connection.execute("select count(*) from battery_ts_cleaned").fetchone()
    path.unlink()
    if landed != (rows,):
        raise ValueError(f"appended {landed} of {rows} rows")
    tell(f"bare append: {rows:,} rows in {seconds:.2f} s")
    return rows / seconds


def _replay(log: Log, name: str, rows: int) -> float:
    """Rebuild the tables of a worker from the log; rows/s, counted as for the worker."""
    started = time.perf_counter()
    run = run_of(log.battery("replay", "--from-beginning", environment=log.environment(name)))
    whole = time.perf_counter() - started
    if run.rows != rows:
        raise ValueError(f"replayed {run.rows} of {rows} rows")
    tell(f"replay: {run.rows:,} rows in {run.seconds:.2f} s; with its checks and comparison {whole:.2f} s")
    return run.rows_per_second
