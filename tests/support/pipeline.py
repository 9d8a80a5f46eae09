"""One pipeline's places, and the `battery` command run there as a user runs it.

A command is a fork of a process that has loaded the libraries and the project, on which a process that starts afresh
spends more than on most commands. Where it matters what a process holds, a command can start afresh.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from support.forks import Forks, Process
from support.places import ROOT
from support.warehouses import look

from kernel.base.settings import Settings
from refresh.dbt import DbtRun, NodeResult, work_folder
from refresh.unit_tests import remember_unit_tests

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LANDING_TABLES = (
    "battery_ts_cleaned", "battery_quarantine", "battery_retries", "battery_about", "_windows", "_cycles", "_progress",
    "_cell_state",
)  # fmt: skip


LIBRARIES = (
    "bytewax.dataflow", "bytewax.run", "click", "confluent_kafka.admin", "duckdb", "filelock", "flatbuffers", "minio",
    "msgspec", "numpy", "openpyxl", "prometheus_client", "pyarrow.compute", "pyarrow.ipc", "pyarrow.parquet",
    "pydantic_settings", "python_calamine", "requests", "rich.console", "structlog", "tenacity", "urllib3", "uuid",
)  # fmt: skip
ROOMS = ("battery", "dataflows", "kernel", "producer", "refresh", "sink")
FLOW = {"dataflows.battery"}
"""Modules that read the settings as they load, each command its own; nor are the steps of Alembic loaded by others."""
LOAD = f"""
import importlib, pkgutil, sys, {", ".join(LIBRARIES)}
for room in {ROOMS!r}:
    for module in pkgutil.walk_packages(importlib.import_module(room).__path__, room + "."):
        if not (module.name in {FLOW!r} or module.name.endswith("__main__") or ".migrations" in module.name):
            importlib.import_module(module.name)
"""
COMMAND = """
sys.argv = ["battery", *{0!r}]
sys.orig_argv = [sys.executable, "-m", "battery", *{0!r}]  # by which a worker starts again
from battery.cli.main import main
main()
"""
commands = Forks(LOAD, {**os.environ, "PYTHONPATH": str(ROOT)})
"""What has loaded the libraries and the project, for all pipelines of a test process."""


def run_battery(folder: Path, environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """A `battery` command to its end in a folder, its output and its errors apart."""
    return commands.run(COMMAND.format(arguments), environment, folder)


def take_unit_tests_as_passed(settings: Settings) -> None:
    """Let refreshes leave out dbt's unit tests: other tests run them on the same code."""
    work_folder(settings).mkdir(parents=True, exist_ok=True)
    passed = NodeResult("unit_test.battery", "pass", 0.0, 0, None)
    remember_unit_tests(settings, DbtRun(("build",), 0.0, (passed,), None, audited=True, models=()))


@dataclass
class Pipeline:
    """One pipeline's places; every command runs as a process of its own, as a user's would."""

    folder: Path
    port: int
    extra: dict[str, str] = field(default_factory=dict)
    started: list[Process] = field(default_factory=list)

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

    def start(self, *arguments: str, output: IO[str] | int = subprocess.PIPE, afresh: bool = False) -> Process:
        """A `battery` command in the background.

        Args:
            arguments: those of the command.
            output: where its output and its errors go.
            afresh: whether its process starts afresh, and holds nothing but what the command itself loads.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if afresh:
            command = [sys.executable, "-m", "battery", *arguments]
            process: Process = subprocess.Popen(
                command, env=self.environment, cwd=self.folder, stdout=output, stderr=subprocess.STDOUT, text=True
            )
        else:
            process = commands.start(COMMAND.format(arguments), self.environment, self.folder, output)
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
        self.folder.mkdir(parents=True, exist_ok=True)
        done = commands.run(COMMAND.format(arguments), self.environment, self.folder, merged=True)
        assert done.returncode == code, done.stdout
        return done.stdout

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query finds; names without a schema are those of readers, else the internal ones."""
        with look(self.settings) as connection:
            return connection.execute(sql).fetchall()

    def checksums(self) -> dict[str, tuple[Any, ...]]:
        """Row count and a checksum over every value, for every landing table: the same in each kind of warehouse."""
        with look(self.settings) as connection:
            return {table: connection.execute(checksum_of(table)).fetchall()[0] for table in LANDING_TABLES}


def checksum_of(table: str) -> str:
    """The query for the row count of a table and a checksum over every value of it."""
    return f"select count(*), sum(hash(t)::hugeint) from {table} as t"  # noqa: S608
