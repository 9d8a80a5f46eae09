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

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


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
def chromium() -> str:
    """Where this machine's Chromium is; where there is none the test is skipped, and fails in CI."""
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        why = f"none of {', '.join(NAMES)} is on the PATH: `make browser` installs Debian's, as root"
        if os.environ.get("CI") == "true":
            pytest.fail(f"no skip in CI: {why}")
        pytest.skip(why)
    return found


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium)
        yield launched
        launched.close()
