"""What readers see, and when: models that dbt has built beside, published in one transaction after their audit."""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow.parquet as pq
import pytest
from support.schemas import look_in_both

from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from kernel.edges.warehouse import DuckDBFile
from refresh.audit import finish_run, start_run
from refresh.dbt import DbtRun, NodeResult
from refresh.definitions import published_definition
from refresh.export import LATEST, MANIFEST, MARTS, export_marts
from refresh.marts import WarehouseMarts
from refresh.news import news
from refresh.project import inputs_of
from refresh.publish import publish_models as publish
from refresh.publish import publish_new_models
from sink.tables import create_tables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kernel.edges.objects import FolderStore

MODELS: Final = (*MARTS, "battery_test_versions", "battery_cleaned", "battery_ica_curves", "battery_ica_readings")
REFRESHED: Final = (
    "_refreshed (model varchar not null, cell_id varchar not null, test_id varchar not null, "
    "version varchar not null, built_by varchar)"
)


def dbt_run(
    warehouse: DuckDBFile,
    *command: str,
    models: Sequence[str] = (),
    audited: bool = False,
    failed: str | None = None,
    failure: str | None = None,
) -> None:
    """A dbt run on record that has built some models, or run tests."""
    nodes = [*(f"seed.battery.{name}" if name == "cells" else f"model.battery.{name}" for name in models)]
    results = [NodeResult(node, "success", 0.5, None, None) for node in nodes]
    if audited:
        results.append(NodeResult("test.battery.a_test", "pass", 0.1, 0, None))
    if failed:
        results.append(NodeResult(failed, "fail" if failed.startswith("test.") else "error", 0.1, 1, "no"))
    run = start_run(warehouse, command)
    finish_run(warehouse, run, DbtRun(command, 1.0, tuple(results), failure, audited, MODELS if audited else ()))


def killed(warehouse: DuckDBFile, *command: str, models: Sequence[str]) -> None:
    """A dbt run on record that was killed after it had built some models, which dbt itself has put down."""
    run = start_run(warehouse, command)
    for name in models:
        node = f"{{'node': 'model.battery.{name}', 'kind': 'model', 'status': 'success'}}"
        execute(
            warehouse,
            f"update internal._dbt_runs set built = true, results = list_append(results, {node}) where run = '{run}'",  # noqa: S608
        )


def rebuilt(warehouse: DuckDBFile) -> None:
    """A dbt run that has built all models and passed all tests."""
    dbt_run(warehouse, "build", models=MODELS, audited=True)


def execute(warehouse: DuckDBFile, *statements: str) -> None:
    with warehouse.connect("test") as connection:
        for statement in statements:
            connection.execute(statement)


def query(warehouse: DuckDBFile, sql: str) -> list[tuple[Any, ...]]:
    with warehouse.connect("test", read_only=True) as connection:
        look_in_both(connection)
        return connection.execute(sql).fetchall()


def mark(model: str, run: str, keys: Sequence[tuple[str, str]]) -> str:
    """The statement that says that a dbt run has built these tests (or cells) of a model."""
    rows = ", ".join(f"('{model}', '{cell}', '{test}', 'v', '{run}')" for cell, test in keys)
    return f"insert into building._refreshed values {rows}"  # noqa: S608


def database_of(warehouse: DuckDBFile) -> list[tuple[Any, ...]]:
    """The name of the database, which is made along with the landing tables."""
    with warehouse.connect("test") as connection:
        create_tables(connection)
        return connection.execute("select current_database()").fetchall()


def build(warehouse: DuckDBFile) -> None:
    """What a first dbt run leaves: a table test by test, one cell by cell, small ones, and views on them."""
    [(name,)] = database_of(warehouse)
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
        "create table building.battery_test_versions as select 'A' as cell_id",
        # The name of one view is the beginning of the other's, and the one that is looked at comes later.
        "create table building.battery_ica_curves as select 'A' as cell_id",
        f'create view building.battery_ica as select * from "{name}".building.battery_ica_curves',  # noqa: S608
        "create view building.battery_ica_readings as select * from building.battery_ica",
    )
    rebuilt(warehouse)


