"""A warehouse that many use at once: PostgreSQL judges, the rows are objects in a folder.

The same log lands there by one worker and by two, each free to use both processors, and is appended to DuckDB by
itself. Two workers on a processor each are compared with one on one: all is landed, unlike in `benchmarks.scale`. And
one cell is read from the objects, through the views that readers have, and from a table of DuckDB.
"""

from __future__ import annotations

import os
import time
from statistics import median
from typing import TYPE_CHECKING, Final

import duckdb

from benchmarks.figures import Figure, tell
from benchmarks.postgresql import postgresql
from benchmarks.processors import since, tell_shares, used
from benchmarks.scale import CELLS, run_bound
from benchmarks.simulated import arrow_messages
from benchmarks.streaming import append
from benchmarks.worker import log_of, run_of
from kernel.edges.warehouse import open_warehouse

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.figures import Show
    from benchmarks.worker import Log, Run

ROWS: Final = 4_000_000
ROUNDS: Final = 3
LOOKS: Final = 51
FLOW: Final = "dataflows.battery"

_ONE_CELL: Final = """
    select count(*), sum("voltage(v)"), max("discharge_capacity(ah)"), max(date_time)
    from battery_ts_cleaned where cell_id = ?
"""


def measure(show: Show, folder: Path, *, tiny: bool) -> None:
    """Land, append and read in turn, and show the figures.

    Args:
        show: prints a figure.
        folder: where everything is put.
        tiny: take few rows, for a quick check.
    """
    rows, cells, rounds = (4_000, 4, 1) if tiny else (ROWS, CELLS, ROUNDS)
    cpus = sorted(os.sched_getaffinity(0))[:2]
    one, two, bare, scans, native = [], [], [], [], []
    bound_one: list[float] = []
    bound_two: list[float] = []
    with postgresql() as server, log_of(folder, arrow_messages(rows, cells), partitions=2) as log:
        for number in range(rounds):
            warehouse = server.warehouse()
            run, one_used = _land(log, f"one-{number}", warehouse, workers=1)
            one.append(run.rows_per_second)
            of_two, two_used = _land(log, f"two-{number}", server.warehouse(), workers=2)
            two.append(of_two.rows_per_second)
            bare.append(append(log, f"one-{number}", run.rows))
            tell_shares("one worker", one_used, run.rows, bare[-1])
            tell_shares("two workers", two_used, run.rows, bare[-1])
            scanned, read = _scan(log, f"one-{number}", warehouse)
            scans.append(scanned)
            native.append(read)
            tell(f"shared: {one[-1]:,.0f} rows/s with one worker, {two[-1]:,.0f} with two, bare {bare[-1]:,.0f}")
            bound = (("one", cpus[:1], bound_one), ("two", cpus if len(cpus) > 1 else cpus * 2, bound_two))
            for name, where, found in bound:
                warehouse = server.warehouse()
                run = run_bound(log, f"bound-{name}-{number}", where, FLOW, WAREHOUSE=warehouse)
                found.append(run.rows_per_second)
            tell(f"shared: {bound_one[-1]:,.0f} rows/s with one bound worker, {bound_two[-1]:,.0f} with two")
    show(Figure("stream_postgres", median(one), "rows/s", reference=median(bare)))
    show(Figure("stream_postgres_2", median(two), "rows/s", reference=median(bare)))
    show(Figure("scale_2_postgres", median(bound_two), "rows/s", reference=median(bound_one)))
    show(Figure("scan_one_cell", median(scans) * 1e3, "ms", reference=median(native) * 1e3))


def _land(log: Log, name: str, warehouse: str, workers: int) -> tuple[Run, dict[str, float]]:
    """Land the log by so many workers; the run, and what each part used of the processors for it, in s.

    The same workers start once more, with nothing left to land: what that takes is not counted.
    """
    environment = log.environment(name, WAREHOUSE=warehouse)
    command = ("stream", "--until-end", "--workers", str(workers))
    before = used()
    run = run_of(log.battery(*command, environment=environment))
    landing, before = since(before), used()
    log.battery(*command, environment=environment)
    start = since(before)
    return run, {part: time - start[part] for part, time in landing.items()}


def _scan(log: Log, name: str, warehouse: str) -> tuple[float, float]:
    """Time in s to read one cell through the views of a warehouse, and from a table of DuckDB with the same rows."""
    path = log.folder / f"{name}-native.duckdb"
    with open_warehouse(log.settings(name, WAREHOUSE=warehouse)).connect("read a cell", read_only=True) as views:
        (cell_id,) = views.execute("select max(cell_id) from battery_ts_cleaned").fetchone() or ("",)
        rows = views.execute("select * from battery_ts_cleaned").to_arrow_reader(65_536)
        with duckdb.connect(path) as table:
            table.register("landed", rows)
            table.execute("create table battery_ts_cleaned as from landed")
            table.unregister("landed")
    with (
        open_warehouse(log.settings(name, WAREHOUSE=warehouse)).connect("read a cell", read_only=True) as views,
        duckdb.connect(path, read_only=True) as table,
    ):
        found, scanned = _timed(views, cell_id)
        expected, read = _timed(table, cell_id)
    path.unlink()
    if not found or found[0] != expected[0]:
        raise ValueError(f"the views show {found} of {cell_id}, the table {expected}")
    tell(f"one cell: {scanned * 1e3:.2f} ms over objects, {read * 1e3:.2f} ms native")
    return scanned, read


def _timed(connection: duckdb.DuckDBPyConnection, cell_id: str) -> tuple[tuple[object, ...], float]:
    seconds = []
    found: tuple[object, ...] = ()
    for _ in range(LOOKS):
        started = time.perf_counter()
        found = connection.execute(_ONE_CELL, [cell_id]).fetchone() or ()
        seconds.append(time.perf_counter() - started)
    return found, median(seconds)
