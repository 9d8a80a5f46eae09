"""What DuckDB needs to read the objects of the OBJECT_STORE by itself, and its extensions out of their wheels."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from kernel.base.settings import Settings


def object_root(settings: Settings) -> str:
    """What stands before the key of an object, as DuckDB finds it.

    >>> from kernel.base.settings import Settings
    >>> object_root(Settings(object_store="file:///lab/objects"))
    '/lab/objects/'
    """
    store = settings.object_store
    if store.startswith("s3://"):
        return f"{store.rstrip('/')}/"
    return f"{Path(store.removeprefix('file://')).resolve()}/"


def unlock_objects(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Let a DuckDB connection read the objects of the OBJECT_STORE; in a folder it can as it is.

    Raises:
        BatteryError: the extension that reads buckets is not installed.
    """
    if settings.object_store.startswith("s3://"):
        load_extension(connection, "httpfs")
        connection.execute(_s3_secret(settings))
        if settings.minio_ca_location:
            connection.execute(f"set ca_cert_file = {sql_text(str(settings.minio_ca_location))}")


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load an extension of DuckDB out of its wheel; nothing is installed, so a home that is read-only will do.

    Raises:
        BatteryError: its wheel is not installed.
    """
    try:
        wheel = files(f"duckdb_extension_{name}")
    except ImportError:
        package = f"duckdb-extension-{name.replace('_', '-')}=={duckdb.__version__}"
        raise BatteryError(f"DuckDB's extension {name} is missing: `pip install {package}`") from None
    path = wheel / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    connection.execute(f"load {sql_text(str(path))}")


def _s3_secret(settings: Settings) -> str:
    secret = settings.minio_secret_key.get_secret_value() if settings.minio_secret_key else ""
    return (
        "create or replace temporary secret object_store (type s3, "
        f"key_id {sql_text(settings.minio_access_key or '')}, secret {sql_text(secret)}, "
        f"endpoint {sql_text(settings.minio_endpoint or '')}, url_style 'path', "
        f"use_ssl {str(settings.minio_secure).lower()})"
    )


def sql_text(value: str) -> str:
    """A text in SQL."""
    return "'" + value.replace("'", "''") + "'"
