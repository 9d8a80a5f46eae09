"""The contract of a warehouse, as tests of a fixture `warehouse`; each kind's own module imports and so runs them.

What is changed goes by `judge`, what is looked at by `connect`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest
from support.earlier import lies_in, to_first_layout

from kernel.edges.warehouse import transaction
from refresh.marts import NothingYetError, WarehouseMarts
from sink.layout import INTERNAL, SHOWN
from sink.tables import EarlierWarehouseError, create_tables, require_tables

if TYPE_CHECKING:
    from kernel.edges.warehouse import Judge, Warehouse


def _execute(judge: Judge, *statements: str) -> None:
    for statement in statements:
        judge.execute(statement)


def test_what_a_transaction_wrote_is_there_for_the_next_connection(warehouse: Warehouse) -> None:
    with warehouse.judge("write") as judge, transaction(judge):
        judge.execute("create table t as select 1 as a")
    with warehouse.judge("read") as judge:
        assert judge.execute("select a from t").fetchall() == [(1,)]


def test_a_transaction_is_all_or_nothing(warehouse: Warehouse) -> None:
    with warehouse.judge("write") as judge:
        judge.execute("create table t as select 1 as a")
        with pytest.raises(duckdb.CatalogException), transaction(judge):
            _execute(judge, "insert into t values (2)", "insert into nowhere values (3)")
        assert judge.execute("select a from t").fetchall() == [(1,)]


def test_a_connection_that_failed_leaves_the_warehouse_usable(warehouse: Warehouse) -> None:
    with warehouse.judge("write") as judge:
        judge.execute("create table t as select 1 as a")
    with pytest.raises(duckdb.CatalogException), warehouse.judge("write") as judge, transaction(judge):
        judge.execute("select * from nowhere")
    with warehouse.judge("write") as judge:
        judge.execute("insert into t values (2)")
        assert judge.execute("select sum(a) from t").fetchall() == [(3,)]


def test_a_change_answers_with_the_number_of_its_rows(warehouse: Warehouse) -> None:
    with warehouse.judge("write") as judge, transaction(judge):
        judge.execute("create table t as select 1 as a")
        assert judge.execute("insert into t values (?), (?)", [2, 3]).fetchone() == (2,)
        assert judge.execute("update t set a = a + 1 where a > ?", [1]).fetchone() == (2,)
        assert judge.execute("delete from t where a = $a", {"a": 7}).fetchone() == (0,)
        assert judge.execute("select a, '5 %' from t where a = ?", [1]).fetchone() == (1, "5 %")


def test_a_broken_key_and_a_table_that_is_missing_are_told_apart(warehouse: Warehouse) -> None:
    with warehouse.judge("write") as judge:
        judge.execute("create table t (a integer primary key)")
        judge.execute("insert into t values (1)")
        with pytest.raises(duckdb.ConstraintException), transaction(judge):
            judge.execute("insert into t values (1)")
        with pytest.raises(duckdb.CatalogException), transaction(judge):
            judge.execute("insert into nowhere values (1)")
        assert judge.execute("select count(*) from t").fetchone() == (1,)


def test_names_without_a_schema_are_those_of_the_schema_main(warehouse: Warehouse) -> None:
    with warehouse.judge("write") as judge, transaction(judge):
        create_tables(judge)
        judge.execute("insert into internal._progress values ('A', 'log', 0, 7)")
    with warehouse.connect("read", read_only=True) as connection:
        assert connection.execute("select current_schema()").fetchall() == [("main",)]
        assert connection.execute("from battery_quarantine").fetchall() == []
        assert connection.execute("from main._progress").fetchall() == connection.execute("from _progress").fetchall()


def test_views_of_main_read_what_is_internal_over_any_connection(warehouse: Warehouse) -> None:
    with warehouse.judge("write") as judge, transaction(judge):
        create_tables(judge)
        judge.execute("insert into internal._progress values ('A', 'log', 0, 7)")
    with warehouse.connect("read", read_only=True) as connection:
        assert connection.execute("from _progress").fetchall() == [("A", "log", 0, 7)]
        with pytest.raises(duckdb.Error, match=r"_cell_state does not exist"):
            connection.execute("from _cell_state")


def test_tables_are_made_once(warehouse: Warehouse) -> None:
    with warehouse.judge("write") as judge, transaction(judge):
        create_tables(judge)
        judge.execute("insert into internal._progress values ('A', 'log', 0, 7)")
    with warehouse.judge("write") as judge, transaction(judge):
        create_tables(judge)
    with warehouse.connect("read", read_only=True) as connection:
        require_tables(connection)
        assert connection.execute("from _progress").fetchall() == [("A", "log", 0, 7)]


def test_the_internal_tables_of_the_release_before_move_to_their_schema(warehouse: Warehouse) -> None:
    with warehouse.connect("write") as connection, transaction(connection):
        create_tables(connection)
        connection.execute("insert into internal._progress values ('A', 'log', 0, 7)")
    with warehouse.connect("write") as connection:
        to_first_layout(connection)
        with pytest.raises(EarlierWarehouseError, match="`battery stream --until-end` adds what it lacks"):
            require_tables(connection)
    with pytest.raises(EarlierWarehouseError, match="`battery stream --until-end` adds what it lacks"):
        WarehouseMarts(warehouse).newest()
    with warehouse.connect("write") as connection, transaction(connection):
        create_tables(connection)
    with warehouse.connect("read", read_only=True) as connection:
        require_tables(connection)
        assert {*SHOWN} < {*lies_in(connection)}
        assert set(lies_in(connection).values()) == {INTERNAL}
        assert connection.execute("from internal._progress").fetchall() == [("A", "log", 0, 7)]
    with pytest.raises(NothingYetError):
        WarehouseMarts(warehouse).newest()
