"""The contract of a warehouse, as tests of a fixture `warehouse`; each kind's own module imports and so runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest

from kernel.edges.warehouse import transaction

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
