"""The dashboard in a real browser, on the marts of simulated cells and, where it is at hand, of the real CS2_35."""

from __future__ import annotations

import csv
import io
import math
import signal
import socket
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from support.looking import PAGES, contrast, crowding, dashboard_of, visiting
from support.pipeline import Pipeline
from support.published import CELLS, REAL

from dashboard.figures.style import COLOURS, MUTED
from producer.simulate import simulate_cell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Download
    from support.looking import Palette, Visit

LOAD_SECONDS = 3.0
"""On a machine that has nothing else to do; other tests are at work on this one."""
LOADS = 3
LOCAL = ("data:", "blob:")
NEW_CELL = "SIM_99"


@dataclass(frozen=True)
class Look:
    """What a page showed, complained of and asked for; it loaded in `seconds`, where all is `crowded` times slower."""

    seconds: float
    crowded: float
    heading: str
    charts: int
    titles: list[list[str]]
    palette: Palette
    errors: list[str]
    complaints: list[str]
    asked: list[str]


@pytest.fixture(scope="module")
def look(visitor: Visit) -> Callable[[str], Look]:
    """What each page shows; every page is loaded once, or up to three times until it is quick enough."""

    @cache
    def at(name: str) -> Look:
        visitor.leave()
        took: list[float] = []
        crowded = crowding()
        while len(took) < LOADS and min(took, default=math.inf) >= LOAD_SECONDS * crowded:
            took.append(visitor.open(PAGES[name]))
            crowded = max(crowded, crowding())
        return Look(
            min(took),
            crowded,
            visitor.page.locator("h1").inner_text().lower(),
            len(visitor.traces()),
            visitor.titles(),
            visitor.palette(),
            visitor.errors(),
            [*visitor.complaints],
            [*visitor.asked],
        )

    return at


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_within_three_seconds_and_without_a_complaint(look: Callable[[str], Look], name: str) -> None:
    page = look(name)
    assert page.heading.split()[0] == name
    assert page.charts
    assert page.errors == []
    assert page.complaints == []
    assert page.seconds < LOAD_SECONDS * page.crowded


@pytest.mark.parametrize("name", PAGES)
def test_every_axis_of_a_page_says_its_unit(look: Callable[[str], Look], name: str) -> None:
    unitless = {"cycle number", "equivalent full cycles", "reason", "rows", "rows by second"}
    for axes in look(name).titles:
        assert axes, look(name).titles
        for title in axes:
            assert title in unitless or title.endswith(")"), title


def require_contrast(palettes: Mapping[str, Palette]) -> str:
    """Everything written on the pages, and drawn, stands out from the background, which they share."""
    for name, (background, colours) in palettes.items():
        assert len(colours) >= 3
        for colour in colours:
            assert contrast(colour, background) >= 4.5, (name, colour, background)
        for ink in (*COLOURS, MUTED):
            assert contrast(ink, background) >= 3.0
    (shared,) = {background for background, _ in palettes.values()}
    return shared


def test_pages_can_be_read_in_light(look: Callable[[str], Look]) -> None:
    background = require_contrast({name: look(name).palette for name in PAGES})
    assert contrast("#ffffff", background) < 4.5


def test_pages_can_be_read_in_dark(visit: Visit) -> None:
    visit.page.emulate_media(color_scheme="dark")
    palettes = {}
    for name, address in PAGES.items():
        visit.open(address)
        palettes[name] = visit.palette()
    visit.page.emulate_media(color_scheme="light")
    assert contrast("#ffffff", require_contrast(palettes)) > 4.5


def test_the_browser_draws_each_cycle_s_capacity_as_published(visit: Visit, landed: Pipeline) -> None:
    visit.open("cell?cell=SIM_02")
    drawn = visit.traces()[0]
    expected = landed.query(
        "select cycle_number, discharge_capacity_ah from battery_cycles "
        "where cell_id = 'SIM_02' and is_complete and not is_reference_test order by cycle_number"
    )
    assert list(zip(drawn["complete cycles"]["x"], drawn["complete cycles"]["y"], strict=True)) == expected


