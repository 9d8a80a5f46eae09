from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import duckdb
import pytest
from support.pipeline import run_battery
from support.places import ROOT

from battery.cli.main import cli, main
from kernel.base.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = (
    "produce",
    "stream",
    "replay",
    "quarantine",
    "transform",
    "publish",
    "news",
    "compact",
    "sweep",
    "verify",
    "status",
    "doctor",
    "cells",
    "backup",
    "restore",
    "export",
    "health",
    "dashboard",
    "report",
    "airflow",
    "broker",
    "up",
    "demo",
    "gateway",
)
REFERENCE = (ROOT / "docs" / "reference" / "commands.md").read_text()


def battery(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    broker = f"127.0.0.1:{free_port()}"
    return run_battery(folder, {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": broker, **environment}, *arguments)


def test_help_names_every_command_and_the_reference_does_too(tmp_path: Path) -> None:
    shown = battery(tmp_path, "--help").stdout
    for command in COMMANDS:
        assert f"  {command} " in shown
        assert f"`battery {command}" in REFERENCE


HELP = """
import contextlib, io, sys
before = set(sys.modules)
from battery.cli.main import cli, main
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main(["--help"])
print(*sorted(set(sys.modules) - before))
"""

HEAVY = {"bytewax", "confluent_kafka", "duckdb", "numpy", "pyarrow", "pydantic", "rich", "structlog"}

MOST_MODULES = 120
"""Modules that `battery --help` imports, click and those of the standard library that it needs among them."""


def test_help_imports_nothing_heavy() -> None:
    shown = subprocess.run([sys.executable, "-c", HELP], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    imported = shown.split()
    assert {"click", "battery.cli.landing", "producer.command"} <= set(imported)
    assert {name.partition(".")[0] for name in imported} & HEAVY == set()
    assert len(imported) <= MOST_MODULES, imported


def test_every_place_of_a_command_has_the_command_of_that_name() -> None:
    context = click.Context(cli)
    names = cli.list_commands(context)
    commands = [cli.get_command(context, name) for name in names]
    assert [command and command.name for command in commands] == names
    assert set(names) >= set(COMMANDS)
    assert cli.get_command(context, "sideways") is None


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["stream"], {}, "no broker answers at KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:"),
        (["produce", "."], {}, "start one with `battery broker`"),
        (["stream"], {"WAREHOUSE": "md:battery_db"}, "needs MOTHERDUCK_TOKEN"),
        (["status"], {}, "does not exist yet; `battery stream` makes it"),
        (["transform"], {}, "does not exist yet; `battery stream` makes it"),
        (["transform", "--", "build", "--sample=1 day"], {}, "--sample=1 day would build models of only a part"),
        (["report", "CS2_35"], {}, "no figures have been published yet; `battery transform` builds and publishes them"),
        (["export", "CS2_35"], {}, "no figures have been published yet; `battery transform` builds and publishes them"),
        (["export", "CS2_35", "--cycles", "9-1"], {}, "9-1 is no cycle or range of them"),
        (["backup", "new"], {}, "does not exist yet; `battery stream` makes it"),
        (
            ["backup", "new"],
            {"WAREHOUSE": "md:lab", "MOTHERDUCK_TOKEN": "x"},
            "is a service, which keeps its own backups",
        ),
        (["restore", "."], {}, "is no backup, or one that broke off"),
        (["publish"], {}, "does not exist yet; `battery stream` makes it"),
        (["transform"], {"WAREHOUSE": "other.duckdb"}, "run `battery stream` first"),
        (["transform"], {"WAREHOUSE": "mine.txt"}, "not a valid DuckDB database file"),
        (["stream"], {"WINDOW_SECONDS": "ten"}, "WINDOW_SECONDS"),
        (["produce", "--watch", "a.xlsx"], {}, "--watch needs one folder"),
        (["replay"], {}, "say from where to replay, by one of --from-beginning"),
        (["replay", "--from-archive", "--from-beginning"], {}, "say from where to replay, by one of"),
        (["replay", "--from-offset", "1500"], {}, "--from-offset 1500 is not PARTITION:OFFSET"),
        (["replay", "--from-time", "yesterday"], {}, "--from-time yesterday is not a time such as"),
        (["replay", "--from-beginning"], {"REPLAY_DIR": "mine.txt"}, "REPLAY_DIR="),
        (["quarantine", "list"], {"WAREHOUSE": "other.duckdb"}, "holds no landing tables yet"),
        (["demo", "--data-dir", "."], {}, "holds files that are not of a demo"),
        (["demo", "--data-dir", "mine.txt"], {}, "mine.txt is not a folder"),
        (["produce", "nowhere.xlsx"], {}, "there is no nowhere.xlsx"),
        (["stream"], {"KAFKA_SSL_CA_LOCATION": "/nope", "KAFKA_SECURITY_PROTOCOL": "SSL"}, "KAFKA_ settings: "),
        (["status"], {"WAREHOUSE": "other.duckdb"}, "holds no landing tables yet"),
        (["verify"], {"WAREHOUSE": "other.duckdb"}, "holds no landing tables yet"),
    ],
)
def test_an_error_is_one_line_with_exit_code_2(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], said: str
) -> None:
    (tmp_path / "mine.txt").write_text("no database\n" * 1000)
    duckdb.connect(str(tmp_path / "other.duckdb")).close()
    done = battery(tmp_path, *arguments, **environment)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("battery: ")


def test_an_error_that_nobody_foresaw_is_one_line_too_and_a_traceback_with_debug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_port: int) -> None:
        raise RuntimeError("wrapped") from OSError("the innermost\nreason")

    monkeypatch.setattr("kernel.edges.broker.serve", fail)
    with pytest.raises(SystemExit) as left:
        main(["broker"])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("battery: unexpected OSError: the innermost; ")
    assert len(said.splitlines()) == 1
    with pytest.raises(RuntimeError, match="wrapped"):
        main(["--debug", "broker"])


def test_a_signal_that_came_while_another_library_was_at_work_ends_with_its_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_port: int) -> None:
        raise RuntimeError("Query interrupted") from SystemExit(143)

    monkeypatch.setattr("kernel.edges.broker.serve", fail)
    with pytest.raises(SystemExit) as left:
        main(["broker"])
    assert left.value.code == 143


def test_a_missing_motherduck_token_fails_in_under_a_second(tmp_path: Path) -> None:
    done = battery(tmp_path, "stream", WAREHOUSE="md:battery_db")
    assert done.returncode == 2
    # Nothing was connected: the setting alone is judged, before any module that could connect is loaded.
    probe = "import sys; import kernel.base.settings; print('duckdb' in sys.modules, 'confluent_kafka' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == ["False", "False"]


def test_an_unknown_option_is_refused_with_exit_code_2(tmp_path: Path) -> None:
    assert battery(tmp_path, "stream", "--sideways").returncode == 2


def test_python_m_producer_is_battery_produce(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "producer", "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Usage: python -m producer [OPTIONS] SOURCE..." in done.stdout
