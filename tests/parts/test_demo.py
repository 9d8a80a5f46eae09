"""`battery demo` from the wheel, away from the checkout: from nothing, and with the output that the guide shows."""

from __future__ import annotations

import io
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from rich.console import Console
from support.looking import require_dashboard
from support.places import ROOT
from support.wheel import run, without_checkout

from battery.cli.main import main
from battery.demo import MARK, Step, run_step
from kernel.base.errors import BatteryError
from kernel.base.ports import free_port
from kernel.base.settings import load_settings

FIRST_LOOK = ROOT / "docs" / "guides" / "first-look.md"
EARLIER = "of an earlier demo"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


def demo(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(installed, folder, "battery", "demo", *arguments, WAREHOUSE="must-not-matter.duckdb")


@pytest.fixture(scope="module")
def done(installed: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """A demo as `make demo` runs it, where there has been one before."""
    earlier = folder / "data" / "demo"
    earlier.mkdir(parents=True)
    for name in (MARK, EARLIER):
        (earlier / name).touch()
    done = demo(installed, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in folder.iterdir()] == ["data"]
    return done


def test_the_demo_ends_with_what_the_first_look_shows(folder: Path, done: subprocess.CompletedProcess[str]) -> None:
    assert "everything adds up" in done.stdout
    assert not (folder / "data" / "demo" / EARLIER).exists()
    (shown,) = re.findall(r"```text\n(\s*how the simulated cells age.*?)```", FIRST_LOOK.read_text(), re.DOTALL)
    wanted = [line.rstrip() for line in shown.strip().splitlines()]
    found = [line.strip() for line in done.stdout.splitlines()]
    assert [line for line in wanted if line.strip() not in found] == []
    with duckdb.connect(str(folder / "data" / "demo" / "battery.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) > 40000 from battery_features").fetchall() == [(True,)]


@pytest.mark.usefixtures("done")
def test_one_cell_is_healthy_one_shows_a_knee_and_one_is_past_the_end_of_its_life(folder: Path) -> None:
    with duckdb.connect(str(folder / "data" / "demo" / "battery.duckdb"), read_only=True) as connection:
        cells = connection.execute(
            "select knee_cycle is not null, eol_cycle is not null, projected_eol_cycle is not null, latest_soh < 1, "
            "initial_capacity_ah > 1.1, flagged_count from battery_cells order by cell_id"
        ).fetchall()
    assert cells == [
        (False, False, True, True, True, 0),
        (True, False, True, True, True, 0),
        (True, True, False, True, True, 0),
    ]


def test_each_step_is_a_line_with_its_time_and_its_whole_output_is_in_a_file(
    folder: Path, done: subprocess.CompletedProcess[str]
) -> None:
    steps = re.findall(r"^\$ battery (\w+).*\n  (\w+) .*\(\d+ s\)$", done.stdout, re.MULTILINE)
    assert steps == [
        ("produce", "published"),
        ("stream", "landed"),
        ("transform", "published"),
        ("verify", "everything"),
        ("status", "landed"),
    ]
    assert not re.search(r"\d+ of \d+ (START|OK|PASS)", done.stdout)
    assert len(done.stdout.splitlines()) < 35
    logs = folder / "data" / "demo" / "logs"
    assert f"logs       {logs.relative_to(folder)}" in done.stdout
    assert sorted(path.stem for path in logs.iterdir()) == sorted(name for name, _ in steps)
    assert "OK created sql table model building.battery_cells" in (logs / "transform.log").read_text()


class Screen(io.StringIO):
    """A terminal that makes a file once a text has been drawn on it."""

    def __init__(self, wanted: str, sign: Path) -> None:
        super().__init__()
        self.wanted, self.sign = wanted, sign

    def write(self, text: str) -> int:
        if self.wanted in text:
            self.sign.touch()
        return super().write(text)


def stub(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a shell script in the place of the command."""
    program = folder / "stub"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


@pytest.mark.timeout(60)
def test_dbts_progress_is_drawn_on_a_terminal_while_it_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sign, log = tmp_path / "drawn", tmp_path / "transform.log"
    wait = f"while [ ! -e {shlex.quote(str(sign))} ]; do sleep 0.01; done"
    stub(tmp_path, monkeypatch, f"echo '05:56:57  62 of 115 PASS a_test [PASS in 0.1s]'; {wait}; echo 'published  all'")
    screen = Screen("battery transform  62 of 115", sign)
    run_step(Step(("transform",), "published "), {}, log, Console(file=screen, force_terminal=True, width=100))
    assert re.search(r"  published all \(\d+ s\)", re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", screen.getvalue()))
    assert log.read_text() == "05:56:57  62 of 115 PASS a_test [PASS in 0.1s]\npublished  all\n"


def test_a_step_that_fails_names_the_reason_and_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "transform.log"
    stub(tmp_path, monkeypatch, "echo 'battery: dbt build failed: a test' >&2; echo Done.; exit 2")
    with pytest.raises(BatteryError) as raised:
        run_step(Step(("transform",), "published "), {}, log, Console(file=io.StringIO()))
    assert str(raised.value) == (
        "the demo stopped: `battery transform` ended with exit code 2: battery: dbt build failed: a test; "
        f"its whole output is in {log}"
    )
    assert log.read_text().splitlines() == ["battery: dbt build failed: a test", "Done."]


def test_a_step_is_the_command_that_ends_with_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, shown = tmp_path / "verify.log", io.StringIO()
    stub(tmp_path, monkeypatch, 'echo "$*, WAREHOUSE=$WAREHOUSE"')
    run_step(Step(("verify", "--live"), "nothing "), {"WAREHOUSE": "demo.duckdb"}, log, Console(file=shown))
    assert log.read_text() == "-m battery --with-parent verify --live, WAREHOUSE=demo.duckdb\n"
    assert shown.getvalue().splitlines()[0] == "$ battery verify --live"


@pytest.mark.timeout(60)
def test_a_step_that_is_interrupted_is_killed_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fifo = tmp_path / "open while anything of the step runs"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    stub(tmp_path, monkeypatch, f"exec 9>{shlex.quote(str(fifo))}; sleep 600 & echo working; wait")
    monkeypatch.setattr("battery.demo._DBT_PROGRESS", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        run_step(Step(("transform",), "published "), {}, tmp_path / "log", Console(file=io.StringIO()))
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b"", "the step and its child have ended"
    os.close(reader)


class Interrupted:
    """A pattern, in whose search Ctrl-C comes."""

    def search(self, _line: str) -> None:
        raise KeyboardInterrupt


def test_the_command_that_the_demo_names_last_serves_the_dashboard_on_its_data(
    folder: Path, done: subprocess.CompletedProcess[str]
) -> None:
    (command,) = re.findall(r"^  dashboard  (.*)$", done.stdout, re.MULTILINE)
    assert command.endswith("battery dashboard --data-dir data/demo")
    assert "battery --data-dir data/demo report SIM_01" in done.stdout
    assert "battery.open('data/demo')" in done.stdout
    port = free_port()
    require_dashboard(
        ["/bin/sh", "-c", f"exec {command} --port {port}"],  # pasted, without a virtual environment in the PATH
        port,
        folder,
        without_checkout(PATH=os.defpath, WAREHOUSE="must-not-matter.duckdb"),
    )


@pytest.mark.usefixtures("done")
def test_a_report_of_a_cell_of_the_demo_is_written(installed: Path, folder: Path, tmp_path: Path) -> None:
    data = str(folder / "data" / "demo")
    report = ("report", "SIM_01", "--no-png", "--out", "reports")
    shown = run(installed, tmp_path, "battery", "--data-dir", data, *report, WAREHOUSE="must-not-matter.duckdb")
    assert shown.returncode == 0, shown.stderr
    assert "SIM_01" in (tmp_path / "reports" / "SIM_01.html").read_text()


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


@pytest.mark.nightly
def test_a_second_demo_replaces_the_first(installed: Path, folder: Path) -> None:
    done = demo(installed, folder, "--cells", "1", "--cycles", "4")
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
