"""Queries of tests name no schema: what they name is a table of readers, else an internal one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

from sink.layout import INTERNAL, READERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def connected(path: Path, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Connect to the file of a warehouse, whichever layout it has."""
    with duckdb.connect(str(path), read_only=read_only) as connection:
        look_in_both(connection)
        yield connection


def look_in_both(connection: duckdb.DuckDBPyConnection) -> None:
    """Let a connection find the internal tables without their schema, too."""
    schemas = connection.execute(
        "select schema_name from duckdb_schemas() where database_name = current_database() and schema_name = ?",
        [INTERNAL],
    ).fetchall()
    if schemas:
        connection.execute(f"set search_path = '{READERS},{INTERNAL}'")
