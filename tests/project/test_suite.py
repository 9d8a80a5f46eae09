"""How the suite itself is run: its order, its profiles, its forks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from support import durations
from support.durations import MEASURED, UNKNOWN_SECONDS, Durations, long_ones_first
from support.forks import Forks
from support.places import ROOT
from support.profiles import EXAMPLES, FEWEST, examples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_the_longest_files_begin_first_and_unknown_ones_before_short_ones() -> None:
    seconds = {"short": UNKNOWN_SECONDS / 2, "long": 200.0, "longer": 300.0}
    assert long_ones_first(["short", "new", "long", "longer"], seconds) == ["longer", "long", "new", "short"]


def test_every_file_whose_duration_is_kept_is_there() -> None:
    assert [file for file in json.loads(MEASURED.read_text()) if not (ROOT / file).exists()] == []


def test_a_run_keeps_what_its_files_took_beside_what_was_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "durations.json"
    kept.write_text(json.dumps({"Makefile": 7.0, "gone.py": 3.0}))
    monkeypatch.setattr(durations, "MEASURED", kept)
    measured = Durations()
    measured.seconds = Counter({"uv.lock": 1.26})
    measured.pytest_sessionfinish()
    assert json.loads(kept.read_text()) == {"Makefile": 7.0, "uv.lock": 1.3}


@pytest.mark.parametrize(("options", "found"), [([], False), (["--nightly"], True)])
def test_what_is_marked_nightly_runs_by_night_alone(options: list[str], found: bool) -> None:
    name = "tests/parts/test_demo.py::test_a_second_demo_replaces_the_first"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--collect-only", *options]
    done = subprocess.run(
        [*command, "tests/parts/test_demo.py"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (name in done.stdout) is found


def test_a_property_is_tried_on_its_share_of_the_examples_of_the_profile() -> None:
    now = settings().max_examples
    assert now in EXAMPLES.values()
    assert examples(2).max_examples == 2 * now
    assert examples(0.001).max_examples == FEWEST


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    forks = Forks("import os, sys; loaded = [os.getpid()]", os.environ)
    yield forks
    forks.end()


def test_a_fork_has_what_was_loaded_and_leaves_nothing_to_the_next(forks: Forks) -> None:
    code = "print(len(loaded), os.environ.get('GIVEN')); loaded.append(0); print('said', file=sys.stderr)"
    for given in ({"GIVEN": "a"}, {}):
        done = forks.run(code, given)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"1 {given.get('GIVEN')}\n", "said\n")


def test_a_fork_ends_with_the_code_that_its_piece_ends_with(forks: Forks) -> None:
    assert forks.run("sys.exit(3)", {}).returncode == 3
    assert forks.run("sys.exit()", {}).returncode == 0
    done = forks.run("raise ValueError('bad')", {})
    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: bad\n")


def test_errors_go_where_the_output_goes_if_that_is_asked_for(forks: Forks) -> None:
    done = forks.run("print('one', flush=True); print('two', file=sys.stderr)", {}, merged=True)
    assert done.stdout == done.stderr == "one\ntwo\n"


def test_a_fork_runs_in_its_folder_and_finishes_what_ends_with_a_process(forks: Forks, tmp_path: Path) -> None:
    code = """
import atexit, threading, time
atexit.register(print, "ended in", os.getcwd())
threading.Thread(target=lambda: print("joined", not time.sleep(0.01))).start()
"""
    assert forks.run(code, {}, tmp_path).stdout == f"joined True\nended in {tmp_path}\n"


def test_a_fork_that_was_started_is_read_and_struck_like_any_process(forks: Forks, tmp_path: Path) -> None:
    code = "import time; print('begun', os.getpid(), flush=True); time.sleep(600)"
    fork = forks.start(code, {}, tmp_path)
    assert fork.stdout is not None
    assert fork.stdout.readline() == f"begun {fork.pid}\n"
    assert fork.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        fork.wait(0.01)
    assert forks.run("sys.exit(3)", {}).returncode == 3, "others run meanwhile"
    fork.kill()
    assert fork.communicate(timeout=60) == ("", None)
    assert fork.returncode == -signal.SIGKILL


def test_a_fork_writes_to_a_file_where_it_is_given_one(forks: Forks, tmp_path: Path) -> None:
    with (tmp_path / "said").open("w") as output:
        fork = forks.start("print('out'); print('err', file=sys.stderr); sys.exit(4)", {}, tmp_path, output)
    assert fork.wait(60) == 4
    assert sorted((tmp_path / "said").read_text().split()) == ["err", "out"]


def test_a_piece_of_code_that_is_given_up_leaves_its_answer_to_nobody(forks: Forks, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        while not begun.exists():
            pass
        signal.pthread_kill(main, signal.SIGUSR1)

    def give_up(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGUSR1, give_up)
    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(TimeoutError):
        forks.run(f"import threading; open({str(begun)!r}, 'w').close(); threading.Event().wait()", {})
    signal.signal(signal.SIGUSR1, before)
    assert forks.run("sys.exit(7)", {}).returncode == 7


def test_make_lets_python_write_bytecode_whatever_the_environment_says() -> None:
    shown = subprocess.run(
        ["make", "--silent", "--eval", "show: ; @env", "show"],
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "PATH=" in shown.stdout
    assert "PYTHONDONTWRITEBYTECODE" not in shown.stdout


def test_no_target_of_make_is_defined_twice() -> None:
    planned = subprocess.run(["make", "--dry-run", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert planned.stderr == ""
