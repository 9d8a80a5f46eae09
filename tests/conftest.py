"""What tests of the whole pipeline share: an embedded broker, a place for everything, and the `battery` command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from support.pipeline import Pipeline, commands
from support.places import SHARED
from support.profiles import register

from kernel.base.ports import free_port
from kernel.base.settings import Settings
from kernel.edges.broker import embedded_broker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest_plugins = [
    "support.durations",
    "support.fixtures.dbt",
    "support.fixtures.jobs",
    "support.fixtures.landing",
    "support.fixtures.log_lines",
    "support.fixtures.pages",
    "support.fixtures.postgres",
    "support.fixtures.wheel",
]
pytest.register_assert_rewrite("support.harness")  # its assertions, too, show what differs
register()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="Run the tests marked nightly, too.")
    parser.addoption(
        "--kills", type=int, default=20, help="How often the fault suite kills a worker at random, five times a seed."
    )
    parser.addoption(
        "--mutated-messages", type=int, default=500, help="How many messages the fault suite damages at random."
    )
    parser.addoption(
        "--mutated-files", type=int, default=20, help="How many workbooks are mutated at random and published together."
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--nightly"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("nightly")])
        items[:] = [item for item in items if not item.get_closest_marker("nightly")]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """By `-n auto` half as many processes again as there are cores, since tests wait for a quarter of their time."""
    cores = os.cpu_count() or 1
    return cores + cores // 2 if config.getoption("numprocesses") == "auto" else cores


def pytest_report_header(config: pytest.Config) -> str:
    kills, messages, files = map(config.getoption, ("--kills", "--mutated-messages", "--mutated-files"))
    return (
        f"fault suite: {kills} random kills, seeds 1 to {kills // 5} (--kills); {messages} damaged messages "
        f"(--mutated-messages); {files} damaged files (--mutated-files)"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kill_seed" in metafunc.fixturenames:
        metafunc.parametrize("kill_seed", range(1, metafunc.config.getoption("--kills") // 5 + 1))


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A developer's environment and `.env` are not for the tests."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(tmp_path_factory.mktemp("nowhere"))
        for name in Settings.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_process_is_left() -> Iterator[None]:
    yield
    commands.end()


@pytest.fixture(scope="module")
def broker() -> Iterator[int]:
    """An embedded broker of its own for each module; its port."""
    port = free_port()
    with embedded_broker(port):
        yield port


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    """A fresh pipeline on a broker of its own, hence on a log of its own."""
    port = free_port()
    with embedded_broker(port):
        pipeline = Pipeline(tmp_path / "pipeline", port)
        yield pipeline
        pipeline.end()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real workbooks and reference values, which are never part of the project."""
    if not SHARED.is_dir():
        pytest.skip(f"real workbooks are not at {SHARED}: this machine has no shared data")
    return SHARED


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    """An S3 server in a process of its own; its port."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=1).close()
            break
        except (urllib.error.URLError, OSError):
            assert server.poll() is None, "the S3 server ended"
            assert time.monotonic() < deadline, "the S3 server did not answer"
    yield port
    server.terminate()
    server.wait()
