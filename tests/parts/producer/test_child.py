"""A child within limits: what comes of its work, and what its parent learns where it ends before that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NoReturn

import pytest
from support.children import running

from kernel.base.errors import BatteryError
from producer.child import Child, Limits, WorkEndedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEMORY_BYTES = 64 * 1024**2


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    child = Child(Limits(MEMORY_BYTES, 60), tmp_path, "zipfile")
    yield child
    child.end()
    assert list(tmp_path.iterdir()) == []


def filling() -> int:
    return len(bytearray(2 * MEMORY_BYTES))


def aborting() -> NoReturn:
    os.write(2, b"memory allocation of 549755813888 bytes failed\n")  # as Rust says it
    os.abort()


def struck(number: int) -> None:
    os.kill(os.getpid(), number)


def refusing() -> NoReturn:
    raise BatteryError("no room")


def faulty() -> NoReturn:
    raise KeyError("b")


class Panic(BaseException):
    """What a panic of Rust is to Python."""


def panicking() -> NoReturn:
    raise Panic("index out of bounds\nnote: run with RUST_BACKTRACE=1")


BEGIN_WITHOUT_MEMORY = """
import threading
def begin(self):
    raise MemoryError
threading.Thread._bootstrap = begin
threading.Thread(target=print).start()
"""


def counting(upto: int) -> Iterator[int]:
    yield from range(upto)


def growing() -> Iterator[int]:
    yield len(bytearray(MEMORY_BYTES // 2))
    yield filling()


@pytest.mark.parametrize(
    ("work", "arguments", "cause", "detail"),
    [
        (filling, (), "memory", "None"),
        (aborting, (), "memory", ""),
        (struck, (signal.SIGKILL,), "died", "SIGKILL"),
        (struck, (signal.SIGSEGV,), "died", "SIGSEGV"),
        (os._exit, (3,), "died", "exit code 3"),
        (faulty, (), "failed", "KeyError: 'b'"),
        (panicking, (), "failed", "Panic: index out of bounds"),
    ],
)
def test_work_that_does_not_come_to_its_end_says_why_and_the_next_is_done(
    child: Child, work: object, arguments: tuple[object, ...], cause: str, detail: str
) -> None:
    with pytest.raises(WorkEndedError) as caught:
        child.result(work, *arguments)  # type: ignore[arg-type]
    assert (caught.value.cause, caught.value.detail) == (cause, detail)
    assert child.result(abs, -1) == 1


def test_work_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    child = Child(Limits(MEMORY_BYTES, 0.5), tmp_path, "time")
    child.begin(os.getpid)
    _, process = child.take()
    with pytest.raises(WorkEndedError, match="time"):
        child.result(time.sleep, 600)
    assert not running(int(str(process)))
    child.end()


def test_a_thread_that_finds_no_memory_to_begin_with_is_not_waited_for(child: Child) -> None:
    with pytest.raises(WorkEndedError, match="memory"):
        child.result(exec, BEGIN_WITHOUT_MEMORY)
    assert time.monotonic() < child.deadline


def test_work_that_hangs_after_it_has_run_out_of_memory_is_not_called_slow(tmp_path: Path) -> None:
    child = Child(Limits(MEMORY_BYTES, 0.5), tmp_path, "time")
    with pytest.raises(WorkEndedError, match="memory"):
        child.result(exec, "import sys, time; print('MemoryError', file=sys.stderr, flush=True); time.sleep(600)")
    child.end()


def test_an_error_for_a_person_is_raised_as_it_is(child: Child) -> None:
    with pytest.raises(BatteryError, match=r"^no room$"):
        child.result(refusing)


def test_results_come_one_by_one_and_each_within_the_limits(child: Child) -> None:
    assert list(child.results(counting, 3)) == [0, 1, 2]
    results = child.results(growing)
    assert next(results) == MEMORY_BYTES // 2
    with pytest.raises(WorkEndedError, match="memory"):
        next(results)


def test_whoever_wants_no_more_results_leaves_a_child_that_can_work(child: Child) -> None:
    results = child.results(counting, 3)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert child.result(abs, -1) == 1


def test_memory_that_work_has_not_given_back_does_not_add_up(child: Child) -> None:
    first = child.result(os.getpid)
    assert child.result(os.getpid) == first
    child.result(exec, f"import sys; sys.kept = bytearray({MEMORY_BYTES // 2})")
    assert child.result(os.getpid) != first


def test_a_child_that_died_with_nothing_to_do_is_replaced(child: Child) -> None:
    process = int(str(child.result(os.getpid)))
    os.kill(process, signal.SIGKILL)
    while running(process):
        time.sleep(0.01)
    assert child.result(abs, -1) == 1


def test_no_room_for_a_process_is_one_line(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", full)
    with pytest.raises(BatteryError, match=r"cannot start a process to read workbooks with: Resource temporarily"):
        child.start()


_PARENT = """
import os, sys, time
from pathlib import Path
from producer.child import Child, Limits
child = Child(Limits(2**26, 60), Path(sys.argv[1]), "time")
print(child.result(os.getpid), flush=True)
child.begin(time.sleep, 60)
time.sleep(60)
"""


def test_a_child_ends_with_the_one_that_started_it_whatever_it_is_at(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PARENT, str(tmp_path)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert parent.stdout is not None
    process = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 60
    while running(process):
        assert time.monotonic() < deadline, "the process goes on"
        time.sleep(0.05)
