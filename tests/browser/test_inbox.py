"""The Inbox page in a real browser, beside a real watch, and pages that renew themselves."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from support.looking import dashboard_of, visiting
from support.pipeline import Pipeline

from producer.inbox_state import InboxState, read_inbox
from producer.simulate import simulate_cell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import BrowserContext
    from support.looking import Visit

UPLOAD = "[data-testid=stFileUploaderDropzoneInput]"


@contextmanager
def watching(pipeline: Pipeline, inbox: Path, visit: Visit) -> Iterator[None]:
    """`battery produce --watch` on a folder, from the time that its state can be read."""
    inbox.mkdir()
    watch = pipeline.start("produce", "--watch", str(inbox))

    def is_watched() -> bool:
        look = read_inbox(pipeline.settings)
        return look is not None and look.is_watched and look.folder == str(inbox)

    try:
        visit.until(is_watched, "the watch left no state")
        yield
    finally:
        watch.send_signal(signal.SIGTERM)
        watch.communicate(timeout=60)


def said(visit: Visit) -> str:
    return visit.page.inner_text("[data-testid=stMain]")


def test_files_that_are_dropped_on_the_page_are_seen_on_their_way(
    visit: Visit, landed: Pipeline, tmp_path: Path
) -> None:
    (tmp_path / "made").mkdir()
    workbook, *_ = simulate_cell(tmp_path / "made", "DROP_1", cycles=2, seed=5, cycles_per_file=2)
    (tmp_path / "bad.xlsx").write_bytes(b"PK\x03\x04 no more")
    (tmp_path / "letter.docs").write_bytes(b"\x00 Dear all")
    visit.open("inbox")
    with watching(landed, tmp_path / "inbox", visit):
        visit.open("inbox")
        assert "The inbox is empty" in said(visit)
        assert str(tmp_path / "inbox") in said(visit)
        visit.page.set_input_files(UPLOAD, [workbook, tmp_path / "bad.xlsx", tmp_path / "letter.docs"])
        visit.until(
            lambda: (
                visit.metrics()
                == {"being worked on": "0", "waiting to land": "1", "landed": "0", "refused": "1", "ignored": "1"}
            ),
            f"the files were not followed: {visit.metrics()}",
        )
        assert sorted(path.name for path in (tmp_path / "inbox").iterdir()) == sorted(
            [workbook.name, "bad.xlsx", "letter.docs"]
        )
        assert "bad.xlsx: is truncated or damaged" in said(visit)
        assert "letter.docs: " in said(visit)
        visit.page.set_input_files(UPLOAD, [workbook])
        visit.until(lambda: "There already, the same file" in said(visit), "the copy was not recognised")
        assert len([*(tmp_path / "inbox").iterdir()]) == 3
        assert visit.errors() == []
    visit.until(lambda: "is not being watched since" in said(visit), "that the watch has ended was not said")
    assert visit.complaints == []


def test_an_open_page_renews_itself_with_the_visitor_s_choices_when_something_is_published(
    visit: Visit, landed: Pipeline
) -> None:
    visit.open("compare?cells=SIM_01&cells=SIM_03")
    visit.page.locator("[data-testid=stMain]").evaluate("main => main.scrollTo(0, 60)")
    before = visit.traces()
    manifest = landed.folder / "objects" / "marts" / "manifest.json"
    content = json.loads(manifest.read_text())
    content |= {"folder": f"{content['folder']}-again", "published_at": datetime.now(UTC).isoformat()}
    manifest.write_text(json.dumps(content))
    visit.until(lambda: "renewed at" in said(visit), "the page did not renew itself")
    assert visit.chosen("cells") == ["SIM_01", "SIM_03"]
    assert visit.traces() == before
    assert visit.page.locator("[data-testid=stMain]").evaluate("main => main.scrollTop") == 60
    assert visit.complaints == []


def test_an_empty_page_fills_itself_when_the_first_figures_are_published(
    context: BrowserContext, landed: Pipeline, tmp_path: Path
) -> None:
    (tmp_path / "objects").mkdir()
    with dashboard_of(Pipeline(tmp_path, 1)) as address, visiting(context, address) as visit:
        visit.open("")
        assert "No figures have been published yet" in said(visit)
        (tmp_path / "objects").rmdir()
        (tmp_path / "objects").symlink_to(landed.folder / "objects")
        visit.until(lambda: bool(visit.traces()), "the page stayed empty")


@pytest.mark.parametrize(
    ("settings", "step"),
    [
        ({"BATTERY_LAUNCHER": "compose"}, "the folder workbooks beside docker-compose.yml"),
        ({"DASHBOARD_PASSWORD": "open sesame"}, "battery up starts all parts"),
    ],
)
def test_an_empty_inbox_says_what_to_do_next(
    context: BrowserContext, tmp_path: Path, settings: dict[str, str], step: str
) -> None:
    with dashboard_of(Pipeline(tmp_path, 1, settings)) as address, visiting(context, address) as visit:
        visit.open("inbox")
        if "DASHBOARD_PASSWORD" in settings:
            assert visit.page.locator("h1").inner_text() == "Password"
            visit.page.get_by_label("Password", exact=True).fill("open sesame")
            visit.page.get_by_role("button", name="Enter").click()
            visit.until(lambda: visit.page.locator("h1").inner_text() == "Inbox", "the password opened nothing")
        assert step in said(visit)
        assert visit.page.locator(UPLOAD).count() == 0


def test_a_dashboard_that_others_reach_without_a_password_takes_no_files(
    context: BrowserContext, tmp_path: Path
) -> None:
    pipeline = Pipeline(tmp_path, 1)
    (tmp_path / "inbox").mkdir()
    with (
        InboxState(pipeline.settings, tmp_path / "inbox"),
        dashboard_of(pipeline, "--host", "0.0.0.0") as address,  # noqa: S104
        visiting(context, address) as visit,
    ):
        visit.open("inbox")
        assert "set DASHBOARD_PASSWORD, or serve it at 127.0.0.1" in said(visit)
        assert visit.page.locator(UPLOAD).count() == 0
