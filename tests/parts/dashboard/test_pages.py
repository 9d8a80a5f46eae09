"""What the pages do with what is chosen on them, run by Streamlit without a browser."""

from __future__ import annotations

import base64
import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import streamlit
from streamlit.testing.v1 import AppTest
from support.pipeline import Pipeline
from support.published import CELLS, REAL

import dashboard.pages.stream
import dashboard.view
from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from kernel.edges.warehouse import open_warehouse
from sink.tables import create_tables

if TYPE_CHECKING:
    from pathlib import Path

    from support.published import PublishedFolder

    from dashboard.view import Published

PAGES = {"fleet": "show", "cell": "show", "cycle": "show", "compare": "show", "stream": "show_page"}
OF_MARTS = [name for name in PAGES if name != "stream"]


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    streamlit.cache_resource.clear()


@pytest.fixture(autouse=True)
def _main_is_pytest_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit makes a page the main module of the process, which processes that others start would then import."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture
def landed(published: PublishedFolder, broker: int) -> Pipeline:
    """Where the main job has run, beside a broker whose log is a new one."""
    return published.pipeline(broker)


def page(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, name: str, **address: str | list[str]) -> AppTest:
    """A page on a pipeline's places, as its address asks for it; nothing has been drawn yet."""
    for setting in Settings.model_fields:
        if setting.upper() in pipeline.environment:
            monkeypatch.setenv(setting.upper(), pipeline.environment[setting.upper()])
    drawn = AppTest.from_string(f"from dashboard.pages import {name}; {name}.{PAGES[name]}()", default_timeout=60)
    for key, value in address.items():
        drawn.query_params[key] = value
    return drawn


def charts(drawn: AppTest) -> list[dict[str, dict[str, Any]]]:
    """The traces of each chart by their names."""
    return [
        {trace.get("name", ""): decoded(trace) for trace in json.loads(chart.proto.spec)["data"]}
        for chart in drawn.get("plotly_chart")
    ]


def decoded(trace: dict[str, Any]) -> dict[str, Any]:
    """Plotly sends arrays of numbers as bytes."""
    return {
        name: np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"]).tolist()
        if isinstance(value, dict) and "bdata" in value
        else value
        for name, value in trace.items()
    }


def metrics(drawn: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in drawn.metric}


