"""The marts and readings that a publication leaves in the store, whatever the clock and the store do meanwhile."""

from __future__ import annotations

import json
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Self

import pytest

import refresh.publish
from kernel.base.errors import BatteryError
from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import DuckDBFile
from refresh.export import MANIFEST, MARTS, export_marts
from refresh.publish import PublishResult, publish

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects")


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBFile:
    """A warehouse with marts of one row each."""
    made = DuckDBFile(tmp_path / "lab.duckdb", lock_timeout_seconds=1)
    with made.connect("make it") as connection:
        for name in MARTS:
            connection.execute(f"create table {name} as select 'A' as cell_id, 7 as x")
        connection.execute(
            "create schema internal; create table internal._refreshed as select "
            "'_watermark' as model, '' as cell_id, '' as test_id, 'v' as version, 'first' as built_by"
        )
    return made


def at(year: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the clock of the export."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls(year, 1, 1, tzinfo=tz)

    monkeypatch.setattr("refresh.export.datetime", Clock)


def named(store: FolderStore) -> set[str]:
    """The keys of the objects that the manifest names."""
    return {table["key"] for table in json.loads(store.get(MANIFEST))["tables"].values()}


def test_marts_that_are_exported_after_the_clock_was_set_back_are_there(
    warehouse: DuckDBFile, store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = []
    for year in (2026, 2025, 2025, 2027):
        at(year, monkeypatch)
        export_marts(warehouse, store)
        keys.append(named(store))
        assert keys[-1] <= {stored.key for stored in store.list("marts/")}
        assert datetime.fromisoformat(json.loads(store.get(MANIFEST))["published_at"]) == datetime(
            year, 1, 1, tzinfo=UTC
        )
    kept = {stored.key for stored in store.list("marts/2")}
    assert kept == keys[2] | keys[3]  # and no folder is left for good


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"folder": 3}', b'{"folder": "another"}'])
def test_a_damaged_manifest_is_written_again(warehouse: DuckDBFile, store: FolderStore, damage: bytes) -> None:
    export_marts(warehouse, store)
    store.put(MANIFEST, damage)
    assert export_marts(warehouse, store) == len(MARTS)
    assert named(store) <= {stored.key for stored in store.list("marts/")}


def test_nothing_counts_as_exported_before_the_readings_are(
    warehouse: DuckDBFile, store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def marks() -> list[tuple[str]]:
        with warehouse.connect("look", read_only=True) as connection:
            return connection.execute("select version from internal._refreshed where model = '_exported'").fetchall()

    def away(*_: object) -> int:
        raise BatteryError("the store does not answer")

    published = PublishResult(models=1, tests=1, cells=1, exported=1)
    monkeypatch.setattr(refresh.publish, "_publish_and_export", lambda *_: published)
    monkeypatch.setattr(refresh.publish, "export_readings", away)
    with pytest.raises(BatteryError, match="does not answer"):
        publish(warehouse, store)
    assert marks() == []
    monkeypatch.setattr(refresh.publish, "export_readings", lambda *_: 9)
    assert publish(warehouse, store).readings == 9
    assert marks() == [("v",)]
