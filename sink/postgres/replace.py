"""The swap of a replay in PostgreSQL: the rows of its DuckDB file take the place of the live ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from sink.care.compare import KEYS, REPLAYED
from sink.manifest import LANDED_KIND, insert_commits
from sink.merge import SUM_UNITS
from sink.postgres.texts import escape
from sink.tables import full_name, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from kernel.edges.warehouses.postgres_session import PostgresSession

_REPLACED: Final = tuple(table for table in KEYS if table != LANDED_KIND)
"""The tables with rows; the readings are objects."""

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
    columns = ", ".join(map(quoted, names))
    staged = f"replayed_{table.strip('_')}"
    session.execute(
        f"create temporary table {staged} on commit drop as select {columns} from {full_name(table)} limit 0"  # noqa: S608
    )
    for name in filter(_is_sum, names):
        session.execute(f"alter table {staged} alter column {quoted(name)} type text")
    rows = replay.execute(f"select {_cast(names, 'varchar')} from {full_name(table, REPLAYED)}")  # noqa: S608
    for batch in rows.to_arrow_reader(_BATCH_ROWS):
        session.copy(f"{staged} ({columns})", escape(pa.Table.from_batches([batch])))
    session.execute(f"insert into {full_name(table)} ({columns}) select {_cast(names, 'numeric')} from {staged}")  # noqa: S608


def _is_sum(name: str) -> bool:
    return name.endswith(SUM_UNITS)


def _cast(names: Sequence[str], kind: str) -> str:
    """The columns, of which sums are cast."""
    return ", ".join(f"{quoted(n)}::{kind} as {quoted(n)}" if _is_sum(n) else quoted(n) for n in names)
