"""Workbooks to tests that wait on disk, several at a time, each read in a process of its own.

What a process hands back is small: where its tests lie. It imports little, so that it is soon at work.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa

from battery.errors import BatteryError
from producer.workbook import BadWorkbookError, read_workbook

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from concurrent.futures import Future
    from datetime import datetime
    from pathlib import Path

    from producer.sources import Found


@dataclass(frozen=True)
class Refused:
    """A source or a workbook that cannot be taken, in one line that says why."""

    line: str


@dataclass(frozen=True)
class Job:
    """A workbook to read: the file as it was found, its checksum, and whose readings it holds if the name does not say.

    `max_bytes` is what it may unpack to, `folder` an empty folder for its tests.
    """

    found: Found
    sha256: str
    cell_id: str | None
    max_bytes: int
    folder: Path


@dataclass(frozen=True)
class SpooledTest:
    """A test on disk, as an Arrow IPC file of so many rows."""

    started_at: datetime
    path: Path
    rows: int

    def readings(self) -> pa.Table:
        """The readings, which stay on disk until they are looked at."""
        with pa.memory_map(str(self.path)) as file:
            return pa.ipc.open_file(file).read_all()


@dataclass(frozen=True)
class SpooledWorkbook:
    """A workbook that has been judged and is good: its tests by their start."""

    cell_id: str
    tests: tuple[SpooledTest, ...]


def usable_cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spool(path: Path, name: str, cell_id: str | None, max_bytes: int, folder: Path) -> SpooledWorkbook | Refused:
    """Read a workbook and put its tests into `folder`; for the other arguments see `read_workbook`.

    Raises:
        BatteryError: the tests cannot be written.
    """
    try:
        workbook = read_workbook(path, name=name, cell_id=cell_id, max_bytes=max_bytes)
    except BadWorkbookError as error:
        return Refused(str(error))
    tests = []
    for place, test in enumerate(workbook.tests):
        spooled = SpooledTest(test.started_at, folder / f"{place}.arrow", test.readings.num_rows)
        try:
            with pa.OSFile(str(spooled.path), "wb") as file, pa.ipc.new_file(file, test.readings.schema) as writer:
                writer.write_table(test.readings)
        except OSError as error:
            raise BatteryError(f"{folder}: readings cannot wait there, {error}; TMPDIR names another place") from None
        tests.append(spooled)
    return SpooledWorkbook(workbook.cell_id, tuple(tests))


def spool_all(jobs: Iterable[Job | Refused], processes: int) -> Generator[tuple[Job | None, SpooledWorkbook | Refused]]:
    """Spool workbooks, and hand them out in the order given, each with its job; what was refused before has none.

    Jobs are taken as they are needed, at most two for each process ahead of the one handed out. Nothing is started for
    a single workbook.

    Raises:
        BatteryError: the tests cannot be written.
    """
    jobs = iter(jobs)
    first = _until_second(jobs) if processes > 1 else []
    if sum(isinstance(job, Job) for job in first) < 2:  # noqa: PLR2004  # one needs no company
        for job in chain(first, jobs):
            yield (None, job) if isinstance(job, Refused) else (job, spool(*_order(job)))
        return
    readers = _Readers(processes)
    try:
        begun: deque[tuple[Job, Future[SpooledWorkbook | Refused]] | Refused] = deque()
        for job in chain(first, jobs):
            begun.append(job if isinstance(job, Refused) else (job, readers.begin(job)))
            if len(begun) > 2 * processes:
                yield readers.finish(begun.popleft())
        while begun:
            yield readers.finish(begun.popleft())
    finally:
        readers.end()


def _until_second(jobs: Iterator[Job | Refused]) -> list[Job | Refused]:
    taken: list[Job | Refused] = []
    for job in jobs:
        taken.append(job)
        if sum(isinstance(one, Job) for one in taken) == 2:  # noqa: PLR2004
            break
    return taken


def _order(job: Job) -> tuple[Path, str, str | None, int, Path]:
    """The arguments of `spool`: what another process has to know of a job."""
    return job.found.path, job.found.name, job.cell_id, job.max_bytes, job.folder


class _Readers:
    """Processes that read workbooks; one that ends before it is done costs no workbook but the one it was reading."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._pool = _pool(processes)

    def begin(self, job: Job) -> Future[SpooledWorkbook | Refused]:
        try:
            return self._pool.submit(spool, *_order(job))
        except BrokenProcessPool:
            self._pool.shutdown()
            self._pool = _pool(self._processes)
            return self._pool.submit(spool, *_order(job))

    def finish(
        self, begun: tuple[Job, Future[SpooledWorkbook | Refused]] | Refused
    ) -> tuple[Job | None, SpooledWorkbook | Refused]:
        if isinstance(begun, Refused):
            return None, begun
        job, future = begun
        try:
            return job, future.result()
        except BrokenProcessPool:
            return job, _alone(job)
        except Exception as error:
            error.add_note(str(error.__cause__))  # where it was raised, which a person need not see
            raise error from None

    def end(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _alone(job: Job) -> SpooledWorkbook | Refused:
    """Read a workbook once more, in a process for it alone: when one process ends, all lose what they had begun."""
    with _pool(1) as pool:
        try:
            return pool.submit(spool, *_order(job)).result()
        except BrokenProcessPool:
            return Refused(
                f"{job.found.name}: the process that read it ended before it was done, as when memory runs out; "
                "split the workbook, or leave more memory with fewer --processes"
            )


def _pool(processes: int) -> ProcessPoolExecutor:
    # A copy of a process that has threads, as librdkafka's clients do, may find their locks taken for ever.
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin_process)


def _begin_process() -> None:
    """Leave Ctrl-C to the process that started this one, and end with it, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
