"""Fleet and Compare in a real browser: many cells on common axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.published import CELLS, SIMULATED

from dashboard.figures.style import COLOURS

if TYPE_CHECKING:
    from support.looking import Visit

DESKTOP = (1440, 900)
PHONE = (390, 844)

RANGES = "[...document.querySelectorAll('.js-plotly-plot')].map(plot => plot._fullLayout.yaxis.range)"
DRAWING = "document.querySelector('.js-plotly-plot .cartesianlayer .nsewdrag, .js-plotly-plot .draglayer .nsewdrag')"
DRAWING += ".getBoundingClientRect().toJSON()"
"""The area between the axes: what lies outside of it is not seen, but counts for the layer of the lines."""


@pytest.mark.parametrize("address", ["", "compare"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_first_screen_shows_the_lines(visit: Visit, address: str, size: tuple[int, int]) -> None:
    before = visit.page.viewport_size
    assert before is not None
    visit.page.set_viewport_size({"width": size[0], "height": size[1]})
    try:
        visit.open(address)
        drawing = visit.page.evaluate(DRAWING)
        assert drawing["bottom"] - 0.4 * drawing["height"] < size[1]  # the larger part of it at least
        assert drawing["right"] <= size[0]
    finally:
        visit.page.set_viewport_size(before)


def test_a_cell_has_one_colour_on_every_page(visit: Visit) -> None:
    visit.open("")
    fleet = {cell: visit.traces()[0][cell]["colour"].upper() for cell in CELLS}
    assert len(set(fleet.values())) == len(CELLS)
    assert set(fleet.values()) <= set(COLOURS)
    visit.open("compare?cells=SIM_04&cells=SIM_02")
    assert {cell: visit.traces()[0][cell]["colour"].upper() for cell in ("SIM_04", "SIM_02")} == {
        cell: fleet[cell] for cell in ("SIM_04", "SIM_02")
    }
    for cell in ("SIM_04", "SIM_02"):
        visit.open(f"cell?cell={cell}")
        assert visit.traces()[0]["median of 11"]["colour"].upper() == fleet[cell]


def test_coulombic_efficiencies_are_read_between_99_and_101_percent(visit: Visit) -> None:
    visit.open("compare?measure=coulombic efficiency&" + "&".join(f"cells={cell}" for cell in SIMULATED))
    ((low, high),) = visit.page.evaluate(RANGES)
    assert 98 < low <= 99
    assert 101 <= high < 102
    assert "outside the axis" in visit.traces()[0]
    assert "points lie outside" in (visit.page.text_content(".js-plotly-plot .infolayer") or "")


def test_lines_can_be_coloured_by_what_cells_have_in_common(visit: Visit) -> None:
    visit.open("compare?cells=SIM_01&cells=SIM_02")
    visit.choose("Colour by", "nominal capacity")
    visit.until(lambda: "SIM_01" not in visit.traces()[0], "the lines kept the colours of their cells")
    groups = {name for name in visit.traces()[0] if "each cycle" not in name and name != "outside the axis"}
    assert len(groups) == 1
    assert visit.chosen("colour") == ["nominal capacity"]


def test_a_measure_that_no_cell_has_is_said_and_not_drawn(visit: Visit) -> None:
    visit.open("compare?cells=SIM_01&measure=highest temperature")
    assert visit.traces() == []
    said = visit.page.inner_text("[data-testid=stMain]")
    assert "None of these cells has a highest temperature over equivalent full cycles." in said


def test_pages_of_many_cells_speak_words(visit: Visit) -> None:
    for address in ("", "compare"):
        visit.open(address)
        said = visit.page.inner_text("[data-testid=stMain]")
        for identifier in ("median_11", "eol_", "_ah", "None", "marts"):
            assert identifier not in said, (address, identifier)
        assert "running median of 11 complete cycles" in said
