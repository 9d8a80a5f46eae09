"""Iceberg tables of a REST catalog: the same, by a setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.iceberg import iceberg_reader
from support.rest_catalog import rest_catalog

import refresh.iceberg.table
from kernel.base.errors import BatteryError
from kernel.base.faults import Point
from refresh.iceberg.register import register
from sink.care.compare import content_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import duckdb
    from support.committed import Landed
    from support.rest_catalog import RestCatalogServer

    from kernel.base.settings import Settings

TABLES = ("battery_ts_cleaned", "battery_quarantine")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RestCatalogServer]:
    with rest_catalog(tmp_path, "hush-token") as server:
        yield server


def settings_for(landed: Landed, server: RestCatalogServer, token: str = "hush-token") -> Settings:  # noqa: S107
    given = landed.settings.model_dump(exclude_unset=True)
    return type(landed.settings).model_validate(given | {"iceberg_catalog": server.url, "iceberg_token": token})


def engine_on(server: RestCatalogServer) -> duckdb.DuckDBPyConnection:
    """DuckDB, which is told of the catalog alone."""
    engine = iceberg_reader()
    engine.execute(
        f"attach '' as lab (type iceberg, endpoint '{server.url}', token '{server.token}', "
        "support_nested_namespaces false)"
    )
    return engine


def require_equal(landed: Landed, server: RestCatalogServer) -> None:
    """An engine finds the rows that have landed."""
    reader = engine_on(server)
    for table in TABLES:
        assert content_of(reader, f"lab.battery.{table}") == landed.contents()[table]


def test_tables_of_a_rest_catalog_are_read_with_equal_checksums(landed: Landed, server: RestCatalogServer) -> None:
    settings = settings_for(landed, server)
    done = register(settings, landed.store, landed.warehouse)
    assert (done.catalog, [table.added > 0 for table in done.tables]) == (server.url, [True, True])
    require_equal(landed, server)
    landed.worker().commit(0, 1)
    register(settings, landed.store, landed.warehouse)
    require_equal(landed, server)
    assert "nothing new" in str(register(settings, landed.store, landed.warehouse))


def test_rows_that_an_engine_has_deleted_come_back_and_rows_that_it_wrote_go(
    landed: Landed, server: RestCatalogServer
) -> None:
    settings = settings_for(landed, server)
    register(settings, landed.store, landed.warehouse)
    objects = landed.kept()
    engine = engine_on(server)
    engine.execute("insert into lab.battery.battery_ts_cleaned (cell_id) values ('INVENTED')")
    engine.execute("delete from lab.battery.battery_ts_cleaned where data_point = 1")
    ((rows,),) = engine.execute("select count(*) from lab.battery.battery_ts_cleaned").fetchall()
    assert rows == landed.contents()["battery_ts_cleaned"][0] + 1 - 2
    register(settings, landed.store, landed.warehouse)
    require_equal(landed, server)
    landed.worker().commit(0)
    again = register(settings, landed.store, landed.warehouse)
    assert [table.added for table in again.tables] == [1, 1]  # what was put right once is not looked at again
    require_equal(landed, server)
    assert objects <= landed.kept()


def test_a_publisher_that_another_one_overtakes_compares_again(
    landed: Landed, server: RestCatalogServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, worker, done = settings_for(landed, server), landed.worker(), list[Point]()

    def passed(here: Point) -> None:
        if here is Point.ICEBERG_COMMITTING and not done:
            done.append(here)
            worker.commit(0, 1)
            register(settings, landed.store, landed.warehouse)

    monkeypatch.setattr(refresh.iceberg.table, "fault_point", passed)
    register(settings, landed.store, landed.warehouse)
    require_equal(landed, server)


def test_a_token_that_the_catalog_does_not_take_is_one_line_without_it(
    landed: Landed, server: RestCatalogServer
) -> None:
    with pytest.raises(
        BatteryError, match=f"the Iceberg catalog {server.url} cannot be used: .*no such token"
    ) as raised:
        register(settings_for(landed, server, "hush-other"), landed.store, landed.warehouse)
    assert "\n" not in str(raised.value)
    assert "hush" not in str(raised.value)


def test_a_catalog_that_does_not_answer_is_one_line(landed: Landed) -> None:
    settings = landed.settings.model_copy(update={"iceberg_catalog": "http://127.0.0.1:1"})
    with pytest.raises(BatteryError, match=r"the Iceberg catalog http://127\.0\.0\.1:1 cannot be used: ") as raised:
        register(settings, landed.store, landed.warehouse)
    assert "\n" not in str(raised.value)
