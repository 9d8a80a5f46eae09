"""The Cells page in a real browser: a lab tells what it knows of its cells, and nothing is lost or half saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from support.looking import dashboard_of, visiting
from support.pipeline import Pipeline

from kernel.base.ports import free_port
from kernel.edges.warehouse import open_warehouse
from sink.cells.change import change_cells, read_known

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from playwright.sync_api import BrowserContext
    from support.looking import Visit

    from kernel.contract.cell_metadata import Value

GROUP, NOMINAL, MASS = 2, 3, 4
"""Places of columns of the table, the cell and what is known from elsewhere before them."""

ROW = 35
"""The height of a row of the table, which a canvas draws, in pixels."""

EDITOR = "[data-testid=stDataFrame]"
UPLOAD = "[data-testid=stFileUploaderDropzoneInput]"
BOX = "textarea.gdg-input"


def said(visit: Visit) -> str:
    return visit.page.inner_text("[data-testid=stMain]")


def rows(visit: Visit, place: int = 0) -> list[list[str]]:
    """What a table says to those who cannot see it: a row a cell, as far as it is drawn."""
    found: list[list[str]] = (
        visit.page.locator(EDITOR)
        .nth(place)
        .evaluate(
            """table => [...table.querySelectorAll('tbody tr, [role=row]')].map(
                row => [...row.querySelectorAll('td, [role=gridcell]')].map(cell => cell.textContent))"""
        )
    )
    return [row for row in found if any(row)]


def opened(visit: Visit, address: str = "cells") -> None:
    """Open the page and wait for its table, which is drawn after all else."""
    visit.open(address)
    visit.until(lambda: bool(rows(visit)), "the table was not drawn")


def row_of(visit: Visit, cell: str) -> int:
    """The place of a cell's row."""
    return [row[0] for row in rows(visit)].index(cell)


def shows(visit: Visit, what: list[list[str]], place: int = 0, first: int = 0) -> None:
    """Require that a table shows some rows, once it is drawn, each from its column `first` on."""
    visit.until(
        lambda: [row[first : first + len(what[0])] for row in rows(visit, place)] == what,
        f"the table does not show {what}",
    )


def write(visit: Visit, row: int, column: int, text: str) -> None:
    """Write into a cell of the table as a visitor does: by a click, the arrow keys and Enter."""
    visit.page.locator(EDITOR).first.click(position={"x": 50, "y": ROW * (row + 1.5)})
    visit.page.wait_for_function(selected(0, row))
    for step in range(1, column + 1):
        visit.page.keyboard.press("ArrowRight")
        visit.page.wait_for_function(selected(step, row))
    visit.page.keyboard.press("Enter")
    visit.page.locator(BOX).fill(text)
    visit.page.keyboard.press("Enter")
    visit.page.locator(BOX).wait_for(state="detached")
    visit.until(
        lambda: len(rows(visit)) > row and rows(visit)[row][column] == text,
        "what was written does not stand in the table",
    )


def selected(column: int, row: int) -> str:
    """Whether a cell of the table is the one that is selected, as script; `column` and `row` count from 0."""
    return f"""() => document.querySelector('{EDITOR} [role=gridcell][aria-selected=true]')?.id
        === 'glide-cell-{column}-{row}' """


def press(visit: Visit, name: str) -> None:
    visit.page.get_by_role("button", name=name, exact=True).click()


def told(pipeline: Pipeline) -> dict[str, dict[str, Value]]:
    return read_known(pipeline.settings, open_warehouse(pipeline.settings))


def tell(pipeline: Pipeline, changes: Mapping[str, Mapping[str, Value | None]]) -> None:
    """As somebody else does."""
    change_cells(pipeline.settings, open_warehouse(pipeline.settings), changes)


def events(pipeline: Pipeline, cell: str) -> list[Any]:
    with duckdb.connect(str(pipeline.folder / "battery.duckdb"), read_only=True) as connection:
        found = connection.execute(
            'select metadata from battery_cell_events where cell_id = ? order by "offset"', [cell]
        ).fetchall()
    return [metadata for (metadata,) in found]