def test_readers_get_the_models_and_their_views_look_at_what_is_published(
    warehouse: DuckDBFile, store: FolderStore
) -> None:
    build(warehouse)
    execute(warehouse, "create table building.battery_cells__dbt_tmp as select 1 as a")
    published = publish(warehouse, store)
    assert (published.models, published.tests, published.cells) == (len(MODELS), 3, 2)
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
    ("command", "later", "said"),
    [
        (
            "build",
            {"models": ["battery_cells"], "failure": "dbt build failed: model battery_ica (no)"},
            "model battery_ica",
        ),
        ("run", {"models": ["battery_cells"]}, "not all tests have passed since `dbt run`"),
        (
            "test",
            {"failed": "test.battery.a_test", "failure": "dbt test failed: test a_test (Got 1 result)"},
            "Got 1 result",
        ),
        ("build", None, "it was ended in the middle"),
    ],
)
def test_models_that_have_not_passed_all_tests_since_are_not_published(
    warehouse: DuckDBFile, store: FolderStore, command: str, later: dict[str, Any] | None, said: str
) -> None:
    build(warehouse)
    publish(warehouse, store)
    execute(warehouse, "update building.battery_cells set x = 8")
    if later is None:
        killed(warehouse, command, models=["battery_cells"])
    else:
        dbt_run(warehouse, command, **later)
    with pytest.raises(BatteryError, match=said):
        publish(warehouse, store)
    assert query(warehouse, "select x from battery_cells") == [(7,)]
    assert pq.read_table(io.BytesIO(store.get(exported(store)["battery_cells"]["key"])))["x"].to_pylist() == [7]
    dbt_run(warehouse, "test", audited=True)
    publish(warehouse, store)
    assert query(warehouse, "select x from battery_cells") == [(8,)]


@pytest.mark.parametrize(
    ("command", "later"),
    [
        ("test", {}),  # of some models
        ("source", {"failed": "source.battery.landing._commits", "failure": "dbt source freshness failed"}),
        ("build", {"failure": "dbt build failed: it ended before it ran anything"}),
        ("build", {"failed": "model.battery.battery_cells", "failure": "dbt build failed: model battery_cells (no)"}),
        ("build", None),  # killed
    ],
)
def test_a_command_that_neither_builds_nor_finds_a_failure_changes_nothing_about_the_audit(
    warehouse: DuckDBFile, store: FolderStore, command: str, later: dict[str, Any] | None
) -> None:
    build(warehouse)
    if later is None:
        killed(warehouse, command, models=[])
    else:
        dbt_run(warehouse, command, **later)
    assert publish(warehouse, store).models == len(MODELS)


def test_models_that_were_not_all_built_since_the_readings_were_scanned_are_not_published(
    warehouse: DuckDBFile, store: FolderStore
) -> None:
    build(warehouse)
    dbt_run(warehouse, "run", models=["battery_test_versions", "battery_cleaned"])
    dbt_run(warehouse, "test", audited=True)
    with pytest.raises(BatteryError, match="battery_alerts was not built since the readings were last scanned"):
        publish(warehouse, store)
    rest = [name for name in MODELS if name not in {"battery_test_versions", "battery_cleaned"}]
    dbt_run(warehouse, "run", models=rest)
    dbt_run(warehouse, "test", audited=True)
    publish(warehouse, store)


def test_a_killed_run_that_has_scanned_the_readings_anew_counts_for_what_it_has_built(
    warehouse: DuckDBFile, store: FolderStore
) -> None:
    build(warehouse)
    killed(warehouse, "build", models=["battery_test_versions"])
    dbt_run(warehouse, "test", audited=True)
    with pytest.raises(BatteryError, match="was not built since the readings were last scanned"):
        publish(warehouse, store)
    killed(warehouse, "build", models=["battery_cells"])
    dbt_run(warehouse, "run", models=[name for name in MODELS if name != "battery_cells"][1:])
    rebuilt(warehouse)
    publish(warehouse, store)


def test_what_the_project_has_no_more_is_not_published(warehouse: DuckDBFile, store: FolderStore) -> None:
    build(warehouse)
    execute(warehouse, "create table building.battery_old as select 1 as x")
    publish(warehouse, store)
    assert query(warehouse, "select count(*) from duckdb_tables() where table_name = 'battery_old'") == [(1,)]


def test_over_the_models_of_an_earlier_version_all_is_published_whole(
    warehouse: DuckDBFile, store: FolderStore
) -> None:
    build(warehouse)
    execute(
        warehouse,
        "create table internal._refreshed (model varchar not null, cell_id varchar not null)",
        "create table main.battery_cleaned (cell_id varchar not null, test_id varchar not null, x integer)",
        "insert into main.battery_cleaned values ('GONE', '1', 1), ('A', '1', 5)",
    )
    assert publish_new_models(warehouse, {"battery_test_versions"}) == ["battery_test_versions"]
    publish(warehouse, store)
    assert query(warehouse, "from battery_cleaned order by all") == [("A", "1", 1), ("A", "2", 2), ("B", "1", 3)]