def test_the_browser_draws_the_real_cell_s_reference_capacities(visit: Visit, shared_data: Path) -> None:
    visit.open(f"cell?cell={REAL}")
    drawn = visit.traces()[0]
    with (shared_data / "reference" / "CS2_35_percycle.csv").open() as file:
        reference = {int(row["global_cycle"]): float(row["discharge_ah_counter"]) for row in csv.DictReader(file)}
    points = [*zip(drawn["complete cycles"]["x"], drawn["complete cycles"]["y"], strict=True)]
    points += zip(drawn["cut short"]["x"], drawn["cut short"]["y"], strict=True)
    assert len(points) >= 400  # of 886: what cannot be told apart is left out
    for number, capacity in points:
        assert abs(capacity - reference[number]) < 1e-9
    assert drawn["end of life: cycle 599"]["x"] == [599]
    assert any(name.startswith("knee: cycle 627") for name in drawn)


def test_the_fleet_shows_every_cell_and_a_row_opens_it(visit: Visit) -> None:
    visit.open("")
    assert set(CELLS) <= set(visit.traces()[0])
    table = visit.page.locator(".st-key-cells [data-testid=stDataFrame]")
    table.scroll_into_view_if_needed()
    corner = table.bounding_box()
    assert corner is not None
    visit.page.mouse.click(corner["x"] + 17, corner["y"] + 52)  # the box of the first row, drawn on a canvas
    visit.until(lambda: visit.page.locator("h1").inner_text().startswith("Cell"), "the row did not open its cell")
    assert visit.chosen("cell")[0] in CELLS
    assert visit.complaints == []


def test_a_filter_leaves_out_cells_and_says_so_where_none_is_left(visit: Visit) -> None:
    visit.open("")
    before = set(visit.traces()[0])
    visit.choose("Show", "cells past their end of life")
    if REAL in CELLS:
        visit.until(lambda: set(visit.traces()[0]) & set(CELLS) == {REAL}, "the filter left out nothing")
        assert set(visit.traces()[0]) < before
    else:
        visit.until(lambda: not visit.traces(), "the filter left out nothing")
        assert "None of 5 cells is among the cells past their end of life" in visit.page.inner_text(
            "[data-testid=stMain]"
        )


def test_an_address_shows_another_visitor_the_same_view(visit: Visit, browser: Browser, base: str) -> None:
    visit.open("compare")
    shown = [["cycle number", "coulombic efficiency, relative to the first (%)"]]
    visit.choose("Measure", "coulombic efficiency")
    visit.choose("Over", "cycle number")
    visit.choose("Scale", "in % of the first cycle")
    visit.until(lambda: visit.titles() == shown, "the choices were not drawn")
    assert visit.chosen("measure") == ["coulombic efficiency"]
    address = urlsplit(visit.page.url)
    elsewhere = browser.new_context()
    with visiting(elsewhere, base) as other:
        other.open(f"{address.path[1:]}?{address.query}")
        assert other.traces() == visit.traces()
        assert other.titles() == shown
    elsewhere.close()


def downloaded(download: Download) -> bytes:
    return download.path().read_bytes()


def test_what_is_shown_can_be_had_as_csv_as_parquet_and_as_a_picture(visit: Visit, landed: Pipeline) -> None:
    visit.open("cell?cell=SIM_03")
    with visit.page.expect_download() as csv_file:
        visit.page.get_by_role("button", name="CSV", exact=True).click()
    with visit.page.expect_download() as parquet_file:
        visit.page.get_by_role("button", name="Parquet", exact=True).click()
    with visit.page.expect_download() as picture:
        visit.page.locator("[data-testid=stPlotlyChart]").first.hover()
        visit.page.locator(".modebar-btn[data-title*='PNG' i]").first.click()
    expected = landed.query("from battery_cycles where cell_id = 'SIM_03' order by cycle_number")
    table = pq.read_table(io.BytesIO(downloaded(parquet_file.value)))
    assert [tuple(row.values()) for row in table.to_pylist()] == expected
    rows = list(csv.DictReader(io.StringIO(downloaded(csv_file.value).decode())))
    assert [row["cycle_number"] for row in rows] == [str(row["cycle_number"]) for row in table.to_pylist()]
    assert csv_file.value.suggested_filename == "SIM_03-cycles.csv"
    assert picture.value.suggested_filename == "SIM_03-fade.png"
    image = Image.open(io.BytesIO(downloaded(picture.value)))
    assert image.width > 1000
    assert np.asarray(image.convert("L")).std() > 5  # something is drawn


