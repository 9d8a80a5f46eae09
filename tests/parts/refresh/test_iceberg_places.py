"""Iceberg tables of objects in a bucket, and what is wrong with a place said in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.iceberg import iceberg_reader, in_bucket, read_bucket, registered, scan

import refresh.iceberg.extra
from kernel.base.errors import BatteryError
from kernel.base.settings import Settings, load_settings
from kernel.edges.objects import FolderStore
from refresh.iceberg.catalog import catalog_place
from refresh.iceberg.extra import require_iceberg
from refresh.iceberg.register import register
from sink.care.compare import content_of

if TYPE_CHECKING:
    from pathlib import Path

    from support.committed import Landed


def test_tables_of_a_bucket_are_read_with_equal_checksums(landed: Landed, s3_port: int) -> None:
    settings, store = in_bucket(
        landed,
        {
            "OBJECT_STORE": "s3://iceberg-tables/lab", "MINIO_ENDPOINT": f"127.0.0.1:{s3_port}",
            "MINIO_ACCESS_KEY": "key", "MINIO_SECRET_KEY": "hush-secret", "MINIO_SECURE": "false",
        },
    )  # fmt: skip
    done = register(settings, store, landed.warehouse)
    reader = iceberg_reader()
    read_bucket(reader, settings)
    for table in ("battery_ts_cleaned", "battery_quarantine"):
        assert content_of(reader, scan("s3://iceberg-tables/lab", table)) == landed.contents()[table]
    assert all("hush" not in str(part) for part in (done, done.as_json()))
    assert "nothing new" in str(register(settings, store, landed.warehouse))
    for stored in store.list("iceberg/"):
        assert b"hush" not in store.get(stored.key)


def test_a_store_that_does_not_answer_is_one_line(landed: Landed) -> None:
    settings = Settings.model_validate(
        landed.settings.model_dump(exclude_unset=True)
        | {
            "object_store": "s3://bucket", "minio_endpoint": "127.0.0.1:1", "minio_access_key": "key",
            "minio_secret_key": "hush-secret", "minio_secure": False,
        }
    )  # fmt: skip
    with pytest.raises(BatteryError, match="cannot be") as raised:
        register(settings, landed.store, landed.warehouse)
    assert "\n" not in str(raised.value)
    assert "hush" not in str(raised.value)


def test_without_the_extra_the_command_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh.iceberg.extra, "find_spec", lambda _: None)
    with pytest.raises(BatteryError, match="needs the extra iceberg, which is not installed: "):
        require_iceberg()


def test_a_catalog_that_is_nothing_is_refused_at_start() -> None:
    with pytest.raises(BatteryError, match="ICEBERG_CATALOG: must be sql, the URL of a REST catalog, or empty"):
        load_settings(iceberg_catalog="sqlite")


def test_a_catalog_in_sql_is_beside_a_duckdb_file(landed: Landed) -> None:
    assert catalog_place(landed.settings) == f"sqlite:///{landed.folder}/battery.iceberg.sqlite"
    registered(landed)
    assert (landed.folder / "battery.iceberg.sqlite").is_file()


def test_a_folder_that_no_address_can_name_is_refused_before_anything_is_written(
    landed: Landed, tmp_path: Path
) -> None:
    odd = tmp_path / "100%"
    settings = landed.settings.model_copy(update={"object_store": f"file://{odd}"})
    with pytest.raises(BatteryError, match="move the objects to a folder without it"):
        register(settings, FolderStore(odd), landed.warehouse)
    assert not (odd / "iceberg").exists()


def test_objects_that_have_moved_are_refused_with_what_to_do(landed: Landed, tmp_path: Path) -> None:
    registered(landed)
    moved = landed.settings.model_copy(update={"object_store": f"file://{tmp_path / 'moved'}"})
    with pytest.raises(BatteryError, match="OBJECT_STORE is elsewhere now; remove the table from the catalog"):
        register(moved, FolderStore(tmp_path / "moved"), landed.warehouse)


def test_tables_can_be_made_again_where_the_catalog_is_lost(landed: Landed) -> None:
    registered(landed)
    (landed.folder / "battery.iceberg.sqlite").unlink()
    registered(landed)
    reader = iceberg_reader()
    found = content_of(reader, scan(str(landed.folder / "objects"), "battery_ts_cleaned"))
    assert found == landed.contents()["battery_ts_cleaned"]
