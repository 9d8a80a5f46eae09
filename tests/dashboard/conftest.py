"""One warehouse with published marts for all tests of what people look at, and the browser that they look through."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from playwright.sync_api import sync_playwright
from published import PublishedFolder, make

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> PublishedFolder:
    """The main job to its end, once for all processes of a test run; nobody writes there."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "published"
    with FileLock(f"{folder}.lock"):
        if not (folder / "done").exists():
            make(folder)
            (folder / "done").touch()
    return PublishedFolder(folder)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium; where there is none the test is skipped, and fails in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        why = "Chromium is not installed: `make browser` installs Debian's, as root"
        if os.environ.get("CI") == "true":
            pytest.fail(f"no skip in CI: {why}")
        pytest.skip(why)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found)
        yield launched
        launched.close()
