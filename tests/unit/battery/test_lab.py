"""What a notebook is given, on a folder that was filled by hand."""

from __future__ import annotations

import sys
import warnings
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from support import notebooks

import battery
from battery.frames import frame
from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import DuckDBFile
from refresh.export import MANIFEST, MARTS
from refresh.marts import ExportedMarts
from refresh.publication import Publication

if TYPE_CHECKING:
    from pathlib import Path

    from battery.lab import Cycles
    from refresh.marts import MartsVersion


def republish(folder: Path, *statements: str) -> None:
    notebooks.publish(folder, DuckDBFile(folder / "battery.duckdb", lock_timeout_seconds=1), *statements)


def test_the_public_names_are_there_and_no_others() -> None:
    assert all(hasattr(battery, name) for name in battery.__all__)
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        battery.opne  # noqa: B018


def test_one_cell_several_and_all_can_be_asked_for(lab: battery.Lab) -> None:
    assert lab.cycles("SIM_01")["cell_id"].tolist() == ["SIM_01"] * 2
    assert lab.cycles(["SIM_02"])["cell_id"].tolist() == ["SIM_02"] * 2
    assert lab.cycles(cell for cell in notebooks.CELLS)["cell_id"].tolist() == ["SIM_01"] * 2 + ["SIM_02"] * 2
    assert lab.cycles().equals(lab.cycles(notebooks.CELLS))
    assert lab.cycles([]).empty


def test_each_mart_has_its_method(lab: battery.Lab) -> None:
    shown = {
        "battery_alerts": lab.alerts(), "battery_cells": lab.cells(), "battery_cycles": lab.cycles(),
        "battery_gaps": lab.gaps(), "battery_groups": lab.groups(), "battery_ica": lab.ica(),
        "battery_steps": lab.steps(), "battery_tests": lab.tests(),
        "battery_live_tests": lab.live_tests(), "battery_thresholds": lab.thresholds(),
    }  # fmt: skip
    assert set(shown) == set(lab.tables) == set(MARTS)
    for name, found in shown.items():
        assert found.equals(lab.sql(f"from {name} order by all")), name


def test_answers_are_frames_of_the_kind_that_was_asked_for(made: Path) -> None:
    lab = battery.open(made)
    assert isinstance(lab.cycles(), pd.DataFrame)
    assert isinstance(lab.cycles(as_="polars"), pl.DataFrame)
    assert isinstance(lab.readings("SIM_01", as_="arrow"), pa.Table)
    assert isinstance(battery.open(made, as_="polars").sql("select 1"), pl.DataFrame)
    assert isinstance(battery.open(made, as_="polars").cells(as_="pandas"), pd.DataFrame)
    with pytest.raises(battery.BatteryError, match="as_='excel' is no kind of frame: it is one of pandas, polars"):
        battery.open(made, as_="excel")  # type: ignore[arg-type]


def test_a_library_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(battery.BatteryError, match="a frame of polars needs the extra notebook"):
        frame(pa.table({"a": [1]}), "polars")


def test_an_unknown_cell_is_refused_with_those_that_are_similar(lab: battery.Lab) -> None:
    for ask in (lab.cells, lab.cycles, lab.steps, lab.tests, lab.ica, lab.readings):
        with pytest.raises(battery.BatteryError, match="no cell SIM_1 has been published; there are SIM_01, SIM_02"):
            ask("SIM_1")
    with pytest.raises(battery.BatteryError, match="no cell B"):
        lab.cycles(["SIM_01", "B"])


