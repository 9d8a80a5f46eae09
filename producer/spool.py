"""Spooling: workbooks are read to tests on disk, several at a time, each by a child within limits.

A child returns the paths of the tests. If a child ends early, only the workbook that it was reading is refused, with
one line that says why.
"""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Final, Self, cast

import pyarrow as pa

from kernel.base.errors import BatteryError
from kernel.base.machine import memory_bytes
from kernel.contract.about import NOTHING_SAID, About
from producer.child import Child, Limits, WorkEndedError
from producer.files import Refusal
from producer.readers.base import BadWorkbookError, ReadOptions, UndatedWorkbookError, UnreadableWorkbookError
from producer.readers.registry import registered_readers
from producer.readers.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    from kernel.base.settings import Settings
    from producer.files import WorkbookFile
    from producer.readers.base import Reader

AHEAD: Final = 2
"""How many workbooks are taken for each process before the one that is handed out next has been read."""


@dataclass(frozen=True)
class Job:
    """A workbook to read, its reader as an entry point `module:object`, and an empty folder for its tests.

    `cell_id`, `dates` and `channel_cells` are as those of `ReadOptions`.
    """

    file: WorkbookFile
    reader: str
    folder: Path
    cell_id: str | None = None
    dates: str | None = None
    channel_cells: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SpooledTest:
    """A test on disk, as an Arrow IPC file with `rows` rows, and the trace that identifies it.

    `channel` and `about` are those of `Test`; where something is said and no reader, `about` names the job's.
    """

    started_at: datetime
    path: Path
    rows: int
    cell_id: str = ""
    trace: Trace | None = None
    channel: str = ""
    about: About = NOTHING_SAID

    def readings(self) -> pa.Table:
        """The readings, mapped from the file: they are loaded when they are used."""
        with pa.memory_map(str(self.path)) as file:
            return pa.ipc.open_file(file).read_all()


@dataclass(frozen=True)
class SpooledWorkbook:
    """A good workbook whose tests are on disk, by their start; `cell_id` and `notes` are those of `Workbook`."""

    cell_id: str
    tests: tuple[SpooledTest, ...]
    notes: tuple[str, ...] = ()


