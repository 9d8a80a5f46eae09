"""Where the tables lie: what readers use in the schema `main`, what is internal in a schema of its own.

Names of internal tables begin with `_`. A release before this one kept them in `main`, too. `create_tables` of
`sink.tables` moves them, in the transaction that begins a run, and writes down which layout the warehouse has, so that
a release that knows only an earlier one refuses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import structlog

from kernel.base.errors import BatteryError
from kernel.edges.warehouse import lift_memory_limit

if TYPE_CHECKING:
    import duckdb

    from kernel.edges.warehouse import Judge

_log = structlog.get_logger()

READERS: Final = "main"
"""The schema of what readers use."""

INTERNAL: Final = "internal"
"""The schema of what is internal: the worker's control tables, the record of dbt's runs, and intermediate models."""

LAYOUT: Final = 2
"""The layout of this release. The first one had no schema for what is internal, and no number."""

MOVED: Final = (
    "_pipeline", "_windows", "_cycles", "_progress", "_cell_state", "_writers", "_retired", "_commits", "_dbt_runs",
    "_refreshed",
)  # fmt: skip
"""The tables that were in `main` in the first layout."""

SHOWN: Final = ("_commits", "_progress", "_writers")
"""Internal tables that `main` shows as views, under their names.

Readers of the Parquet objects need the manifest. A release before this one cannot write to views, so it cannot begin a
run on this layout.
"""

_ABSENT: Final = {
    "_writers": {"kind": "'worker'"},  # a warehouse older than replays
    "_pipeline": {"layout": str(LAYOUT), "release": "''"},
}
"""Columns that must have a value, by table, where an earlier release had none: as SQL."""


def release() -> str:
    """The version of this release."""
    return version("battery-pipeline")


class NewerWarehouseError(BatteryError):
    """The warehouse has a layout of a later release."""


@dataclass(frozen=True)
class Places:
    """Where the tables and views of a warehouse lie: the schema of each by its name.

    A name that both schemas have is that of the internal one.
    """

    schemas: dict[str, str]

    def __contains__(self, name: object) -> bool:
        return name in self.schemas

    def full_name(self, name: str) -> str:
        """The name with its schema."""
        return f"{self.schemas[name]}.{name}"

    @property
    def is_current(self) -> bool:
        """Whether the internal tables lie where this release keeps them."""
        return self.schemas.get("_writers") == INTERNAL


def find_tables(connection: Judge) -> Places:
    """Where the tables and views of a warehouse lie, whichever layout it has."""
    rows = connection.execute(
        "select table_name, table_schema from information_schema.tables where table_catalog = current_database() "
        "and table_schema in ($readers, $internal) order by table_schema = $internal",
        {"readers": READERS, "internal": INTERNAL},
    ).fetchall()
    return Places(dict(rows))


def require_known_layout(connection: Judge) -> None:
    """Refuse a warehouse of a later release.

    Raises:
        NewerWarehouseError: its layout is later than that of this release; says what to do.
    """
    if find_tables(connection).schemas.get("_pipeline") != INTERNAL:
        return
    row = connection.execute(f"select layout, release from {INTERNAL}._pipeline").fetchone()  # noqa: S608
    if row is not None and row[0] > LAYOUT:
        raise NewerWarehouseError(
            f"the WAREHOUSE has layout {row[0]}, of release {row[1]}, and this is release {release()}, which knows "
            f"layouts up to {LAYOUT}: install release {row[1]} or a later one, or restore a backup of this release"
        )


def tables_to_move(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Names of the internal tables that are still, or again, in the schema of readers."""
    rows = connection.execute(
        "select table_name from duckdb_tables() where database_name = current_database() and schema_name = ? "
        "and table_name in (select unnest(?::varchar[])) order by table_name",
        [READERS, list(MOVED)],
    ).fetchall()
    return [name for (name,) in rows]


def move_tables(connection: duckdb.DuckDBPyConnection, names: list[str], made: Places) -> None:
    """Move internal tables out of the schema of readers, in the caller's transaction; their rows do not change.

    Args:
        connection: where the tables of this layout exist by now.
        names: from `tables_to_move`.
        made: what `find_tables` found before those were created. A table that it has in both schemas was made again by
            an earlier release, which could land nothing in it: it is dropped.
    """
    lift_memory_limit(connection)  # once in the life of a warehouse
    for name in names:
        if made.schemas[name] == INTERNAL:
            _log.warning("dropped a table that an earlier release has made again", table=name)
        else:
            _copy(connection, name)
        connection.execute(f"drop table {READERS}.{name}")
    connection.execute(f"drop view if exists {READERS}._watermark")
    _log.info("moved the internal tables to their own schema", schema=INTERNAL, tables=len(names))


def _copy(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Copy the rows of a table of readers to the internal one, which is created where only a refresh knows it."""
    if name not in {row[0] for row in _internal_tables(connection)}:
        ((statement,),) = connection.execute(
            "select sql from duckdb_tables() where database_name = current_database() and schema_name = ? "
            "and table_name = ?",
            [READERS, name],
        ).fetchall()
        connection.execute(statement.replace(name, f"{INTERNAL}.{name}", 1))
    columns = {column for column, *_ in connection.execute(f"describe {READERS}.{name}").fetchall()}
    absent = [f"{value} as {column}" for column, value in _ABSENT.get(name, {}).items() if column not in columns]
    connection.execute(
        f"insert into {INTERNAL}.{name} by name select {', '.join(['*', *absent])} from {READERS}.{name}"  # noqa: S608
    )


def _internal_tables(connection: duckdb.DuckDBPyConnection) -> list[tuple[str]]:
    return connection.execute(
        "select table_name from duckdb_tables() where database_name = current_database() and schema_name = ?",
        [INTERNAL],
    ).fetchall()
