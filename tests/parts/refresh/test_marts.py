from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from support.published import CELLS, REAL

from kernel.base.errors import BatteryError
from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import open_warehouse
from refresh.export import MANIFEST, MARTS
from refresh.marts import ExportedMarts, Marts, NothingYetError, WarehouseMarts
from refresh.publication import open_publication
from sink.tables import create_tables

if TYPE_CHECKING:
    from pathlib import Path

    from support.pipeline import Pipeline
    from support.published import PublishedFolder


@pytest.fixture(params=["exported", "warehouse"])
def marts(request: pytest.FixtureRequest, published: PublishedFolder) -> Marts:
    """Both ways to the same marts; MotherDuck is the second."""
    pipeline = published.pipeline()
    if request.param == "exported":
        return ExportedMarts(FolderStore(pipeline.folder / "objects"))
    return WarehouseMarts(open_warehouse(pipeline.settings))


@pytest.mark.parametrize("name", MARTS)
def test_a_mart_is_read_as_it_was_published(published: PublishedFolder, marts: Marts, name: str) -> None:
    table = marts.table(marts.newest(), name)
    shown = [tuple(row.values()) for row in table.to_pylist()]
    assert shown == published.pipeline().query(f"from {name} order by all")
    # Nobody has told of groups, or sends live; and of the cells here only the real one deserves an alert.
    assert shown or name in {"battery_groups", "battery_live_tests", *([] if REAL in CELLS else ["battery_alerts"])}


def test_a_publication_says_when_it_was_made(published: PublishedFolder, marts: Marts) -> None:
    ((finished,),) = published.pipeline().query(
        "select max(started_at + to_microseconds((seconds * 1e6)::bigint)) from internal._dbt_runs"
    )
    at = marts.newest().published_at
    assert at is not None
    assert 0 <= (at - finished).total_seconds() < 60
    assert marts.newest() == marts.newest()


def test_beside_a_duckdb_file_the_objects_are_read_and_nobody_is_held_up(published: PublishedFolder) -> None:
    pipeline = published.pipeline()
    with open_warehouse(pipeline.settings).connect("hold it", read_only=True):
        seen = open_publication(pipeline.settings, lock_seconds=0)
        assert seen.table("battery_cells").num_rows == len(CELLS)
        assert seen.published_at is not None


def test_where_nothing_has_been_published_it_says_what_publishes(tmp_path: Path, pipeline: Pipeline) -> None:
    warehouse = open_warehouse(pipeline.settings)
    with warehouse.connect("make it") as connection:
        create_tables(connection)
    for nothing in (ExportedMarts(FolderStore(tmp_path / "empty")), WarehouseMarts(warehouse)):
        with pytest.raises(NothingYetError, match="`battery transform` builds and publishes them"):
            nothing.newest()


def test_damage_is_told_with_what_mends_it(published: PublishedFolder, tmp_path: Path) -> None:
    shutil.copytree(published.folder / "objects" / "marts", tmp_path / "marts")
    store = FolderStore(tmp_path)
    marts = ExportedMarts(store)
    newest = marts.newest()
    store.put(newest.places["battery_cells"], b"PAR1 is how it should begin")
    with pytest.raises(
        BatteryError, match=r"battery_cells\.parquet is no whole Parquet file .*; `battery publish` exports"
    ):
        marts.table(newest, "battery_cells")
    store.delete(newest.places["battery_tests"])
    with pytest.raises(BatteryError, match=r"battery_tests\.parquet"):
        marts.table(newest, "battery_tests")
    manifest = json.loads(store.get(MANIFEST))
    del manifest["tables"]["battery_gaps"]
    store.put(MANIFEST, json.dumps(manifest).encode())
    with pytest.raises(BatteryError, match="names no battery_gaps: `battery publish` exports"):
        marts.table(marts.newest(), "battery_gaps")
    store.put(MANIFEST, b"{")
    with pytest.raises(BatteryError, match=r"manifest\.json is damaged .*; `battery publish` writes it again"):
        marts.newest()