@pytest.mark.parametrize(
    ("cycles", "numbers"),
    [
        (None, [1, 1, 2, 2]), (2, [2, 2]), (range(1, 3), [1, 1, 2, 2]), ([2, 1, 2], [1, 1, 2, 2]), ("last", [2, 2]),
        ("1-", [1, 1, 2, 2]), (np.int32(2), [2, 2]), (2.0, [2, 2]), (pd.Series([2, 1]), [1, 1, 2, 2]),
    ],
)  # fmt: skip
def test_cycles_are_chosen_by_number_range_list_and_words(lab: battery.Lab, cycles: Cycles, numbers: list[int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        readings = lab.readings("SIM_02", cycles)
    assert readings["cycle_number"].tolist() == numbers
    assert set(readings["cell_id"]) == {"SIM_02"}


@pytest.mark.parametrize(
    "cycles",
    [1.5, [1, None], ["first"], pd.Series([1.0, None]), object(), 10**30, float("inf"), slice(1, 3), b"1", True],
)
def test_what_names_no_cycles_is_refused_with_what_does(lab: battery.Lab, cycles: Any) -> None:
    with pytest.raises(battery.BatteryError, match=r"^cycles=.* are no numbers of cycles: write 7, range\(1, 50\)"):
        lab.readings("SIM_01", cycles)


@pytest.mark.parametrize(("cycles", "named"), [([2, 7, 8], "7 to 8"), (range(2, 5), "3 to 4"), ("2, 9", "9")])
def test_cycles_that_the_cell_does_not_have_are_named_in_a_warning(
    lab: battery.Lab, cycles: Cycles, named: str
) -> None:
    with pytest.warns(UserWarning, match=f"^SIM_01 has no cycle {named}$"):
        readings = lab.readings("SIM_01", cycles)
    assert set(readings["cycle_number"]) == {2}


@pytest.mark.parametrize("cycles", [7, range(7, 9), "7-9", []])
def test_where_the_cell_has_none_of_the_cycles_it_says_which_it_has(lab: battery.Lab, cycles: Cycles) -> None:
    with pytest.raises(battery.BatteryError, match=r"SIM_01 has no cycle .*; it has 1 to 2"):
        lab.readings("SIM_01", cycles)


def test_readings_stand_in_the_order_of_cycles_where_tests_are_named_against_it(folder: Path) -> None:
    republish(
        folder,
        "update battery_cycles set test_id = '9' where cycle_number = 1 and cell_id = 'SIM_01'",
        "update battery_ts_cleaned set test_id = '9' where cycle_index = 1 and cell_id = 'SIM_01'",
        'update battery_ts_cleaned set "discharge_capacity(ah)" = 0.7 where data_point = 1',
        "insert into battery_tests values ('SIM_01', '9', 2)",
        "insert into internal._refreshed values ('battery_cleaned', 'SIM_01', '9', 'second')",
        "update internal._refreshed set built_by = 'second' where cell_id = 'SIM_01'",
    )
    readings = battery.open(folder).readings("SIM_01")
    assert readings["test_id"].tolist() == ["9", "9", "1", "1"]
    assert readings["cycle_number"].tolist() == [1, 1, 2, 2]
    assert readings["data_point"].tolist() == [0, 1, 2, 3]
    assert readings["discharge_ah"].tolist() == [0, 0.7, 0, 0.5]


def test_readings_that_are_not_exported_are_not_asked_of_the_warehouse(folder: Path) -> None:
    for path in (folder / "objects" / "readings").rglob("*.parquet"):
        path.unlink()
    with pytest.raises(battery.BatteryError, match=r"lacks readings of 1 of 1 tests of SIM_01.*`battery publish`"):
        battery.open(folder).readings("SIM_01")


def test_sql_sees_the_marts_and_sums_are_numbers(lab: battery.Lab) -> None:
    found = lab.sql("select cell_id, sum(cycle_number) as n, 1.5 as half from BATTERY_CYCLES group by all order by all")
    assert found.to_dict("list") == {"cell_id": ["SIM_01", "SIM_02"], "n": [3, 3], "half": [1.5, 1.5]}
    assert [str(kind) for kind in found.dtypes[1:]] == ["int64", "float64"]
    assert lab.sql("select 9223372036854775807::hugeint * 2 as n")["n"].tolist() == [2.0**64]
    assert lab.sql("select ? + 1 as n", [2])["n"].tolist() == [3]


def test_sql_pivots_and_describes_which_duckdb_makes_queries_of(lab: battery.Lab) -> None:
    pivoted = lab.sql("pivot battery_cycles on cell_id using count(*) group by cycle_number order by cycle_number;")
    assert pivoted.to_dict("list") == {"cycle_number": [1, 2], "SIM_01": [1, 1], "SIM_02": [1, 1]}
    assert "soh" in lab.sql("describe battery_cycles -- and nothing more")["column_name"].tolist()


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("copy (select 1) to 'written.csv'", "COPY"),
        ("explain analyze copy (select 1) to 'written.csv'", "EXPLAIN"),
        ("export database 'written'", "EXPORT"),
        ("attach 'written.duckdb'", "ATTACH"),
        ("pivot battery_cycles on cell_id using count(*); copy (select 1) to 'written.csv'", "SELECT, COPY"),
        ("create persistent secret (type s3); select 1", "CREATE, SELECT"),
        ("install httpfs", "LOAD"),
        ("select 1; select 2", "SELECT, SELECT"),
        (" -- no query", "nothing"),
    ],
)
def test_sql_that_writes_or_is_not_one_query_is_refused(
    lab: battery.Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: str, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(battery.BatteryError, match=f"^sql takes one SELECT, which only reads; this is {what}$"):
        lab.sql(query)
    assert list(tmp_path.glob("written*")) == []


@pytest.mark.parametrize("cells", [5, [5], [None], ["SIM_01", b"SIM_02"]])
def test_what_is_no_cell_is_refused_with_what_names_one(lab: battery.Lab, cells: Any) -> None:
    for asked in (lab.cells, lab.readings):
        with pytest.raises(battery.BatteryError, match=r"is no cell: name one by its id"):
            asked(cells)


def test_an_answer_that_polars_cannot_hold_is_told_with_what_can(lab: battery.Lab) -> None:
    with pytest.raises(battery.BatteryError, match=r'polars cannot hold the answer: .*; as_="arrow" can') as refusal:
        lab.sql("select 1 as a, 2 as a", as_="polars")
    assert "\n" not in str(refusal.value)
    assert lab.sql("select 1 as a, 2 as a", as_="arrow").num_columns == 2


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("from battery_cycle", "battery_cycle does not exist!.*there are battery_alerts, .*; .*battery_features"),
        ("from bdf_timeseries", "bdf_timeseries have a row for each reading and are in the warehouse alone"),
        ("selec 1", "syntax error"),
        ("select soh from battery_cycles where x = 1", '"x" not found'),
    ],
)
def test_a_wrong_query_is_refused_in_one_line(lab: battery.Lab, query: str, complaint: str) -> None:
    with pytest.raises(battery.BatteryError, match=complaint.replace("; ", ". ")) as refusal:
        lab.sql(query)
    assert "\n" not in str(refusal.value)


