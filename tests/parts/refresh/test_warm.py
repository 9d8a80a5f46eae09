"""The warm dbt: one process for many runs, which gives way when it must, and leaves nothing locked or running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb
import pytest
from support.places import ROOT

import refresh.project
import refresh.warm
from kernel.base.settings import Settings
from refresh.dbt import BUILDING, DbtRun, dbt, lock_models, work_folder
from refresh.warm import WarmDbt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROJECT: Final = """
name: tiny
profile: battery_profile
version: "1.0.0"
models:
  +materialized: table
"""

FAILS_AT_FOUR: Final = "select * from {{ ref('number') }} where number = 4"

ENDLESS: Final = "select count(*) as number from range(1000000000) as one cross join range(1000000000) as other"

SECONDS: Final = 60

MEMORY: Final = 512 * 1024**2


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dbt project of one model and one test, which takes the place of the real one."""
    folder = tmp_path / "dbt_project"
    (folder / "models").mkdir(parents=True)
    (folder / "tests").mkdir()
    (folder / "dbt_project.yml").write_text(PROJECT)
    (folder / "profiles.yml").write_text((ROOT / "dbt_project" / "profiles.yml").read_text())
    (folder / "models" / "number.sql").write_text(
        "select 3 as number, '{{ env_var('BATTERY_DBT_RUN', '') }}' as run, "
        "current_setting('memory_limit') as memory, current_setting('temp_directory') as spill"
    )
    (folder / "tests" / "is_not_four.sql").write_text(FAILS_AT_FOUR)
    monkeypatch.setattr(refresh.project, "__file__", str(tmp_path / "refresh" / "project.py"))
    for name in [name for name in os.environ if name.startswith("DBT_")]:
        monkeypatch.delenv(name)
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, warehouse=str(tmp_path / "battery.duckdb"), dbt_memory_bytes=MEMORY)


@pytest.fixture
def warm(settings: Settings, project: Path) -> Iterator[WarmDbt]:  # noqa: ARG001  # it is read when dbt starts
    with WarmDbt(settings, BUILDING) as warm:
        yield warm


def build(settings: Settings, warm: WarmDbt, run: str = "") -> DbtRun:
    with lock_models(settings) as lock:
        return dbt(settings, ("build",), BUILDING, lock, run, runner=warm.run)


def built(settings: Settings) -> tuple[int, str]:
    """Number and run of the model, read by opening the warehouse as a worker does."""
    with duckdb.connect(settings.warehouse) as connection:
        row = connection.execute(f"select number, run from {BUILDING}.number").fetchone()  # noqa: S608
    assert row is not None
    return row


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]


def test_one_process_runs_dbt_again_and_again_each_time_in_its_own_environment_and_frees_the_warehouse(
    settings: Settings, warm: WarmDbt
) -> None:
    pids = set()
    for run in ("one", "two", "three"):
        done = build(settings, warm, run)
        assert done.failure is None
        assert done.audited
        assert built(settings) == (3, run)
        pids.add(warm.pid)
    assert len(pids) == 1
    with duckdb.connect(settings.warehouse) as connection:
        limits = connection.execute(f"select memory, spill from {BUILDING}.number").fetchone()  # noqa: S608
    assert limits == ("512.0 MiB", str(work_folder(settings) / "spill"))
    warm.end()
    assert not is_running(pids.pop() or 0)


def test_a_test_that_fails_is_named_and_passes_once_the_project_is_mended(
    settings: Settings, warm: WarmDbt, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = project / "models" / "number.sql"
    model.write_text("select 4 as number, 'bad \x1b[2J' as run")
    failed = build(settings, warm)
    assert failed.failure is not None
    assert "test is_not_four (Got 1 result, configured to fail if != 0)" in failed.failure
    assert not failed.audited
    first = warm.pid
    assert build(settings, warm).failure == failed.failure
    assert warm.pid == first, "a failure is no reason for another process"

    model.write_text("select 5 as number, 'good' as run")
    assert build(settings, warm).audited
    assert built(settings) == (5, "good")
    assert warm.pid != first, "the project has changed"
    warm.end()
    printed = capfd.readouterr().out
    assert "is_not_four" in printed
    assert "\x1b[2J" not in printed


def test_a_project_that_cannot_be_read_fails_and_its_output_says_why(
    settings: Settings, warm: WarmDbt, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (project / "models" / "number.sql").write_text("select {{ ref('nothing') }}")
    done = build(settings, warm)
    assert done.failure is not None
    assert "it ended before it ran anything" in done.failure
    warm.end()
    assert "'nothing' which was not found" in capfd.readouterr().out


def test_a_process_that_has_run_often_or_has_grown_gives_way(
    settings: Settings, warm: WarmDbt, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build(settings, warm).audited
    first = warm.pid
    warm.prepare()
    assert warm.pid == first
    for limit in ("MOST_RUNS", "MOST_BYTES"):
        with monkeypatch.context() as patch:
            patch.setattr(refresh.warm, limit, 1)
            warm.prepare()
            assert warm.pid != first
        first = warm.pid
        assert limit == "MOST_BYTES" or build(settings, warm).audited


def test_a_process_that_is_killed_fails_its_run_and_the_next_run_has_another(
    settings: Settings, warm: WarmDbt, project: Path
) -> None:
    model = project / "models" / "number.sql"
    good = model.read_text()
    model.write_text(ENDLESS)
    begun = work_folder(settings) / "target" / "run" / "tiny" / "models" / "number.sql"

    def kill() -> None:
        wait_for(begun.exists)
        os.kill(warm.pid or 0, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    done = build(settings, warm)
    killer.join()
    assert done.failure is not None
    assert not done.audited
    model.write_text(good)
    assert build(settings, warm).audited


def test_a_process_that_ends_before_it_begins_a_run_gives_way_to_another_in_that_run(
    settings: Settings, warm: WarmDbt, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build(settings, warm).audited
    first = warm.pid
    os.kill(first or 0, signal.SIGKILL)
    wait_for(lambda: not is_running(first or 0))
    monkeypatch.setattr("refresh.warm._Process.may_stay", lambda *_: True)  # nobody has noticed yet
    assert build(settings, warm).audited
    assert warm.pid != first


PARENT: Final = """
import sys
import refresh.project
from kernel.base.settings import Settings
from refresh.dbt import BUILDING, dbt, lock_models
from refresh.warm import WarmDbt
refresh.project.__file__ = sys.argv[1]
settings = Settings(_env_file=None, warehouse=sys.argv[2])
with WarmDbt(settings, BUILDING) as warm, lock_models(settings) as lock:
    warm.prepare()
    print(warm.pid, flush=True)
    dbt(settings, ("build",), BUILDING, lock, runner=warm.run)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with the one that started it")
def test_nobody_gets_the_lock_before_dbt_has_ended_with_a_parent_that_was_killed(
    settings: Settings, project: Path, tmp_path: Path
) -> None:
    (project / "models" / "number.sql").write_text(ENDLESS)
    begun = work_folder(settings) / "target" / "run" / "tiny" / "models" / "number.sql"
    arguments = [sys.executable, "-c", PARENT, str(tmp_path / "refresh" / "project.py"), settings.warehouse]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_for(begun.exists)
        assert is_running(pid)
        parent.kill()
        with lock_models(settings):
            assert not is_running(pid)