def reading_processes(settings: Settings) -> int:
    """How many workbooks to read at a time: one for each usable core, but no more than there is memory for."""
    return max(1, min(usable_cores(), memory_bytes() // settings.reader_memory_bytes))


def usable_cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spool(job: Job) -> SpooledWorkbook | Refusal:
    """Read a workbook and put its tests into the job's folder.

    Raises:
        BatteryError: the tests cannot be written.
    """
    reader: Reader = resolve_name(job.reader)
    try:
        workbook = reader.read(
            job.file.content.path,
            ReadOptions(job.file.name, job.cell_id, job.dates, job.channel_cells, job.file.mapping),
        )
    except BadWorkbookError as error:
        line = job.file.origin + str(error).removeprefix(job.file.name)  # other workbooks may have the same name
        lasts = not isinstance(error, UnreadableWorkbookError | UndatedWorkbookError)
        return Refusal(line, job.file.version if lasts else None)
    tests = []
    for place, test in enumerate(workbook.tests):
        path, rows = job.folder / f"{place}.arrow", test.readings.num_rows
        about = replace(test.about, reader=test.about.reader or reader.name) if test.about else NOTHING_SAID
        spooled = SpooledTest(test.started_at, path, rows, test.cell_id, Trace.of(test.readings), test.channel, about)
        try:
            with pa.OSFile(str(spooled.path), "wb") as file, pa.ipc.new_file(file, test.readings.schema) as writer:
                writer.write_table(test.readings)
        except OSError as error:
            raise BatteryError(
                f"{job.folder}: readings cannot be written there, {error}; TMPDIR names another place"
            ) from None
        tests.append(spooled)
    return SpooledWorkbook(workbook.cell_id, tuple(tests), workbook.notes)


def modules_to_read_with() -> tuple[str, ...]:
    """What a process that reads files imports before there is work, in that order."""
    readers = dict.fromkeys(registered.module for registered in registered_readers())
    return "producer.lone_arrow", __name__, *readers


class Readers:
    """Children that read workbooks, at most `processes` of them; they are started as they are needed.

    Args:
        processes: how many workbooks to read at a time.
        settings: the limits of each.
        folder: a temporary folder of the caller's.
    """

    def __init__(self, processes: int, settings: Settings, folder: Path) -> None:
        self.processes = processes
        self._settings = settings
        self.on_begin: Callable[[Job], None] = lambda _: None
        """Called when a process begins to read a workbook."""
        limits = Limits(settings.reader_memory_bytes, settings.reader_timeout_seconds)
        self._idle = [Child(limits, folder, *modules_to_read_with()) for _ in range(processes)]
        self._busy: dict[Child, _Reading] = {}
        self._queue: deque[_Reading] = deque()
        self._idle[-1].start()  # it imports what it needs while this process does other work

    def __enter__(self) -> Self:
        """Nothing more to do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all children, also in the middle of some work."""
        for child in (*self._idle, *self._busy):
            child.end()

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Read with them for a while: at the end no work is left, and one of them stays ready for the next time."""
        try:
            yield
        finally:
            self._queue.clear()
            for child in self._busy:  # where it was not read to the end
                child.end()
            self._idle = [*self._busy, *self._idle]
            self._busy.clear()
            for child in self._idle[:-1]:
                child.end()
            self._idle[-1].start()  # it takes a second, which the next file need not wait for

    def submit(self, job: Job) -> _Reading:
        """Have a workbook read as soon as a child is idle."""
        reading = _Reading(job)
        self._queue.append(reading)
        self._share_out()
        return reading

    def outcome(self, reading: _Reading) -> SpooledWorkbook | Refusal:
        """Wait until a workbook has been read.

        Raises:
            BatteryError: its tests cannot be written.
        """
        while reading.outcome is None:
            self._collect()
            self._share_out()
        if isinstance(reading.outcome, BatteryError):
            raise reading.outcome
        return reading.outcome

    def _share_out(self) -> None:
        while self._idle and self._queue:
            child, reading = self._idle.pop(), self._queue.popleft()
            child.begin(spool, reading.job)
            self._busy[child] = reading
            self.on_begin(reading.job)

    def _collect(self) -> None:
        """Wait until something comes from a child, or one has run out of time."""
        timeout = min(child.deadline for child in self._busy) - time.monotonic()
        wait([child.connection for child in self._busy], max(0.0, timeout))
        for child, reading in [*self._busy.items()]:
            reading.outcome = self._outcome(child, reading.job)
            if reading.outcome is not None:
                del self._busy[child]
                self._idle.append(child)

    def _outcome(self, child: Child, job: Job) -> SpooledWorkbook | Refusal | BatteryError | None:
        """The result of reading a workbook; None while it is still being read."""
        try:
            message = child.take_ready()
        except BatteryError as error:
            return error
        except WorkEndedError as error:
            lasts = (
                error.detail != "SIGKILL" and error.cause != "time"
            )  # the machine may have caused those, not the file
            return Refusal(f"{job.file.origin}: {self._problem(error)}", job.file.version if lasts else None)
        return None if message is None else cast("SpooledWorkbook | Refusal", message[1])

    def _problem(self, error: WorkEndedError) -> str:
        memory = f"READER_MEMORY_BYTES={self._settings.reader_memory_bytes}"
        match error.cause:
            case "memory":
                return f"reading it took more than {memory}; delete far stray cells, split the workbook, or raise it"
            case "time":
                limit = f"READER_TIMEOUT_SECONDS={self._settings.reader_timeout_seconds:g}"
                return f"reading it took longer than {limit}; split the workbook, or raise it"
            case "died" if error.detail == "SIGKILL":
                return (
                    "the process that read it was killed, as the system does when memory runs out; split the workbook, "
                    "or leave more memory with fewer --processes"
                )
            case "died":
                return f"the process that read it ended with {error.detail}, as it may within {memory}; split it"
        return f"its reader failed over it ({error.detail}); it may be damaged: export it again, or report it"


@dataclass
class _Reading:
    """A workbook to read, and the outcome once it has been read."""

    job: Job
    outcome: SpooledWorkbook | Refusal | BatteryError | None = None


def spool_all(
    jobs: Iterable[Job | Refusal], readers: Readers
) -> Generator[tuple[Job | None, SpooledWorkbook | Refusal]]:
    """Spool workbooks, and yield them in the order given, each with its job; an earlier refusal has no job.

    Jobs are taken as they are needed, at most `AHEAD` for each process before the next result is yielded.

    Raises:
        BatteryError: the tests cannot be written.
    """

    def result(one: _Reading | Refusal) -> tuple[Job | None, SpooledWorkbook | Refusal]:
        return (None, one) if isinstance(one, Refusal) else (one.job, readers.outcome(one))

    begun: deque[_Reading | Refusal] = deque()
    for job in jobs:
        begun.append(job if isinstance(job, Refusal) else readers.submit(job))
        if len(begun) > AHEAD * readers.processes:
            yield result(begun.popleft())
    while begun:
        yield result(begun.popleft())
