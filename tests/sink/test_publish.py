"""What readers see, and when: models that dbt has built beside, published in one transaction after their audit."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow.parquet as pq
import pytest

from battery.errors import BatteryError
from battery.transform import DbtRun, NodeResult
from sink.audit import record
from sink.marts import MANIFEST, MARTS
from sink.publish import introduce, publish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery.objects import FolderStore
    from sink.warehouse import DuckDBFile

NOW: Final = datetime(2026, 11, 26, 12)  # noqa: DTZ001  # a TIMESTAMP without zone
REFRESHED: Final = (
    "_refreshed (model varchar not null, cell_id varchar not null, test_id varchar not null, "
    "version varchar not null, built_by varchar)"
)


def dbt_run(
    command: str = "build", *, built: bool = True, audited: bool = True, failure: str | None = None, minute: int = 0
) -> DbtRun:
    node = "model.battery.battery_cells" if built else "test.battery.a_test"
    return DbtRun(
        command, NOW + timedelta(minutes=minute), 1.0, (NodeResult(node, "success", 0.5, None, None),), failure, audited
    )


def execute(warehouse: DuckDBFile, *statements: str) -> None:
    with warehouse.connect("test") as connection:
        for statement in statements:
            connection.execute(statement)


def query(warehouse: DuckDBFile, sql: str) -> list[tuple[Any, ...]]:
    with warehouse.connect("test", read_only=True) as connection:
        return connection.execute(sql).fetchall()


def mark(model: str, run: str, keys: Sequence[tuple[str, str]]) -> str:
    """The statement that says that a dbt run has built these tests (or cells) of a model."""
    rows = ", ".join(f"('{model}', '{cell}', '{test}', 'v', '{run}')" for cell, test in keys)
    return f"insert into building._refreshed values {rows}"  # noqa: S608


def build(warehouse: DuckDBFile) -> None:
    """What a first dbt run leaves: a table test by test, one cell by cell, small ones, and views on them."""
    execute(
        warehouse,
        "create schema building",
        f"create table building.{REFRESHED}",
        "create table building.battery_cleaned (cell_id varchar not null, test_id varchar not null, x integer)",
        "insert into building.battery_cleaned values ('A', '1', 1), ('A', '2', 2), ('B', '1', 3)",
        mark("battery_cleaned", "first", [("A", "1"), ("A", "2"), ("B", "1")]),
        "create table building.battery_cycles (cell_id varchar not null, x integer)",
        "insert into building.battery_cycles values ('A', 10), ('B', 20)",
        mark("battery_cycles", "first", [("A", ""), ("B", "")]),
        *(
            f"create table building.{name} as select 'A' as cell_id, 7 as x"
            for name in MARTS
            if name not in {"battery_cycles", "battery_ica"}
        ),
        # The name of one view is the beginning of the other's, and the one that is looked at comes later.
        "create table building.battery_ica_curves as select 'A' as cell_id",
        "create view building.battery_ica as select * from battery.building.battery_ica_curves",
        "create view building.battery_ica_readings as select * from building.battery_ica",
    )
    record(warehouse, dbt_run())


def test_readers_get_the_models_and_their_views_look_at_what_is_published(
    warehouse: DuckDBFile, store: FolderStore
) -> None:
    build(warehouse)
    execute(warehouse, "create table building.battery_cells__dbt_tmp as select 1 as a")
    published = publish(warehouse, store)
    assert (published.models, published.tests, published.cells) == (9, 3, 2)
    assert query(warehouse, "select x from main.battery_cleaned order by x") == [(1,), (2,), (3,)]
    execute(warehouse, "drop schema building cascade")
    assert query(warehouse, "from battery_ica_readings") == [("A",)]
    names = {name for (name,) in query(warehouse, "select table_name from duckdb_tables()")}
    assert "battery_cells" in names
    assert not any("__dbt_" in name for name in names)
    assert query(warehouse, "select is_nullable from duckdb_columns() where table_name = 'battery_cleaned'") == [
        (False,),
        (False,),
        (True,),
    ]


def test_only_what_another_dbt_run_has_built_is_copied(warehouse: DuckDBFile, store: FolderStore) -> None:
    build(warehouse)
    publish(warehouse, store)
    execute(
        warehouse,
        "update main.battery_cleaned set x = x + 100",  # so that it is seen what was copied
        "update main.battery_cycles set x = x + 100",
        "update building.battery_cleaned set x = -1 where cell_id = 'A' and test_id = '2'",
        "delete from building.battery_cleaned where cell_id = 'B'",
        "insert into building.battery_cleaned values ('C', '1', 4)",
        "delete from building._refreshed where model = 'battery_cleaned' and (test_id = '2' or cell_id = 'B')",
        mark("battery_cleaned", "second", [("A", "2"), ("C", "1")]),
        "update building.battery_cycles set x = -10 where cell_id = 'A'",
        "update building._refreshed set built_by = 'second' where model = 'battery_cycles' and cell_id = 'A'",
    )
    published = publish(warehouse, store)
    assert query(warehouse, "from battery_cleaned order by all") == [("A", "1", 101), ("A", "2", -1), ("C", "1", 4)]
    assert query(warehouse, "from battery_cycles order by all") == [("A", -10), ("B", 120)]
    assert (published.tests, published.cells) == (3, 3)
    again = publish(warehouse, store)
    assert (again.tests, again.cells) == (0, 0)


def test_a_model_with_other_columns_is_published_whole(warehouse: DuckDBFile, store: FolderStore) -> None:
    build(warehouse)
    publish(warehouse, store)
    execute(
        warehouse,
        "alter table building.battery_cleaned add column y integer",
        "create or replace view building.battery_ica as select cell_id, 1 as y from building.battery_ica_curves",
    )
    publish(warehouse, store)
    assert query(warehouse, "select count(*), count(y) from battery_cleaned") == [(3, 0)]
    assert query(warehouse, "from battery_ica") == [("A", 1)]


def test_a_table_that_has_become_a_view_takes_its_place(warehouse: DuckDBFile, store: FolderStore) -> None:
    build(warehouse)
    publish(warehouse, store)
    execute(
        warehouse,
        "drop table building.battery_gaps",
        "create view building.battery_gaps as select 'B' as cell_id",
    )
    publish(warehouse, store)
    assert query(warehouse, "from battery_gaps") == [("B",)]


@pytest.mark.parametrize(
    ("later", "said"),
    [
        (dbt_run(audited=False, failure="dbt build failed: test a_test (Got 1 result)", minute=1), "Got 1 result"),
        (dbt_run("run", audited=False, minute=1), "not all tests have passed since `dbt run`"),
    ],
)
def test_models_that_have_not_passed_all_tests_are_not_published(
    warehouse: DuckDBFile, store: FolderStore, later: DbtRun, said: str
) -> None:
    build(warehouse)
    publish(warehouse, store)
    execute(warehouse, "update building.battery_cells set x = 8")
    record(warehouse, later)
    with pytest.raises(BatteryError, match=said):
        publish(warehouse, store)
    assert query(warehouse, "select x from battery_cells") == [(7,)]
    assert pq.read_table(io.BytesIO(store.get(exported(store)["battery_cells"]["key"])))["x"].to_pylist() == [7]
    record(warehouse, dbt_run("test", built=False, minute=2))
    publish(warehouse, store)
    assert query(warehouse, "select x from battery_cells") == [(8,)]


def test_a_test_of_some_models_says_nothing_of_the_others(warehouse: DuckDBFile, store: FolderStore) -> None:
    build(warehouse)
    record(warehouse, dbt_run("run", audited=False, minute=1))
    record(warehouse, dbt_run("test --select a", built=False, audited=False, minute=2))
    with pytest.raises(BatteryError, match="since `dbt run`"):
        publish(warehouse, store)


def test_without_any_dbt_run_there_is_nothing_to_publish(warehouse: DuckDBFile, store: FolderStore) -> None:
    with pytest.raises(BatteryError, match="run `battery transform`"):
        publish(warehouse, store)


def test_a_publication_that_fails_leaves_what_readers_saw(warehouse: DuckDBFile, store: FolderStore) -> None:
    build(warehouse)
    publish(warehouse, store)
    execute(
        warehouse,
        "update building.battery_cells set x = 8",
        "create schema elsewhere",
        "create table elsewhere.t (x integer)",
        "create view building.battery_odd as from elsewhere.t",
        "drop table elsewhere.t",
    )
    with pytest.raises(BatteryError, match=r"could not be published, readers keep those before: .* t does not exist"):
        publish(warehouse, store)
    assert query(warehouse, "select x from battery_cells") == [(7,)]


def exported(store: FolderStore) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.get(MANIFEST))["tables"]
    return found


def test_the_marts_are_exported_and_the_manifest_names_those_of_one_publication(
    warehouse: DuckDBFile, store: FolderStore
) -> None:
    build(warehouse)
    assert publish(warehouse, store).exported == len(MARTS) + 1  # one row each, and two cells with cycles
    tables = exported(store)
    assert set(tables) == set(MARTS)
    for name, listed in tables.items():
        data = store.get(listed["key"])
        assert hashlib.sha256(data).hexdigest() == listed["sha256"]
        assert pq.read_table(io.BytesIO(data)).num_rows == listed["rows"], name


def test_the_marts_of_the_publication_before_stay_and_older_ones_go(warehouse: DuckDBFile, store: FolderStore) -> None:
    build(warehouse)
    keys: list[set[str]] = []
    for _ in range(3):
        publish(warehouse, store)
        keys.append({table["key"] for table in exported(store).values()})
    assert {found.key for found in store.list("marts/")} == {MANIFEST, *keys[1], *keys[2]}


def test_models_that_readers_never_had_are_shown_once_their_own_tests_have_passed(
    warehouse: DuckDBFile, store: FolderStore
) -> None:
    build(warehouse)
    assert introduce(warehouse, {"battery_cleaned"}) == ["battery_cleaned"]
    assert query(warehouse, "select count(*) from main.battery_cleaned") == [(3,)]
    with pytest.raises(duckdb.CatalogException):
        query(warehouse, "from main.battery_cycles")
    execute(warehouse, "update building.battery_cleaned set x = 0", "update building._refreshed set built_by = 'other'")
    assert introduce(warehouse, {"battery_cleaned"}) == []
    assert query(warehouse, "select max(x) from main.battery_cleaned") == [(3,)]
    assert publish(warehouse, store).models == 9
    assert query(warehouse, "select max(x) from main.battery_cleaned") == [(0,)]


def test_runs_stay_on_record_for_ninety_days(warehouse: DuckDBFile) -> None:
    record(warehouse, dbt_run())
    record(warehouse, dbt_run(minute=89 * 24 * 60))
    assert query(warehouse, "select count(*) from _dbt_runs") == [(2,)]
    record(warehouse, dbt_run(failure="dbt build failed", audited=False, minute=91 * 24 * 60))
    assert query(warehouse, "select failure, built, results from _dbt_runs order by started_at desc limit 1") == [
        (
            "dbt build failed",
            True,
            [
                {
                    "node": "model.battery.battery_cells",
                    "kind": "model",
                    "status": "success",
                    "seconds": 0.5,
                    "failures": None,
                    "message": None,
                }
            ],
        )
    ]
    assert query(warehouse, "select count(*) from _dbt_runs") == [(2,)]
