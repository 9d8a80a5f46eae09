from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from support.modelled import Warehouse, create_landing, cycling, run_dbt
from support.places import ROOT

import ageing.incremental_capacity
import ageing.knee
import ageing.projection
import battery
from battery.report import read_cell_report, report
from dashboard.figures.ageing import threshold_ah
from dashboard.figures.style import COLOURS
from dashboard.report.name import file_name
from dashboard.report.page import draw_figures
from dashboard.words.rules import citation_of, end_in_words, end_rule, rules
from dashboard.words.thresholds import thresholds_of
from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from refresh.export import export_marts
from refresh.marts import NothingYetError
from refresh.publication import open_publication

if TYPE_CHECKING:
    from playwright.sync_api import Browser

AGED, YOUNG, NASTY = "CS2_99", "SIM_02", "<script>alert('1')</script>&/../../lab"
MODELS = ROOT / "dbt_project" / "models"
BEGAN = datetime(2024, 3, 1, 8)  # noqa: DTZ001  # a cycler's clock has no zone
PALEST = min(max(ink) - min(ink) for ink in (bytes.fromhex(colour[1:]) for colour in COLOURS)) - 5
"""How far the channels of what is drawn in a colour differ, at least; what is grey has none."""
CALCE = "https://calce.umd.edu/battery-data"


@dataclass(frozen=True)
class Published:
    """Marts that have been published, and a folder to write reports to."""

    settings: Settings
    warehouse: Warehouse

    def cell(self, cell: str) -> dict[str, Any]:
        [found] = [row for row in self.warehouse.rows("battery_cells", "cell_id") if row["cell_id"] == cell]
        return found

    def write(self, folder: Path, cell: str, *, png: bool | None = False) -> list[str]:
        return list(report(self.settings, cell, folder, png=png))


@dataclass
class Page(HTMLParser):
    """What a page says and asks for."""

    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    keys: dict[str, tuple[str, str]] = field(default_factory=dict)
    asked: set[tuple[str, str, str]] = field(default_factory=set)
    title: str = ""
    text: str = ""
    scripts: int = 0
    figures: list[str] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)
    label: str = ""
    table: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.asked |= {(tag, name, value) for name, value in named.items() if name in {"src", "href", "srcset", "data"}}
        self.scripts += tag == "script"
        self.inside.append(named.get("class") or tag)
        if tag == "figure":
            self.figures.append(named["id"])
        if tag == "caption":
            self.table = ""
        if tag == "tr" and "tbody" in self.inside:
            self.tables[self.table].append([])
        if tag == "td":
            self.tables[self.table][-1].append("")
        if tag in {"meta", "img", "link"}:
            self.inside.pop()

    def handle_endtag(self, tag: str) -> None:
        self.inside.pop()
        if tag == "caption":
            self.tables[self.table] = []

    def handle_data(self, data: str) -> None:
        where = self.inside[-1] if self.inside else ""
        if where in {"script", "style", "text/javascript"}:
            return
        self.text += data
        if where == "title":
            self.title += data
        elif where == "caption":
            self.table += data
        elif "td" in self.inside or where == "number":
            rows = self.tables.get(self.table)
            if rows:
                rows[-1][-1] += data
        elif where == "dt" and "key" in self.inside:
            self.label = data
        elif where == "value":
            self.keys[self.label] = (data, "")
        elif where == "dd" and "key" in self.inside:
            self.keys[self.label] = (self.keys[self.label][0], data.strip())


