"""One commit in PostgreSQL: its rows go by COPY into tables of the connection, and from there into the landing tables.

The readings themselves are not among them: they are the Parquet objects that the manifest names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from kernel.base.faults import Point, fault_point
from kernel.contract.results import CYCLE_PART, PROGRESS, WINDOW_PART
from sink.manifest import insert_commits
from sink.postgres.texts import escape
from sink.tables import SUM_UNITS, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kernel.edges.warehouses.postgres import PostgresSession

_TYPES: Final = {
    pa.string(): "text",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float64(): "double precision",
    pa.bool_(): "boolean",
    pa.timestamp("us"): "timestamp",
}
_PART: Final = pa.field("part", pa.int64())
_STAGED: Final = {
    "staged_windows": WINDOW_PART.append(_PART),
    "staged_cycles": CYCLE_PART.append(_PART),
    "staged_progress": PROGRESS,
    "staged_states": pa.schema([("cell_id", pa.string()), ("state", pa.string())]),
}


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{quoted(field.name)} {_TYPES[field.type]}" for field in schema)


_STAGE: Final = tuple(
    f"create temporary table if not exists {name} ({_columns(schema)}) on commit delete rows"
    for name, schema in _STAGED.items()
)

_LATEST: Final = ("voltage_last_v", "current_last_a", "temperature_last_c")


def _upsert(table: str, staged: str, schema: pa.Schema, keys: tuple[str, ...]) -> str:
    """As `_merge` of `sink.tables`, in PostgreSQL's SQL; sums of whole numbers are exact (numeric)."""
    names, merged, updates = [*keys], [*keys], []
    for name in schema.names:
        column = quoted(name)
        if name in keys:
            continue
        names.append(column)
        if name.endswith((*SUM_UNITS, "_count")):
            merged.append(f"sum({column})")
            updates.append(
                f"{column} = case when excluded.{column} is null then old.{column} "
                f"else coalesce(old.{column}, 0) + excluded.{column} end"
            )
        elif name in _LATEST or name == "as_of_offset":
            merged.append(f"(array_agg({column} order by part desc) filter (where {column} is not null))[1]")
            updates.append(f"{column} = coalesce(excluded.{column}, old.{column})")
        elif name == "is_final":
            merged.append(f"bool_or({column})")
            updates.append(f"{column} = old.{column} or excluded.{column}")
        else:
            pick = "least" if "_min_" in name or name == "started_at" else "greatest"
            merged.append(f"{'min' if pick == 'least' else 'max'}({column})")
            updates.append(f"{column} = {pick}(old.{column}, excluded.{column})")
    key_list = ", ".join(keys)
    return (
        f"insert into {table} as old ({', '.join(names)}) "  # noqa: S608  # names come from this module alone
        f"select {', '.join(merged)} from {staged} group by {key_list} order by {key_list} "
        f"on conflict ({key_list}) do update set {', '.join(updates)}"
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

_REPEATED: Final = """
select count(*) from staged_progress as new inner join internal._progress as old
on old.cell_id = new.cell_id and old.topic_id = new.topic_id and old."partition" = new."partition"
where new."first" <= old."offset" """


def stage_commit(session: PostgresSession, staged: Mapping[str, pa.Table]) -> int:
    """Bring the rows of a commit that are to be merged; how many of its cells would land messages a second time."""
    if not session.prepared:
        for statement in _STAGE:
            session.execute(statement)
        session.prepared = True
    for name in ("staged_windows", "staged_cycles", "staged_progress"):
        _copy(session, name, staged[name])
    row = session.execute(_REPEATED).fetchone()
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
