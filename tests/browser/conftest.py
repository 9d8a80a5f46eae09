"""What tests in a real browser share: a pipeline that has published, its dashboard, and a visitor of that.

Each file of tests has its own copy of the pipeline and its own dashboard, so that what one lands no other one sees.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from support.looking import dashboard_of, visiting
from support.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext
    from support.looking import Visit
    from support.published import PublishedFolder


@pytest.fixture(scope="module")
def landed(published: PublishedFolder, tmp_path_factory: pytest.TempPathFactory, broker: int) -> Iterator[Pipeline]:
    """A copy that may be written, beside a broker whose log is a new one."""
    folder = tmp_path_factory.mktemp("browser") / "pipeline"
    shutil.copytree(published.folder, folder)
    pipeline = Pipeline(folder, broker)
    yield pipeline
    pipeline.end()


@pytest.fixture(scope="module")
def base(landed: Pipeline) -> Iterator[str]:
    with dashboard_of(landed) as address:
        yield address


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1440, "height": 1000}, accept_downloads=True)
    yield made
    made.close()


@pytest.fixture(scope="module")
def visitor(context: BrowserContext, base: str) -> Iterator[Visit]:
    """A visitor who has been here before: the browser has read the dashboard's scripts, which takes it longest."""
    with visiting(context, base) as opened:
        opened.open("")
        yield opened


@pytest.fixture
def visit(visitor: Visit) -> Visit:
    visitor.leave()
    return visitor
