"""The layout of a warehouse: what readers use in one schema, what is internal in another, and the way from before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from support.earlier import lies_in, to_first_layout

import sink.tables
from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import DuckDBFile, transaction
from sink.claim import claim_store
from sink.commit import Landing
from sink.layout import INTERNAL, LAYOUT, MOVED, SHOWN, NewerWarehouseError
from sink.tables import EarlierWarehouseError, create_tables, require_tables
from sink.writers import pipeline_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WINDOW = 600

FILL = """
insert into internal._windows by name
select 'A' as cell_id, timestamp '2026-01-01' as window_start, 7 as reading_count;
insert into internal._cycles by name
select 'A' as cell_id, '1' as test_id, i as cycle_index, 5 as reading_count from range(3) as r (i);
insert into internal._progress values ('A', 'log', 0, 19);
insert into internal._cell_state values ('A', '{}');
insert into internal._retired values ('battery_ts_cleaned/lane=00/000001-000000000001.parquet');
insert into internal._commits values (
    'c', 0, 1, 1, 'key', 'battery_ts_cleaned', 20, 100, 'sum',
    [{'topic_id': 'log', 'partition': 0, 'first': 0, 'last': 19, 'rows': 20}], timestamp '2026-01-01'
);
insert into internal._dbt_runs values ('r', timestamp '2026-01-01', 1, 'build', null, true, true, ['a'], []);
create table internal._refreshed (
    model varchar not null, cell_id varchar not null, test_id varchar not null, version varchar not null,
    code varchar, built_by varchar
);
insert into internal._refreshed values ('battery_cells', 'A', '', 'v', 'c', 'r');
"""


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBFile:
    """A warehouse in which a run has begun, with some rows in each internal table."""
    made = DuckDBFile(tmp_path / "lab.duckdb", lock_timeout_seconds=10)
    Landing(FolderStore(tmp_path / "objects"), made, WINDOW).begin()
    execute(made, FILL)
    return made


@pytest.fixture
def earlier(warehouse: DuckDBFile) -> DuckDBFile:
    """The same as the release before had it."""
    with warehouse.connect("bring it back") as connection:
        to_first_layout(connection)
    return warehouse


def execute(warehouse: DuckDBFile, *statements: str) -> None:
    with warehouse.connect("test") as connection:
        for statement in statements:
            connection.execute(statement)


def query(warehouse: DuckDBFile, sql: str) -> list[tuple[Any, ...]]:
    with warehouse.connect("test", read_only=True) as connection:
        return connection.execute(sql).fetchall()


def contents(warehouse: DuckDBFile) -> dict[str, tuple[Any, ...]]:
    """Row count and checksum of each internal table, wherever it lies; of `_pipeline`, the id."""
    with warehouse.connect("test", read_only=True) as connection:
        places = lies_in(connection)
        sums = {
            name: connection.execute(f"select count(*), sum(hash(t)::hugeint) from {schema}.{name} as t").fetchall()[0]  # noqa: S608
            for name, schema in places.items()
        }
        return sums | {"_pipeline": (pipeline_id(connection),)}


def test_the_schema_of_readers_holds_nothing_internal_but_the_views_that_the_contract_names(
    warehouse: DuckDBFile,
) -> None:
    hidden = query(
        warehouse,
        "select table_name, table_type from information_schema.tables "
        "where table_schema = 'main' and starts_with(table_name, '_') order by all",
    )
    assert hidden == [(name, "VIEW") for name in SHOWN]
    assert query(warehouse, "select object_key from _commits") == [("key",)]
    with warehouse.connect("test") as connection:
        assert lies_in(connection) == dict.fromkeys(MOVED, INTERNAL)


def test_a_warehouse_of_the_release_before_is_brought_up_to_date_with_the_same_rows(earlier: DuckDBFile) -> None:
    before = contents(earlier)
    with earlier.connect("test") as connection:
        assert set(lies_in(connection).values()) == {"main"}
        with transaction(connection):
            create_tables(connection)
    assert contents(earlier) == before
    with earlier.connect("test") as connection:
        assert lies_in(connection) == dict.fromkeys(MOVED, INTERNAL)
        require_tables(connection)
        assert connection.execute("select layout from internal._pipeline").fetchall() == [(LAYOUT,)]
    assert query(earlier, "select count(*) from battery_cell_cycles") == [(3,)]
    assert query(earlier, "select * from internal._watermark") == [("2026-01-01 00:00:00, 20 rows",)]


def test_bringing_it_up_to_date_again_changes_nothing(earlier: DuckDBFile) -> None:
    with earlier.connect("test") as connection, transaction(connection):
        create_tables(connection)
    once = contents(earlier)
    with earlier.connect("test") as connection, transaction(connection):
        create_tables(connection)
    assert contents(earlier) == once


def test_what_fails_on_the_way_leaves_it_as_it_was(earlier: DuckDBFile, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(earlier)
    monkeypatch.setattr(sink.tables, "CREATE_VIEWS", ("create view v as from nowhere",))
    with pytest.raises(duckdb.CatalogException), earlier.connect("test") as connection, transaction(connection):
        create_tables(connection)
    assert contents(earlier) == before
    with earlier.connect("test") as connection:
        assert set(lies_in(connection).values()) == {"main"}


def test_a_run_takes_the_next_epoch_of_the_release_before_and_keeps_the_store(
    earlier: DuckDBFile, tmp_path: Path
) -> None:
    before = query(earlier, "select pipeline, epoch from _writers")
    standing = Landing(FolderStore(tmp_path / "objects"), earlier, WINDOW).begin()
    assert [(before[0][0], standing.epoch)] == query(
        earlier,
        f"select pipeline, epoch from _writers where epoch > {before[0][1]}",  # noqa: S608
    )
    assert standing.committed == {("log", 0): 19}
    assert standing.next_seq == {0: 2}


def test_to_claim_a_store_moves_nothing_yet(earlier: DuckDBFile, tmp_path: Path) -> None:
    before = contents(earlier)
    claim_store(FolderStore(tmp_path / "objects"), earlier)
    assert contents(earlier) == before
    with earlier.connect("test") as connection:
        assert set(lies_in(connection).values()) == {"main"}


def test_a_warehouse_older_than_claims_and_replays_gets_what_it_lacks(earlier: DuckDBFile, tmp_path: Path) -> None:
    pipeline = query(earlier, "select pipeline from _writers")
    execute(
        earlier, "drop table _pipeline", "drop table _retired", "drop table _dbt_runs", "drop table battery_about",
        "alter table _writers drop kind", "alter table _writers drop run_id",
    )  # fmt: skip
    with (
        earlier.connect("test", read_only=True) as connection,
        pytest.raises(EarlierWarehouseError, match="made by an earlier version"),
    ):
        require_tables(connection)
    Landing(FolderStore(tmp_path / "objects"), earlier, WINDOW).begin()
    assert query(earlier, "select epoch, kind from _writers order by epoch") == [(1, "worker"), (2, "worker")]
    assert query(earlier, "select pipeline, layout from internal._pipeline") == [(*pipeline[0], LAYOUT)]
    with earlier.connect("test", read_only=True) as connection:
        require_tables(connection)


def read(warehouse: DuckDBFile, store: FolderStore) -> None:  # noqa: ARG001  # one of three uses
    with warehouse.connect("test", read_only=True) as connection:
        require_tables(connection)


def begin(warehouse: DuckDBFile, store: FolderStore) -> None:
    Landing(store, warehouse, WINDOW, private=True).begin()


def claim(warehouse: DuckDBFile, store: FolderStore) -> None:
    claim_store(store, warehouse)


@pytest.mark.parametrize("use", [read, begin, claim])
def test_a_warehouse_of_a_later_release_is_refused_with_the_way(
    warehouse: DuckDBFile, tmp_path: Path, use: Callable[[DuckDBFile, FolderStore], None]
) -> None:
    execute(warehouse, "update internal._pipeline set layout = layout + 1, release = '99.1'")
    before = contents(warehouse)
    with pytest.raises(NewerWarehouseError, match=r"of release 99\.1, and this is release .* install release 99\.1"):
        use(warehouse, FolderStore(tmp_path / "objects"))
    assert contents(warehouse) == before


@pytest.mark.parametrize(
    "statement",
    [
        "update _writers set changes = changes + 1, superseded_by = 2 where kind = 'worker' and superseded_by is null",
        "insert into _commits select * from _commits",
        "insert into _progress values ('A', 'log', 0, 5)",
    ],
)
def test_a_release_before_can_begin_no_run_and_land_nothing(warehouse: DuckDBFile, statement: str) -> None:
    with warehouse.connect("an earlier release") as connection:
        connection.execute("create table if not exists _writers (epoch bigint primary key)")
        with pytest.raises(duckdb.Error, match=r"not an table|Can only update base table"):
            connection.execute(statement)


def test_what_a_release_before_has_made_again_gives_way(warehouse: DuckDBFile) -> None:
    before = contents(warehouse)
    execute(
        warehouse,
        "create table main._windows (cell_id varchar)",
        "create table main._pipeline (singleton boolean, pipeline varchar)",
        "insert into main._pipeline values (true, 'another')",
        "create or replace view battery_cell_windows as select * from main._windows",
    )
    with warehouse.connect("test") as connection, transaction(connection):
        create_tables(connection)
    assert contents(warehouse) == before
    assert query(warehouse, "select reading_count from battery_cell_windows") == [(7,)]
