"""`battery demo` as `make demo` runs it: from nothing, and with the output that the README shows."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import structlog
from support.looking import wait_until_served
from support.places import ROOT

from battery.cli.main import main
from kernel.base.settings import load_settings
from kernel.edges.broker import free_port

README = ROOT / "README.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


def demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "battery", "demo", *arguments],
        cwd=folder,
        env={**os.environ, "WAREHOUSE": "must-not-matter.duckdb"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def done(folder: Path) -> subprocess.CompletedProcess[str]:
    """A demo as `make demo` runs it."""
    done = demo(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_the_demo_ends_with_what_the_readme_shows(folder: Path, done: subprocess.CompletedProcess[str]) -> None:
    assert "everything adds up" in done.stdout
    (shown,) = re.findall(r"```\n(\s*how the simulated cells age.*?)```", README.read_text(), re.DOTALL)
    wanted = [line.rstrip() for line in shown.strip().splitlines()]
    found = [line.strip() for line in done.stdout.splitlines()]
    assert [line for line in wanted if line.strip() not in found] == []
    with duckdb.connect(str(folder / "data" / "demo" / "battery.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) > 40000 from battery_features").fetchall() == [(True,)]


def test_the_command_that_the_demo_names_last_serves_the_dashboard_on_its_data(
    folder: Path, done: subprocess.CompletedProcess[str]
) -> None:
    (command,) = re.findall(r"^  dashboard  (.*)$", done.stdout, re.MULTILINE)
    assert command.endswith("battery dashboard --data-dir data/demo")
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    shell = subprocess.Popen(
        [
            "/bin/sh",
            "-c",
            f"exec {command} --port {port}",
        ],  # pasted, by somebody whose PATH names no virtual environment
        cwd=folder,
        env={**environment, "PATH": os.defpath, "WAREHOUSE": "must-not-matter.duckdb"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until_served(port, shell, lambda: shell.communicate()[0])
    finally:
        shell.terminate()
        shell.communicate(timeout=30)


@pytest.mark.usefixtures("done")
def test_the_dashboard_takes_the_places_of_a_demo_from_its_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = []
    monkeypatch.setattr("battery.dashboard.serve", lambda *_: served.append(load_settings()))
    monkeypatch.setenv("WAREHOUSE", "must-not-matter.duckdb")
    for name in ("OBJECT_STORE", "RECOVERY_DIR"):
        monkeypatch.setenv(name, "file://must-not-matter")
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as left:
        main(["dashboard", "--data-dir", "data/demo"])
    assert left.value.code == 0
    (settings,) = served
    assert settings.warehouse == str(folder / "data" / "demo" / "battery.duckdb")
    assert settings.object_store == f"file://{folder / 'data' / 'demo' / 'objects'}"
    assert Path(settings.warehouse).exists()
    structlog.reset_defaults()


def test_a_second_demo_replaces_the_first(folder: Path) -> None:
    done = demo(folder, "--cells", "1", "--cycles", "4")
    assert done.returncode == 0, done.stdout + done.stderr
    with duckdb.connect(str(folder / "data" / "demo" / "battery.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(distinct cell_id) from battery_ts").fetchall() == [(1,)]


def test_a_demo_that_is_ended_takes_its_broker_with_it(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "battery", "demo", "--cells", "1", "--cycles", "2"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    port = next(int(line.rsplit(":", 1)[1]) for line in process.stdout if "an embedded broker answers at" in line)
    process.terminate()
    process.communicate(timeout=60)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
