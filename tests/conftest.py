"""What tests of the whole pipeline share: an embedded broker, a place for everything, and the `battery` command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import duckdb
import pytest

from kernel.base.settings import Settings
from kernel.edges.broker import embedded_broker, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
LANDING_TABLES = (
    "battery_ts_cleaned", "battery_quarantine", "battery_retries", "_windows", "_cycles", "_progress", "_cell_state",
)  # fmt: skip


@dataclass
class Pipeline:
    """One pipeline's places; every command runs as a process of its own, as a user's would."""

    folder: Path
    port: int
    extra: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{self.port}",
            "OBJECT_STORE": f"file://{self.folder / 'objects'}",
            "WAREHOUSE": str(self.folder / "battery.duckdb"),
            "RECOVERY_DIR": str(self.folder / "recovery"),
            "REPLAY_DIR": str(self.folder / "replay"),
            "DOWNLOAD_DIR": str(self.folder / "downloads"),
            "COMMIT_INTERVAL_SECONDS": "1",
            "METRICS_PORT": "0",  # tests run side by side
            **self.extra,
        }

    @property
    def topic(self) -> str:
        return self.settings.battery_topic

    @property
    def settings(self) -> Settings:
        given = {name.lower(): value for name, value in self.environment.items()}
        return Settings(**{name: given[name] for name in Settings.model_fields if name in given})  # type: ignore[arg-type]

    def start(self, *arguments: str, output: IO[str] | int = subprocess.PIPE) -> subprocess.Popen[str]:
        """A `battery` command in the background."""
        self.folder.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "battery", *arguments],
            env=self.environment,
            cwd=self.folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """End what a failed test has left running."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def battery(self, *arguments: str, code: int = 0) -> str:
        """A `battery` command to its end; its output."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=240)
        assert process.returncode == code, output
        return output

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.folder / "battery.duckdb"), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def checksums(self) -> dict[str, tuple[Any, ...]]:
        """Row count and a checksum over every value, for every landing table."""
        return {
            table: self.query(f"select count(*), sum(hash(t)::hugeint) from {table} as t")[0]  # noqa: S608
            for table in LANDING_TABLES
        }


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills", type=int, default=20, help="How often the fault suite kills a worker at random, five times a seed."
    )
    parser.addoption(
        "--mutated-messages", type=int, default=500, help="How many messages the fault suite damages at random."
    )
    parser.addoption(
        "--mutated-files", type=int, default=20, help="How many workbooks are mutated at random and published together."
    )


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
