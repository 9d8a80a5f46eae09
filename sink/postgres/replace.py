"""The swap of a replay in PostgreSQL: the rows of its DuckDB file take the place of the live ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from sink.care.compare import REPLAYED
from sink.manifest import insert_commits
from sink.postgres.texts import escape
from sink.tables import SUM_UNITS, full_name, quoted

if TYPE_CHECKING:
    import duckdb

    from kernel.edges.warehouses.postgres import PostgresSession

_REPLACED: Final = (
    "battery_quarantine", "battery_retries", "battery_about", "_windows", "_cycles", "_progress", "_cell_state",
)  # fmt: skip

_BATCH_ROWS: Final = 100_000


def replace_rows(session: PostgresSession, replay: duckdb.DuckDBPyConnection) -> None:
    """Replace the rows of all landing tables, in the caller's transaction.

    Args:
        session: in a transaction that has ended the workers.
        replay: a connection in which the replay's warehouse is attached.

    Raises:
        duckdb.Error: one of the two failed.
    """
    commits = replay.execute(f"from {full_name('_commits', REPLAYED)}").to_arrow_table()
    session.execute(
        "insert into internal._retired (object_key) select distinct object_key from internal._commits "
        "where object_key <> all(?::text[])",
        [commits["object_key"].to_pylist()],
    )
    session.execute("delete from internal._commits")
    insert_commits(session, commits)
    for table in _REPLACED:
        session.execute(f"delete from {full_name(table)}")  # noqa: S608  # our own names
        _copy(session, replay, table)


def _copy(session: PostgresSession, replay: duckdb.DuckDBPyConnection, table: str) -> None:
    """Copy the rows of a table; sums of whole numbers, which have no Arrow type that COPY knows, go as texts."""
    names = [name for name, *_ in replay.execute(f"describe {full_name(table, REPLAYED)}").fetchall()]
    taken = ", ".join(f"{quoted(n)}::varchar as {quoted(n)}" if n.endswith(SUM_UNITS) else quoted(n) for n in names)
    put = ", ".join(f"{quoted(n)}::numeric" if n.endswith(SUM_UNITS) else quoted(n) for n in names)
    columns = ", ".join(map(quoted, names))
    staged = f"staged_{table.strip('_')}"
    kinds = replay.execute(f"select {taken} from {full_name(table, REPLAYED)}")  # noqa: S608  # our own names
    session.execute(
        f"create temporary table replayed_{staged} on commit drop as select {columns} "  # noqa: S608
        f"from {full_name(table)} limit 0"
    )
    for name in names:
        if name.endswith(SUM_UNITS):
            session.execute(f"alter table replayed_{staged} alter column {quoted(name)} type text")
    for batch in kinds.to_arrow_reader(_BATCH_ROWS):
        session.copy(f"replayed_{staged} ({columns})", escape(pa.Table.from_batches([batch])))
    session.execute(f"insert into {full_name(table)} ({columns}) select {put} from replayed_{staged}")  # noqa: S608
