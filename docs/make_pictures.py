"""Takes the README's pictures: the real dashboard in a real browser, on the cells of the demo.

`make pictures` runs the demo in `data/pictures` where that is not there yet.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

import tenacity
from playwright.sync_api import ViewportSize, sync_playwright

from battery.data_folder import places
from kernel.base.ports import free_port

ROOT: Final = Path(__file__).resolve().parents[1]
DATA: Final = ROOT / "data" / "pictures"
PICTURES: Final = {
    "fleet": "",
    "cell": "cell?cell=SIM_03",
    "cycle": "cycle?cell=SIM_03",
    "means": "compare?draw=means+of+groups",
}
SIZE: Final[ViewportSize] = {"width": 1280, "height": 1100}
START_SECONDS: Final = 120.0

DRAWN: Final = """
    () => !document.querySelector('[data-testid=stStatusWidget], [data-testid=stSkeleton]')
        && document.querySelectorAll('.js-plotly-plot .main-svg').length > 0
"""


def main() -> int:
    """Take the pictures; the exit code."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.stderr.write("make_pictures: Chromium is not installed; `make browser` installs Debian's, as root\n")
        return 2
    battery = [sys.executable, "-m", "battery"]
    if not (DATA / "objects" / "marts" / "manifest.json").exists():
        subprocess.run([*battery, "demo", "--data-dir", str(DATA)], check=True)
    subprocess.run([*battery, "transform"], check=True, env=os.environ | places(DATA))  # by the models of today
    port = free_port()
    dashboard = subprocess.Popen([*battery, "dashboard", "--data-dir", str(DATA), "--port", str(port)])
    try:
        _wait(f"http://127.0.0.1:{port}/_stcore/health")
        _take(chromium, f"http://127.0.0.1:{port}")
    finally:
        dashboard.terminate()
        dashboard.wait()
    return 0


def _take(chromium: str, base: str) -> None:
    (ROOT / "docs" / "pictures").mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(1000 * START_SECONDS)
        for name, address in PICTURES.items():
            page.goto(f"{base}/{address}")
            page.wait_for_selector("h1")
            page.wait_for_function(DRAWN)
            page.wait_for_timeout(1000)  # what is drawn fades in
            page.screenshot(path=ROOT / "docs" / "pictures" / f"{name}.png")
        browser.close()


@tenacity.retry(
    retry=tenacity.retry_if_exception_type((urllib.error.URLError, OSError)),
    wait=tenacity.wait_fixed(0.2),
    stop=tenacity.stop_after_delay(START_SECONDS),
    reraise=True,
)
def _wait(address: str) -> None:
    urllib.request.urlopen(address, timeout=1).close()  # noqa: S310  # the dashboard that was started above


if __name__ == "__main__":
    sys.exit(main())
