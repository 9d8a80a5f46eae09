"""Reading workbooks: rows/s to Arrow tables, compared with openpyxl on the same machine.

Most programs read such workbooks with openpyxl. The reference only makes Arrow columns of the same rows: it checks
nothing and finds no tests, cells or clocks.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import openpyxl
import pyarrow as pa

from benchmarks.figures import Figure, tell
from kernel.base.settings import Settings
from producer.files import Content, Signature, WorkbookFile, in_folder
from producer.readers.arbin import read_workbook
from producer.simulate import simulate_cell
from producer.spool import Job, Readers, SpooledWorkbook, spool_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.figures import Show

SEED: Final = 5
CYCLES: Final = 50
"""Cycles of the simulated cell: as many as a real export holds. It comes as one workbook and a second export of it."""

COPIES: Final = 14
"""Copies of each workbook in the folder that several processes read: 28 in all, about as many as a CALCE cell has."""

ROUNDS: Final = 3
PROCESSES: Final = 2

_ROOT: Final = Path(__file__).parents[1]
_PROGRAM: Final = "import sys; from benchmarks.workbooks import spool_folder; spool_folder(*sys.argv[1:])"
"""A child process imports the main module of its parent. That of `battery` is small; this process has none."""


def measure(show: Show, folder: Path, *, tiny: bool) -> None:
    """Read simulated workbooks in turn with openpyxl, in this process, and in two others, and show the figures.

    Two processes read a whole folder; the time of their start is counted.

    Args:
        show: prints a figure.
        folder: where the workbooks and what was read of them are put.
        tiny: take few rows, for a quick check.
    """
    paths = simulate_cell(_made(folder / "simulated"), "BENCH", cycles=2 if tiny else CYCLES, seed=SEED)
    many = _made(folder / "many")
    for path in paths:
        for copy in range(1 if tiny else COPIES):
            shutil.copy(path, many / f"BENCH{copy}_{path.name}")

    reference: list[float] = []
    one: list[float] = []
    two: list[float] = []
    for number in range(1 if tiny else ROUNDS):  # in turn, so that a machine that slows down slows all
        started = time.perf_counter()
        reference.append(_rate("openpyxl", _with_openpyxl(paths), time.perf_counter() - started))
        started = time.perf_counter()
        rows = sum(read_workbook(path).row_count for path in paths)
        one.append(_rate("read_workbook", rows, time.perf_counter() - started))
        scratch = _made(folder / f"spooled-{number}")
        two.append(_rate(f"{PROCESSES} processes", *_with_processes(many, scratch)))
        shutil.rmtree(scratch)
    show(Figure("workbook_read", median(one), "rows/s", reference=median(reference)))
    show(Figure(f"workbook_read_{PROCESSES}", median(two), "rows/s", reference=median(reference)))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _rate(what: str, rows: int, seconds: float) -> float:
    tell(f"{what}: {rows:,} rows in {seconds:.2f} s, {rows / seconds:,.0f} rows/s")
    return rows / seconds


def _with_openpyxl(paths: Sequence[Path]) -> int:
    rows = 0
    for path in paths:
        book = openpyxl.load_workbook(path, read_only=True)
        for name in book.sheetnames:
            if name.startswith("Channel"):
                cells = book[name].iter_rows(values_only=True)
                header = next(cells)
                columns = [pa.array(column) for column in zip(*cells, strict=True)]
                rows += pa.Table.from_arrays(columns, names=header).num_rows
        book.close()
    return rows


def _with_processes(folder: Path, scratch: Path) -> tuple[int, float]:
    """The number of rows in a folder, and the time in s to read it."""
    program = [sys.executable, "-c", _PROGRAM, str(folder), str(scratch)]
    done = subprocess.run(program, cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=True)
    rows, seconds = json.loads(done.stdout)
    return rows, seconds


def spool_folder(folder: str, scratch: str) -> None:
    """Read a folder as `battery produce` does, and print the number of its rows and the time in s.

    Args:
        folder: where the workbooks lie.
        scratch: where their tests are put.
    """
    started = time.perf_counter()
    jobs = (
        Job(
            WorkbookFile(Content(path, "", Signature.of(path)), path.name, str(path)),
            "producer.readers.arbin:READER",
            _made(Path(scratch) / str(number)),
        )
        for number, path in enumerate(in_folder(Path(folder))[0])
    )
    rows = 0
    with Readers(PROCESSES, Settings(), Path(scratch)) as readers, closing(spool_all(jobs, readers)) as outcomes:
        for _job, outcome in outcomes:
            if not isinstance(outcome, SpooledWorkbook):
                raise ValueError(outcome.line)  # noqa: TRY004  # the value is wrong: it is a good workbook
            rows += sum(test.rows for test in outcome.tests)
    print(json.dumps([rows, time.perf_counter() - started]))  # noqa: T201  # the program's result
