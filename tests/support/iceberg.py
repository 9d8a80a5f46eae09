"""Iceberg tables read as other engines read them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import duckdb
from duckdb_extensions import import_extension

from kernel.base.settings import Settings
from kernel.edges.objects import open_store
from refresh.iceberg.catalog import open_catalog
from refresh.iceberg.register import register

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyiceberg.table import Table
    from support.committed import Landed

    from kernel.edges.objects import ObjectStore
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


def in_bucket(landed: Landed, places: Mapping[str, str]) -> tuple[Settings, ObjectStore]:
    """The settings and the store of a landing whose objects were copied to a bucket."""
    given = {name.lower(): value for name, value in places.items()}
    settings = Settings.model_validate(landed.settings.model_dump(exclude_unset=True) | given)
    store = open_store(settings)
    for key in landed.kept():
        store.put(key, landed.store.get(key))
    return settings, store


def read_bucket(reader: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Let DuckDB read the bucket of some settings."""
    assert settings.minio_secret_key is not None
    reader.execute(
        f"create or replace secret (type s3, key_id '{settings.minio_access_key}', "
        f"secret '{settings.minio_secret_key.get_secret_value()}', endpoint '{settings.minio_endpoint}', "
        f"use_ssl {settings.minio_secure}, url_style 'path', region 'us-east-1')"
    )