def test_sql_does_not_see_the_variables_of_this_library(lab: battery.Lab) -> None:
    with pytest.raises(battery.BatteryError, match="text does not exist"):
        lab.sql("from text")


def test_nothing_is_read_before_it_is_asked_for_and_each_table_once(made: Path) -> None:
    read: list[str] = []

    class Noted(ExportedMarts):
        def newest(self) -> MartsVersion:
            read.append(MANIFEST)
            return super().newest()

        def table(self, publication: MartsVersion, name: str) -> pa.Table:
            read.append(name)
            return super().table(publication, name)

    store = FolderStore(made / "objects")
    publication = Publication(Noted(store), store)
    assert read == []
    for _ in range(2):
        publication.rows("battery_cycles", ["SIM_01"])
    assert sorted(read) == ["battery_cells", "battery_cycles", MANIFEST]


def test_all_answers_are_of_one_publication_until_it_is_refreshed(folder: Path) -> None:
    lab = battery.open(folder)
    assert len(lab.cycles()) == 4
    republish(folder, "delete from battery_cycles", "delete from battery_tests")
    assert len(lab.cycles()) == 4
    assert len(lab.tests()) == 2
    assert lab.refresh()
    assert not lab.refresh()
    assert len(lab.cycles()) == len(lab.tests()) == 0


def test_a_table_that_an_earlier_version_did_not_publish_is_told_with_what_adds_it(folder: Path) -> None:
    republish(folder, "drop table battery_groups")
    lab = battery.open(folder)
    assert set(lab.tables) == set(MARTS) - {"battery_groups"}
    with pytest.raises(battery.BatteryError, match=r"no table battery_groups among .*; .*`battery transform` adds"):
        lab.groups()


def test_a_table_that_has_gone_since_asks_for_a_refresh_rather_than_mix_publications(folder: Path) -> None:
    lab, fresh = battery.open(folder), battery.open(folder)
    lab.cycles()
    assert fresh.published_at == lab.published_at
    for _ in range(2):
        republish(folder, "delete from battery_tests where cell_id = 'SIM_02'")
    with pytest.raises(battery.BatteryError, match="published again, and battery_tests was not read before: refresh"):
        lab.tests()
    assert len(fresh.tests()) == 1  # it has read no table yet, so it may see the newest one
    assert lab.refresh()
    assert len(lab.tests()) == 1


def test_it_says_where_it_is_and_when_it_was_published(made: Path, lab: battery.Lab) -> None:
    assert repr(lab) == f"<battery.Lab at {made}>"
    assert lab.published_at is not None
    assert timedelta() <= datetime.now(UTC).replace(tzinfo=None) - lab.published_at < timedelta(minutes=5)
