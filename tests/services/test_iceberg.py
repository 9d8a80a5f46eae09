"""Iceberg tables in a real MinIO with a catalog in PostgreSQL, and, in the nightly form, read by a real Spark."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from support.guides import blocks_of
from support.iceberg import iceberg_reader, in_bucket, read_bucket, registered, scan
from support.places import ROOT
from support.servers import ACCESS_KEY, SECRET_KEY

from kernel.edges.objects import open_store
from refresh.iceberg.register import register
from sink.care.compare import content_of
from sink.manifest import landing_objects

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from support.committed import Landed
    from support.postgres import Database
    from support.servers import MinIO

    from kernel.base.settings import Settings
    from kernel.edges.objects import ObjectStore

GUIDE = ROOT / "docs" / "guides" / "iceberg.md"
TABLES = ("battery_ts_cleaned", "battery_quarantine")
DESTRUCTIVE = (
    "call battery.system.expire_snapshots('battery.battery.battery_ts_cleaned', timestamp '2100-01-01', 1)",
    "call battery.system.remove_orphan_files('battery.battery.battery_ts_cleaned', timestamp '2020-01-01')",
    "drop table battery.battery.battery_quarantine purge",
)
"""What would remove objects of other Iceberg tables."""
DELETING = (
    "alter table battery.battery.battery_ts_cleaned set tblproperties ('write.delete.mode' = 'merge-on-read')",
    "delete from battery.battery.battery_ts_cleaned where data_point = 1",
    "select count(*) from battery.battery.battery_ts_cleaned",
)
"""What hides rows of objects that stay."""


@pytest.fixture
def bucket(landed: Landed, minio: MinIO, postgres_database: Database) -> tuple[Settings, ObjectStore]:
    """The objects of a landing in MinIO, and settings by which its catalog is in PostgreSQL."""
    settings, store = in_bucket(landed, minio.settings(f"iceberg-{uuid4().hex[:12]}"))
    return in_postgres(settings, postgres_database), store


def in_postgres(settings: Settings, database: Database) -> Settings:
    address = f"postgresql://{database.role}@{database.host}:{database.port}/{database.name}"
    given = settings.model_dump(exclude_unset=True) | {"warehouse": address, "warehouse_password": database.password}
    return type(settings).model_validate(given)


def test_tables_in_minio_with_a_catalog_in_postgresql_are_read_with_equal_checksums(
    landed: Landed, bucket: tuple[Settings, ObjectStore]
) -> None:
    settings, store = bucket
    done = register(settings, store, landed.warehouse)
    assert (done.catalog, "hush" in str(done.as_json())) == (
        f"postgresql+psycopg://***@{settings.warehouse.partition('@')[2]}",
        False,
    )
    reader = iceberg_reader()
    read_bucket(reader, settings)
    for table in TABLES:
        assert content_of(reader, scan(settings.object_store, table)) == landed.contents()[table]
    assert "nothing new" in str(register(settings, store, landed.warehouse))


def asked_of_spark(spark: Path, settings: dict[str, str], questions: Sequence[str]) -> list[dict[str, Any]]:
    """Spark's answers: the rows of each question as texts, or why it was refused."""
    catalog = {
        f"spark.sql.catalog.battery{name and '.'}{name}": value
        for name, value in {
            "": "org.apache.iceberg.spark.SparkCatalog",
            "type": "jdbc",
            "jdbc.schema-version": "V1",
            **settings,
        }.items()
    }
    program = ROOT / "tests" / "support" / "spark_answers.py"
    done = subprocess.run(
        [str(spark / "environment" / "bin" / "python"), str(program), str(spark / "jars")],
        input=json.dumps({"settings": catalog, "questions": questions}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def checksum(rows: Iterable[Sequence[str]]) -> str:
    return hashlib.sha256("\n".join(sorted("\x1f".join(row) for row in rows)).encode()).hexdigest()


def require_spark_reads(
    spark: Path, landed: Landed, settings: Settings, store: ObjectStore, catalog: dict[str, str]
) -> None:
    """Spark finds the rows that have landed, under their names, and cannot remove an object, whatever it is told."""
    register(settings, store, landed.warehouse)
    objects = sorted(found.key for found in landing_objects(store))
    by_name = (
        "select cell_id, `current(a)`, `dv/dt(v/s)`, date_time from battery.battery.battery_ts_cleaned order by all"
    )
    (guide,) = [block.content for block in blocks_of(GUIDE) if block.mark == "run by tests/services/test_iceberg.py"]
    questions = [guide, *(f"from battery.battery.{table}" for table in TABLES), by_name, *DESTRUCTIVE, *DELETING]
    per_cell, *whole, named, expired, orphans, purged, _, _, left = asked_of_spark(spark, catalog, questions)
    asked = 'select cell_id, count(*), max("voltage(v)") from battery_ts_cleaned group by cell_id order by cell_id'
    assert per_cell["rows"] == [[repr(value) for value in row] for row in landed.query(asked)]
    for table, answer in zip(TABLES, whole, strict=True):
        expected = [[repr(value) for value in row] for row in landed.query(f"from {table}")]
        assert (len(answer["rows"]), checksum(answer["rows"])) == (len(expected), checksum(expected))
    assert all("GC is disabled" in answer["refused"] for answer in (expired, orphans, purged))
    columns = 'select cell_id, "current(a)", "dv/dt(v/s)", date_time from battery_ts_cleaned order by all'
    assert named["rows"] == [[repr(value) for value in row] for row in landed.query(columns)]
    assert sorted(found.key for found in landing_objects(store)) == objects
    register(settings, store, landed.warehouse)
    rows = [landed.contents()[table][0] for table in TABLES]
    assert left["rows"] == [[str(rows[0] - 2)]]
    counts = asked_of_spark(
        spark,
        catalog,
        [f"select count(*) from battery.battery.{table}" for table in TABLES],  # noqa: S608
    )
    assert [answer["rows"] for answer in counts] == [[[str(count)]] for count in rows]


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_spark_reads_tables_of_a_folder_with_equal_checksums_and_removes_no_object(
    landed: Landed, spark_folder: Path
) -> None:
    registered(landed)
    catalog = {
        "uri": f"jdbc:sqlite:{landed.folder}/battery.iceberg.sqlite",
        "warehouse": f"file://{landed.folder}/objects/iceberg",
    }
    require_spark_reads(spark_folder, landed, landed.settings, open_store(landed.settings), catalog)


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_spark_reads_tables_of_a_bucket_with_equal_checksums_and_removes_no_object(
    landed: Landed, bucket: tuple[Settings, ObjectStore], postgres_database: Database, spark_folder: Path
) -> None:
    settings, store = bucket
    catalog = {
        "uri": f"jdbc:postgresql://{postgres_database.host}:{postgres_database.port}/{postgres_database.name}",
        "jdbc.user": postgres_database.role,
        "jdbc.password": postgres_database.password,
        "warehouse": f"{settings.object_store}/iceberg",
        "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        "s3.endpoint": f"http://{settings.minio_endpoint}",
        "s3.path-style-access": "true",
        "s3.access-key-id": ACCESS_KEY,
        "s3.secret-access-key": SECRET_KEY,
        "client.region": "us-east-1",
    }
    require_spark_reads(spark_folder, landed, settings, store, catalog)
