"""Workbooks read side by side: the order, the faults, and processes that end when they should not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from battery.errors import BatteryError
from producer import spool as spool_module
from producer.bounds import MAX_BYTES
from producer.simulate import simulate_cell, simulate_tests
from producer.sources import Found
from producer.spool import Job, Refused, SpooledWorkbook, spool, spool_all, usable_cores

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

FATAL = "fatal.xlsx"
"""A workbook that ends the process which reads it."""


@pytest.fixture(scope="module")
def workbooks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Seven workbooks of one test each, no two of the same number of rows but the last two."""
    return simulate_cell(tmp_path_factory.mktemp("workbooks"), "SPOOL", cycles=6, seed=1, cycles_per_file=1)


def ending(path: Path, *rest: object) -> SpooledWorkbook | Refused:
    """What a process reads with when its memory may run out."""
    if path.name == FATAL:
        os.kill(os.getpid(), signal.SIGKILL)
    return spool(path, *rest)  # type: ignore[arg-type]


def job(path: Path, folder: Path) -> Job:
    folder.mkdir()
    return Job(Found(path, path.name, str(path)), "", None, MAX_BYTES, folder)


def names_and_rows(
    jobs: Iterator[Job | Refused] | list[Job | Refused], processes: int
) -> list[tuple[str | None, int | str]]:
    found: list[tuple[str | None, int | str]] = []
    with closing(spool_all(jobs, processes)) as outcomes:
        for done, outcome in outcomes:
            said = outcome.line if isinstance(outcome, Refused) else sum(test.rows for test in outcome.tests)
            found.append((done and done.found.name, said))
    return found


def test_workbooks_come_out_in_their_order_with_the_refused_between_them(workbooks: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.xlsx"
    bad.write_bytes(b"hello " * 200)
    taken = [Refused("no such source"), *workbooks[:3], bad, Refused("no such ZIP"), workbooks[3]]

    def jobs(folder: Path) -> list[Job | Refused]:
        folder.mkdir()
        return [one if isinstance(one, Refused) else job(one, folder / str(number)) for number, one in enumerate(taken)]

    alone = names_and_rows(jobs(tmp_path / "alone"), 1)
    assert [name for name, _ in alone] == [
        None,
        *(path.name for path in workbooks[:3]),
        bad.name,
        None,
        workbooks[3].name,
    ]
    assert str(alone[4][1]).startswith("bad.xlsx: is not a workbook")
    assert names_and_rows(jobs(tmp_path / "together"), 2) == alone


def test_readings_that_another_process_spooled_are_those_of_the_workbook(workbooks: list[Path], tmp_path: Path) -> None:
    jobs = [job(path, tmp_path / path.stem) for path in workbooks]
    with closing(spool_all(jobs, 2)) as outcomes:
        tables: list[pa.Table] = [
            test.readings() for _, outcome in outcomes if isinstance(outcome, SpooledWorkbook) for test in outcome.tests
        ]
    exports = simulate_tests("SPOOL", cycles=6, seed=1, cycles_per_file=1)
    assert tables == [export.test.readings for export in exports]


def test_nothing_is_started_for_a_single_workbook(
    workbooks: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "_pool", lambda _: pytest.fail("a process was started"))
    jobs: list[Job | Refused] = [Refused("no such source"), job(workbooks[0], tmp_path / "tests")]
    assert [name for name, _ in names_and_rows(jobs, 8)] == [None, workbooks[0].name]


def test_workbooks_are_taken_only_a_few_ahead_of_those_handed_out(workbooks: list[Path], tmp_path: Path) -> None:
    taken = 0

    def jobs() -> Iterator[Job]:
        nonlocal taken
        for number in range(20):
            taken += 1
            yield job(workbooks[0], tmp_path / str(number))

    with closing(spool_all(jobs(), 2)) as outcomes:
        for handed_out, _ in enumerate(outcomes, 1):
            assert taken <= handed_out + 2 * 2
    assert taken == 20


def test_a_process_that_ends_costs_the_one_workbook_that_it_was_reading(
    workbooks: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "spool", ending)
    fatal = tmp_path / FATAL
    fatal.touch()
    paths = [workbooks[0], fatal, *workbooks[1:3]]
    found = names_and_rows([job(path, tmp_path / str(number)) for number, path in enumerate(paths)], 2)
    assert [name for name, _ in found] == [path.name for path in paths]
    (said,) = (said for _, said in found if isinstance(said, str))
    assert said == (
        "fatal.xlsx: the process that read it ended before it was done, as when memory runs out; split the workbook, "
        "or leave more memory with fewer --processes"
    )


def test_no_room_for_readings_is_one_line_from_another_process_too(workbooks: list[Path], tmp_path: Path) -> None:
    jobs = [job(path, tmp_path / path.stem) for path in workbooks[:2]]
    for one in jobs:
        one.folder.rmdir()
    with pytest.raises(BatteryError, match=r"readings cannot wait there, .*; TMPDIR names another place") as caught:
        names_and_rows(list(jobs), 2)
    assert caught.value.__cause__ is None


def test_a_reading_process_does_not_wait_for_libraries_that_it_has_no_use_for(
    workbooks: list[Path], tmp_path: Path
) -> None:
    found = job(workbooks[0], tmp_path / "tests").found
    with spool_module._pool(1) as pool:  # noqa: SLF001  # what runs in its processes is to be seen
        pool.submit(spool, found.path, found.name, None, MAX_BYTES, tmp_path / "tests").result()
        loaded = pool.submit(eval, "[name for name, module in __import__('sys').modules.items() if module]").result()
    assert "pyarrow" in loaded
    assert {"pandas", "requests", "confluent_kafka", "minio", "openpyxl", "pyarrow.compute"}.isdisjoint(loaded)


_READER = """
import sys, time
from pathlib import Path
from producer.spool import _pool
pool = _pool(1)
print(pool.submit(int, "1").result(), *pool._processes, flush=True)
time.sleep(60)
"""


def test_a_reading_process_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", _READER], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert parent.stdout is not None
    child = int(parent.stdout.readline().split()[1])
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while running(child):
        assert time.monotonic() < deadline, "the process goes on"
        time.sleep(0.05)


def running(process: int) -> bool:
    """Whether it is there and not merely waiting for somebody to take note of its end."""
    stat = Path(f"/proc/{process}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_process_may_use_the_cores_that_it_is_given(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    program = f"import os; os.sched_setaffinity(0, [{core}]); from producer.spool import usable_cores as n; print(n())"
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "1"
    assert usable_cores() == len(os.sched_getaffinity(0))
