"""The contract of a warehouse, as tests of a fixture `warehouse`; each kind's own module imports and so runs them."""

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
    from kernel.edges.warehouse import Warehouse


def test_what_a_transaction_wrote_is_there_for_the_next_connection(warehouse: Warehouse) -> None:
    with warehouse.connect("write") as connection, transaction(connection):
        connection.execute("create table t as select 1 as a")
    with warehouse.connect("read", read_only=True) as connection:
        assert connection.execute("from t").fetchall() == [(1,)]


def test_a_transaction_is_all_or_nothing(warehouse: Warehouse) -> None:
    with warehouse.connect("write") as connection:
        connection.execute("create table t as select 1 as a")
        with pytest.raises(duckdb.CatalogException), transaction(connection):
            connection.execute("insert into t values (2)").execute("insert into nowhere values (3)")
        assert connection.execute("from t").fetchall() == [(1,)]


def test_a_connection_that_failed_leaves_the_warehouse_usable(warehouse: Warehouse) -> None:
    with warehouse.connect("write") as connection:
        connection.execute("create table t as select 1 as a")
    with pytest.raises(duckdb.CatalogException), warehouse.connect("write") as connection:
        connection.execute("from nowhere")
    with warehouse.connect("write") as connection:
        connection.execute("insert into t values (2)")
        assert connection.execute("select sum(a) from t").fetchall() == [(3,)]


def test_names_without_a_schema_are_those_of_the_schema_main(warehouse: Warehouse) -> None:
    with warehouse.connect("write") as connection:
        connection.execute("create table t as select 1 as a")
    with warehouse.connect("read", read_only=True) as connection:
        assert connection.execute("from main.t").fetchall() == [(1,)]
        assert connection.execute("select current_schema()").fetchall() == [("main",)]


def test_views_of_main_read_what_is_internal_over_any_connection(warehouse: Warehouse) -> None:
    with warehouse.connect("write") as connection, transaction(connection):
        create_tables(connection)
        connection.execute("insert into internal._progress values ('A', 'log', 0, 7)")
    with warehouse.connect("read", read_only=True) as connection:
        assert connection.execute("from _progress").fetchall() == [("A", "log", 0, 7)]
        with pytest.raises(duckdb.Error, match=r"_cell_state does not exist"):
            connection.execute("from _cell_state")


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
