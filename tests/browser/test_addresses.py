"""Addresses in a real browser: each page as a server's very first visit, and what is asked for and is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.looking import PAGES, dashboard_of, visiting
from support.published import REAL

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext
    from support.looking import Visit
    from support.pipeline import Pipeline

PRODUCT = "Battery degradation"
NAMES = ["Fleet", "Cell", "Cycle", "Compare", "Cells", "Inbox", "Stream"]


def names_of_pages(visit: Visit) -> list[str]:
    """What the navigation offers."""
    return [link.splitlines()[-1] for link in visit.page.locator("[data-testid=stSidebarNavLink]").all_inner_texts()]


@pytest.mark.parametrize("name", [name for name in PAGES if PAGES[name]])
def test_a_page_is_whole_by_its_address_as_the_very_first_visit_of_a_server(
    context: BrowserContext, landed: Pipeline, name: str
) -> None:
    with dashboard_of(landed) as address, visiting(context, address) as visit:
        visit.open(PAGES[name])
        assert visit.page.locator("h1").inner_text().lower().startswith(name)
        assert names_of_pages(visit) == NAMES
        assert visit.traces()
        assert visit.complaints == []


def test_an_unknown_page_says_so_and_links_to_those_there_are(visit: Visit) -> None:
    visit.open("voltage")
    assert visit.page.locator("h1").inner_text() == "No such page"
    assert "There is no page “voltage” here" in visit.page.inner_text("[data-testid=stMain]")
    assert visit.page.title() == f"No such page · {PRODUCT}"
    visit.page.locator("[data-testid=stMain]").get_by_role("link", name="Compare").click()
    visit.until(lambda: visit.page.locator("h1").inner_text() == "Compare", "the link did not lead to the page")
    assert names_of_pages(visit) == NAMES


def test_a_cell_that_is_not_there_is_named_and_no_other_cell_is_shown(visit: Visit) -> None:
    visit.open("cell?cell=SIM_77")
    assert "“SIM_77”, which the address asks for, is not among" in visit.page.inner_text("[data-testid=stMain]")
    assert visit.traces() == []
    assert visit.metrics() == {}
    assert visit.errors() == []
    visit.page.get_by_role("button", name="SIM_02", exact=True).click()
    visit.until(lambda: bool(visit.traces()), "the cell that was chosen instead is not drawn")
    assert visit.chosen("cell") == ["SIM_02"]
    assert visit.complaints == []


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("cycle?cell=NOBODY", "NOBODY"),
        ("compare?cells=NOBODY", "NOBODY"),
        ("compare?measure=beauty", "beauty"),
        ("?show=all+dogs", "all dogs"),
        ("cell?over=rainbows", "rainbows"),
    ],
)
def test_another_choice_that_is_not_there_is_named_and_nothing_is_drawn(visit: Visit, address: str, asked: str) -> None:
    visit.open(address)
    assert f"“{asked}”, which the address asks for, is not among" in visit.page.inner_text("[data-testid=stMain]")
    assert visit.traces() == []
    assert visit.errors() == []


def test_of_several_cells_those_there_are_are_compared_and_the_others_named(visit: Visit) -> None:
    visit.open("compare?cells=SIM_01&cells=SIM_78")
    assert "Not here, so not drawn: SIM_78." in visit.page.inner_text("[data-testid=stMain]")
    (drawn,) = visit.traces()
    assert any(name.startswith("SIM_01") for name in drawn)
    assert not any(name.startswith(("SIM_02", "SIM_78", REAL)) for name in drawn)


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
@pytest.mark.parametrize("name", ["fleet", "cell", "cycle", "compare"])
def test_the_first_screen_shows_the_product_s_name_and_the_axes_of_a_chart(
    visit: Visit, name: str, width: int, height: int
) -> None:
    visit.page.set_viewport_size({"width": width, "height": height})
    visit.open(PAGES[name])
    logos = visit.page.locator("[data-testid=stHeaderLogo], [data-testid=stSidebarLogo]").all()
    assert any(logo.is_visible() for logo in logos)
    assert visit.page.title().endswith(PRODUCT)
    top = visit.page.evaluate("document.querySelector('.js-plotly-plot .nsewdrag').getBoundingClientRect().top")
    visit.page.set_viewport_size({"width": 1440, "height": 1000})
    assert top + 100 < height  # so much of what is drawn is seen without scrolling
