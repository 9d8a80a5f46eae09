"""Iceberg tables follow the manifest: every object once, whoever dies, is slow or publishes at the same time."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.iceberg import files_of, iceberg_reader, loaded, operations_of, registered, scan
from support.pipeline import COMMAND, commands, run_battery

import refresh.iceberg.table
from dataflows.replay.replay import replay
from dataflows.replay.report import Outcome
from dataflows.replay.start import Start
from kernel.base.errors import BatteryError
from kernel.base.faults import Point
from refresh.iceberg.leftovers import GRACE, remove_leftovers
from refresh.iceberg.sources import Sources, read_sources
from sink.care.compact import compact
from sink.care.compare import content_of
from sink.care.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb
    from support.committed import Landed
    from support.forks import Process

    from kernel.base.settings import Settings
    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse

KINDS = ("battery_ts_cleaned", "battery_quarantine")
PUBLISH = ("publish", "--iceberg")


@pytest.fixture(scope="module")
def reader() -> duckdb.DuckDBPyConnection:
    return iceberg_reader()


def contents(landed: Landed, reader: duckdb.DuckDBPyConnection) -> dict[str, tuple[int, int]]:
    """Row count and checksum of the tables as another engine sees them."""
    return {kind: content_of(reader, scan(str(landed.folder / "objects"), kind)) for kind in KINDS}


def landed_contents(landed: Landed) -> dict[str, tuple[int, int]]:
    return {kind: content for kind, content in landed.contents().items() if kind in KINDS}


def environment(landed: Landed, **more: str) -> dict[str, str]:
    """What a command needs to find the landing."""
    return {
        **os.environ,
        "OBJECT_STORE": f"file://{landed.folder / 'objects'}",
        "WAREHOUSE": str(landed.folder / "battery.duckdb"),
        **more,
    }


def require_equal(landed: Landed, reader: duckdb.DuckDBPyConnection) -> None:
    """The tables have the rows that have landed, and the objects of the manifest, each once."""
    assert contents(landed, reader) == landed_contents(landed)
    for kind in KINDS:
        assert files_of(loaded(landed, kind)) == sorted(key for key in landed.named() if key.startswith(f"{kind}/"))


def at_point(monkeypatch: pytest.MonkeyPatch, point: Point, action: Callable[[], object]) -> None:
    """Do something when a publication comes to a point for the first time."""
    done: list[Point] = []

    def passed(here: Point) -> None:
        if here is point and not done:
            done.append(here)
            action()

    monkeypatch.setattr(refresh.iceberg.table, "fault_point", passed)


def test_what_has_landed_is_read_with_equal_checksums_and_a_second_run_changes_nothing(
    landed: Landed, reader: duckdb.DuckDBPyConnection
) -> None:
    kept = landed.kept()
    done = registered(landed)
    require_equal(landed, reader)
    assert "registered" in str(done)
    again = registered(landed)
    assert str(again).startswith("nothing new for 2 Iceberg tables of battery; battery_ts_cleaned has ")
    assert [table.metadata for table in again.tables] == [table.metadata for table in done.tables]
    assert landed.kept() == kept  # and no object was written


def test_columns_keep_the_names_of_the_cycler_in_every_reader(
    landed: Landed, reader: duckdb.DuckDBPyConnection
) -> None:
    registered(landed)
    expected = landed.query('select "current(a)", "voltage(v)", "dv/dt(v/s)" from battery_ts_cleaned order by all')
    table = scan(str(landed.folder / "objects"), "battery_ts_cleaned")
    found = reader.execute(f'select "current(a)", "voltage(v)", "dv/dt(v/s)" from {table} order by all')  # noqa: S608
    assert found.fetchall() == expected
    by_pyiceberg = loaded(landed, "battery_ts_cleaned").scan(
        row_filter="cell_id = 'CELL_1'", selected_fields=("current(a)", "dv/dt(v/s)")
    )
    ((count,),) = landed.query("select count(*) from battery_ts_cleaned where cell_id = 'CELL_1'")
    assert (by_pyiceberg.to_arrow().num_rows, by_pyiceberg.to_arrow().column_names) == (
        count,
        ["current(a)", "dv/dt(v/s)"],
    )


def test_new_commits_are_appended(landed: Landed, reader: duckdb.DuckDBPyConnection) -> None:
    registered(landed)
    worker = landed.worker()
    for _ in range(3):
        worker.commit(0, 1)
        registered(landed)
    require_equal(landed, reader)
    assert operations_of(loaded(landed, "battery_ts_cleaned")) == ["append"] * 4


def test_merged_objects_replace_those_they_were_made_of_in_one_snapshot(
    landed: Landed, reader: duckdb.DuckDBPyConnection
) -> None:
    registered(landed)
    assert compact(landed.settings, landed.store, landed.warehouse).merged
    registered(landed)
    require_equal(landed, reader)
    assert operations_of(loaded(landed, "battery_ts_cleaned")) == ["append", "overwrite"]
    sweep(landed.settings, landed.store, landed.warehouse)
    require_equal(landed, reader)


def test_the_objects_of_a_replay_replace_all_that_were_there(landed: Landed, reader: duckdb.DuckDBPyConnection) -> None:
    registered(landed)
    before = landed.named()
    landed.query('update battery_ts_cleaned set "voltage(v)" = 1 where data_point = 3')
    assert replay(landed.settings, Start(archive=True)).outcome is Outcome.SWAPPED
    assert not before & landed.named()
    registered(landed)
    require_equal(landed, reader)


@pytest.mark.parametrize("point", [Point.ICEBERG_COMMITTING, Point.ICEBERG_COMMITTED])
@pytest.mark.parametrize("table", [1, 2])
def test_a_publisher_killed_at_any_point_has_registered_all_objects_of_a_table_or_none(
    landed: Landed, reader: duckdb.DuckDBPyConnection, point: Point, table: int
) -> None:
    killed = run_battery(landed.folder, environment(landed, BATTERY_FAULT=f"{point}@{table}:kill"), *PUBLISH)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = run_battery(landed.folder, environment(landed), *PUBLISH)
    assert done.returncode == 0, done.stderr
    require_equal(landed, reader)


def test_many_publishers_at_once_register_each_object_once(landed: Landed, reader: duckdb.DuckDBPyConnection) -> None:
    processes: list[Process] = [
        commands.start(COMMAND.format(PUBLISH), environment(landed), landed.folder) for _ in range(4)
    ]
    outputs = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    require_equal(landed, reader)
    assert operations_of(loaded(landed, "battery_ts_cleaned")) == ["append"]


def test_a_publisher_that_sleeps_does_not_put_an_older_manifest_over_a_newer_one(
    landed: Landed, reader: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = landed.worker()

    def meanwhile() -> None:
        worker.commit(0, 1)
        compact(landed.settings, landed.store, landed.warehouse)
        registered(landed)

    at_point(monkeypatch, Point.ICEBERG_COMMITTING, meanwhile)
    registered(landed)
    require_equal(landed, reader)


def test_a_manifest_that_was_read_before_another_publisher_finished_is_read_again(
    landed: Landed, reader: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(landed)
    worker, slow = landed.worker(), iter([True])
    worker.commit(0)

    def read_and_sleep(settings: Settings, store: ObjectStore, warehouse: Warehouse) -> Sources:
        sources = read_sources(settings, store, warehouse)
        if next(slow, False):
            worker.commit(0, 1)
            registered(landed)
        return sources

    monkeypatch.setattr("refresh.iceberg.register.read_sources", read_and_sleep)
    registered(landed)
    require_equal(landed, reader)
    assert operations_of(loaded(landed, "battery_ts_cleaned")) == ["append", "append"]


def test_objects_that_are_removed_while_they_are_registered_are_looked_up_again(
    landed: Landed, reader: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    merges = iter([True])

    def read_and_merge(settings: Settings, store: ObjectStore, warehouse: Warehouse) -> Sources:
        sources = read_sources(settings, store, warehouse)
        if next(merges, False):
            compact(landed.settings, landed.store, landed.warehouse)
            sweep(landed.settings, landed.store, landed.warehouse)
        return sources

    monkeypatch.setattr("refresh.iceberg.register.read_sources", read_and_merge)
    registered(landed)
    require_equal(landed, reader)


def test_what_another_program_did_to_a_table_is_put_right(landed: Landed, reader: duckdb.DuckDBPyConnection) -> None:
    registered(landed)
    table = loaded(landed, "battery_ts_cleaned")
    columns = table.schema().as_arrow()
    table.append(pa.Table.from_pylist([{"cell_id": "INVENTED"}], columns))
    table.delete("cell_id = 'CELL_2'")
    kept = landed.kept()
    assert set(table.scan().to_arrow()["cell_id"].to_pylist()) == {"CELL_1", "INVENTED"}
    registered(landed)
    require_equal(landed, reader)
    assert landed.kept() == kept == landed.named()


def test_an_object_that_a_table_names_twice_is_named_once_again(
    landed: Landed, reader: duckdb.DuckDBPyConnection
) -> None:
    registered(landed)
    table = loaded(landed, "battery_ts_cleaned")
    (address, *_) = table.inspect.data_files()["file_path"].to_pylist()
    table.add_files([address], check_duplicate_files=False)
    registered(landed)
    require_equal(landed, reader)


def test_every_table_forbids_engines_to_remove_its_files_and_keeps_its_own_apart(landed: Landed) -> None:
    done = registered(landed)
    for name in KINDS:
        table = loaded(landed, name)
        assert table.properties["gc.enabled"] == "false"
        assert table.location() == f"file://{landed.folder}/objects/iceberg/battery/{name}"
        assert not any(address.startswith(table.location()) for address in files_of(table))
    assert [table.name for table in done.tables] == sorted(KINDS)


def test_properties_that_another_program_has_changed_are_set_again(
    landed: Landed, reader: duckdb.DuckDBPyConnection
) -> None:
    registered(landed)
    with loaded(landed, "battery_ts_cleaned").transaction() as transaction:
        transaction.set_properties({"gc.enabled": "true", "commit.retry.num-retries": "4"})
    landed.worker().commit(0)
    registered(landed)
    properties = loaded(landed, "battery_ts_cleaned").properties
    assert (properties["gc.enabled"], properties["commit.retry.num-retries"]) == ("false", "0")
    require_equal(landed, reader)


def test_old_states_are_forgotten_and_their_files_removed_when_no_query_can_need_them(
    landed: Landed, reader: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh.iceberg.table, "KEPT_SNAPSHOTS", 2)
    worker = landed.worker()
    for _ in range(4):
        registered(landed)
        worker.commit(0)
    registered(landed)
    table = loaded(landed, "battery_ts_cleaned")
    assert len(table.snapshots()) == 2
    newest = max(path.stat().st_mtime for path in landed.folder.rglob("*.avro"))
    moment = datetime.fromtimestamp(newest, UTC)
    assert remove_leftovers(table, moment + GRACE - timedelta(hours=1)) == 0
    objects = landed.kept()
    assert remove_leftovers(table, moment + GRACE + timedelta(hours=1)) > 0
    assert remove_leftovers(table, moment + GRACE + timedelta(hours=1)) == 0
    assert landed.kept() == objects
    require_equal(landed, reader)
    assert table.scan(snapshot_id=table.snapshots()[0].snapshot_id).to_arrow().num_rows  # an earlier state still is


def test_the_command_says_in_one_line_or_in_json_what_it_registered(landed: Landed) -> None:
    done = run_battery(landed.folder, environment(landed), *PUBLISH, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["namespace"], [table["name"] for table in told["tables"]]) == ("battery", sorted(KINDS))
    done = run_battery(landed.folder, environment(landed), *PUBLISH)
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith("nothing new for 2 Iceberg tables of battery; ")
    refused = run_battery(landed.folder, environment(landed), "publish", "--json")
    assert (refused.returncode, refused.stderr.strip()) == (
        2,
        "battery: --json prints the Iceberg tables; add --iceberg",
    )


def test_a_table_of_another_pipeline_is_refused(landed: Landed) -> None:
    registered(landed)
    landed.query("update internal._pipeline set pipeline = 'another'")
    with pytest.raises(
        BatteryError, match=r"battery\.battery_ts_cleaned is not one of this pipeline .*ICEBERG_NAMESPACE"
    ):
        registered(landed)


def test_an_object_is_read_by_its_names_although_it_has_no_numbers_of_columns(landed: Landed) -> None:
    registered(landed)
    key = files_of(loaded(landed, "battery_ts_cleaned"))[0]
    fields = pq.read_schema(landed.folder / "objects" / key)
    assert all(b"PARQUET:field_id" not in (field.metadata or {}) for field in fields)
    assert "schema.name-mapping.default" in loaded(landed, "battery_ts_cleaned").properties
