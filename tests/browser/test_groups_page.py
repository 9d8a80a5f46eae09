"""Groups of cells on Fleet and Compare in a real browser: filters, colours, panels, means with bands, two measures."""

from __future__ import annotations

from statistics import mean, stdev
from typing import TYPE_CHECKING

import pytest
from support.looking import visiting
from support.published import CELLS, SIMULATED

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from support.looking import Visit
    from support.pipeline import Pipeline

SHEET = """\
cell_id,group,chemistry,mass_g,tags,electrolyte_ul
SIM_01,fast,LCO,40,early,1.5
SIM_02,fast,LCO,41,"early, keep",2.5
SIM_03,slow,LFP,42,,3.5
SIM_04,slow,LFP,43,keep,9
SIM_05,,LFP,44,,8
"""
OTHERS = len(CELLS) - len(SIMULATED)


@pytest.fixture(scope="module")
def landed(landed: Pipeline) -> Pipeline:
    """The same cells once a lab has told what it knows of them."""
    (landed.folder / "cells.csv").write_text(SHEET)
    landed.battery("cells", "import", str(landed.folder / "cells.csv"))
    landed.battery("transform")
    return landed


def said(visit: Visit) -> str:
    return visit.page.inner_text("[data-testid=stMain]")


def names(visit: Visit) -> set[str]:
    """What the charts draw, by name."""
    return {name for chart in visit.traces() for name in chart}


def drawn_cells(visit: Visit) -> set[str]:
    return {name.partition(",")[0] for name in names(visit)} & set(CELLS)


def choose_several(visit: Visit, label: str, option: str) -> None:
    """Choose one more option of a box that takes several."""
    name = visit.page.locator("[data-testid=stWidgetLabel]").get_by_text(label, exact=True)
    box = visit.page.locator("[data-testid=stMultiSelect]").filter(has=name)
    box.locator("input").click()
    visit.page.get_by_role("option", name=option, exact=True).click()
    visit.page.keyboard.press("Escape")


def test_cells_are_filtered_by_what_the_lab_told_and_the_address_shows_others_the_same(
    visit: Visit, browser: Browser, base: str
) -> None:
    visit.open("")
    assert drawn_cells(visit) == set(CELLS)
    visit.page.get_by_role("button", name="Filter and panels").click()
    choose_several(visit, "Filter by", "group")
    choose_several(visit, "group", "fast")
    visit.until(lambda: drawn_cells(visit) == {"SIM_01", "SIM_02"}, "the filter left out nothing")
    assert visit.metrics()["cells"] == f"2 of {len(CELLS)}"
    assert f"2 of {len(CELLS)} cells: group fast." in said(visit)
    assert (visit.chosen("filter"), visit.chosen("cell_group")) == (["group"], ["fast"])
    elsewhere = browser.new_context()
    with visiting(elsewhere, base) as other:
        other.open(visit.page.url.removeprefix(f"{base}/"))
        assert other.traces() == visit.traces()
    elsewhere.close()
    assert visit.complaints == []


@pytest.mark.parametrize(
    ("address", "cells"),
    [
        ("?chemistry=LFP", {"SIM_03", "SIM_04", "SIM_05"}),
        ("?mass_g-from=41&mass_g-to=42", {"SIM_02", "SIM_03"}),
        ("?tags=early", {"SIM_01", "SIM_02"}),
        ("?lab.electrolyte_ul-from=4", {"SIM_04", "SIM_05"}),
        ("?chemistry=LFP&mass_g-to=42.5", {"SIM_03"}),
        ("compare?cell_group=slow", {"SIM_03", "SIM_04"}),
    ],
)
def test_an_address_may_name_what_is_wanted_alone(visit: Visit, address: str, cells: set[str]) -> None:
    visit.open(address)
    assert drawn_cells(visit) == cells
    assert visit.chosen("filter")


def test_a_filter_that_is_taken_away_leaves_nothing_in_the_address(visit: Visit) -> None:
    visit.open("?filter=chemistry&chemistry=LCO")
    visit.page.get_by_role("button", name="Filter and panels").click()
    visit.page.get_by_role("button", name="Clear all").first.click()
    visit.until(lambda: len(drawn_cells(visit)) == len(CELLS), "the filter is still there")
    assert visit.chosen("chemistry") == []
    visit.page.reload()
    visit.settle()
    assert len(drawn_cells(visit)) == len(CELLS)


def test_filters_that_no_cell_passes_or_that_are_not_there_are_said_and_nothing_is_drawn(visit: Visit) -> None:
    visit.open("?mass_g-from=99")
    assert f"None of {len(CELLS)} cells is left: mass from 99 g." in said(visit)
    assert visit.traces() == []
    visit.open("?cell_group=medium")
    assert "“medium”, which the address asks for, is not among" in said(visit)
    visit.open("?colour=flavour")
    assert "“flavour”, which the address asks for, is not among" in said(visit)
    assert visit.errors() == []


