"""The objects with the readings, as the view of them in the DuckDB file of a host shows them, to dbt and to others.

Which objects there are is copied into the file when a landing is taken. Each connection lists them in a variable, and
is given the key to the object store, so that no file holds a secret.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import pyarrow.parquet as pq

from kernel.base.whole_files import replace_file
from kernel.contract.reading import LANDED
from kernel.edges.duckdb_objects import object_root
from sink.layout import INTERNAL
from sink.postgres.views import listed_objects

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

    from kernel.base.settings import Settings

ENVIRONMENT: Final = (
    "object_store", "minio_endpoint", "minio_access_key", "minio_secret_key", "minio_secure", "minio_ca_location",
)  # fmt: skip
"""The settings by which dbt finds the objects, in its environment."""

_LISTED: Final = listed_objects(f"{INTERNAL}._commits", "$root", "$no_rows")


def no_rows(models: Path) -> Path:
    """The object without a reading, beside the file of the models: its columns are taken for those of all objects."""
    return models.with_name("no-rows.parquet")


def write_no_rows(models: Path) -> None:
    """Leave the object without a reading beside the file of the models; another process may be reading it."""
    content = io.BytesIO()
    pq.write_table(LANDED.empty_table(), content)
    replace_file(no_rows(models), content.getvalue())


def list_objects(connection: duckdb.DuckDBPyConnection, settings: Settings, models: Path) -> None:
    """Let a connection see the readings of the landing that was taken last.

    Args:
        connection: to the file of the models.
        settings: where the objects are.
        models: that file.

    Raises:
        duckdb.Error: no landing has been taken.
    """
    connection.execute(_LISTED, {"no_rows": str(no_rows(models)), "root": object_root(settings)})


def objects_environment(settings: Settings) -> dict[str, str]:
    """What dbt is told of the object store, by the names of the settings."""
    environment = {}
    for name in ENVIRONMENT:
        value = getattr(settings, name)
        text = value.get_secret_value() if hasattr(value, "get_secret_value") else value
        environment[name.upper()] = "" if text is None else str(text)
    return environment