def read(html: str) -> Page:
    page = Page()
    page.feed(html)
    return page


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, only_our_dbt: None) -> Published:  # noqa: ARG001
    """A cell past its end and its knee that has recovered once, one on its way with a sensor, one with a nasty id."""
    folder = tmp_path_factory.mktemp("published")
    noise = np.random.default_rng(7)
    slow = 1.1 - 0.001 * np.arange(70) + noise.normal(0, 0.001, 70)
    fast = 1.05 - 0.007 * np.arange(50) + noise.normal(0, 0.001, 50)
    young = 1.1 - 0.001 * np.arange(80) + noise.normal(0, 0.001, 80)
    rows = [
        *cycling(AGED, BEGAN, slow.tolist()),
        *cycling(AGED, BEGAN + timedelta(days=60), fast.tolist()),
        *cycling(YOUNG, BEGAN, young.tolist(), temperature=25.5),
        *cycling(NASTY, BEGAN, [1.1] * 3),
    ]
    path = folder / "battery.duckdb"
    create_landing(path, rows)
    settings = Settings(warehouse=str(path), object_store=f"file://{folder / 'objects'}")
    run_dbt(
        settings,
        ("build", "--exclude", "battery_features", "bdf_timeseries", "--exclude-resource-type", "test", "unit_test"),
    )
    export_marts(open_warehouse(settings), open_store(settings))
    return Published(settings, Warehouse(path))