def test_all_can_be_reached_by_the_keyboard(visit: Visit) -> None:
    visit.open("")
    reached = []
    for _ in range(60):
        visit.page.keyboard.press("Tab")
        reached.append(
            visit.page.evaluate(
                "(e => e.getAttribute('aria-label') || e.dataset.title || e.innerText || '')(document.activeElement)"
            ).strip()
        )
    for name in ("Cell", "Show", "Over", "Colour by"):
        assert any(found.endswith(name) for found in reached), (name, reached)
    for name in ("CSV", "Parquet"):
        assert any(name in found for found in reached), (name, reached)
    assert any("PNG" in found.upper() and "DOWNLOAD" in found.upper() for found in reached), reached


def test_nothing_is_asked_of_anybody_else_and_nobody_else_is_answered(look: Callable[[str], Look], base: str) -> None:
    asked = {urlsplit(url).hostname for name in PAGES for url in look(name).asked if not url.startswith(LOCAL)}
    assert asked == {"127.0.0.1"}
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", int(base.rpartition(":")[2])), timeout=5)


def test_pages_of_the_marts_are_shown_while_another_process_has_the_warehouse(visit: Visit, landed: Pipeline) -> None:
    with duckdb.connect(str(landed.folder / "battery.duckdb")):
        for name in ("fleet", "cell", "compare"):
            visit.open(PAGES[name])
            assert visit.errors() == []
            assert visit.traces()
    assert visit.complaints == []


def test_an_empty_pipeline_says_on_every_page_what_to_do(context: BrowserContext, tmp_path: Path) -> None:
    with dashboard_of(Pipeline(tmp_path, 1)) as address, visiting(context, address) as visit:
        for path in PAGES.values():
            visit.open(path)
            said = visit.page.locator("[data-testid=stAlertContentInfo]").first.inner_text()
            assert "`" not in said
            assert "battery up starts all parts and watches a folder" in said
            assert visit.errors() == []
        assert visit.complaints == []


def test_a_worker_lands_while_pages_are_looked_at_and_its_cell_appears(
    visit: Visit, landed: Pipeline, tmp_path: Path
) -> None:
    ((before,),) = landed.query("select count(*) from battery_ts_cleaned")
    workbooks = tmp_path / "workbooks"
    workbooks.mkdir()
    simulate_cell(workbooks, NEW_CELL, cycles=9, seed=99, cycles_per_file=3)
    worker = landed.start("stream")
    landed.battery("produce", str(workbooks))
    expected = f"{len(CELLS) + 1:,}"
    for _ in range(60):
        for name in ("fleet", "cycle", "stream"):
            visit.open(PAGES[name])
            # On a crowded machine a look may find the warehouse taken each time that it tries, and says so.
            assert [error for error in visit.errors() if "held by another process" not in error] == []
        shown = visit.metrics()
        if (shown.get("cells"), shown.get("lag (messages)")) == (expected, "0"):
            break
    else:
        pytest.fail(f"the stream page never showed the new cell: {visit.metrics()}")
    worker.send_signal(signal.SIGTERM)
    said, _ = worker.communicate(timeout=60)
    assert worker.returncode == 0, said
    ((after,),) = landed.query("select count(*) from battery_ts_cleaned")
    ((of_cell,),) = landed.query(f"select count(*) from battery_ts_cleaned where cell_id = '{NEW_CELL}'")  # noqa: S608
    assert after == before + of_cell
    for _ in range(60):  # whether anything has landed is looked for every ten seconds
        visit.open("")
        if "more has landed since" in visit.page.inner_text("[data-testid=stMain]"):
            break
    else:
        pytest.fail("the page never said that more has landed than it shows")
    landed.battery("transform")
    for _ in range(60):
        visit.open("")
        if visit.metrics().get("cells") == expected:
            break
    assert NEW_CELL in visit.traces()[0]
    assert visit.complaints == []
