"""What dbt is told so that it reads the objects of a landing: their places and keys, and no password of PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest
from pydantic import SecretStr
from support.committed import Worker

from kernel.base.settings import Settings
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from refresh.dbt import BUILDING, environment_of
from refresh.host_models import open_models, take_landing

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import Database

SECRET = "hush-bucket"


@pytest.fixture
def settings(tmp_path: Path, postgres_database: Database, s3_port: int, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A pipeline in PostgreSQL and a bucket, in which something has landed."""
    monkeypatch.chdir(tmp_path)
    settings = Settings(
        object_store=f"s3://{postgres_database.name.replace('_', '-')}/lab",
        minio_endpoint=f"127.0.0.1:{s3_port}",
        minio_access_key="lab",
        minio_secret_key=SecretStr(SECRET),
        minio_secure=False,
        warehouse=postgres_database.address,
        warehouse_password=SecretStr(postgres_database.password),
        kafka_bootstrap_servers="127.0.0.1:1",
    )
    Worker(open_store(settings), open_warehouse(settings)).commit(0, 1)
    return settings


def test_dbt_reads_the_objects_of_a_bucket_by_what_its_environment_says(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbt.adapters.duckdb.credentials import DuckDBCredentials  # noqa: PLC0415  # it loads dbt

    from refresh.dbt_plugin import Plugin  # noqa: PLC0415

    take_landing(open_models(settings))
    environment = environment_of(settings, BUILDING)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    path = environment["WAREHOUSE"]
    plugin = Plugin("dbt_plugin", {}, DuckDBCredentials(path=path, database="battery", schema=BUILDING))
    with duckdb.connect(path) as connection:
        plugin.configure_connection(connection)
        with connection.cursor() as cursor:
            plugin.configure_cursor(cursor)
            assert cursor.execute("select count(*), count(distinct cell_id) from battery_ts_cleaned").fetchall() == [
                (4, 2)
            ]


def test_the_secrets_of_warehouse_and_bucket_are_in_no_file_and_the_warehouses_not_in_dbts_environment(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.warehouse_password is not None
    password = settings.warehouse_password.get_secret_value()
    for name in ("WAREHOUSE_PASSWORD", "PGPASSWORD"):
        monkeypatch.setenv(name, password)
    take_landing(open_models(settings))
    assert password not in environment_of(settings, BUILDING).values()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "battery.duckdb" for path in files)
    told = [path for path in files for word in (password, SECRET) if word.encode() in path.read_bytes()]
    assert told == []
