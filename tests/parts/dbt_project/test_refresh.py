"""An hourly refresh: it builds what has changed and nothing else, and ends where a build from nothing ends."""

from __future__ import annotations

import shutil
from datetime import datetime
from typing import TYPE_CHECKING, Final

import pytest
from support.modelled import CYCLE_READINGS, Warehouse, create_landing, cycling, differences, land, run_dbt, say

from refresh import dbt as transform
from refresh.warm import WarmDbt

if TYPE_CHECKING:
    from pathlib import Path

MARKED: Final = 1_000_000
"""Added to what a model has built, so that it is seen whether it was built again."""


def day(number: int) -> datetime:
    return datetime(2024, 1, number)  # noqa: DTZ001  # a cycler's wall clock has no zone


def fading(first: float, cycles: int) -> list[float]:
    return [first - 0.002 * cycle for cycle in range(cycles)]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Two cells that had been landed and built when the hour began."""
    warehouse = Warehouse(tmp_path_factory.mktemp("before") / "battery.duckdb")
    create_landing(
        warehouse.path,
        [
            *cycling("SIM_CHANGED", day(2), fading(1.1, 12)),
            *cycling("SIM_CHANGED", day(20), fading(1.0, 12)),
            *cycling("SIM_CHANGED", day(25), fading(0.97, 3)),
            *cycling("SIM_SAME", day(1), fading(1.1, 12)),
            *cycling("SIM_SAME", day(5), fading(1.05, 8)),
        ],
    )
    run_dbt(warehouse.settings, ("build", "--resource-type", "model", "seed"))
    return warehouse


@pytest.fixture
def hour(before: Warehouse, tmp_path: Path) -> Warehouse:
    """The warehouse an hour later, with everything marked that the hour has not touched."""
    shutil.copytree(before.path.parent, tmp_path / "hour")
    return Warehouse(tmp_path / "hour" / before.path.name)


def built_from_nothing(warehouse: Warehouse, folder: Path) -> Warehouse:
    """The same landing, and models that were never built before."""
    shutil.copytree(warehouse.path.parent, folder)
    anew = Warehouse(folder / warehouse.path.name)
    run_dbt(anew.settings, ("build", "--resource-type", "model", "seed", "--full-refresh"))
    return anew


def test_refreshes_by_a_dbt_that_stays_warm_end_where_a_build_from_nothing_ends(
    hour: Warehouse, tmp_path: Path
) -> None:
    settings = hour.settings
    with WarmDbt(settings, transform.PUBLISHED) as warm, transform.lock_models(settings) as lock:
        for rows in (
            [*cycling("SIM_CHANGED", day(10), fading(1.05, 12)), *cycling("SIM_NEW", day(1), fading(1.1, 2))],
            cycling("SIM_NEW", day(1), fading(1.1, 60))[2 * CYCLE_READINGS :],
            cycling("SIM_SAME", day(9), fading(0.9, 5)),
        ):
            land(hour.path, rows)
            command = ("build", "--resource-type", "model", "seed")
            done = transform.dbt(settings, command, transform.PUBLISHED, lock, runner=warm.run)
            assert done.failure is None
        assert warm.pid is not None
    assert differences(hour, built_from_nothing(hour, tmp_path / "anew")) == []


def test_a_refresh_ends_where_a_build_from_nothing_ends_whatever_the_hour_has_brought(
    hour: Warehouse, tmp_path: Path
) -> None:
    # An old workbook that is uploaded today, a test that goes on, and one of a new cell.
    land(hour.path, cycling("SIM_CHANGED", day(10), fading(1.05, 12)))
    land(hour.path, cycling("SIM_CHANGED", day(25), fading(0.97, 6))[3 * CYCLE_READINGS :])
    land(hour.path, cycling("SIM_NEW", day(1), fading(1.1, 2)))
    # A replay with other rules has changed a value here and no longer lands a test there.
    hour.execute(
        "update battery_ts_cleaned set quality = 1, \"voltage(v)\" = 4.1 where cell_id = 'SIM_CHANGED' "
        "and test_id = '2024-01-02T00:00:00' and data_point = 10"
    )
    hour.execute("delete from battery_ts_cleaned where cell_id = 'SIM_CHANGED' and test_id = '2024-01-20T00:00:00'")
    # The first attempt broke off: what it has built must not pass for what it has not.
    run_dbt(hour.settings, ("run", "--select", "battery_test_versions", "battery_cleaned", "battery_tests"))
    run_dbt(hour.settings, ("build", "--resource-type", "model", "seed"))

    tests = hour.query("select cell_id, test_id, cleaned_count from battery_tests order by all")
    assert tests == [
        ("SIM_CHANGED", "2024-01-02T00:00:00", 12 * CYCLE_READINGS - 1),
        ("SIM_CHANGED", "2024-01-10T00:00:00", 12 * CYCLE_READINGS),
        ("SIM_CHANGED", "2024-01-25T00:00:00", 6 * CYCLE_READINGS),
        ("SIM_NEW", "2024-01-01T00:00:00", 2 * CYCLE_READINGS),
        ("SIM_SAME", "2024-01-01T00:00:00", 12 * CYCLE_READINGS),
        ("SIM_SAME", "2024-01-05T00:00:00", 8 * CYCLE_READINGS),
    ]
    assert hour.query("select max(cycle_number) from battery_cycles where cell_id = 'SIM_CHANGED'") == [(30,)]
    assert differences(hour, built_from_nothing(hour, tmp_path / "anew")) == []


def test_what_is_said_later_of_readings_that_stay_the_same_is_in_the_next_refresh_and_touches_no_other_test(
    hour: Warehouse, tmp_path: Path
) -> None:
    hour.execute(f"update battery_cleaned set step_index = step_index + {MARKED}")  # noqa: S608  # our own names
    said = {"topic_id": "log", "partition": 0, "offset": 7, "cell_id": "SIM_SAME", "test_id": day(5).isoformat()}
    say(hour.path, [said | {"reader": "csv", "assumptions": "turned\nguessed", "metadata": '{"channel":"3"}'}])
    run_dbt(hour.settings, ("build", "--resource-type", "model", "seed"))
    assert hour.query("select cell_id, test_id, reader, assumptions from battery_tests where reader is not null") == [
        ("SIM_SAME", "2024-01-05T00:00:00", "csv", "turned\nguessed")
    ]
    assert hour.query("select cell_id, stated from battery_cells order by all") == [
        ("SIM_CHANGED", None),
        ("SIM_SAME", '{"channel":"3"}'),
    ]
    built = f"select distinct test_id from battery_cleaned where step_index < {MARKED}"  # noqa: S608  # our own names
    assert hour.query(built) == [("2024-01-05T00:00:00",)]
    hour.execute(f"update battery_cleaned set step_index = step_index % {MARKED}")  # noqa: S608  # our own names
    assert differences(hour, built_from_nothing(hour, tmp_path / "anew")) == []

    hour.execute("delete from battery_about")  # a replay of a log without that message
    run_dbt(hour.settings, ("build", "--resource-type", "model", "seed"))
    assert hour.query("select count(reader), count(assumptions) from battery_tests") == [(0, 0)]


def test_a_refresh_leaves_alone_what_the_hour_has_not_touched(hour: Warehouse) -> None:
    marked = {
        "battery_cleaned": "step_index",
        "battery_features": "step_index",
        "battery_steps": "step_index",
        "battery_tests": "duration_s",
        "battery_cycles": "row_count",
        "battery_ica_curves": "cycle_index",
        "battery_fade": "fade_ah_per_cycle",
    }
    for table, column in marked.items():
        hour.execute(f"update {table} set {column} = {column} + {MARKED}")  # noqa: S608  # our own names
    land(hour.path, cycling("SIM_CHANGED", day(10), fading(1.05, 2)))
    run_dbt(hour.settings, ("build", "--resource-type", "model", "seed"))

    def kept(table: str) -> list[tuple[str, ...]]:
        """Cells (and tests) of a table that were not built again."""
        keys = "cell_id" if table in {"battery_cycles", "battery_fade"} else "cell_id, test_id"
        return hour.query(f"select distinct {keys} from {table} where {marked[table]} > {MARKED / 2} order by all")  # noqa: S608

    untouched = [
        ("SIM_CHANGED", "2024-01-02T00:00:00"),
        ("SIM_CHANGED", "2024-01-20T00:00:00"),
        ("SIM_CHANGED", "2024-01-25T00:00:00"),
        ("SIM_SAME", "2024-01-01T00:00:00"),
        ("SIM_SAME", "2024-01-05T00:00:00"),
    ]
    for table in ("battery_cleaned", "battery_features", "battery_steps", "battery_tests"):
        assert kept(table) == untouched, table
    for table in ("battery_cycles", "battery_fade"):
        assert kept(table) == [("SIM_SAME",)], table
    # Of the cell that has changed, the first cycle is the first one still; the last one has another number.
    assert kept("battery_ica_curves") == [untouched[0], *untouched[-2:]]


def test_other_code_builds_everything_anew(hour: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    hour.execute(f"update battery_features set step_index = step_index + {MARKED}")  # noqa: S608  # our own names
    monkeypatch.setattr(transform, "code_of", lambda *_: "of another version")
    run_dbt(hour.settings, ("run", "--select", "battery_features"))
    assert hour.query(f"select count(*) from battery_features where step_index >= {MARKED}") == [(0,)]  # noqa: S608


def test_what_a_lab_says_of_its_cells_holds_from_the_next_refresh_on(hour: Warehouse, tmp_path: Path) -> None:
    cells = tmp_path / "cells.csv"
    cells.write_text(
        "cell_pattern,chemistry,nominal_capacity_ah,charge_limit_v,discharge_limit_v,full_cycle_min_ah,full_cycle_max_v\n"
        "SIM_SAME,NMC,2.2,,,,\n"
    )
    settings = hour.settings.model_copy(update={"battery_cells": cells})
    run_dbt(settings, ("build", "--resource-type", "model", "seed"))
    found = hour.query(
        "select cell_id, chemistry, nominal_capacity_ah, round(latest_soh, 6) from battery_cells order by all"
    )
    assert found == [
        ("SIM_CHANGED", "LCO", 1.1, round(0.966 / 1.1, 6)),
        ("SIM_SAME", "NMC", 2.2, round(1.036 / 2.2, 6)),
    ]


def test_what_a_lab_tells_of_a_cell_builds_that_cell_again_and_no_other(hour: Warehouse) -> None:
    told = '{"group":"fast","nominal_capacity_ah":2.2}'
    hour.execute(
        "insert into battery_cell_events values "  # noqa: S608
        f"('log', 0, 0, 'SIM_SAME', timestamp '2026-01-01', '{told}', null),"
        "('log', 0, 1, 'SIM_SAME', timestamp '2026-01-02', null, 'no JSON')"
    )
    marked = {"battery_features": "step_index", "battery_cycles": "cycle_index"}
    for table, column in marked.items():
        hour.execute(f"update {table} set {column} = {column} + {MARKED}")  # noqa: S608  # our own names
    run_dbt(hour.settings, ("build", "--resource-type", "model", "seed"))
    built = {
        table: hour.query(f"select distinct cell_id from {table} where {column} < {MARKED} order by all")  # noqa: S608
        for table, column in marked.items()
    }
    assert built == {"battery_features": [], "battery_cycles": [("SIM_SAME",)]}
    found = "select cell_id, cell_group, nominal_capacity_ah, round(latest_soh, 6) from battery_cells order by all"
    assert hour.query(found) == [
        ("SIM_CHANGED", None, 1.1, round(0.966 / 1.1, 6)),
        ("SIM_SAME", "fast", 2.2, round(1.036 / 2.2, 6)),
    ]
    assert {cell for (cell,) in hour.query("select distinct cell_group from battery_groups")} == {"fast"}
