"""The warehouse of the release before: all tables in the schema `main`, no number of a layout, no newer columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sink.layout import INTERNAL, MOVED, READERS, SHOWN

if TYPE_CHECKING:
    import duckdb

OF = "database_name = current_database() and schema_name = ? and not internal"


def to_first_layout(connection: duckdb.DuckDBPyConnection) -> None:
    """Bring a warehouse of this release to the layout of the release before, with the same rows."""
    tables = connection.execute(f"select table_name, sql from duckdb_tables() where {OF}", [INTERNAL]).fetchall()  # noqa: S608
    views = [
        view
        for schema in (READERS, INTERNAL)
        for view in connection.execute(
            f"select schema_name, view_name, sql from duckdb_views() where {OF}",  # noqa: S608
            [schema],
        ).fetchall()
    ]
    for name in SHOWN:
        connection.execute(f"drop view {READERS}.{name}")
    for name, sql in tables:
        connection.execute(sql.replace(f"{INTERNAL}.", f"{READERS}.", 1))
        connection.execute(f"insert into {READERS}.{name} from {INTERNAL}.{name}")
        connection.execute(f"drop table {INTERNAL}.{name}")
    for column in ("layout", "release"):
        connection.execute(f"alter table {READERS}._pipeline drop {column}")
    for schema, name, sql in views:
        if name not in SHOWN and (schema == INTERNAL or f"{INTERNAL}." in sql):
            connection.execute(f"drop view {schema}.{name}")
            earlier = sql.replace(f"{INTERNAL}.", f"{READERS}.")
            connection.execute(
                earlier if f"VIEW {READERS}." in earlier else earlier.replace("VIEW ", f"VIEW {READERS}.", 1)
            )
    connection.execute(f"drop schema {INTERNAL}")


def lies_in(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """The schema of each of the tables that this release moves, as far as they are there."""
    return dict(
        connection.execute(
            "select table_name, schema_name from duckdb_tables() where database_name = current_database() "
            "and table_name in (select unnest(?::varchar[])) and schema_name <> 'building'",
            [list(MOVED)],
        ).fetchall()
    )
