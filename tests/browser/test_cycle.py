"""The Cycle page in a real browser: many cycles on one another, several cells, and the choice in the address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Locator
    from support.looking import Visit
    from support.pipeline import Pipeline

LEAST_OF_CHART = 250
"""Pixels of the chart that the first screen shows at least."""


def box(visit: Visit) -> Locator:
    return visit.page.get_by_label("Cycles", exact=True)


def without_gaps(xs: list[float], ys: list[float]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in zip(xs, ys, strict=True) if x is not None and np.isfinite(x)]


def test_cycles_lie_on_one_another_as_they_were_measured(visit: Visit, landed: Pipeline) -> None:
    visit.open("cycle?cell=SIM_01&cycle=3&cycle=12&view=Over%20time")  # as addresses of earlier versions had it
    over_time = visit.traces()[0]
    assert {"cycle 3", "cycle 12"} <= set(over_time)
    (cycle,) = landed.query(
        "select test_id, cycle_index from battery_cycles where cell_id = 'SIM_01' and cycle_number = 12"
    )
    current = landed.query(
        'select ("test_time(s)" - min("test_time(s)") over ()) / 3600, "current(a)" from battery_ts '  # noqa: S608
        f"where cell_id = 'SIM_01' and test_id = '{cycle[0]}' and cycle_index = {cycle[1]} order by data_point"
    )
    drawn = over_time["cycle 12"]  # of the traces with that name the last one is the current
    assert without_gaps(drawn["x"], drawn["y"]) == current
    assert visit.chosen("cycles") == ["3, 12"]
    assert visit.chosen("cycle") == []


def test_a_choice_is_typed_or_taken_from_the_list_and_stands_in_the_address(visit: Visit) -> None:
    visit.open("cycle?cell=SIM_01")
    box(visit).fill("1, 4-12:4")
    box(visit).press("Enter")
    visit.until(lambda: visit.chosen("cycles") == ["1, 4-12:4"], "the choice is not in the address")
    typed = {"cycle 1", "cycle 4", "cycle 8", "cycle 12"}
    visit.until(
        lambda: [set(chart) for chart in visit.traces()[:1]] == [typed], "other cycles are drawn than those typed"
    )
    visit.page.locator(".st-key-offered-cycles").get_by_test_id("stMenuButtonButton").locator("visible=true").click()
    visit.page.get_by_text("first, middle, last", exact=True).click()
    visit.until(lambda: visit.chosen("cycles") == ["first, middle, last"], "the offered choice is not in the address")
    visit.until(lambda: [len(chart) for chart in visit.traces()[:1]] == [3], "other cycles are drawn than those chosen")
    box(visit).fill("5o-60")
    box(visit).press("Enter")
    visit.until(lambda: bool(visit.errors()), "nothing is said of a choice that cannot be understood")
    assert '"5o-60" is no choice of cycles' in visit.errors()[0]
    assert visit.complaints == []


def test_many_cycles_have_a_colour_bar_and_a_few_have_a_legend(visit: Visit) -> None:
    visit.open("cycle?cell=SIM_02&cycles=all")
    assert len({trace["colour"] for name, trace in visit.traces()[0].items() if name.startswith("cycle ")}) > 8
    assert visit.page.locator(".js-plotly-plot .colorbar").count() == 1
    assert visit.page.locator(".js-plotly-plot .legend").count() == 0
    visit.open("cycle?cell=SIM_02&cycles=first,last")
    assert visit.page.locator(".js-plotly-plot .colorbar").count() == 0
    assert visit.page.locator(".js-plotly-plot .legend .traces").count() == 2


def test_cells_stand_beside_one_another_and_each_view_is_drawn_where_its_tab_is_opened(visit: Visit) -> None:
    visit.open("cycle?cell=SIM_01&cell=SIM_03")
    titles = {"charge (Ah)", "voltage (V)"}
    assert set(visit.titles()[0]) == titles
    assert visit.page.locator(".js-plotly-plot .annotation-text").all_text_contents() == ["SIM_01", "SIM_03"]
    visit.page.get_by_role("tab", name="dQ/dV over life").click()
    visit.until(lambda: visit.chosen("view") == ["dQ/dV over life"], "the tab is not in the address")
    visit.until(lambda: bool(visit.page.locator(".js-plotly-plot .hm").count()), "no map is drawn")
    assert set(visit.traces()[0]) == {
        f"{cell}, {way}" for cell in ("SIM_01", "SIM_03") for way in ("charge", "discharge")
    }
    assert visit.complaints == []


def test_from_a_cell_its_cycles_are_one_click_away_and_back(visit: Visit) -> None:
    visit.open("cell?cell=SIM_03")
    visit.page.get_by_test_id("stSidebarNavLink").filter(has_text="Cycle").click()
    visit.until(lambda: visit.chosen("cell") == ["SIM_03"] and "/cycle" in visit.page.url, "another cell is shown")
    visit.page.get_by_role("link", name="Cell", exact=True).click()
    visit.until(lambda: "/cell" in visit.page.url, "the way back does not lead to the cell")
    assert visit.errors() == []


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)], ids=["desktop", "phone"])
def test_the_first_screen_shows_a_chart(visit: Visit, width: int, height: int) -> None:
    before = visit.page.viewport_size
    assert before is not None
    visit.page.set_viewport_size({"width": width, "height": height})
    try:
        visit.open("cycle?cell=SIM_02")
        drawn = visit.page.locator(".js-plotly-plot").first.bounding_box()
        assert drawn is not None
        assert drawn["y"] < height - LEAST_OF_CHART
    finally:
        visit.page.set_viewport_size(before)


def test_cycles_are_shown_while_another_process_has_the_warehouse(visit: Visit, landed: Pipeline) -> None:
    with duckdb.connect(str(landed.folder / "battery.duckdb")):
        for view in ("Voltage over charge", "dQ/dV", "dQ/dV over life", "Over time", "Readings"):
            visit.open(f"cycle?cell=SIM_04&cycles=17&view={view}")
            assert visit.errors() == []
