"""A pipeline that moves from a DuckDB file to a database in PostgreSQL, over the objects that it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from support.committed import Landed, Worker

from kernel.base.errors import BatteryError
from kernel.base.ports import free_port
from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import open_warehouse
from sink.care.compare import KEYS, content_of
from sink.care.move import Moved, move
from sink.cells.events import create_cell_tables
from sink.claim import ForeignStoreError
from sink.manifest import read_manifest
from sink.tables import full_name
from sink.writers import SupersededError

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import Database

    from kernel.base.settings import Settings
    from kernel.edges.warehouse import Warehouse


@pytest.fixture
def landed(tmp_path: Path) -> Landed:
    """A pipeline in a DuckDB file, with a worker that has ended; one object of it was replaced, and a cell is known."""
    landed = Landed(tmp_path)
    worker = landed.worker()
    for _ in range(5):
        worker.commit(0, 1)
    with landed.warehouse.connect("prepare") as connection:
        create_cell_tables(connection)
        connection.execute(
            "insert into battery_cell_events values ('t', 0, 0, 'CELL_1', '2026-01-01', '{\"tags\": [\"a\"]}', null)"
        )
        connection.execute("insert into internal._retired values ('battery_ts_cleaned/lane=00/000001-9.parquet')")
        connection.execute("update battery_quarantine set payload = chr(0) || chr(65534) || '1' where \"offset\" = 0")
    return landed


@pytest.fixture
def settings(landed: Landed, postgres_database: Database) -> Settings:
    return landed.settings.model_copy(
        update={"warehouse": postgres_database.address, "warehouse_password": SecretStr(postgres_database.password)}
    )


def moved(settings: Settings, landed: Landed) -> tuple[Moved, Warehouse]:
    warehouse = open_warehouse(settings)
    return move(settings, warehouse, landed.folder / "battery.duckdb"), warehouse


def contents(warehouse: Warehouse) -> dict[str, tuple[int, int]]:
    with warehouse.connect("look", read_only=True) as connection:
        return {table: content_of(connection, full_name(table)) for table in KEYS}


def test_every_table_is_equal_and_no_object_is_written_again(landed: Landed, settings: Settings) -> None:
    manifest, kept, tables = landed.manifest(), landed.kept(), landed.contents()
    result, warehouse = moved(settings, landed)
    assert contents(warehouse) == tables
    assert (result.readings, result.objects) == (tables["battery_ts_cleaned"][0], len(landed.named()))
    with warehouse.connect("look", read_only=True) as connection:
        assert read_manifest(connection) == manifest
        assert connection.execute("select cell_id, metadata from battery_cell_latest").fetchall() == [
            ("CELL_1", '{"tags": ["a"]}')
        ]
        assert connection.execute("select count(*) from internal._retired").fetchall() == [(1,)]
    assert landed.kept() == kept


def test_the_worker_goes_on_where_the_file_stood(landed: Landed, settings: Settings) -> None:
    _, warehouse = moved(settings, landed)
    before = contents(warehouse)
    worker = Worker(landed.store, warehouse)
    worker.commit(0, 1)
    assert worker.next_seq == {0: 7, 1: 7}
    assert contents(warehouse)["battery_ts_cleaned"][0] > before["battery_ts_cleaned"][0]


def test_the_file_is_closed_to_a_worker_that_runs_and_to_one_that_begins(landed: Landed, settings: Settings) -> None:
    running = landed.worker()
    moved(settings, landed)
    with pytest.raises(SupersededError):
        running.commit(0)
    with pytest.raises(ForeignStoreError, match="belongs to pipeline"):
        landed.worker()


def test_a_move_that_broke_off_is_begun_again(
    landed: Landed, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = landed.contents()

    def broken(*_: object) -> None:
        raise BatteryError("broken")

    with monkeypatch.context() as patch:
        patch.setattr("sink.care.move.replace_rows", broken)
        with pytest.raises(BatteryError, match="broken"):
            moved(settings, landed)
    _, warehouse = moved(settings, landed)
    assert contents(warehouse) == tables


def test_a_database_that_holds_a_pipeline_and_a_warehouse_of_another_kind_are_refused(
    landed: Landed, settings: Settings
) -> None:
    moved(settings, landed)
    with pytest.raises(BatteryError, match="holds a pipeline already; create an empty database"):
        moved(settings, landed)
    with pytest.raises(BatteryError, match="is none in PostgreSQL; set it to postgresql://HOST/DATABASE"):
        move(landed.settings, landed.warehouse, landed.folder / "battery.duckdb")
    with pytest.raises(BatteryError, match="is no file"):
        move(settings, open_warehouse(settings), landed.folder / "another.duckdb")


def test_a_move_to_a_server_that_is_down_leaves_the_file_to_its_worker(landed: Landed, settings: Settings) -> None:
    nowhere = settings.model_copy(update={"warehouse": f"postgresql://lab@127.0.0.1:{free_port()}/battery"})
    with pytest.raises(BatteryError, match="cannot be used"):
        moved(nowhere, landed)
    landed.worker().commit(0, 1)


def test_a_move_to_a_warehouse_that_holds_something_leaves_the_file_to_its_worker(
    landed: Landed, settings: Settings, tmp_path: Path
) -> None:
    Worker(FolderStore(tmp_path / "other"), open_warehouse(settings)).commit(0, 1)
    with pytest.raises(BatteryError, match="the WAREHOUSE holds a pipeline already"):
        moved(settings, landed)
    landed.worker().commit(0, 1)