@pytest.fixture(scope="module")
def pages(published: Published, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """The pages on two of the cells."""
    folder = tmp_path_factory.mktemp("pages")
    return {cell: read(Path(*published.write(folder, cell)).read_text()) for cell in (AGED, YOUNG)}


@pytest.fixture
def no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without one."""
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/chromium")


def test_the_numbers_that_are_looked_for_first_are_those_of_the_marts(
    published: Published, pages: dict[str, Page]
) -> None:
    for name in (AGED, YOUNG):
        cell, keys = published.cell(name), pages[name].keys
        assert keys["State of health"] == (f"{100 * cell['latest_soh']:.1f}", "%")
        assert keys["Discharge capacity"] == (f"{cell['latest_capacity_ah']:.4f}", "Ah")
        assert keys["Complete cycles"] == (str(cell["complete_cycle_count"]), "cycles")
        assert keys["Equivalent full cycles"] == (f"{cell['equivalent_full_cycles']:.1f}", "cycles")
        assert keys["Fade, whole life"] == (f"{cell['fade_ah_per_100_cycles']:.4f}", "Ah per 100 cycles")
        assert keys["Fade, recent"] == (f"{cell['recent_fade_ah_per_100_cycles']:.4f}", "Ah per 100 cycles")
        assert keys["Internal resistance"] == (f"{1000 * cell['latest_internal_resistance_ohm']:.1f}", "mΩ")


def test_the_end_of_life_stands_with_its_rule_its_threshold_and_what_other_rules_say(
    published: Published, pages: dict[str, Page]
) -> None:
    cell, page = published.cell(AGED), pages[AGED]
    level = threshold_ah(cell)
    assert level == pytest.approx(0.88)
    assert page.keys["End of life"] == (str(cell["eol_cycle"]), "cycle")
    assert (
        f"The end of life was reached at cycle {cell['eol_cycle']}: median of 11 cycles below 80 % of nominal "
        f"capacity, which is {level:.4f} Ah." in page.text
    )
    shown = page.tables["End of life by each rule, the default first"]
    alternatives = [(found["rule"], found["cycle_number"]) for found in cell["eol_alternatives"]]
    assert len(alternatives) == 4
    ends = [(cell["eol_rule"], cell["eol_cycle"]), *alternatives]
    expected = [(end_in_words(rule), str(cycle), rule) for rule, cycle in ends]
    assert [(words, cycle, rule) for words, _, cycle, rule in shown] == expected
    thresholds = {rule.rpartition("_")[2]: float(ah) for _, ah, _, rule in shown}
    assert thresholds == pytest.approx({"nominal": 0.88, "initial": 0.8 * cell["initial_capacity_ah"]}, abs=1e-4)


def test_the_knee_and_the_projection_stand_with_their_ranges(published: Published, pages: dict[str, Page]) -> None:
    aged, young = published.cell(AGED), published.cell(YOUNG)
    text = pages[AGED].text
    assert (
        f"at cycle {aged['knee_cycle']:.0f}, with a 95 % interval from cycle {aged['knee_low_cycle']:.0f} to "
        f"{aged['knee_high_cycle']:.0f}. Method: two straight lines" in text
    )
    assert f"Confidence {aged['knee_confidence']:.2f} of 1" in text
    assert "Nothing is projected, since the end of life has come." in text
    text = pages[YOUNG].text
    high = young["projected_eol_high_cycle"]
    assert (
        f"projected at cycle {young['projected_eol_cycle']:.0f}, between {young['projected_eol_low_cycle']:.0f} and "
        f"{'open' if high is None else f'{high:,.0f}'}: the range of the courses" in text
    )
    assert "No knee: " in text


def test_pauses_tests_and_counts_are_those_of_the_marts(published: Published, pages: dict[str, Page]) -> None:
    cell, page = published.cell(AGED), pages[AGED]
    [gap] = [row for row in published.warehouse.rows("battery_gaps", "cell_id") if row["cell_id"] == AGED]
    [pause] = page.tables["Pauses of more than an hour between tests, by the cycler's wall clock"]
    assert gap["is_recovery"]
    assert pause[2:] == [
        f"{gap['gap_h']:,.1f}",
        "71",
        f"{gap['capacity_before_ah']:.4f}",
        f"{gap['capacity_after_ah']:.4f}",
        f"{gap['recovered_ah']:.4f}",
        "yes",
    ]
    tests = page.tables["Tests in their order, by the cycler's wall clock"]
    assert [(test, cycles, counters) for test, *_, cycles, _, counters, _ in tests] == [
        (BEGAN.isoformat(), "70", "start of the test"),
        ((BEGAN + timedelta(days=60)).isoformat(), "50", "start of the test"),
    ]
    counts = dict(page.tables["How far the numbers can be trusted: numbers of readings"])
    assert counts["readings that landed"] == f"{cell['reading_count']:,}"
    assert counts["readings quarantined, duplicates included"] == f"{cell['quarantined_count']:,}"


def test_the_page_says_of_what_it_is_made(published: Published, pages: dict[str, Page]) -> None:
    provenance = dict(pages[AGED].tables["What this report is made of"])
    at = open_publication(published.settings).published_at
    assert provenance["Results published"] == f"{at:%Y-%m-%d %H:%M:%S} UTC"
    assert provenance["Pipeline"].endswith(f"version {version('battery-pipeline')}")
    assert provenance["Nominal capacity"] == "1.1 Ah (by what the lab has told, or a file of cells)"
    assert provenance["Source files (2)"] == f"{AGED}_03_01_24.xlsx, {AGED}_04_30_24.xlsx"


def test_a_report_states_the_thresholds_that_were_published(published: Published) -> None:
    publication = open_publication(published.settings)
    built_with = {row["name"]: row["value"] for row in publication.table("battery_thresholds").to_pylist()}
    assert read_cell_report(publication, AGED).thresholds == built_with
    newest = publication.version
    earlier = replace(newest, places={name: at for name, at in newest.places.items() if name != "battery_thresholds"})
    assert read_cell_report(publication.at(earlier), AGED).thresholds == thresholds_of(None)


def test_every_cell_is_cited_as_its_source_wishes() -> None:
    for calce in ("CS2_35", "CX2_16"):
        found = citation_of(calce)
        assert "CALCE Battery Research Group, University of Maryland" in found.text
        assert [work.split(",")[0] for work in found.works] == ["W. He", "Y. Xing"]
    assert "simulated" in citation_of("SIM_01").text
    assert citation_of("LAB_1").text.startswith("Cite the source of the data as your lab does")
    assert citation_of("LAB_1").works == ()


def test_the_sources_of_the_rules_are_those_that_the_code_names() -> None:
    steps = Path(battery.__file__).parents[1] / "dbt_project" / "models" / "marts" / "battery_steps.yml"
    texts = [str(module.__doc__) for module in (ageing.incremental_capacity, ageing.knee, ageing.projection)]
    named = " ".join(" ".join(text.split()) for text in [*texts, steps.read_text()])
    sources = [source for rule in rules(thresholds_of(None)) for source in rule.sources]
    assert len(set(sources)) == 10
    assert [source for source in sources if source not in named] == []


def test_every_rule_for_the_end_of_life_that_the_marts_have_is_said_in_words() -> None:
    sql = (MODELS / "marts" / "battery_cells.sql").read_text()
    names = set(re.findall(r"'([^']+_percent_of_\w+)'", sql))
    ends = {re.sub(r"{{ (\w+) }}", "11", name) for name in names}
    assert len(ends) == 5
    assert [rule for rule in ends if not end_in_words(rule) or end_rule(rule) == rule] == []
    assert end_in_words("a_rule_of_tomorrow") is None


def test_figures_without_data_are_left_out(published: Published) -> None:
    publication = open_publication(published.settings)
    names = {
        cell: [figure.name for figure in draw_figures(read_cell_report(publication, cell))] for cell in (AGED, YOUNG)
    }
    assert names[AGED] == ["fade", "efficiency", "resistance", "charge-time", "dqdv", "dvdq"]
    assert set(names[YOUNG]) - set(names[AGED]) == {"temperature"}


def test_the_same_marts_give_the_same_bytes(published: Published, tmp_path: Path) -> None:
    [one], [other] = (published.write(tmp_path / name, AGED) for name in ("one", "other"))
    assert Path(one).read_bytes() == Path(other).read_bytes()


def test_the_page_asks_for_nothing_and_links_to_the_data_alone(pages: dict[str, Page]) -> None:
    assert pages[AGED].asked == {("a", "href", CALCE)}
    assert pages[YOUNG].asked == set()


def test_an_id_of_a_cell_does_no_harm_to_page_or_folder(
    published: Published, pages: dict[str, Page], tmp_path: Path
) -> None:
    folder = tmp_path / "reports"
    [path] = published.write(folder, NASTY)
    assert Path(path).parent == folder
    assert list(tmp_path.rglob("*")) == [folder, Path(path)]
    page = read(Path(path).read_text())
    assert page.title == f"How {NASTY} ages"
    assert page.scripts == pages[AGED].scripts - 2 * (6 - len(page.figures))
    assert "<script>alert(" not in Path(path).read_text()


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("CS2_35", "CS2_35"),
        ("..", "%2E."),
        ("../../lab", "%2E.%2F..%2Flab"),
        ("a/b", "a%2Fb"),
        ("a%2Fb", "a%252Fb"),
        ("a\0\\b", "a%00%5Cb"),
    ],
)
def test_files_are_called_by_the_cell_and_stay_in_the_folder(cell: str, name: str) -> None:
    assert file_name(cell) == name


def test_long_ids_that_begin_alike_have_files_of_their_own() -> None:
    one, other = file_name("ü" * 200 + "1"), file_name("ü" * 200 + "2")
    assert one != other
    assert len(one) == len(other) == 120


def test_a_cell_that_is_not_there_is_one_line_that_names_those_most_like_it(
    published: Published, tmp_path: Path
) -> None:
    with pytest.raises(BatteryError) as refusal:
        published.write(tmp_path, "CS2_9")
    assert str(refusal.value) == f"no cell CS2_9 has been published; there are {AGED}, {YOUNG}, {NASTY}"


def test_before_anything_is_published_it_says_what_to_do(tmp_path: Path) -> None:
    settings = Settings(warehouse=str(tmp_path / "battery.duckdb"), object_store=f"file://{tmp_path / 'objects'}")
    with pytest.raises(NothingYetError, match="no figures have been published yet; `battery transform`"):
        list(report(settings, AGED, tmp_path, png=None))


def test_without_the_extra_it_says_how_to_install_it(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "dashboard.report.paper", raising=False)
    monkeypatch.setitem(sys.modules, "kaleido", None)
    with pytest.raises(BatteryError, match=r"^the report needs the extra dashboard, which is not installed: "):
        published.write(tmp_path, AGED)


def test_a_folder_that_cannot_be_written_to_is_named(published: Published, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file")
    with pytest.raises(BatteryError, match=f"^cannot write the report to {taken}: File exists; choose another folder"):
        published.write(taken, AGED)


@pytest.mark.usefixtures("no_browser")
def test_figures_that_were_asked_for_and_cannot_be_drawn_are_an_error(published: Published, tmp_path: Path) -> None:
    with pytest.raises(BatteryError) as refusal:
        published.write(tmp_path / "reports", AGED, png=True)
    assert str(refusal.value) == (
        "PNG figures need Chrome or Chromium, and none was found; --no-png writes the page alone"
    )
    assert not (tmp_path / "reports").exists()


@pytest.mark.usefixtures("no_browser")
def test_figures_that_nobody_asked_for_and_cannot_be_drawn_leave_the_page(published: Published, tmp_path: Path) -> None:
    assert published.write(tmp_path, AGED, png=None) == [
        str(tmp_path / f"{AGED}.html"),
        "PNG figures need Chrome or Chromium, and none was found: the page is written alone",
    ]
    assert [path.name for path in tmp_path.iterdir()] == [f"{AGED}.html"]


@pytest.fixture(scope="module")
def drawn(published: Published, chromium: str, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The files of a report with its figures, by the command."""
    done = subprocess.run(
        [sys.executable, "-m", "battery", "report", YOUNG, "--out", str(tmp_path_factory.mktemp("drawn")), "--png"],
        env=os.environ
        | {
            "WAREHOUSE": published.settings.warehouse,
            "OBJECT_STORE": published.settings.object_store,
            "BROWSER_PATH": chromium,
        },
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return [Path(path) for path in done.stdout.splitlines()]


def test_each_figure_is_a_png_for_paper(drawn: list[Path]) -> None:
    names = ["fade", "efficiency", "resistance", "temperature", "charge-time", "dqdv", "dvdq"]
    assert [path.name for path in drawn] == [f"{YOUNG}.html", *(f"{YOUNG}-{name}.png" for name in names)]
    for path in drawn[1:]:
        image = Image.open(io.BytesIO(path.read_bytes()))
        assert (image.format, image.size) == ("PNG", (2400, 1440))
        pixels = np.asarray(image.convert("RGB"))
        assert (pixels[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all(), "paper is white"
        colourful = pixels.max(axis=2) - pixels.min(axis=2) > PALEST
        assert colourful.sum() > 1000, f"{path.name} has no lines"
        assert colourful.any(axis=0).sum() > 400, f"{path.name} has only a legend"


def test_the_page_opens_from_a_file_and_draws_without_asking_anybody(drawn: list[Path], browser: Browser) -> None:
    page = browser.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(drawn[0].as_uri())
    assert page.title() == f"How {YOUNG} ages"
    for found in page.locator(".plotly-graph-div").all():
        found.locator(".main-svg .trace path").first.wait_for(state="attached")
        box = found.locator(".main-svg").first.bounding_box()
        assert box is not None
        assert box["width"] > 900
    assert page.locator(".plotly-graph-div").count() == 7
    assert page.locator("noscript img").count() == 0
    assert complaints == []
    assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [drawn[0].as_uri()]
    page.close()


def test_the_page_shows_the_figures_without_javascript_too(drawn: list[Path], browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(drawn[0].as_uri())
    images = page.locator(".drawing img")
    assert images.count() == 7
    assert all(image.is_visible() for image in images.all())
    assert [path for path in drawn[0].parent.iterdir() if path.suffix == ".html"] == [drawn[0]]
    context.close()


def test_the_page_fits_a_phone_and_the_paper(drawn: list[Path], browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(drawn[0].as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.set_viewport_size({"width": 688, "height": 1000})  # between the margins of A4
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    widths = page.eval_on_selector_all(".main-svg", "all => all.map(svg => svg.getBoundingClientRect().width)")
    assert max(widths) == 660
    assert page.evaluate("document.documentElement.scrollWidth") == 688
    page.close()
