"""Looking at the dashboard as a visitor does: what a browser has drawn, complained of and asked for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from kernel.base.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from playwright.sync_api import BrowserContext, ConsoleMessage, Page
    from support.forks import Process
    from support.pipeline import Pipeline

PAGES = {"fleet": "", "cell": "cell", "cycle": "cycle", "compare": "compare", "stream": "stream"}
START_SECONDS = 90.0
DRAW_MS = 60_000

SPIN = """
import time
began, worked = time.monotonic(), time.process_time()
while time.process_time() - worked < 0.2:
    pass
print((time.monotonic() - began) / 0.2)
"""

SEARCHES = ("/_stcore/health", "/_stcore/host-config")
"""Opened at a page's own address, Streamlit first looks for its server below that and is told 404 (its issue 7074)."""

TRACES = """
    [...document.querySelectorAll('.js-plotly-plot')].map(plot => Object.fromEntries(
        plot._fullData.map(trace => [trace.name, {
            x: Array.from(trace.x || []), y: Array.from(trace.y || []), colour: (trace.line || {}).color,
        }])))
"""

TITLES = """
    [...document.querySelectorAll('.js-plotly-plot')].map(plot =>
        Object.keys(plot._fullLayout).filter(key => /^[xy]axis/.test(key))
            .map(key => plot._fullLayout[key].title.text).filter(text => text && !text.startsWith('Click to')))
"""

COLOURS = """
    () => [
        getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor,
        ['h1', '[data-testid=stMetricLabel] p', 'label p', '[data-testid=stCaptionContainer] p',
            '[data-testid=stDownloadButton] p', '[data-testid=stSidebarNavLink] span:last-child'].map(
            chosen => document.querySelector(chosen)
        ).filter(found => found).map(found => getComputedStyle(found).color),
    ]
"""
Palette = tuple[str, list[str]]
"""A background, and the colours of what is written on it, as CSS has them."""


