"""Whether there is anything to refresh: what has landed, and what models depend on, against what was published."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from refresh.news import news
from refresh.project import inputs_of
from sink.tables import create_tables

if TYPE_CHECKING:
    from pathlib import Path

    from kernel.edges.warehouse import DuckDBFile

CELLS = "cell_pattern,chemistry,nominal_capacity_ah,charge_limit_v,discharge_limit_v,full_cycle_min_ah,full_cycle_max_v"


def commit(warehouse: DuckDBFile, name: str, at: str, rows: int) -> None:
    """A commit of two objects, which account for its rows together."""
    with warehouse.connect("test") as connection:
        for kind in ("battery_ts_cleaned", "battery_quarantine"):
            connection.execute(
                f"""insert into internal._commits values ('{name}', 0, 1, 1, '{kind}/{name}', '{kind}', 1, 1, '',
                [{{'topic_id': 't', 'partition': 0, 'first': 0, 'last': 9, 'rows': {rows}}}], '{at}')"""  # noqa: S608
            )


def settings(**given: object) -> Settings:
    return Settings(**given)  # type: ignore[arg-type]


@pytest.fixture
def published(warehouse: DuckDBFile) -> DuckDBFile:
    """A warehouse whose models stand where its landing stands."""
    with warehouse.connect("test") as connection:
        create_tables(connection)
    commit(warehouse, "one", "2026-11-26 08:00", 10)
    publish(warehouse)
    return warehouse


def publish(warehouse: DuckDBFile) -> None:
    with warehouse.connect("test") as connection:
        connection.execute("create or replace table internal._refreshed (model varchar, version varchar)")
        connection.execute("insert into internal._refreshed select '_watermark', watermark from internal._watermark")
        connection.execute("insert into internal._refreshed select '_exported', watermark from internal._watermark")
        connection.execute("insert into internal._refreshed values ('_inputs', ?)", [inputs_of(settings())])


def test_before_the_first_publication_everything_is_new(warehouse: DuckDBFile) -> None:
    with warehouse.connect("test") as connection:
        create_tables(connection)
    assert news(settings(), warehouse) == "no models have been published yet"


def test_nothing_is_new_where_nothing_has_landed_since(published: DuckDBFile) -> None:
    assert news(settings(), published) is None


def test_a_commit_is_news_and_says_how_far_the_landing_is(published: DuckDBFile) -> None:
    commit(published, "two", "2026-11-26 09:00", 5)
    assert news(settings(), published) == (
        "landed: 2026-11-26 09:00:00, 15 rows; published: 2026-11-26 08:00:00, 10 rows"
    )


def test_a_replay_that_has_swapped_the_tables_is_news_though_it_landed_the_same_rows(published: DuckDBFile) -> None:
    with published.connect("test") as connection:
        connection.execute("update internal._commits set committed_at = '2026-11-26 08:30'")
    assert news(settings(), published) is not None


def test_objects_that_were_merged_are_no_news(published: DuckDBFile) -> None:
    commit(published, "two", "2026-11-26 09:00", 5)
    publish(published)
    with published.connect("test") as connection:
        connection.execute("delete from internal._commits")
    commit(published, "merged", "2026-11-26 09:00", 15)
    assert news(settings(), published) is None


def test_other_limits_of_the_cells_are_news(published: DuckDBFile, tmp_path: Path) -> None:
    cells = tmp_path / "cells.csv"
    cells.write_text(f"{CELLS}\nA,NMC,2.2,,,,\n")
    assert news(settings(battery_cells=cells), published) == (
        "the models, or what BATTERY_CELLS or BATTERY_ALERT_RULES says, have changed"
    )


def test_a_warehouse_of_an_earlier_version_is_news_rather_than_an_error(published: DuckDBFile) -> None:
    with published.connect("test") as connection:
        connection.execute("drop view internal._watermark")
    assert "keeps no watermark" in str(news(settings(), published))


def test_without_landing_tables_the_command_to_run_is_named(warehouse: DuckDBFile) -> None:
    with warehouse.connect("test") as connection:
        connection.execute("create table t (x integer)")
    with pytest.raises(BatteryError, match="run `battery stream` first"):
        news(settings(), warehouse)
