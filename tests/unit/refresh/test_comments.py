"""Comments of what readers see: set where they are missing or differ, and only there."""

from __future__ import annotations

import duckdb
import pytest

from refresh.comments import set_comments


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    """A published table and a view, and the comments that dbt has left, one of a model that is not published."""
    connection = duckdb.connect()
    connection.execute('create table battery_steps ("voltage(v)" double, step_number integer)')
    connection.execute("create view battery_ica as select 1.0 as voltage_v")
    connection.execute("create schema building")
    connection.execute(
        """create table building._comments as from (values
            ('battery_steps', '', 'Steps; it''s one row a step.', 'x'),
            ('battery_steps', 'voltage(v)', 'Terminal voltage in V', 'x'),
            ('battery_steps', 'no_column', 'Nothing', 'x'),
            ('battery_ica', '', 'Curves', 'x'),
            ('battery_ica', 'voltage_v', 'Voltage in V', 'x'),
            ('battery_new', '', 'Not published', 'x')
        ) as described (model, column_name, comment, code)"""
    )
    return connection


def comments(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str]]:
    return connection.execute(
        "select table_name, '' as name, comment from duckdb_tables() where schema_name = 'main' union all "
        "select view_name, '', comment from duckdb_views() where schema_name = 'main' and not internal union all "
        "select table_name, column_name, comment from duckdb_columns() where schema_name = 'main' and not internal "
        "order by all"
    ).fetchall()


def test_tables_views_and_columns_get_the_comments_of_their_model(connection: duckdb.DuckDBPyConnection) -> None:
    assert set_comments(connection) == 4
    assert comments(connection) == [
        ("battery_ica", "", "Curves"),
        ("battery_ica", "voltage_v", "Voltage in V"),
        ("battery_steps", "", "Steps; it's one row a step."),
        ("battery_steps", "step_number", None),
        ("battery_steps", "voltage(v)", "Terminal voltage in V"),
    ]


def test_only_comments_that_differ_are_set_again(connection: duckdb.DuckDBPyConnection) -> None:
    set_comments(connection)
    assert set_comments(connection) == 0
    connection.execute("update building._comments set comment = 'Curves of dQ/dV' where comment = 'Curves'")
    assert set_comments(connection) == 1
    assert comments(connection)[0] == ("battery_ica", "", "Curves of dQ/dV")


def test_a_table_that_is_made_again_gets_its_comments_again(connection: duckdb.DuckDBPyConnection) -> None:
    set_comments(connection)
    connection.execute('create or replace table battery_steps ("voltage(v)" double, step_number integer)')
    assert set_comments(connection) == 2


def test_models_of_a_version_without_comments_are_published_all_the_same(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("drop table building._comments")
    assert set_comments(connection) == 0
