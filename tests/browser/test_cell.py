"""The Cell page in a real browser: its first screen, its words, and the report that its button makes."""

from __future__ import annotations

import re
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from support.looking import crowding

if TYPE_CHECKING:
    from support.looking import Visit

REPORT_SECONDS = 3.0
"""How long a report may take from the click to the file."""

LEAST_OF_CHART = 250
"""Pixels of the first chart that the first screen shows at least."""


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)], ids=["desktop", "phone"])
def test_the_first_screen_tells_what_the_cell_is_and_shows_how_it_fades(visit: Visit, width: int, height: int) -> None:
    before = visit.page.viewport_size
    assert before is not None
    visit.page.set_viewport_size({"width": width, "height": height})
    try:
        visit.open("cell?cell=SIM_02")
        assert visit.page.locator("h1").inner_text() == "Cell SIM_02"
        facts = visit.page.get_by_text("1.1 Ah nominal · LCO · C/2 charge, 1C discharge · no temperature measured")
        told, drawn = facts.bounding_box(), visit.page.locator(".js-plotly-plot").first.bounding_box()
        assert told is not None
        assert drawn is not None
        assert told["y"] < drawn["y"] < height - LEAST_OF_CHART
        assert "complete cycles" in visit.traces()[0]
        sizes = {name: visit.page.locator(name).first.evaluate("at => parseFloat(getComputedStyle(at).fontSize)")
                 for name in ("h1", "h3")}  # fmt: skip
        assert sizes["h3"] < sizes["h1"]
        assert visit.complaints == []
    finally:
        visit.page.set_viewport_size(before)


def test_the_page_speaks_in_words_with_identifiers_in_tooltips_alone(visit: Visit) -> None:
    visit.open("cell?cell=SIM_03")
    said = visit.page.inner_text("[data-testid=stMain]")
    assert re.findall(r"\w*_percent_of_\w*|\beol_\w+|\bNone\b|\bmarts?\b|\bNULL\b|\bnan\b", said) == []
    assert "median of 11 cycles below 80 % of nominal capacity" in said
    visit.page.get_by_text("End of life: ").locator("xpath=ancestor::*[.//button][1]").get_by_role("button").hover()
    visit.page.get_by_text("median_11_below_80_percent_of_nominal").first.wait_for()


def test_a_cell_without_a_temperature_has_no_chart_of_it_and_none_is_empty(visit: Visit) -> None:
    visit.open("cell?cell=SIM_02")
    titles = visit.page.locator("h3").all_inner_texts()
    assert "Resistance" in titles
    assert "Temperature" not in titles
    assert all(any(trace["x"] for trace in chart.values()) for chart in visit.traces())


def test_its_button_makes_a_report_with_the_figures_and_the_rule_of_the_page(visit: Visit) -> None:
    visit.open("cell?cell=SIM_03")
    said = visit.page.inner_text("[data-testid=stMain]")
    titles = [title for title in visit.page.locator("h3").all_inner_texts() if title != "Cycles"]
    crowded = crowding()
    started = monotonic()
    with visit.page.expect_download() as download:
        visit.page.get_by_role("button", name="Report", exact=True).click()
    path = download.value.path()
    took = monotonic() - started
    assert download.value.suggested_filename == "SIM_03.html"
    reader = visit.page.context.new_page()
    asked: list[str] = []
    reader.on("request", lambda request: asked.append(request.url))
    html = path.with_suffix(".html")
    path.rename(html)
    reader.goto(html.as_uri())
    reader.locator(".plotly-graph-div .main-svg").first.wait_for(state="attached")
    assert reader.locator("figure h3").all_inner_texts() == ["Capacity fade", *titles]
    captions = [text.partition(". ")[2] for text in reader.locator("figcaption").all_inner_texts()]
    assert [caption for caption in captions[1:] if caption not in said] == []
    assert "median of 11 cycles below 80 % of nominal capacity" in reader.inner_text("main")
    assert [url for url in asked if not url.startswith(("data:", "blob:", "file:"))] == []
    reader.close()
    assert took < REPORT_SECONDS * crowded
    assert visit.complaints == []
