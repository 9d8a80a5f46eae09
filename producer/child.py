"""A process of its own for work that may fill memory, never end, or end the process that does it.

Workbooks come from outside, and what reads them is native code that aborts where memory runs out. A child works within
limits; whatever ends it, its parent learns why and goes on with another one. It imports nothing but what the work
needs, and does one piece of work after the other, so that its imports are paid for once.

It is a program of its own rather than a process of `multiprocessing`, which would run the main module of whoever reads
a workbook once more, and read the workbook again in each.
"""

from __future__ import annotations

import importlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final, Literal, cast

from kernel.base.errors import BatteryError
from kernel.base.stopping import end_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

LEFTOVER_SHARE: Final = 32
"""A child that keeps more than this part of its limit after some work is replaced, so that memory which it cannot give
back does not add up."""

START_SECONDS: Final = 120.0
"""How long a child may take to start and import what it needs."""

_EXIT_SECONDS: Final = 10.0
_OUTPUT_BYTES: Final = 64 * 1024
_ENVIRONMENT: Final = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # its own one reserves a GiB of addresses
    "MALLOC_ARENA_MAX": "1",  # each thread would reserve 128 MiB
    "OPENBLAS_NUM_THREADS": "1",  # each thread reserves some, and nothing here multiplies matrices
    "RUST_BACKTRACE": "0",  # takes memory just when there is none
}
_PROGRAM: Final = (
    "import sys; sys.path[:] = {path!r}; from producer.child import serve; serve({connection}, {modules!r})"
)
_OUT_OF_MEMORY: Final = (b"memory allocation of ", b"MemoryError")
"""What Rust, or Python, says last when memory runs out."""


@dataclass(frozen=True)
class Limits:
    """What a piece of work may take.

    `memory_bytes` is the address space beyond what the process holds when it begins (kept on Linux), `seconds` the time
    until the next item of its result.
    """

    memory_bytes: int
    seconds: float


class WorkEndedError(Exception):
    """A piece of work that did not come to its end.

    `cause` is what limit it ran into, that its process `died`, or that it `failed` with an exception; `detail` says
    which signal, or what the exception says.
    """

    def __init__(self, cause: Literal["memory", "time", "died", "failed"], detail: str = "") -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause = cause
        self.detail = detail


