"""From the building schema to readers, with dbt itself: they see what was built and tested, and nothing that failed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.landed import put
from support.modelled import CYCLE_READINGS, ORDER, Row, Warehouse, cycling, run_dbt

from kernel.base.errors import BatteryError
from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import open_warehouse
from refresh.dbt import PUBLISHED, lock_models
from refresh.publish import publish
from refresh.stage import stage_models

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresh.publish import PublishResult

FADING = [1.1 - 0.002 * cycle for cycle in range(12)]


def day(number: int) -> datetime:
    return datetime(2024, 1, number)  # noqa: DTZ001  # a cycler's wall clock has no zone


def transform(warehouse: Warehouse, *options: str) -> PublishResult:
    """What `battery transform` does."""
    landing = open_warehouse(warehouse.settings)
    with lock_models(warehouse.settings) as lock:
        stage_models(warehouse.settings, landing, ("build", *options), lock)
        return publish(landing, FolderStore(warehouse.path.parent / "objects"))


def contents(warehouse: Warehouse, schema: str) -> dict[str, list[Row]]:
    """The rows of the models that dbt has built in `building`, or of those that were published."""
    place = "" if schema == PUBLISHED else f"{schema}."
    return {name: warehouse.rows(f"{place}{name}", order) for name, order in ORDER.items()}


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
    warehouse.execute("delete from internal._cycles where cell_id = 'ONE' and test_id = '2024-01-01T00:00:00'")
    second = transform(warehouse)
    assert (second.tests, second.cells) == (3, 2)
    return warehouse


def test_what_is_published_hour_by_hour_is_what_a_build_from_nothing_gives(refreshed: Warehouse) -> None:
    published = contents(refreshed, "main")
    assert published["battery_tests"] != []
    run_dbt(refreshed.settings, ("build", "--resource-type", "model", "seed", "--full-refresh"))
    assert contents(refreshed, "main") == published == contents(refreshed, "building")


def test_what_readers_see_carries_the_comments_of_the_models_yaml(refreshed: Warehouse) -> None:
    publish(open_warehouse(refreshed.settings), FolderStore(refreshed.path.parent / "objects"))
    bare = refreshed.query(
        "select table_name, '' as column_name from duckdb_tables() where schema_name = 'main' and comment is null "
        "union all select view_name, '' from duckdb_views() "
        "where schema_name = 'main' and comment is null and not internal "
        "union all select table_name, column_name from duckdb_columns() "
        "where schema_name = 'main' and comment is null and not internal"
    )
    inner = {"battery_fade", "battery_ica_curves"}  # their columns are described where battery_cells shows them
    assert {(table, column) for table, column in bare if table in ORDER and not (table in inner and column)} == set()
    ((counter,),) = refreshed.query(
        "select comment from duckdb_columns() where schema_name = 'main' and table_name = 'battery_cleaned' "
        "and column_name = 'charge_capacity(ah)'"
    )
    assert counter.startswith("The cycler's charge counter in ampere-hours (Ah)")


def test_unit_tests_run_in_the_first_refresh_and_not_again_with_the_same_code(refreshed: Warehouse) -> None:
    runs = refreshed.query(
        "select audited, len(list_filter(results, node -> node.kind = 'unit_test')) as unit_tests, "
        "len(list_filter(results, node -> node.kind = 'test')) as tests "
        "from internal._dbt_runs order by started_at limit 2"
    )
    (_, unit_tests, tests), (_, again, tests_again) = runs
    assert [audited for audited, *_ in runs] == [True, True]
    assert unit_tests > 20
    assert again == 0
    assert tests == tests_again > 0


def test_nothing_that_dbt_has_put_down_on_its_way_is_left_for_readers(refreshed: Warehouse) -> None:
    names = refreshed.query("select table_name from information_schema.tables where table_name like '%dbt_tmp%'")
    assert names == []


def test_what_fails_its_tests_is_not_published_until_they_pass(refreshed: Warehouse) -> None:
    cycles = "select count(*) from main.battery_cycles where cell_id = 'LATE'"
    put(refreshed.path, {"LATE": cycling("LATE", day(3), FADING)})
    refreshed.execute("update internal._cycles set charge_capacity_pah = charge_capacity_pah + 2000")
    with pytest.raises(BatteryError, match="test streamed_cycles_agree_with_those_from_rows"):
        transform(refreshed)
    with pytest.raises(BatteryError, match="readers keep those before: dbt build failed: test streamed_cycles_agree"):
        publish(open_warehouse(refreshed.settings), FolderStore(refreshed.path.parent / "objects"))
    assert refreshed.query(cycles) == [(0,)]
    refreshed.execute("update internal._cycles set charge_capacity_pah = charge_capacity_pah - 2000")
    # What was published by hand meanwhile, or damaged, is mended when all is rebuilt.
    refreshed.execute("update main.battery_features set power_watt = 0")
    transform(refreshed, "--full-refresh")
    assert refreshed.query(cycles) == [(12,)]
    assert contents(refreshed, "main") == contents(refreshed, "building")


def start_transform(warehouse: Warehouse, log: Path) -> subprocess.Popen[bytes]:
    """`battery transform` as a process of its own."""
    places = {"WAREHOUSE": str(warehouse.path), "OBJECT_STORE": f"file://{warehouse.path.parent / 'objects'}"}
    with log.open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "battery", "transform", "--again"],  # its landing keeps no watermark
            env=os.environ | places,
            cwd=log.parent,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def wait_until(what: str, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_a_transform_killed_in_the_middle_leaves_its_models_on_record_and_the_one_that_waits_publishes(
    refreshed: Warehouse, tmp_path: Path
) -> None:
    put(refreshed.path, {"KILLED": cycling("KILLED", day(4), FADING)})
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    killed = start_transform(refreshed, first)
    wait_until("a model", lambda: re.search(r"OK created .*battery_cleaned", first.read_text()))
    waits = start_transform(refreshed, second)
    wait_until("its turn", lambda: "waiting for another run of dbt" in second.read_text())
    dbt = int(Path(f"/proc/{killed.pid}/task/{killed.pid}/children").read_text())
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    wait_until("the end of its dbt", lambda: not Path(f"/proc/{dbt}").exists())
    assert waits.wait(300) == 0, second.read_text()
    assert "published" in second.read_text()
    assert refreshed.query("select count(*) from main.battery_cycles where cell_id = 'KILLED'") == [(12,)]
    broken, whole = refreshed.query(
        "select failure, built, audited, results::json from internal._dbt_runs order by started_at desc limit 2"
    )[::-1]
    assert broken[:3] == ("it was ended in the middle", True, False)
    built = {(result["node"], result["kind"], result["status"]) for result in json.loads(broken[3])}
    assert {
        ("model.battery.battery_test_versions", "model", "success"),
        ("model.battery.battery_cleaned", "model", "success"),
    } <= built
    assert "model.battery.battery_cells" not in {node for node, *_ in built}
    assert whole[:3] == (None, True, True)
    nodes = [result["node"] for result in json.loads(whole[3])]
    assert len(nodes) == len(set(nodes)), "what dbt says at the end stands in place of what was known until then"
