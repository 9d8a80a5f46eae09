"""All windows and cycles, counted again in memory that does not grow with the warehouse: some cells at a time.

A DuckDB file is held for about `HOLD_SECONDS` at a time, or for as long as one cell takes, and whoever waits for it
comes in between. Rows and aggregates of a cell are always those of one moment. Where the rows are objects, nobody
waits, and all that is counted is of one moment.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from collections import deque
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Final

import duckdb
import structlog

from kernel.base.errors import BatteryError
from kernel.edges.warehouse import lacks_memory, lift_memory_limit
from sink.care.recount import Recount, recount

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from typing import Protocol

    class Lender(Protocol):
        """What lends connections to the landing tables, as a warehouse does."""

        def connect(
            self, purpose: str, *, read_only: bool = False
        ) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
            """Lend one until the block ends."""


_log = structlog.get_logger()

MEMORY: Final = "256MB"
"""What DuckDB may hold in memory; the rest goes to a temporary folder."""

THREADS: Final = 2
"""How many threads it may use, each of which needs memory of its own."""

PIECE_ROWS: Final = 100_000
"""About how many readings are counted at a time, if no cell has more of them."""

MOST_PIECES: Final = 250
"""In how many pieces at most, since each looks for its cells in the whole table."""

HOLD_SECONDS: Final = 2.0
"""How long a DuckDB file is held before another piece is begun, in s."""

PAUSE_SECONDS: Final = 0.5
"""How long it is free then, in s: whoever waits for it tries again within that time."""


def recount_all(warehouse: Lender, *, lets_in: bool = True) -> Recount:
    """Count the windows and cycles of all cells again.

    Args:
        warehouse: where they are.
        lets_in: whether others may wait for the warehouse, and are let in now and then.

    Raises:
        BatteryError: the warehouse cannot be opened, or failed.
    """
    pieces: deque[list[str]] | None = None
    counted, has_limit = Recount(), True
    while pieces is None or pieces:
        try:
            with (
                warehouse.connect("count the aggregates again", read_only=True) as connection,
                bounded(connection, has_limit=has_limit),
            ):
                stays = are_views(connection) or not lets_in
                schema = _local_copies(connection) if are_views(connection) else "internal"
                if pieces is None:
                    pieces = _pieces(connection)
                until = time.monotonic() + HOLD_SECONDS
                while pieces:
                    counted += recount(connection, pieces[0], schema)
                    pieces.popleft()
                    if not has_limit or (not stays and time.monotonic() >= until):
                        break
                has_limit = True
        except duckdb.Error as error:
            if not (has_limit and lacks_memory(error)):
                reason = str(error).splitlines()[0]
                raise BatteryError(f"cannot count the aggregates again: {reason}; verify again") from error
            _log.info("a cell needs more memory than others to be counted", limit=MEMORY)
            has_limit = False
            continue
        if pieces:
            time.sleep(PAUSE_SECONDS)
    return counted


@contextmanager
def bounded(connection: duckdb.DuckDBPyConnection, *, has_limit: bool = True) -> Iterator[None]:
    """Let DuckDB take little memory until the block ends, and put what it lacks into a temporary folder.

    Args:
        connection: its database has these settings for as long.
        has_limit: else it takes as much memory as it would by itself.
    """
    names = ("memory_limit", "threads", "preserve_insertion_order")
    before = {name: _setting(connection, name) for name in names}
    threads = min(int(before["threads"]), THREADS)
    folder = _spill(os.getpid())
    if _setting(connection, "temp_directory") != folder:
        # It may have put something elsewhere already, and goes on to. That must not end the caller's transaction.
        with suppress(duckdb.Error), connection.cursor() as apart:
            apart.execute("set temp_directory = ?", [folder])
    try:
        for name, value in {"memory_limit": MEMORY, "threads": threads, "preserve_insertion_order": False}.items():
            connection.execute(f"set {name} = ?", [value])
        if not has_limit:
            lift_memory_limit(connection)
        yield
    finally:
        with suppress(duckdb.Error):  # of a connection that broke
            for name, value in before.items():
                connection.execute(f"set {name} = ?", [value])


def _setting(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    ((value,),) = connection.execute("select current_setting(?)::varchar", [name]).fetchall()
    return str(value)


@cache
def _spill(process: int) -> str:  # noqa: ARG001  # a child has a folder of its own
    """The folder of a process for what does not fit in memory; it ends with the process.

    A database that has put something there cannot be given another one, and goes on to use it after a verification.
    """
    folder = tempfile.mkdtemp(prefix="battery-recount-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def are_views(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the landed rows are the objects, which a view reads, and not in a table of their own."""
    row = connection.execute(
        "select table_type from information_schema.tables where table_catalog = current_database() "
        "and table_schema = 'main' and table_name = 'battery_ts_cleaned'"
    ).fetchone()
    return row == ("VIEW",)


def _local_copies(connection: duckdb.DuckDBPyConnection) -> str:
    """Copy what every piece would read from a server, which ends a look that asks nothing for long.

    Returns:
        The schema of the copies.
    """
    for table in ("_windows", "_cycles", "_writers"):
        connection.execute(f"create or replace temp table {table} as from internal.{table}")
    return "temp"


def _pieces(connection: duckdb.DuckDBPyConnection) -> deque[list[str]]:
    """All cells that have readings or aggregates, in ascending order and in pieces that have so many readings."""
    cells = connection.execute(
        """
        select cell_id, sum(readings)::bigint from (
            select cell_id, count(*) as readings from battery_ts_cleaned group by cell_id
            union all select distinct cell_id, 0 from internal._windows
            union all select distinct cell_id, 0 from internal._cycles
        ) group by cell_id order by cell_id
        """
    ).fetchall()
    most = max(PIECE_ROWS, sum(readings for _, readings in cells) // MOST_PIECES)
    pieces: deque[list[str]] = deque()
    held = 0
    for cell_id, readings in cells:
        if not pieces or held + readings > most:
            pieces.append([])
            held = 0
        pieces[-1].append(cell_id)
        held += readings
    return pieces
