"""Whether `battery transform` has anything to do: not if readers have all that would be built, tested and published."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel.base.settings import Settings
from refresh.audit import finish_run, start_run
from refresh.dbt import DbtRun, NodeResult
from refresh.news import is_up_to_date
from refresh.notice import changed_tests
from refresh.project import inputs_of
from sink.tables import create_tables

if TYPE_CHECKING:
    from kernel.edges.warehouse import DuckDBFile

SETTINGS = Settings(_env_file=None)

MODELS = ("battery_test_versions", "battery_cells")


def ran(warehouse: DuckDBFile, *command: str, test: str = "pass", failure: str | None = None) -> None:
    """A dbt run on record: `build` builds all models and tests them, other commands only do what they are called."""
    run = start_run(warehouse, command)
    built = command[0] in {"build", "run"}
    results = [NodeResult(f"model.battery.{name}", "success", 0.1, None, None) for name in MODELS if built]
    if command[0] in {"build", "test"}:
        results.append(NodeResult("test.battery.a_test", test, 0.1, 0, None))
    audited = command[0] in {"build", "test"} and test == "pass"
    finish_run(warehouse, run, DbtRun(command, 1.0, tuple(results), failure, audited, MODELS))


def execute(warehouse: DuckDBFile, *statements: str) -> None:
    with warehouse.connect("test") as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def published(warehouse: DuckDBFile) -> DuckDBFile:
    """A warehouse whose models were built, tested and published with what has landed."""
    with warehouse.connect("test") as connection:
        create_tables(connection)
        connection.execute("create schema building")
        for schema in ("building", "internal"):
            connection.execute(
                f"create table {schema}._refreshed "
                "(model varchar, cell_id varchar, test_id varchar, version varchar, built_by varchar)"
            )
            connection.execute(
                f"insert into {schema}._refreshed values "  # noqa: S608
                "('battery_cells', 'A', '', 'v', 'first'), ('_inputs', '', '', ?, 'first')",
                [inputs_of(SETTINGS)],
            )
            connection.execute(
                f"insert into {schema}._refreshed "  # noqa: S608
                "select '_watermark', '', '', watermark, 'first' from internal._watermark"
            )
        connection.execute(
            "insert into internal._refreshed select '_exported', '', '', watermark, null from internal._watermark"
        )
    ran(warehouse, "build")
    return warehouse


def test_what_was_published_is_up_to_date_also_after_commands_that_change_nothing(published: DuckDBFile) -> None:
    assert is_up_to_date(SETTINGS, published)
    ran(published, "test")
    ran(published, "source", "freshness", failure="stale")
    assert is_up_to_date(SETTINGS, published)


def test_a_run_that_failed_or_was_killed_leaves_something_to_do(published: DuckDBFile) -> None:
    ran(published, "test", test="fail", failure="a_test failed")
    assert not is_up_to_date(SETTINGS, published)
    ran(published, "build")
    assert is_up_to_date(SETTINGS, published)
    start_run(published, ("build",))
    assert not is_up_to_date(SETTINGS, published)


def test_models_that_were_built_and_not_tested_are_something_to_do(published: DuckDBFile) -> None:
    ran(published, "run")
    assert not is_up_to_date(SETTINGS, published)


@pytest.mark.parametrize(
    "change",
    [
        "update building._refreshed set built_by = 'second' where model = 'battery_cells'",
        "insert into building._refreshed values ('battery_cells', 'B', '', 'v', 'second')",
        "delete from building._refreshed where model = 'battery_cells'",
        "update internal._refreshed set version = 'other' where model = '_inputs'",
        "update internal._refreshed set version = 'other' where model = '_watermark'",
        "delete from internal._refreshed where model = '_exported'",
        "drop table building._refreshed",
        "drop table internal._refreshed",
        "delete from internal._dbt_runs",
    ],
)
def test_what_was_not_published_or_has_changed_is_something_to_do(published: DuckDBFile, change: str) -> None:
    execute(published, change)
    assert not is_up_to_date(SETTINGS, published)


def test_the_notice_names_the_tests_of_which_more_has_landed_than_readers_have(warehouse: DuckDBFile) -> None:
    with warehouse.connect("test") as connection:
        create_tables(connection)
    cycle = (
        "insert into internal._cycles by name "
        "select '{}' as cell_id, '{}' as test_id, {} as cycle_index, 5 as reading_count"
    )
    execute(warehouse, cycle.format("A", "1", 1), cycle.format("A", "1", 2), cycle.format("B", "1", 1))
    assert changed_tests(warehouse) == [("A", "1"), ("B", "1")]
    execute(
        warehouse, "create table battery_tests as select 'A' as cell_id, '1' as test_id, 10 as reading_count",
        cycle.format("A", "2", 1),
    )  # fmt: skip
    assert changed_tests(warehouse) == [("A", "2"), ("B", "1")]
    execute(warehouse, cycle.format("A", "1", 3))
    assert changed_tests(warehouse) == [("A", "1"), ("A", "2"), ("B", "1")]
