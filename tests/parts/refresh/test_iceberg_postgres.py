"""Iceberg tables of a pipeline in PostgreSQL: the manifest and the catalog in one database, the rows in objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.committed import Worker
from support.iceberg import iceberg_reader, scan
from support.warehouses import look, owned

from kernel.base.settings import Settings
from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import open_warehouse
from refresh.iceberg.register import register
from sink.care.compact import compact
from sink.care.compare import content_of

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import Database

TABLES = ("battery_ts_cleaned", "battery_quarantine")


@pytest.fixture
def settings(tmp_path: Path, postgres_database: Database) -> Settings:
    return Settings(
        object_store=f"file://{tmp_path / 'objects'}",
        warehouse=postgres_database.address,
        warehouse_password=postgres_database.password,  # type: ignore[arg-type]
        replay_dir=tmp_path / "replay",
    )


def test_what_postgresql_says_has_landed_is_read_with_equal_checksums(settings: Settings, tmp_path: Path) -> None:
    store, warehouse = FolderStore(tmp_path / "objects"), open_warehouse(settings)
    worker = Worker(store, warehouse)
    for merges in (False, True):
        worker.commit(0, 1, 0, 1)
        if merges:
            assert compact(settings, store, warehouse).merged
        done = register(settings, store, warehouse)
        reader = iceberg_reader()
        with look(settings) as connection:
            expected = {table: content_of(connection, table) for table in TABLES}
        assert {table: content_of(reader, scan(str(tmp_path / "objects"), table)) for table in TABLES} == expected
        assert expected["battery_ts_cleaned"][0] > 0
        assert done.catalog == f"postgresql+psycopg://***@{settings.warehouse.partition('@')[2]}"
    with owned(settings) as database:
        rows = database.execute("select catalog_name, table_namespace, table_name from iceberg_tables order by 3")
        assert rows.fetchall() == [("battery", "battery", table) for table in sorted(TABLES)]