def test_a_value_is_shown_before_it_is_saved_and_then_stands_in_the_events_and_on_the_page(
    visit: Visit, landed: Pipeline
) -> None:
    opened(visit, "cells?cell=SIM_01")
    write(visit, row_of(visit, "SIM_01"), GROUP, "fast")
    write(visit, row_of(visit, "SIM_01"), MASS, "45.20")
    assert "Not saved yet: 2 values of 1 cell" in said(visit)
    shows(visit, [["SIM_01", "group", "(nothing)", "fast"], ["SIM_01", "mass (g)", "(nothing)", "45.2"]], 1)
    assert told(landed) == {}
    press(visit, "Save 2 values")
    visit.until(lambda: "2 values of 1 cell." in said(visit), "the page does not say that it was saved")
    assert events(landed, "SIM_01") == ['{"group":"fast","mass_g":45.2}']
    assert "The tables do not have yet what is told of SIM_01. The next refresh takes it" in said(visit)
    assert "Not saved yet" not in said(visit)
    shows(visit, [["group", "(nothing)", "fast"], ["mass (g)", "(nothing)", "45.2"]], 2, 1)
    visit.until(lambda: ["group", "fast", "told here", ""] in rows(visit, 1), "which source holds is not said")
    visit.until(lambda: bool(rows(visit)), "the table was not drawn")
    assert rows(visit)[row_of(visit, "SIM_01")][GROUP : MASS + 1] == ["fast", "", "45.2"]
    assert visit.errors() == []
    assert visit.complaints == []


def test_what_cannot_be_taken_says_where_and_why_and_nothing_else_is_saved(visit: Visit, landed: Pipeline) -> None:
    before = told(landed)
    opened(visit)
    row = row_of(visit, "SIM_02")
    write(visit, row, GROUP, "slow")
    write(visit, row, MASS, "45,2")
    (error,) = visit.errors()
    assert "Nothing can be saved before this is put right." in error
    assert f"row {row + 1}, cell SIM_02, mass (g): '45,2' is no number; write one such as 1.1" in error
    assert visit.page.get_by_role("button", name="Save 1 value").is_disabled()
    write(visit, row, MASS, "45.2")
    assert visit.errors() == []
    press(visit, "Drop my changes")
    visit.until(lambda: "Not saved yet" not in said(visit), "the changes were not dropped")
    visit.until(lambda: bool(rows(visit)) and rows(visit)[row][GROUP] == "", "the text is still there")
    assert told(landed) == before


def test_a_cell_that_nothing_was_heard_of_is_added_in_a_column_of_its_own(visit: Visit, landed: Pipeline) -> None:
    opened(visit)
    press(visit, "Add a column")
    visit.page.get_by_label("Name", exact=True).fill("electrolyte uL")
    press(visit, "Add")
    visit.until(lambda: "No column was added." in said(visit), "a name that is none was taken")
    visit.page.get_by_label("Name", exact=True).fill("electrolyte_ul")
    press(visit, "Add")
    visit.until(lambda: "The column electrolyte_ul is there" in said(visit), "the column was not added")
    visit.until(lambda: bool(rows(visit)), "the table was not drawn")
    count = len(rows(visit))
    visit.page.locator(EDITOR).first.hover()
    visit.page.get_by_role("button", name="Add row").first.click()
    write(visit, count, 0, "NEW_1")
    write(visit, count, NOMINAL, "1.1")
    press(visit, "Save 1 value")
    visit.until(lambda: "Saved at" in said(visit), "the page does not say that it was saved")
    assert told(landed)["NEW_1"] == {"nominal_capacity_ah": 1.1}
    visit.until(lambda: ["NEW_1", "no readings yet"] in [row[:2] for row in rows(visit)], "the cell has no row")


def test_a_file_is_looked_at_in_the_table_before_it_is_saved_and_comes_out_again(
    visit: Visit, landed: Pipeline, tmp_path: Path
) -> None:
    tell(landed, {"SIM_03": {"notes": "kept"}})
    opened(visit)
    (tmp_path / "bad.csv").write_text("cell_id,mass_g\nSIM_03,1\nSIM_04,heavy\n")
    (tmp_path / "good.csv").write_text("cell_id;mass_g;lot;notes\nSIM_03;1,5;007;\n")
    press(visit, "CSV in")
    visit.page.set_input_files(UPLOAD, [tmp_path / "bad.csv"])
    visit.until(lambda: bool(visit.errors()), "a file that cannot be taken was taken")
    assert "Nothing was taken from the file. bad.csv, line 3: mass_g: 'heavy' is no number" in visit.errors()[0]
    assert "Not saved yet" not in said(visit)
    visit.page.set_input_files(UPLOAD, [tmp_path / "good.csv"])
    visit.until(lambda: "Not saved yet: 2 values of 1 cell" in said(visit), "the file is not in the table")
    assert "1 empty fields leave the values as they are" in said(visit)
    assert told(landed)["SIM_03"] == {"notes": "kept"}
    press(visit, "Save 2 values")
    visit.until(lambda: "Saved at" in said(visit), "the page does not say that it was saved")
    assert told(landed)["SIM_03"] == {"mass_g": 1.5, "lot": "007", "notes": "kept"}
    with visit.page.expect_download() as download:
        press(visit, "CSV out")
    out = tmp_path / "cells.csv"
    download.value.save_as(out)
    assert out.read_text().splitlines()[0].startswith("cell_id,")
    assert "nothing changes: all of it is known already" in landed.battery("cells", "import", str(out))


