"""Workbooks read side by side: the order, the faults, and files that fill or end the process that reads them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.bombs import BOMBS, MEMORY_BYTES
from support.children import Largest, most_allowed
from support.toy_reader import toy
from support.twins.arbin import mits10, write_text
from support.twins.cell import twin_cell

from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from kernel.contract.about import About
from producer import spool as spool_module
from producer.child import Child, Limits
from producer.files import Content, Refusal, WorkbookFile
from producer.simulate import simulate_cell, simulate_tests
from producer.spool import (
    Job,
    Readers,
    SpooledWorkbook,
    modules_to_read_with,
    reading_processes,
    spool,
    spool_all,
    usable_cores,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

ARBIN = "producer.readers.arbin:READER"


@pytest.fixture(scope="module")
def workbooks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Seven workbooks of one test each, no two of the same number of rows but the last two."""
    return simulate_cell(tmp_path_factory.mktemp("workbooks"), "SPOOL", cycles=6, seed=1, cycles_per_file=1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(reader_memory_bytes=MEMORY_BYTES, object_store=f"file://{tmp_path}")


def struck(job: Job) -> SpooledWorkbook | Refusal:
    """What a process reads with when something strikes it."""
    if job.file.name == "killed.xlsx":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.file.name == "crashed.xlsx":
        os.kill(os.getpid(), signal.SIGSEGV)
    if job.file.name == "hangs.xlsx":
        time.sleep(600)
    if job.file.name == "unforeseen.xlsx":
        raise KeyError("Voltage(V)")
    return spool(job)


def job(path: Path, folder: Path) -> Job:
    folder.mkdir(parents=True)
    return Job(WorkbookFile(Content.of(path), path.name, path.name), ARBIN, folder)


def outcomes(
    jobs: Iterator[Job | Refusal] | list[Job | Refusal] | list[Job], processes: int, settings: Settings, folder: Path
) -> list[tuple[str | None, int | str]]:
    """What came of each: the name of its workbook, and how many rows it has or why it is refused."""
    found: list[tuple[str | None, int | str]] = []
    with Readers(processes, settings, folder) as readers, closing(spool_all(jobs, readers)) as done:
        for one, outcome in done:
            said = outcome.line if isinstance(outcome, Refusal) else sum(test.rows for test in outcome.tests)
            found.append((one.file.name if one else None, said))
    return found


def test_workbooks_come_out_in_their_order_with_the_refused_between_them(
    workbooks: list[Path], settings: Settings, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.xlsx"
    bad.write_bytes(b"hello " * 200)
    taken: list[Path | Refusal] = [Refusal("no such source"), *workbooks[:3], bad, Refusal("no such ZIP"), workbooks[3]]

    def jobs(folder: Path) -> list[Job | Refusal]:
        return [one if isinstance(one, Refusal) else job(one, folder / str(number)) for number, one in enumerate(taken)]

    alone = outcomes(jobs(tmp_path / "alone"), 1, settings, tmp_path)
    assert [name for name, _ in alone] == [
        None,
        *(path.name for path in workbooks[:3]),
        bad.name,
        None,
        workbooks[3].name,
    ]
    assert str(alone[4][1]).startswith("bad.xlsx: is not a workbook")
    assert outcomes(jobs(tmp_path / "together"), 2, settings, tmp_path) == alone


def test_readings_that_another_process_spooled_are_those_of_the_workbook(
    workbooks: list[Path], settings: Settings, tmp_path: Path
) -> None:
    jobs = [job(path, tmp_path / path.stem) for path in workbooks]
    with Readers(2, settings, tmp_path) as readers, closing(spool_all(jobs, readers)) as done:
        tables: list[pa.Table] = [
            test.readings() for _, outcome in done if isinstance(outcome, SpooledWorkbook) for test in outcome.tests
        ]
    exports = simulate_tests("SPOOL", cycles=6, seed=1, cycles_per_file=1)
    assert tables == [export.test.readings for export in exports]


def test_what_a_reader_said_comes_from_its_process_under_the_name_of_the_reader(
    settings: Settings, tmp_path: Path
) -> None:
    said = replace(job(toy(tmp_path / "A.toy"), tmp_path / "said"), reader="support.toy_reader:READER")
    with Readers(1, settings, tmp_path) as readers, closing(spool_all([said], readers)) as done:
        found = [test.about for _, outcome in done if isinstance(outcome, SpooledWorkbook) for test in outcome.tests]
    assert found == [About("toy", ("the file has no steps: all is one",))]


def test_workbooks_are_taken_only_a_few_ahead_of_those_handed_out(
    workbooks: list[Path], settings: Settings, tmp_path: Path
) -> None:
    taken = 0

    def jobs() -> Iterator[Job]:
        nonlocal taken
        for number in range(20):
            taken += 1
            yield job(workbooks[0], tmp_path / str(number))

    with Readers(2, settings, tmp_path) as readers, closing(spool_all(jobs(), readers)) as done:
        for handed_out, _ in enumerate(done, 1):
            assert taken <= handed_out + 2 * 2
    assert taken == 20


def test_whatever_would_fill_memory_is_one_line_that_names_it_and_the_others_are_read(
    workbooks: list[Path], settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "bombs").mkdir()
    paths = [path for name, make in BOMBS.items() for path in (make(tmp_path / "bombs" / name), workbooks[0])]
    jobs = [job(path, tmp_path / "tests" / str(number)) for number, path in enumerate(paths)]
    with Largest() as largest:
        found = outcomes(jobs, 2, settings, tmp_path)
    said = {name: line for name, line in found if name in BOMBS}
    assert said == {
        name: f"{name}: reading it took more than READER_MEMORY_BYTES={MEMORY_BYTES}; delete far stray cells, split "
        "the workbook, or raise it"
        for name in BOMBS
    }
    rows = {line for name, line in found if name not in BOMBS}
    assert len(rows) == 1
    assert isinstance(rows.pop(), int)
    assert MEMORY_BYTES < largest.bytes <= most_allowed(tmp_path, MEMORY_BYTES)


def test_a_process_that_is_struck_costs_the_one_workbook_that_it_was_reading(
    workbooks: list[Path], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "spool", struck)
    settings = settings.model_copy(update={"reader_timeout_seconds": 3.0})
    bad = ("killed.xlsx", "crashed.xlsx", "hangs.xlsx", "unforeseen.xlsx")
    paths = [path for name in bad for path in (Path(shutil.copy(workbooks[0], tmp_path / name)), workbooks[1])]
    jobs = [job(path, tmp_path / str(number)) for number, path in enumerate(paths)]
    with Readers(2, settings, tmp_path) as readers, closing(spool_all(jobs, readers)) as done:
        found = {one.file.name: outcome for one, outcome in done if one and isinstance(outcome, Refusal)}
    assert {name: refused.line.removeprefix(f"{name}: ") for name, refused in found.items()} == {
        "killed.xlsx": "the process that read it was killed, as the system does when memory runs out; split the "
        "workbook, or leave more memory with fewer --processes",
        "crashed.xlsx": f"the process that read it ended with SIGSEGV, as it may within READER_MEMORY_BYTES="
        f"{MEMORY_BYTES}; split it",
        "hangs.xlsx": "reading it took longer than READER_TIMEOUT_SECONDS=3; split the workbook, or raise it",
        "unforeseen.xlsx": "its reader failed over it (KeyError: 'Voltage(V)'); it may be damaged: export it again, or "
        "report it",
    }
    # What may be the machine's doing is no verdict on the content, and is not remembered.
    assert {name for name, refused in found.items() if refused.sha256} == {"crashed.xlsx", "unforeseen.xlsx"}


def test_no_room_for_readings_is_one_line_from_another_process_too(
    workbooks: list[Path], settings: Settings, tmp_path: Path
) -> None:
    jobs = [job(path, tmp_path / path.stem) for path in workbooks[:2]]
    for one in jobs:
        one.folder.rmdir()
    with pytest.raises(
        BatteryError, match=r"readings cannot be written there, .*; TMPDIR names another place"
    ) as caught:
        outcomes(jobs, 2, settings, tmp_path)
    assert caught.value.__cause__ is None


def test_a_reading_process_does_not_wait_for_libraries_that_it_has_no_use_for(
    workbooks: list[Path], tmp_path: Path
) -> None:
    roomy = Settings().reader_memory_bytes  # what finds no room is not imported either
    child = Child(Limits(roomy, 60), tmp_path, spool_module.__name__, "producer.readers.arbin")
    assert isinstance(child.result(spool, job(workbooks[0], tmp_path / "tests")), SpooledWorkbook)
    found = child.result(eval, "[name for name, module in __import__('sys').modules.items() if module]")
    child.end()
    assert isinstance(found, list)
    assert "pyarrow" in found
    unwanted = {
        "pandas",
        "requests",
        "confluent_kafka",
        "minio",
        "openpyxl",
        "pyarrow.compute",
        "duckdb",
        "pydantic",
        "importlib.metadata",
        "producer.simulate",
    }
    assert unwanted.isdisjoint(found)


def test_a_process_that_reads_a_text_leaves_pandas_out_and_a_reader_may_still_have_it(tmp_path: Path) -> None:
    text = write_text(tmp_path / "CELL_1.csv", mits10(twin_cell(1)))
    child = Child(Limits(Settings().reader_memory_bytes, 60), tmp_path, *modules_to_read_with())
    assert isinstance(child.result(spool, job(text, tmp_path / "tests")), SpooledWorkbook)
    assert child.result(eval, "'pandas' in __import__('sys').modules") is False
    assert child.result(eval, "__import__('pandas').__name__") == "pandas"
    child.end()


def test_a_reading_process_has_the_readers_ready_before_there_is_work(settings: Settings, tmp_path: Path) -> None:
    with Readers(1, settings, tmp_path) as readers:
        (child,) = readers._idle  # noqa: SLF001  # it has no work, and is asked what it has imported
        assert child.result(eval, "'producer.readers.arbin' in __import__('sys').modules") is True


def test_a_process_may_use_the_cores_that_it_is_given(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    program = f"import os; os.sched_setaffinity(0, [{core}]); from producer.spool import usable_cores as n; print(n())"
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "1"
    assert usable_cores() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("memory", "limit", "processes"), [(8, 3, 2), (8, 1, 4), (2, 3, 1), (64, 3, 4)])
def test_as_many_workbooks_are_read_at_a_time_as_cores_and_memory_allow(
    monkeypatch: pytest.MonkeyPatch, memory: int, limit: int, processes: int
) -> None:
    monkeypatch.setattr(spool_module, "usable_cores", lambda: 4)
    monkeypatch.setattr(spool_module, "memory_bytes", lambda: memory * 1024**3)
    assert reading_processes(Settings(reader_memory_bytes=limit * 1024**3)) == processes
