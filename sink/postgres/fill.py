"""One commit in PostgreSQL: its rows go by COPY into tables of the connection, and from there into the landing tables.

The readings themselves are not among them: they are the Parquet objects that the manifest names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from kernel.base.faults import Point, fault_point
from kernel.contract.results import CYCLE_PART, PROGRESS, WINDOW_PART
from sink.manifest import insert_commits
from sink.merge import merged_columns
from sink.postgres.texts import escape
from sink.tables import REPEATED, columns_of, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kernel.edges.warehouses.postgres_session import PostgresSession

_PART: Final = pa.field("part", pa.int64())
_STAGED: Final = {
    "staged_windows": WINDOW_PART.append(_PART),
    "staged_cycles": CYCLE_PART.append(_PART),
    "staged_progress": PROGRESS,
    "staged_states": pa.schema([("cell_id", pa.string()), ("state", pa.string())]),
}


_STAGE: Final = tuple(
    f"create temporary table if not exists {name} ({columns_of(schema)}) on commit delete rows"
    for name, schema in _STAGED.items()
)

_LAST: Final = "(array_agg({column} order by part desc) filter (where {column} is not null))[1]"


def _upsert(table: str, staged: str, schema: pa.Schema, keys: tuple[str, ...]) -> str:
    """The statement that merges staged parts with each other, and then into a table; sums are exact (numeric)."""
    columns = merged_columns(schema, keys, _LAST, "excluded")
    key_list = ", ".join(keys)
    return (
        f"insert into {table} as old ({', '.join([*keys, *(column.name for column in columns)])}) "  # noqa: S608
        f"select {', '.join([*keys, *(column.merged for column in columns)])} from {staged} "
        f"group by {key_list} order by {key_list} "
        f"on conflict ({key_list}) do update set {', '.join(column.update for column in columns)}"
    )


_FILL: Final = (
    _upsert("internal._windows", "staged_windows", WINDOW_PART, ("cell_id", "window_start")),
    _upsert("internal._cycles", "staged_cycles", CYCLE_PART, ("cell_id", "test_id", "cycle_index")),
    """insert into internal._progress (cell_id, topic_id, "partition", "offset")
    select cell_id, topic_id, "partition", "last" from staged_progress order by 1, 2, 3
    on conflict (cell_id, topic_id, "partition") do update set "offset" = excluded."offset" """,
)

_FILL_STATES: Final = """insert into internal._cell_state (cell_id, state)
select cell_id, state from staged_states order by cell_id
on conflict (cell_id) do update set state = excluded.state"""

_COPIED: Final = {
    "staged_quarantined": "main.battery_quarantine",
    "staged_retried": "main.battery_retries",
    "staged_about": "main.battery_about",
}


def stage_commit(session: PostgresSession, staged: Mapping[str, pa.Table]) -> int:
    """Bring the rows of a commit that are to be merged; how many of its cells would land messages a second time."""
    if not session.prepared:
        for statement in _STAGE:
            session.execute(statement)
        session.prepared = True
    for name in ("staged_windows", "staged_cycles", "staged_progress"):
        _copy(session, name, staged[name])
    row = session.execute(REPEATED).fetchone()
    return 0 if row is None else int(row[0])


def fill_tables(session: PostgresSession, staged: Mapping[str, pa.Table], states: Callable[[], pa.Table]) -> None:
    """Fill all landing tables from what was staged, in the caller's transaction."""
    for name, table in _COPIED.items():
        _copy(session, table, staged[name])
        fault_point(Point.IN_TRANSACTION)
    for statement in _FILL:
        session.execute(statement)
        fault_point(Point.IN_TRANSACTION)
    insert_commits(session, staged["staged_commits"])
    fault_point(Point.IN_TRANSACTION)
    _copy(session, "staged_states", states())
    session.execute(_FILL_STATES)
    fault_point(Point.IN_TRANSACTION)


def _copy(session: PostgresSession, table: str, rows: pa.Table) -> None:
    if rows.num_rows:
        columns = ", ".join(quoted(name) for name in rows.column_names)
        session.copy(f"{table} ({columns})", escape(rows))