def test_a_warehouse_may_have_a_name_that_ends_like_the_schema(tmp_path: Path, store: FolderStore) -> None:
    warehouse = DuckDBFile(tmp_path / "lab_building.duckdb", lock_timeout_seconds=30)
    build(warehouse)
    execute(
        warehouse,
        "create or replace view building.battery_ica_readings as "
        "select i.* from building.battery_ica as i, lab_building.internal._watermark",
    )
    publish(warehouse, store)
    execute(warehouse, "drop schema building cascade")
    assert query(warehouse, "from battery_ica_readings") == [("A",)]


def test_only_the_names_of_what_was_built_change_in_a_definition() -> None:
    built = (
        "CREATE VIEW building.battery_ica AS SELECT 'ä building.x' AS \"building.x\", building.steps.x, len(list(a)) "
        'FROM "building".building.steps AS steps, building.main.other, lab_building.main.third, elsewhere.fourth '
        "/* building.fifth */;"
    )
    definition = published_definition(built)
    assert definition.statement == (
        "CREATE VIEW main.battery_ica AS SELECT 'ä building.x' AS \"building.x\", main.steps.x, len(list(a)) "
        'FROM "building".main.steps AS steps, building.main.other, lab_building.main.third, elsewhere.fourth '
        "/* building.fifth */;"
    )
    assert definition.is_view
    assert definition.reads == {"steps", "other", "third"}
    assert not published_definition("CREATE TABLE building.cells(cell_id VARCHAR NOT NULL);").is_view
    assert published_definition("CREATE VIEW soh AS SELECT 1;").statement == "CREATE VIEW main.soh AS SELECT 1;"


@pytest.mark.parametrize("statement", ["CREATE VIEW (", "CREATE VIEW 'x", "PRAGMA version"])
def test_a_definition_that_cannot_be_parsed_is_named_rather_than_published(statement: str) -> None:
    with pytest.raises(BatteryError, match="cannot parse the definition of a model"):
        published_definition(statement)


def test_without_any_dbt_run_there_is_nothing_to_publish(warehouse: DuckDBFile, store: FolderStore) -> None:
    with warehouse.connect("test") as connection:
        create_tables(connection)
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
        "create or replace view building.battery_ica as from elsewhere.t",
        "drop table elsewhere.t",
    )
    with pytest.raises(
        BatteryError, match=r"could not be published; readers keep the earlier ones: .* t does not exist"
    ):
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


def test_a_mart_that_the_warehouse_of_an_earlier_version_lacks_is_left_out(
    warehouse: DuckDBFile, store: FolderStore
) -> None:
    build(warehouse)
    publish(warehouse, store)
    execute(warehouse, "drop table main.battery_groups")
    export_marts(warehouse, store)
    assert set(exported(store)) == set(MARTS) - {"battery_groups"}
    assert {found.key for found in store.list(f"{LATEST}/")} == {f"{LATEST}/{name}.parquet" for name in exported(store)}


def test_the_marts_of_the_publication_before_stay_and_older_ones_go(warehouse: DuckDBFile, store: FolderStore) -> None:
    build(warehouse)
    keys: list[set[str]] = []
    for _ in range(3):
        publish(warehouse, store)
        keys.append({table["key"] for table in exported(store).values()})
    latest = {f"{LATEST}/{name}.parquet" for name in MARTS}
    assert {found.key for found in store.list("marts/")} == {MANIFEST, *keys[1], *keys[2], *latest}


def test_the_marts_at_the_paths_that_stay_are_those_of_the_newest_publication_alone(
    warehouse: DuckDBFile, store: FolderStore
) -> None:
    build(warehouse)
    store.put(f"{LATEST}/battery_of_an_earlier_version.parquet", b"")
    for count in (1, 2):
        publish(warehouse, store)
        latest = {found.key: hashlib.sha256(store.get(found.key)).hexdigest() for found in store.list(f"{LATEST}/")}
        assert latest == {f"{LATEST}/{name}.parquet": table["sha256"] for name, table in exported(store).items()}, count
        execute(warehouse, "update building.battery_cells set x = 8")
    assert pq.read_table(io.BytesIO(store.get(f"{LATEST}/battery_cells.parquet")))["x"].to_pylist() == [8]


def test_the_paths_that_stay_are_written_after_the_manifest(warehouse: DuckDBFile, store: FolderStore) -> None:
    build(warehouse)
    written: list[str] = []

    class Noted:
        """A store that notes what is written, in order."""

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def put(self, key: str, data: bytes) -> None:
            written.append(key)
            store.put(key, data)

    publish(warehouse, Noted())
    marts = [key for key in written if key.startswith("marts/")]
    assert marts.index(MANIFEST) == len(MARTS)
    assert all(key.startswith(f"{LATEST}/") for key in marts[len(MARTS) + 1 :])
    assert len(marts) == 2 * len(MARTS) + 1