class Child:
    """A process that does pieces of work, one at a time; it is started, and replaced, as it is needed.

    Args:
        limits: of each piece of work.
        folder: a temporary folder of the caller's, for what the process says.
        modules: what to import at its start, before there is any work.
    """

    def __init__(self, limits: Limits, folder: Path, *modules: str) -> None:
        self._limits = limits
        self._folder = folder
        self._modules = modules
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._output: IO[bytes] | None = None
        self._order: tuple[object, ...] = ()
        self._has_begun = self._is_second = False
        self.deadline = 0.0

    @property
    def connection(self) -> Connection:
        """What becomes readable when there is something to `take`."""
        if self._connection is None:
            raise ValueError("the child has not been started")
        return self._connection

    def start(self) -> None:
        """Start the process where none runs.

        Raises:
            BatteryError: the system has no room for it.
        """
        if self._process is not None:
            return
        try:
            self._connection, theirs = Pipe()
            self._output = TemporaryFile(dir=self._folder)  # noqa: SIM115  # it is closed with the process
            with theirs:
                program = _PROGRAM.format(path=sys.path, connection=theirs.fileno(), modules=self._modules)
                self._process = subprocess.Popen(
                    [sys.executable, "-c", program],
                    env=os.environ | _ENVIRONMENT,
                    stdin=subprocess.PIPE,  # never written to: its end, which comes with our own, ends the process
                    stdout=self._output,
                    stderr=self._output,  # what libraries say on their way out is for nobody's terminal
                    pass_fds=[theirs.fileno()],
                )
        except OSError as error:
            raise BatteryError(f"cannot start a process to read workbooks with: {error.strerror or error}") from None

    def begin(self, work: Callable[..., object], *arguments: object) -> None:
        """Have it begin some work: a function of a module, which returns its result, or an iterator over results."""
        self._order = (work, arguments, self._limits.memory_bytes)
        self._send_order()

    def _send_order(self) -> None:
        self.start()
        self._has_begun = False
        self.deadline = time.monotonic() + START_SECONDS
        with suppress(OSError):  # it has died with nothing to do, which `take_ready` finds
            self.connection.send(self._order)

    def take(self) -> tuple[bool, object]:
        """Wait for what comes next: whether the work has ended with it, and the result.

        Raises:
            BatteryError: the work has raised it.
            WorkEndedError: the work will never come to its end; what it has left is the caller's to remove.
        """
        while True:
            taken = self.take_ready()
            if taken is not None:
                return taken
            self.connection.poll(max(0.0, self.deadline - time.monotonic()))

    def take_ready(self) -> tuple[bool, object] | None:
        """What has come by now, as `take` returns it; None where it takes longer and may.

        Raises:
            BatteryError: the work has raised it.
            WorkEndedError: the work will never come to its end; what it has left is the caller's to remove.
        """
        if not self.connection.poll():
            if time.monotonic() < self.deadline:
                return None
            self.end()
            raise WorkEndedError("time")
        try:
            kind, result, held_bytes = self.connection.recv()
        except (EOFError, OSError):
            death = self._death()
            if self._has_begun or self._is_second:
                raise death from None
            self._is_second = True  # nothing of this work ended it
            self._send_order()
            return None
        if kind == "begun":
            self._has_begun, self._is_second = True, False
            self.deadline = time.monotonic() + self._limits.seconds
            return None
        if kind == "item":
            return False, result
        if held_bytes > self._limits.memory_bytes // LEFTOVER_SHARE:
            self.end()
        if kind == "error":
            raise cast("BatteryError", result)
        if kind != "done":
            raise WorkEndedError(kind, str(result))
        return True, result

    def result(self, work: Callable[..., object], *arguments: object) -> object:
        """What some work returns.

        Raises:
            BatteryError: the work has raised it.
            WorkEndedError: the work will never come to its end.
        """
        self.begin(work, *arguments)
        return self.take()[1]

    def results(self, work: Callable[..., Iterator[object]], *arguments: object) -> Iterator[object]:
        """The results of an iterator, which goes on when the next one is asked for.

        Raises:
            BatteryError: the work has raised it.
            WorkEndedError: the work will never come to its end.
        """
        self.begin(work, *arguments)
        while True:
            ended, result = self.take()
            if ended:
                return
            done = False
            try:
                yield result
                done = True
            finally:
                if not done:  # nobody wants the rest
                    self.end()
            with suppress(OSError):  # it has died since, which `take` finds
                self.connection.send(None)
            self.deadline = time.monotonic() + self._limits.seconds

    def end(self) -> None:
        """End the process, whatever it is at."""
        if self._process is None or self._process.stdin is None or self._output is None:
            return
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # a disk that does not answer keeps it from ending
            self._process.wait(_EXIT_SECONDS)
        self._process.stdin.close()
        self.connection.close()
        self._output.close()
        self._process = None

    def _death(self) -> WorkEndedError:
        """Why the process has ended by itself."""
        if self._process is None or self._output is None:
            raise ValueError("the child has not been started")
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_SECONDS)
        code = self._process.returncode or 0
        self._output.seek(0)
        output = self._output.read(_OUTPUT_BYTES)
        self.end()
        if any(mark in output for mark in _OUT_OF_MEMORY):
            return WorkEndedError("memory")
        try:
            return WorkEndedError("died", signal.Signals(-code).name)
        except ValueError:
            return WorkEndedError("died", f"exit code {code}")


def serve(connection: int, modules: Iterable[str]) -> None:
    """What the process does: it takes some work, does it, hands back what comes of it, and takes the next.

    Args:
        connection: a file descriptor of the connection to the parent.
        modules: what to import before there is any work.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    end_with_parent()
    for module in modules:
        importlib.import_module(module)
    started = _size()
    with Connection(connection) as parent, suppress(EOFError):
        while True:
            work, arguments, memory_bytes = parent.recv()
            parent.send(("begun", None, 0))
            limit_memory(memory_bytes)
            for kind, result in _outcomes(work, arguments):
                if kind != "item":
                    _lift()
                parent.send((kind, result, _size() - started))
                if kind == "item":
                    parent.recv()


def _outcomes(work: Callable[..., object], arguments: tuple[object, ...]) -> Iterator[tuple[str, object]]:
    """What comes of some work, and how it ends."""
    try:
        result = work(*arguments)
        if isinstance(result, Iterator):
            for item in result:
                yield "item", item
            result = None
    except MemoryError:
        yield "memory", None
    except BatteryError as error:
        yield "error", error.with_traceback(None)
    except BaseException as error:  # noqa: BLE001  # Rust's panics are no `Exception`; none may end the process
        text = (str(error).splitlines() or [""])[0]
        yield "failed", f"{type(error).__name__}: {text}"
    else:
        yield "done", result


def limit_memory(memory_bytes: int) -> None:
    """Let this process take so many bytes of address space beyond what it holds now; kept on Linux alone."""
    if sys.platform == "linux":  # others do not keep to it
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = _size() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _lift() -> None:
    if sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _size() -> int:
    """The address space of this process in bytes, where that can be told."""
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
