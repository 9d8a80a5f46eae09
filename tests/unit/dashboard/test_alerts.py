"""The alerts as the Fleet page and a cell's page show them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
import streamlit
from streamlit.testing.v1 import AppTest
from support.alerting import ALERTS, NOW, knee, live, publish_alerts

import dashboard.alerts
from dashboard.alerts import alert_table, summary
from refresh.alerts.found import find_alerts, published_alerts

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from refresh.alerts.found import Alert

DRAW = """
from dashboard.alerts import show_alerts, show_alerts_of_cell
from dashboard.view import published_now
from kernel.base.settings import load_settings
settings = load_settings()
show_alerts(settings, published_now(settings))
show_alerts_of_cell(settings, published_now(settings), "A")
"""


def alerts(*rows: dict[str, Any]) -> list[Alert]:
    return published_alerts(pa.Table.from_pylist(list(rows), schema=ALERTS))


OVER = {"is_over": True, "kind": "low_efficiency", "alert_id": "A/low_efficiency/t/7", "value": 0.97, "threshold": 0.98}


def test_a_line_counts_the_cells_that_deserve_a_look_and_by_what() -> None:
    hot = knee("B", kind="high_temperature", alert_id="B/high_temperature/t/4", value=61.25, threshold=60)
    assert summary(alerts(knee("A"))) == "**1 cell deserves a look**: 1 knee"
    assert summary(alerts(knee("A"), knee("B"), hot, knee("A", **OVER))) == (
        "**2 cells deserve a look**: 2 knee, 1 high temperature; 1 more over"
    )
    assert summary(alerts(knee("A", **OVER))) == "No cell deserves a look now; 1 alert is over"


def test_the_table_has_words_and_units_and_where_a_limit_comes_from() -> None:
    past = knee("C", kind="end_of_life", alert_id="C/end_of_life", value=-7, threshold=50, threshold_from="group")
    rows = {row["cell"]: row for row in alert_table(alerts(knee("A", **OVER), knee("B"), past)).to_pylist()}
    assert [rows["A"][name] for name in ("what", "measured", "limit", "from")] == [
        "low efficiency (over)", "97 %", "98 %", "default",
    ]  # fmt: skip
    assert (rows["C"]["measured"], rows["C"]["from"]) == ("7 cycles ago", "the lab's, for its group")
    assert (rows["B"]["since_cycle"], rows["B"]["words"]) == (98, "fades faster since a knee at cycle 98")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    streamlit.cache_resource.clear()
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # which Streamlit replaces
    monkeypatch.setenv("OBJECT_STORE", f"file://{tmp_path / 'objects'}")
    monkeypatch.setenv("WAREHOUSE", str(tmp_path / "battery.duckdb"))
    return tmp_path


def drawn() -> AppTest:
    return AppTest.from_string(DRAW, default_timeout=30).run()


def test_the_page_shows_them_in_a_table_and_names_those_of_a_cell(folder: Path) -> None:
    publish_alerts(folder, [knee("A"), knee("B")])
    page = drawn()
    assert not page.exception
    assert page.expander[0].label == "**2 cells deserve a look**: 2 knee"
    assert page.dataframe[0].value["cell"].tolist() == ["A", "B"]
    assert page.markdown[-1].value == ":orange[:material/notifications:] Deserves a look: knee."


def test_where_there_is_none_one_quiet_line_says_so(folder: Path) -> None:
    publish_alerts(folder, [])
    page = drawn()
    assert not page.exception
    assert [caption.value for caption in page.caption] == ["No cell deserves a look by the thresholds that are set."]
    assert not page.expander
    assert not page.markdown


def test_a_test_that_stopped_is_judged_as_of_the_publication_where_more_has_landed_since(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It was published at 11:00; one test had been silent for too long by then, the other only by now.
    publish_alerts(folder, [], [live("OLD", 3.0), live("NEW", 1.5)])
    news: str | None = "landed: 2; published: 1"
    monkeypatch.setattr(dashboard.alerts, "look_at_news", lambda _: news)
    assert drawn().dataframe[0].value["cell"].tolist() == ["OLD"]
    streamlit.cache_resource.clear()
    news = None
    assert drawn().dataframe[0].value["cell"].tolist() == ["NEW", "OLD"]


def test_a_publication_of_an_earlier_version_has_no_alerts() -> None:
    assert find_alerts(lambda _: pytest.fail("there is no such table"), ["battery_cells"], NOW) == []
