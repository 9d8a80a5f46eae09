"""The temporary folders of runs: those of the living stay, those of the killed go."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kernel.base.errors import BatteryError
from producer.scratch import BEGIN_SECONDS, LOCK, PREFIX, scratch_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_RUN = """
from producer.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "0.arrow").write_bytes(b"readings")
    print(folder, flush=True)
    input()
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def start(root: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[str], Path]]]:
    """Starts a run in a process of its own; its folder comes with it."""
    started: list[subprocess.Popen[str]] = []

    def run() -> tuple[subprocess.Popen[str], Path]:
        process = subprocess.Popen(
            [sys.executable, "-c", _RUN],
            env=os.environ | {"TMPDIR": str(root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        return process, Path(next(line for line in lines if line.startswith(str(root))).strip())

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_the_folder_of_a_run_that_was_killed_goes_with_the_next_one_and_those_of_the_living_stay(
    root: Path, start: Callable[[], tuple[subprocess.Popen[str], Path]]
) -> None:
    _, living = start()
    dead, left = start()
    dead.kill()
    dead.wait()
    assert (left / "0.arrow").exists()
    with scratch_folder() as own:
        assert sorted(root.iterdir()) == sorted([living, own])
        assert (living / "0.arrow").exists()
    assert list(root.iterdir()) == [living]


def test_what_is_not_a_folder_of_a_run_of_ours_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = root / "elsewhere"
    target.mkdir()
    (root / f"{PREFIX}link").symlink_to(target)
    (root / f"{PREFIX}file").touch()
    (root / "battery-report-1").mkdir()
    before = sorted(root.iterdir())
    with scratch_folder():
        pass
    assert sorted(root.iterdir()) == before
    (root / f"{PREFIX}foreign").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with scratch_folder():
        pass
    assert (root / f"{PREFIX}foreign").exists()


def test_a_folder_whose_run_is_about_to_take_its_lock_stays_and_one_that_was_given_up_goes(root: Path) -> None:
    about_to, given_up = root / f".{PREFIX}1", root / f".{PREFIX}2"
    old = time.time() - BEGIN_SECONDS - 60
    for folder in (about_to, given_up):
        folder.mkdir()
        (folder / LOCK).touch()
    os.utime(given_up, (old, old))
    with scratch_folder():
        assert (about_to.exists(), given_up.exists()) == (True, False)


def test_no_room_for_a_folder_is_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(root / "gone"))
    with pytest.raises(BatteryError, match=r"cannot make a folder in .*gone: No such file.*TMPDIR"), scratch_folder():
        pass