def test_models_that_readers_never_had_are_shown_once_their_own_tests_have_passed(
    warehouse: DuckDBFile, store: FolderStore
) -> None:
    build(warehouse)
    assert publish_new_models(warehouse, {"battery_cleaned"}) == ["battery_cleaned"]
    assert query(warehouse, "select count(*) from main.battery_cleaned") == [(3,)]
    with pytest.raises(duckdb.CatalogException):
        query(warehouse, "from main.battery_cycles")
    execute(warehouse, "update building.battery_cleaned set x = 0", "update building._refreshed set built_by = 'other'")
    assert publish_new_models(warehouse, {"battery_cleaned"}) == []
    assert publish_new_models(warehouse, {"battery_ica"}) == []  # a view on what readers have not
    assert publish_new_models(warehouse, {"battery_ica", "battery_ica_curves"}) == ["battery_ica", "battery_ica_curves"]
    assert query(warehouse, "select max(x) from main.battery_cleaned") == [(3,)]
    assert publish(warehouse, store).models == len(MODELS)
    assert query(warehouse, "select max(x) from main.battery_cleaned") == [(0,)]


def test_runs_stay_on_record_for_ninety_days_with_what_became_of_each_node(warehouse: DuckDBFile) -> None:
    with warehouse.connect("test") as connection:
        create_tables(connection)
    dbt_run(warehouse, "build")
    execute(warehouse, "update internal._dbt_runs set started_at = started_at - interval 89 days")
    dbt_run(warehouse, "run", "--select", "a", models=["battery_cells"], failure="dbt run failed")
    assert query(
        warehouse, "select command, failure, built, audited, seconds from internal._dbt_runs order by started_at"
    ) == [
        ("build", None, False, False, 1.0),
        ("run --select a", "dbt run failed", True, False, 1.0),
    ]
    node = {"node": "model.battery.battery_cells", "kind": "model", "status": "success", "seconds": 0.5}
    assert query(warehouse, "select results from internal._dbt_runs order by started_at desc limit 1") == [
        ([node | {"failures": None, "message": None}],)
    ]
    execute(warehouse, "update internal._dbt_runs set started_at = started_at - interval 2 days")
    dbt_run(warehouse, "test")
    assert query(warehouse, "select command from internal._dbt_runs order by started_at") == [
        ("run --select a",),
        ("test",),
    ]


def test_marts_that_a_later_version_added_are_not_among_those_of_an_earlier_one(
    warehouse: DuckDBFile, store: FolderStore
) -> None:
    build(warehouse)
    publish(warehouse, store)
    execute(
        warehouse,
        "insert into internal._refreshed values ('_watermark', '', '', 'v', 'first')",
        "drop table main.battery_thresholds",
    )
    marts = WarehouseMarts(warehouse)
    newest = marts.newest()
    assert set(newest.places) == set(MARTS) - {"battery_thresholds"}
    with pytest.raises(BatteryError, match="no battery_thresholds among the published models; `battery transform`"):
        marts.table(newest, "battery_thresholds")


def test_marts_that_could_not_be_exported_are_news_until_they_are(warehouse: DuckDBFile, store: FolderStore) -> None:
    build(warehouse)
    execute(
        warehouse,
        "insert into building._refreshed select '_watermark', '', '', watermark, null from internal._watermark",
        f"insert into building._refreshed values ('_inputs', '', '', '{inputs_of(Settings())}', null)",  # noqa: S608
    )

    class Away:
        def __getattr__(self, _: str) -> Any:
            raise BatteryError("the store does not answer")

    with pytest.raises(BatteryError, match="does not answer"):
        publish(warehouse, Away())
    assert news(Settings(), warehouse) == "the published marts have not been exported"
    publish(warehouse, store)
    assert news(Settings(), warehouse) is None


def test_an_export_that_is_overtaken_by_another_finds_its_objects_when_it_ends(
    warehouse: DuckDBFile, store: FolderStore
) -> None:
    build(warehouse)
    publish(warehouse, store)

    class Slow:
        """A store in which somebody else exports before the manifest is written."""

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def put(self, key: str, data: bytes) -> None:
            if key == MANIFEST:
                publish(warehouse, store)
            store.put(key, data)

    publish(warehouse, Slow())
    stored = {found.key for found in store.list("marts/")}
    assert {table["key"] for table in exported(store).values()} <= stored