def chosen(drawn: AppTest, key: str) -> Any:
    return next(box.value for box in (*drawn.selectbox, *drawn.multiselect, *drawn.toggle) if box.key == key)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_draws_without_a_choice(landed: Pipeline, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    drawn = page(landed, monkeypatch, name).run()
    assert not drawn.exception
    assert not drawn.error
    assert charts(drawn)


def test_the_fleet_has_a_row_and_a_course_for_every_cell(landed: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = page(landed, monkeypatch, "fleet").run()
    (rows,) = (table.value.to_dict("records") for table in drawn.dataframe if "soh_percent" in table.value)
    assert sorted(row["cell_id"] for row in rows) == sorted(CELLS)
    health = dict(landed.query("select cell_id, 100 * latest_soh from battery_cells"))
    assert {row["cell_id"]: row["soh_percent"] for row in rows} == pytest.approx(health)
    (courses,) = charts(drawn)
    assert set(CELLS) <= set(courses)
    assert metrics(drawn)["cells"] == str(len(CELLS))


def test_the_first_choice_stands_in_the_address_and_an_address_makes_the_choice(
    landed: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = page(landed, monkeypatch, "cell").run()
    assert drawn.query_params["cell"] == chosen(drawn, "cell")
    again = page(landed, monkeypatch, "cell", cell="SIM_04", over="equivalent full cycles").run()
    assert (chosen(again, "cell"), chosen(again, "over")) == ("SIM_04", "equivalent full cycles")


def test_what_the_address_asks_for_and_is_not_there_is_named_and_nothing_else_is_shown(
    landed: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = page(landed, monkeypatch, "cell", cell="GONE", over="weeks").run()
    assert not drawn.exception
    (said,) = drawn.warning
    assert "“GONE”, which the address asks for, is not among" in said.value
    assert (charts(drawn), metrics(drawn)) == ([], {})
    drawn.button[0].click().run()
    assert chosen(drawn, "cell") in CELLS
    (said,) = drawn.warning
    assert "“weeks”, which the address asks for, is not among" in said.value


def test_a_cell_shows_what_was_assumed_of_its_tests_and_what_its_files_state(
    landed: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    table_of = dashboard.view.Published.table

    def said(self: Published, name: str) -> pa.Table:
        table = table_of(self, name)
        column = {"battery_tests": "assumptions", "battery_cells": "stated"}.get(name)
        text = {"assumptions": "its sign was turned\nno *steps*", "stated": '{"channel":"3"}'}
        if column is None:
            return table
        texts = [text[column] if cell_id == "SIM_04" else None for cell_id in table["cell_id"].to_pylist()]
        return table.set_column(table.column_names.index(column), column, pa.array(texts, pa.string()))

    monkeypatch.setattr(dashboard.view.Published, "table", said)
    drawn = page(landed, monkeypatch, "cell", cell="SIM_04").run()
    assert not drawn.exception
    shown = {frame.value.columns[0]: frame.value.to_dict("list") for frame in drawn.dataframe}
    assert shown["assumed"]["assumed"] == ["its sign was turned", "no *steps*"]
    assert shown["stated"] == {"stated": ["channel"], "value": ["3"]}
    assert "2 assumptions about its files, 1 value that its files state" in [box.label for box in drawn.expander]

    other = page(landed, monkeypatch, "cell", cell="SIM_03").run()
    assert not {"assumed", "stated"} & {frame.value.columns[0] for frame in other.dataframe}


def test_with_none_chosen_a_page_asks_for_a_choice(landed: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = page(landed, monkeypatch, "compare", cells=["SIM_02", "SIM_03"]).run()
    assert {"SIM_02", "SIM_03"} == set(charts(drawn)[0]) & set(CELLS)
    drawn.multiselect[0].set_value([]).run()
    assert not charts(drawn)
    assert [info.value for info in drawn.info] == ["Choose the cells to compare."]


def test_a_cell_is_drawn_with_the_figures_of_the_marts(landed: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = page(landed, monkeypatch, "cell", cell="SIM_03").run()
    ((soh, capacity, complete),) = landed.query(
        "select latest_soh, latest_capacity_ah, complete_cycle_count from battery_cells where cell_id = 'SIM_03'"
    )
    shown = metrics(drawn)
    assert (shown["SOH (%)"], shown["capacity (Ah)"], shown["complete cycles"]) == (
        f"{100 * soh:.1f}", f"{capacity:.4f}", str(complete),
    )  # fmt: skip
    fade = charts(drawn)[0]["complete cycles"]
    expected = landed.query(
        "select cycle_number, discharge_capacity_ah from battery_cycles "
        "where cell_id = 'SIM_03' and is_complete and not is_reference_test order by cycle_number"
    )
    assert list(zip(fade["x"], fade["y"], strict=True)) == expected
    rule = "Rule: median of 11 cycles below 80 % of nominal capacity, 0.8800 Ah."
    (caption,) = (caption for caption in drawn.caption if rule in caption.value)
    assert "median_11_below_80_percent_of_nominal" in caption.help


def test_cycles_lie_on_one_another_and_their_curves_are_those_of_the_mart(
    landed: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen_by_the_mart = [
        number
        for (number,) in landed.query(
            "select distinct cycle_number from battery_ica where cell_id = 'SIM_02' order by 1"
        )
    ]
    numbers = [str(number) for number in chosen_by_the_mart]
    drawn = page(landed, monkeypatch, "cycle", cell="SIM_02", cycles=", ".join(numbers)).run()
    assert not drawn.error
    (over_charge,) = charts(drawn)
    assert set(over_charge) == {f"cycle {number}" for number in numbers}
    drawn = page(landed, monkeypatch, "cycle", cell="SIM_02", cycles=", ".join(numbers), view="dQ/dV").run()
    (chart,) = drawn.get("plotly_chart")
    lines = [decoded(trace) for trace in json.loads(chart.proto.spec)["data"] if trace["name"] != "peaks"]
    assert len(lines) == 2 * len(numbers)
    for number in numbers:
        charge, discharge = (line for line in lines if line["name"] == f"cycle {number}")
        for curve, way, sign in ((charge, "charge", 1), (discharge, "discharge", -1)):
            mart = landed.query(
                f"select voltage_v, {sign} * dqdv_ah_per_v from battery_ica where cell_id = 'SIM_02' "  # noqa: S608
                f"and cycle_number = {number} and direction = '{way}' order by voltage_v"
            )
            assert list(zip(curve["x"], curve["y"], strict=True)) == mart


def test_the_map_over_life_has_cycles_that_the_mart_does_not_hold(
    landed: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = page(landed, monkeypatch, "cycle", cell="SIM_02", view="dQ/dV over life").run()
    (chart,) = drawn.get("plotly_chart")
    maps = {trace["name"]: decoded(trace) for trace in json.loads(chart.proto.spec)["data"]}
    usual = "cell_id = 'SIM_02' and is_complete and not is_reference_test"
    complete = {number for (number,) in landed.query(f"select cycle_number from battery_cycles where {usual}")}  # noqa: S608
    held = {number for (number,) in landed.query("select cycle_number from battery_ica where cell_id = 'SIM_02'")}
    assert set(maps) == {"SIM_02, charge", "SIM_02, discharge"}
    for way in ("charge", "discharge"):  # a step in which a counter leaps has no curve
        assert held & complete < set(maps[f"SIM_02, {way}"]["y"]) <= complete


def test_cells_are_shown_by_the_same_choice_and_what_one_of_them_lacks_is_said(
    landed: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((longest,),) = landed.query("select max(cycle_number) from battery_cycles where cell_id = 'SIM_02'")
    drawn = page(landed, monkeypatch, "cycle", cell=["SIM_02", "SIM_03"], cycles=f"1, {longest + 1}").run()
    (chart,) = drawn.get("plotly_chart")
    traces = json.loads(chart.proto.spec)["data"]
    assert {trace["xaxis"] for trace in traces} == {"x", "x2"}
    assert any(f"SIM_02 lacks {longest + 1}" in caption.value.replace("\\", "") for caption in drawn.caption)


def test_charge_is_not_offered_by_what_no_file_states_and_the_page_says_why(
    landed: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = page(landed, monkeypatch, "cycle", cell="SIM_02", charge="mAh/g").run()
    assert not drawn.error
    charge = next(box for box in drawn.selectbox if box.key == "charge")
    assert (charge.value, "mAh/g" in charge.options) == ("as measured", False)
    assert any("no mass is told" in caption.value for caption in drawn.caption)
    again = page(landed, monkeypatch, "cycle", cell="SIM_02", charge="% of nominal").run()
    assert json.loads(again.get("plotly_chart")[0].proto.spec)["layout"]["xaxis"]["title"]["text"] == (
        "charge (% of nominal capacity)"
    )


def test_a_choice_that_cannot_be_understood_is_said_in_the_place_of_the_charts(
    landed: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = page(landed, monkeypatch, "cycle", cell="SIM_02", cycles="5o-60").run()
    assert "is no choice of cycles" in drawn.error[0].value
    assert not charts(drawn)


def test_the_stream_page_agrees_with_the_warehouse(landed: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = page(landed, monkeypatch, "stream").run()
    shown = metrics(drawn)
    ((commits,),) = landed.query('select count(distinct "commit") from internal._commits')
    ((rows,),) = landed.query("select count(*) from battery_ts_cleaned")
    ((refused,),) = landed.query("select sum(row_count) from battery_quarantine")
    assert (shown["commits"], shown["rows landed"], shown["rows quarantined"]) == (
        f"{commits:,}", f"{rows:,}", f"{refused:,}",
    )  # fmt: skip
    assert shown["lag (messages)"] == "unknown"
    assert any("has no topic" in warning.value for warning in drawn.warning)


def test_the_quarantine_is_looked_into_by_reason_the_faults_before_the_duplicates(
    landed: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = page(landed, monkeypatch, "stream").run()
    assert chosen(drawn, "reason") == "a required value is missing"
    (refusal,) = next(table for table in drawn.dataframe if "payload" in table.value).value.to_dict("records")
    assert refusal["cell_id"] == "SIM_01"
    assert "by hand" in refusal["payload"]
    next(box for box in drawn.selectbox if box.key == "reason").select("landed before with the same values").run()
    rows = next(table for table in drawn.dataframe if "detail" in table.value).value
    ((duplicates,),) = landed.query("select sum(row_count) from battery_quarantine where reason = 'duplicate'")
    assert rows["rows"].sum() == duplicates


def test_dbt_runs_and_their_results_are_shown_failures_first(landed: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = page(landed, monkeypatch, "stream").run()
    runs = next(table.value for table in drawn.dataframe if "failed" in table.value).to_dict("records")
    ((recorded,),) = landed.query("select count(*) from internal._dbt_runs")
    assert [(run["outcome"], run["failed"]) for run in runs] == [("passed", 0)] * recorded
    results = next(table.value for table in drawn.dataframe if "what" in table.value)
    kinds = results["what"].value_counts()
    assert kinds["table"] + kinds["table of the project"] == runs[0]["models"] > 0
    assert kinds["check of the data"] + kinds["check of the rules"] == runs[0]["tests"] > 0


@pytest.mark.parametrize("name", PAGES)
def test_before_anything_has_landed_a_page_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    pipeline = Pipeline(tmp_path, 1)

    def said() -> str:
        drawn = page(pipeline, monkeypatch, name).run()
        assert not drawn.exception
        assert not drawn.error
        return drawn.info[0].value

    unpublished = "No figures have been published yet.  \n`battery up` starts all parts and watches a folder"
    not_landed = "Nothing has landed yet.  \n`battery up` starts all parts and watches a folder"
    assert said().startswith(unpublished if name in OF_MARTS else not_landed)
    with open_warehouse(pipeline.settings).connect("make it"):
        pass
    streamlit.cache_resource.clear()
    assert said().startswith(unpublished if name in OF_MARTS else not_landed)
    with open_warehouse(pipeline.settings).connect("make the tables") as connection:
        create_tables(connection)
    streamlit.cache_resource.clear()
    assert said().startswith(
        unpublished if name in OF_MARTS else "The tables have not been built yet: `battery transform`"
    )


def test_what_keeps_a_page_from_being_drawn_is_said_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Pipeline(tmp_path, 1, {"WINDOW_SECONDS": "ten"})
    drawn = page(wrong, monkeypatch, "fleet").run()
    assert not drawn.exception
    assert drawn.error[0].value.startswith("invalid settings: WINDOW_SECONDS: ")


def test_a_page_shows_what_it_saw_last_while_another_process_has_the_warehouse(
    landed: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = page(landed, monkeypatch, "stream").run()
    before = metrics(drawn)["rows landed"]
    monkeypatch.setattr(dashboard.view, "FRESH_SECONDS", -1)

    def refuse(*_: object) -> object:
        raise BatteryError("WAREHOUSE has been held by another process for 2 s")

    for look in ("look_at_stream", "look_at_status"):
        monkeypatch.setattr(dashboard.pages.stream, look, refuse)
    drawn.run()
    assert not drawn.error
    assert metrics(drawn)["rows landed"] == before
    (caption,) = [caption for caption in drawn.caption if "ago: the warehouse is in use." in caption.value]
    assert caption.help == "WAREHOUSE has been held by another process for 2 s"


def test_a_page_says_what_has_landed_since_the_marts_were_published(
    landed: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard.view, "look_at_news", lambda _: "landed: 7; published: 5")
    drawn = page(landed, monkeypatch, "fleet").run()
    (line,) = [caption for caption in drawn.caption if caption.value.startswith("Figures of ")]
    assert line.value.endswith(" ago · more has landed since")
    assert "landed: 7; published: 5. The hourly refresh does it" in line.help


def test_the_real_cell_ends_by_the_rule_that_is_named_and_others_are_listed(
    landed: Pipeline, monkeypatch: pytest.MonkeyPatch, shared_data: Path
) -> None:
    assert shared_data
    drawn = page(landed, monkeypatch, "cell", cell=REAL).run()
    assert metrics(drawn)["end of life (cycle)"] == "599"
    assert "end of life: cycle 599" in charts(drawn)[0]
    rules = next(table.value for table in drawn.dataframe if "rule" in table.value)
    assert set(rules["cycle"]) >= {332, 519, 548, 552}


@pytest.mark.parametrize("name", ["fleet", "compare"])
@pytest.mark.parametrize("drawn", ["each cell", "means of groups", "two measures"])
def test_groups_of_cells_are_drawn_where_a_lab_has_told_nothing_of_them(
    landed: Pipeline, monkeypatch: pytest.MonkeyPatch, name: str, drawn: str
) -> None:
    shown = page(landed, monkeypatch, name, draw=drawn, colour="tests", panels="format of nothing").run()
    (said,) = shown.warning
    assert "“format of nothing”, which the address asks for, is not among" in said.value
    shown = page(landed, monkeypatch, name, draw=drawn, colour="tests", panels="tests").run()
    assert not shown.exception
    assert not shown.warning
    assert charts(shown)


def test_means_over_dates_are_not_drawn_and_the_page_says_why(
    landed: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = page(landed, monkeypatch, "fleet", draw="means of groups", over="cycler's wall clock").run()
    assert not shown.exception
    assert charts(shown) == []
    assert any("Means are taken over cycle numbers" in info.value for info in shown.info)