@dataclass
class Visit:
    """A page in a browser, with all that it complained of and asked for."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def open(self, address: str) -> float:
        """Go there and wait until all is drawn; how long it took in s."""
        started = monotonic()
        self.page.goto(f"{self.base}/{address}")
        self.settle()
        return monotonic() - started

    def leave(self) -> None:
        """Go away from the dashboard, and forget what was complained of and asked for there."""
        self.page.goto("about:blank")
        self.complaints.clear()
        self.asked.clear()

    def settle(self) -> None:
        """Wait until the server has nothing more to say and every chart is drawn."""
        self.page.wait_for_selector("h1", timeout=DRAW_MS)
        self.page.wait_for_function(
            """() => !document.querySelector('[data-testid=stStatusWidget], [data-testid=stSkeleton]')
                && document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'
                && [...document.querySelectorAll('[data-testid=stPlotlyChart]')].every(
                    chart => chart.querySelector('.main-svg'))""",
            timeout=DRAW_MS,
        )

    def traces(self) -> list[dict[str, Any]]:
        """Of each chart its traces by name, with their values as the browser has them."""
        found: list[dict[str, Any]] = self.page.evaluate(TRACES)
        return found

    def titles(self) -> list[list[str]]:
        """Of each chart the titles of its axes."""
        found: list[list[str]] = self.page.evaluate(TITLES)
        return found

    def palette(self) -> Palette:
        """The background, and the colours of what is written on it."""
        background, colours = self.page.evaluate(COLOURS)
        return background, colours

    def errors(self) -> list[str]:
        """Boxes that say that something is wrong, exceptions included."""
        return self.page.locator("[data-testid=stAlertContentError], [data-testid=stException]").all_inner_texts()

    def metrics(self) -> dict[str, str]:
        """The figures at the top by their labels."""
        found: dict[str, str] = self.page.evaluate(
            """Object.fromEntries([...document.querySelectorAll('[data-testid=stMetric]')].map(figure => [
                figure.querySelector('[data-testid=stMetricLabel]').innerText,
                figure.querySelector('[data-testid=stMetricValue]').innerText]))"""
        )
        return found

    def choose(self, label: str, option: str) -> None:
        """Choose an option of a box that takes one."""
        box = self.page.locator("[data-testid=stSelectbox]").filter(has=self.page.get_by_text(label, exact=True))
        box.locator("input").click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def until(self, what: Callable[[], bool], message: str) -> None:
        """Wait until something is so, and all is drawn."""
        deadline = monotonic() + DRAW_MS / 1000
        while not what():
            assert monotonic() < deadline, message
            self.page.wait_for_timeout(100)
        self.settle()

    def chosen(self, key: str) -> list[str]:
        """What the address says of a choice."""
        return parse_qs(urlsplit(self.page.url).query).get(key, [])

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.location.get("url", "").endswith(SEARCHES):
            self.complaints.append(f"{message.text} ({message.location.get('url')})")


@contextmanager
def visiting(context: BrowserContext, base: str) -> Iterator[Visit]:
    """A new page of a browser."""
    page = context.new_page()
    page.set_default_timeout(DRAW_MS)
    visit = Visit(page, base)
    page.on("console", visit._hear)  # noqa: SLF001
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("request", lambda request: visit.asked.append(request.url))
    try:
        yield visit
    finally:
        page.close()


def wait_until_served(port: int, process: Process, said: Callable[[], str] = str) -> None:
    """Wait until the dashboard answers; `said` tells what its process has said, where that ends instead."""
    deadline = monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1) as answer:
                assert answer.status == HTTPStatus.OK
                return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, said()
            assert monotonic() < deadline, "the dashboard did not answer"


def require_dashboard(command: Sequence[str], port: int, folder: Path, environment: dict[str, str]) -> None:
    """Require that a command, run in a folder, serves the dashboard at a port; then end it."""
    served = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        wait_until_served(port, served, lambda: served.communicate()[0])
    finally:
        served.terminate()
        served.communicate(timeout=30)


@contextmanager
def dashboard_of(pipeline: Pipeline, *options: str) -> Iterator[str]:
    """The dashboard of a pipeline; its address at this machine."""
    port = free_port()
    log = pipeline.folder / "dashboard.log"
    with log.open("w") as output:
        process = pipeline.start("dashboard", "--port", str(port), *options, output=output)
        wait_until_served(port, process, log.read_text)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def crowding() -> float:
    """How many times longer all processors together take here now than alone: 1 where nobody else is at work.

    On each of them a process works for a fifth of a second of its own time, and sees how long that has taken.
    """
    spinning = [
        subprocess.Popen([sys.executable, "-c", SPIN], stdout=subprocess.PIPE, text=True)
        for _ in range(os.cpu_count() or 1)
    ]
    took = [float(process.communicate()[0]) for process in spinning]
    return max(1.0, sum(took) / len(took))


def contrast(colour: str, background: str) -> float:
    """Of two colours by WCAG 2.2, as #rrggbb or as browsers compute them; one that is not opaque lies on the other."""
    on, below = parts(colour), parts(background)
    mixed = [on[3] * front + (1 - on[3]) * back for front, back in zip(on[:3], below[:3], strict=True)]
    low, high = sorted((luminance(mixed), luminance(below[:3])))
    return (high + 0.05) / (low + 0.05)


def parts(colour: str) -> list[float]:
    """Red, green and blue from 0 to 255, and how opaque it is from 0 to 1."""
    if colour.startswith("#"):
        return [*(float(int(colour[at : at + 2], 16)) for at in (1, 3, 5)), 1.0]
    numbers = [float(part) for part in re.findall(r"[\d.]+", colour)]
    return numbers if len(numbers) == len("rgba") else [*numbers, 1.0]


def luminance(rgb: Sequence[float]) -> float:
    linear = [part / 255 / 12.92 if part / 255 <= 0.04045 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in rgb]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
