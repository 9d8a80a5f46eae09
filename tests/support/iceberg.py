"""Iceberg tables read as other engines read them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import duckdb
from duckdb_extensions import import_extension

from refresh.iceberg.catalog import open_catalog
from refresh.iceberg.register import register

if TYPE_CHECKING:
    from pyiceberg.table import Table
    from support.committed import Landed

    from refresh.iceberg.register import Registered


def iceberg_reader() -> duckdb.DuckDBPyConnection:
    """DuckDB with its extension for Iceberg, and nothing of the pipeline."""
    connection = duckdb.connect()
    for name in ("avro", "httpfs", "iceberg"):
        import_extension(name, con=connection)
        connection.load_extension(name)
    return connection


def scan(folder: str, table: str) -> str:
    """How DuckDB names a table whose folder it knows."""
    return f"iceberg_scan('{folder}/iceberg/battery/{table}')"


def registered(landed: Landed) -> Registered:
    """The tables of a landing, brought up to date."""
    return register(landed.settings, landed.store, landed.warehouse)


def loaded(landed: Landed, name: str) -> Table:
    """A table as the catalog has it."""
    with closing(open_catalog(landed.settings)) as catalog:
        return catalog.load_table(("battery", name))


def files_of(table: Table) -> list[str]:
    """The keys of the objects of a table; each as often as the table names it."""
    addresses = table.inspect.data_files()["file_path"].to_pylist()
    return sorted("/".join(address.split("/")[-3:]) for address in addresses)


def operations_of(table: Table) -> list[Any]:
    """What each snapshot was."""
    return [snapshot.summary.operation.value for snapshot in table.snapshots() if snapshot.summary is not None]
