"""From the building schema to readers, with dbt itself: they see what was built and tested, and nothing that failed."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from landed import put
from modelled import CYCLE_READINGS, ORDER, Row, Warehouse, cycling, run_dbt

from battery.errors import BatteryError
from battery.objects import FolderStore
from sink.publish import publish
from sink.stage import stage_models
from sink.warehouse import open_warehouse

if TYPE_CHECKING:
    from sink.publish import Publication

FADING = [1.1 - 0.002 * cycle for cycle in range(12)]


def day(number: int) -> datetime:
    return datetime(2024, 1, number)  # noqa: DTZ001  # a cycler's wall clock has no zone


def transform(warehouse: Warehouse, *options: str) -> Publication:
    """What `battery transform` does."""
    landing = open_warehouse(warehouse.settings)
    stage_models(warehouse.settings, landing, ("build", *options))
    return publish(landing, FolderStore(warehouse.path.parent / "objects"))


def contents(warehouse: Warehouse, schema: str) -> dict[str, list[Row]]:
    return {name: warehouse.rows(f"{schema}.{name}", order) for name, order in ORDER.items()}


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """A warehouse whose models were published once, and again an hour later."""
    warehouse = Warehouse(tmp_path_factory.mktemp("published") / "battery.duckdb")
    tests = [*cycling("ONE", day(1), FADING), *cycling("ONE", day(9), FADING[:6])]
    put(warehouse.path, {"ONE": tests[: -2 * CYCLE_READINGS], "SAME": cycling("SAME", day(1), FADING)})
    first = transform(warehouse)
    assert (first.tests, first.cells) == (3, 2)
    # One test has gone on, one of a new cell has come, and an old one is gone.
    put(warehouse.path, {"ONE": tests, "SAME": cycling("SAME", day(1), FADING), "NEW": cycling("NEW", day(2), FADING)})
    warehouse.execute("delete from battery_ts_cleaned where cell_id = 'ONE' and test_id = '2024-01-01T00:00:00'")
    warehouse.execute("delete from _cycles where cell_id = 'ONE' and test_id = '2024-01-01T00:00:00'")
    second = transform(warehouse)
    assert (second.tests, second.cells) == (3, 2)
    return warehouse


def test_what_is_published_hour_by_hour_is_what_a_build_from_nothing_gives(refreshed: Warehouse) -> None:
    published = contents(refreshed, "main")
    assert published["battery_tests"] != []
    run_dbt(refreshed.settings, ("build", "--resource-type", "model", "seed", "--full-refresh"))
    assert contents(refreshed, "main") == published == contents(refreshed, "building")


def test_nothing_that_dbt_has_put_down_on_its_way_is_left_for_readers(refreshed: Warehouse) -> None:
    names = refreshed.query("select table_name from information_schema.tables where table_name like '%dbt_tmp%'")
    assert names == []


def test_what_fails_its_tests_is_not_published_until_they_pass(refreshed: Warehouse) -> None:
    cycles = "select count(*) from main.battery_cycles where cell_id = 'LATE'"
    put(refreshed.path, {"LATE": cycling("LATE", day(3), FADING)})
    refreshed.execute("update _cycles set charge_capacity_pah = charge_capacity_pah + 2000")
    with pytest.raises(BatteryError, match="test streamed_cycles_agree_with_those_from_rows"):
        transform(refreshed)
    with pytest.raises(BatteryError, match="readers keep those before: dbt build failed: test streamed_cycles_agree"):
        publish(open_warehouse(refreshed.settings), FolderStore(refreshed.path.parent / "objects"))
    assert refreshed.query(cycles) == [(0,)]
    refreshed.execute("update _cycles set charge_capacity_pah = charge_capacity_pah - 2000")
    # What was published by hand meanwhile, or damaged, is mended when all is built anew.
    refreshed.execute("update main.battery_features set power_watt = 0")
    transform(refreshed, "--full-refresh")
    assert refreshed.query(cycles) == [(12,)]
    assert contents(refreshed, "main") == contents(refreshed, "building")