def test_a_value_that_another_has_changed_meanwhile_is_not_written_over_unseen(visit: Visit, landed: Pipeline) -> None:
    tell(landed, {"SIM_04": {"group": "first", "mass_g": 1.0}})
    opened(visit)
    row = row_of(visit, "SIM_04")
    write(visit, row, GROUP, "mine")
    write(visit, row, NOMINAL, "1.1")
    tell(landed, {"SIM_04": {"group": "theirs", "mass_g": 2.0}})
    press(visit, "Save 2 values")
    visit.until(lambda: "Others have changed the same values" in said(visit), "the other's value was not noticed")
    assert "group of SIM_04: first when you read it, theirs now, mine by you" in said(visit)
    assert told(landed)["SIM_04"] == {"group": "theirs", "mass_g": 2.0}
    visit.until(
        lambda: bool(rows(visit)) and rows(visit)[row][GROUP : MASS + 1] == ["theirs", "1.1", "2"],
        "the table has not what others told and what was typed elsewhere",
    )
    press(visit, "Put mine into the table")
    visit.until(lambda: "Not saved yet: 2 values of 1 cell" in said(visit), "mine was not put into the table")
    press(visit, "Save 2 values")
    visit.until(lambda: "Saved at" in said(visit), "the page does not say that it was saved")
    assert told(landed)["SIM_04"] == {"group": "mine", "mass_g": 2.0, "nominal_capacity_ah": 1.1}
    assert len(events(landed, "SIM_04")) == 3


def test_what_was_not_saved_is_still_there_after_another_page(visit: Visit, landed: Pipeline) -> None:
    before = told(landed)
    opened(visit)
    write(visit, row_of(visit, "SIM_05"), GROUP, "later")
    for page in ("Stream", "Cells"):
        visit.page.locator("[data-testid=stSidebarNavLink]").filter(has_text=page).last.click()
        visit.until(lambda name=page: visit.page.locator("h1").inner_text() == name, f"{page} was not opened")  # type: ignore[misc]
    visit.until(lambda: bool(rows(visit)), "the table was not drawn")
    assert "Not saved yet: 1 value of 1 cell" in said(visit)
    assert rows(visit)[row_of(visit, "SIM_05")][GROUP] == "later"
    assert told(landed) == before


def test_the_page_is_whole_as_a_server_s_very_first_visit_and_says_which_source_holds(
    context: BrowserContext, landed: Pipeline
) -> None:
    with dashboard_of(landed) as address, visiting(context, address) as visit:
        opened(visit, "cells?cell=SIM_05")
        assert visit.page.locator("h1").inner_text() == "Cells"
        assert visit.chosen("cell") == ["SIM_05"]
        visit.until(
            lambda: ["nominal capacity (Ah)", "1.1", "shipped cells.csv, SIM_*", ""] in rows(visit, 1),
            "which source holds is not said",
        )
        assert visit.errors() == []
        assert visit.complaints == []


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--host", "0.0.0.0"), "set DASHBOARD_PASSWORD, or serve it at 127.0.0.1. battery cells changes it, too."),  # noqa: S104
        ((), "Nothing can be changed now: no broker answers at 127.0.0.1:"),
    ],
)
def test_who_may_not_change_anything_reads_why_and_what_is_told(
    context: BrowserContext, landed: Pipeline, options: tuple[str, ...], why: str
) -> None:
    tell(landed, {"SIM_01": {"group": "fast"}})
    pipeline = landed if options else Pipeline(landed.folder, free_port())
    with dashboard_of(pipeline, *options) as address, visiting(context, address) as visit:
        opened(visit)
        assert why in said(visit)
        row = row_of(visit, "SIM_01")
        assert rows(visit)[row][GROUP] == "fast"
        assert visit.page.locator(UPLOAD).count() == 0
        assert visit.page.get_by_role("button", name="Add a column").count() == 0
        cells = visit.page.locator(EDITOR).first.locator("[role=gridcell]")
        assert set(cells.evaluate_all("cells => cells.map(cell => cell.ariaReadOnly)")) == {"true"}
        assert visit.errors() == []


def test_on_a_phone_the_table_stays_within_the_page(context: BrowserContext, base: str) -> None:
    with visiting(context, base) as visit:
        visit.page.set_viewport_size({"width": 390, "height": 844})
        opened(visit)
        widest = visit.page.evaluate("Math.max(...[...document.querySelectorAll('*')].map(one => one.scrollWidth && "
                                     "one.getBoundingClientRect().right))")  # fmt: skip
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390, widest
        assert visit.page.locator("button:visible").filter(has_text="Add a column").count() == 1
