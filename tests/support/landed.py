"""Folding logs and landing the results in memory, with the statements of the real transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from msgspec.structs import replace
from support.builders import arrow
from support.delivered import together
from support.schemas import look_in_both

from dataflows.fold.clean import clean
from dataflows.fold.state import CellState
from dataflows.fold.states import CellStates, GroupStates
from kernel.contract.batch import Batch
from kernel.contract.reading import ABOUT, LANDED, QUARANTINED, REPEATED, RETRIED
from kernel.contract.results import CYCLE_PART, WINDOW_PART
from sink.care.recount import recount
from sink.repeats import LANDED_BEFORE, judge, keys_of
from sink.tables import FILL, create_tables, full_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from support.delivered import Delivery

    from kernel.contract.results import Cleaned

WINDOW_SECONDS = 600
TABLES = ("battery_ts_cleaned", "battery_quarantine", "battery_retries", "battery_about", "_windows", "_cycles")


def clean_cell(state: CellState, messages: Sequence[Delivery] | Batch) -> Cleaned[CellStates] | None:
    """Fold messages of one cell."""
    if not messages:
        return None
    batch = messages if isinstance(messages, Batch) else together(messages)
    cells = GroupStates()
    cells.update(CellStates.of({batch.cell_ids[0]: state}))
    return clean(cells, batch, WINDOW_SECONDS)


def state_of(cleaned: Cleaned[CellStates]) -> CellState:
    """The state of the only cell of a result."""
    (state,) = cleaned.states.values()
    return state


def settled(state: CellState) -> CellState:
    """A state without where counters have leaped to since they were measured: an archive does not keep those values."""
    tests = {}
    for test_id, tail in state.tests.items():
        doubts = tuple(replace(doubt, leapt_to=None if doubt.leapt_to is None else 0.0) for doubt in tail.doubts)
        tests[test_id] = replace(tail, doubts=doubts)
    return replace(state, tests=tests)


def fold(calls: Sequence[list[Delivery] | Batch], state: CellState | None = None) -> list[Cleaned[CellStates]]:
    """Fold messages of one cell, some a call."""
    state = state or CellState()
    found = []
    for messages in calls:
        cleaned = clean_cell(state, messages)
        if cleaned is not None:
            # The state goes through its text, as it does over a restart.
            state = CellState.from_json(state_of(cleaned).to_json())
            found.append(cleaned)
    return found


def whole_state(log: list[Delivery]) -> CellState:
    """The state that a log leaves."""
    return state_of(fold([log])[-1])


def landed(commits: list[list[Cleaned[CellStates]]]) -> duckdb.DuckDBPyConnection:
    """Land results, a commit a group, with the statements of the real transaction."""
    connection = duckdb.connect()
    create_tables(connection)
    look_in_both(connection)
    for commit in commits:
        quarantined = pa.Table.from_batches([result.quarantined for result in commit], schema=QUARANTINED)
        repeated = pa.Table.from_batches([result.repeated for result in commit], schema=REPEATED)
        if repeated.num_rows:
            connection.register("repeated_keys", keys_of(repeated))
            before = connection.execute(LANDED_BEFORE).to_arrow_table().cast(LANDED)
            here = pa.Table.from_batches([result.landed for result in commit], schema=LANDED)
            quarantined = pa.concat_tables([quarantined, judge(repeated, before, here)])
        connection.register("staged_quarantined", quarantined)
        for name, schema, column in (
            ("staged_landed", LANDED, "landed"),
            ("staged_retried", RETRIED, "retried"),
            ("staged_about", ABOUT, "said"),
            ("staged_windows", WINDOW_PART, "windows"),
            ("staged_cycles", CYCLE_PART, "cycles"),
        ):
            table = pa.Table.from_batches([getattr(result, column) for result in commit], schema=schema)
            if name in {"staged_windows", "staged_cycles"}:
                table = table.append_column("part", pa.array(range(table.num_rows), pa.int64()))
            connection.register(name, table)
        for statement in FILL[: len(TABLES)]:
            connection.execute(statement)
    return connection


def put(path: Path, cells: dict[str, list[dict[str, Any]]]) -> None:
    """Fold some readings by the real dataflow and land them by the real transaction, in place of what has landed."""
    commits = [fold([[arrow(rows, key=cell.encode())]]) for cell, rows in cells.items()]
    with landed(commits) as connection:
        connection.execute(f"attach '{path}' as file")
        known = connection.execute("select count(*) from duckdb_tables() where database_name = 'file'").fetchone()
        if known == (0,):
            connection.execute("copy from database memory to file")
        for table in TABLES:
            there = full_name(table, "file")
            connection.execute(f"delete from {there}; insert into {there} from {full_name(table, 'memory')}")  # noqa: S608
        connection.execute("detach file")


def differing(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """How many windows and cycles are other than SQL counts from their rows."""
    counted = recount(connection)
    return counted.differing_windows, counted.differing_cycles


def rows_of(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    return connection.execute(sql).fetchall()


def landed_tables(commits: list[list[Cleaned[CellStates]]]) -> dict[str, list[tuple[Any, ...]]]:
    """What the landing tables hold after some commits, as texts."""
    connection = landed(commits)
    found = {}
    for table in TABLES:
        # NaN is not equal to itself; its text is.
        rows = rows_of(connection, f"from {full_name(table)}")
        found[table] = sorted(tuple(repr(value) for value in row) for row in rows)
    connection.close()
    return found