def test_a_group_has_one_colour_on_every_page_whatever_is_filtered(visit: Visit) -> None:
    visit.open("?colour=group")
    fleet = {name: visit.traces()[0][name]["colour"] for name in ("fast", "slow", "no group")}
    assert len(set(fleet.values())) == len(fleet)
    visit.open("compare?colour=group&cell_group=slow")
    assert visit.traces()[0]["slow"]["colour"] == fleet["slow"]
    visit.open("?colour=group&draw=means+of+groups&filter=group&cell_group=fast")
    assert visit.traces()[0]["fast (n = 2)"]["colour"] == fleet["fast"]


@pytest.mark.parametrize("page", ["?", "compare?chemistry=LFP&chemistry=LCO&"])
def test_panels_split_the_cells_on_common_axes(visit: Visit, page: str) -> None:
    visit.open(f"{page}panels=chemistry")
    charts = visit.page.locator(".st-key-group-panels [data-testid=stPlotlyChart]")
    assert charts.count() >= 2
    assert "LCO · n = " in said(visit)
    assert "LFP · n = 3" in said(visit)
    ranges = visit.page.evaluate(
        "[...document.querySelectorAll('.st-key-group-panels .js-plotly-plot')].map("
        "plot => [plot._fullLayout.xaxis.range, plot._fullLayout.yaxis.range])"
    )
    assert all(one == ranges[0] for one in ranges)


def test_the_mean_of_a_group_has_a_band_and_a_single_cell_has_none(visit: Visit, landed: Pipeline) -> None:
    visit.open("?draw=means of groups&colour=group&mass_g-from=1")
    (drawn,) = visit.traces()
    health: dict[int, list[float]] = {}
    for number, soh in landed.query(
        "select cycle_number, soh from battery_cycles where cell_id in ('SIM_01', 'SIM_02') and is_complete"
        " and not is_reference_test order by all"
    ):
        health.setdefault(number, []).append(100 * soh)
    line = drawn["fast (n = 2)"]
    assert dict(zip(line["x"], line["y"], strict=True)) == pytest.approx(
        {number: mean(values) for number, values in health.items()}
    )
    band = drawn["fast, ± standard deviation"]
    first = min(health)
    assert [y for x, y in zip(band["x"], band["y"], strict=True) if x == first] == pytest.approx(
        [mean(health[first]) + stdev(health[first]), mean(health[first]) - stdev(health[first])]
    )
    assert "no group (n = 1)" in drawn
    assert not any(name.startswith("no group,") for name in drawn)
    assert "Dotted: one cell" in said(visit)
    visit.page.get_by_role("button", name="Filter and panels").click()
    visit.choose("Band around means", "lowest to highest")
    visit.until(lambda: "fast, lowest to highest" in names(visit), "the band is still that of before")


def test_two_measures_are_drawn_with_their_correlation_and_a_point_opens_its_cell(visit: Visit) -> None:
    visit.open("?draw=two measures&x=mass&y=electrolyte ul&colour=chemistry")
    (drawn,) = visit.traces()
    assert sorted(x for name in ("LCO", "LFP") for x in drawn[name]["x"]) == [40, 41, 42, 43, 44]
    text = said(visit)
    assert "Pearson r = 0.91" in text
    assert "Spearman ρ = 0.90" in text  # noqa: RUF001
    assert "n = 5 cells" in text
    if OTHERS:
        assert f"{OTHERS} of {len(CELLS)} cells left out, without mass" in text
    point = visit.page.locator(".js-plotly-plot .scatterlayer .point").first
    point.scroll_into_view_if_needed()
    place = point.bounding_box()
    assert place is not None
    visit.page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    visit.until(lambda: visit.page.locator("h1").inner_text().startswith("Cell SIM_0"), "no cell was opened")
    assert visit.complaints == []


def test_where_there_is_no_correlation_the_page_says_why_in_words(visit: Visit) -> None:
    visit.open("?draw=two measures&x=mass&y=electrolyte ul&cell_group=fast&filter=group")
    assert "No correlation: 2 cells with both measures, and it takes 3 at least." in said(visit)
    visit.open("?draw=two measures&x=tests&y=mass&chemistry=LFP&filter=chemistry")
    assert "No correlation: “tests” is the same for all 3 cells." in said(visit)
    assert "nan" not in said(visit)


def test_what_is_drawn_stays_when_another_page_is_opened(visit: Visit) -> None:
    visit.open("?draw=two measures&x=mass&y=electrolyte ul")
    visit.page.locator("[data-testid=stSidebarNav]").get_by_role("link", name="Compare").click()
    visit.until(lambda: visit.page.locator("h1").inner_text() == "Compare", "Compare was not opened")
    assert visit.errors() == []
    assert visit.traces()
