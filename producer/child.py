"""A child process for work that may fill the memory, never end, or crash. Every reader of files runs in one.

Workbooks come from outside, and native code reads them, which aborts when memory runs out. A child works within limits
(RLIMIT_AS on Linux, and a deadline); if it ends early, its parent learns why and continues with another child. It
imports only what the work needs, once, and then does one piece of work after another.

It is a program of its own and not a process of `multiprocessing`, which would run the main module of the caller's
program again in each child.
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
"""A child that holds more than this share of its limit after some work is replaced, so that memory which it cannot
free does not add up."""

START_SECONDS: Final = 120.0
"""How long a child may take to start and import what it needs."""

_EXIT_SECONDS: Final = 10.0
_OUTPUT_BYTES: Final = 64 * 1024
_ENVIRONMENT: Final = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # its own one reserves a GiB of addresses
    "MALLOC_ARENA_MAX": "1",  # each thread would reserve 128 MiB
    "OPENBLAS_NUM_THREADS": "1",  # each thread reserves some, and a child multiplies no matrices
    "RUST_BACKTRACE": "0",  # takes memory just when there is none
}
_PROGRAM: Final = (
    "import sys; sys.path[:] = {path!r}; from producer.child import serve; serve({connection}, {modules!r})"
)
_OUT_OF_MEMORY: Final = (b"memory allocation of ", b"MemoryError")
"""What Rust or Python writes when memory runs out."""


@dataclass(frozen=True)
class Limits:
    """Limits of a piece of work.

    `memory_bytes` is the address space beyond what the process holds at the start of the work (only on Linux),
    `seconds` the time until the next item of its result.
    """

    memory_bytes: int
    seconds: float


class WorkEndedError(Exception):
    """A piece of work that did not finish.

    `cause` is the limit that it exceeded, `died` when its process ended, or `failed` when it raised an exception;
    `detail` is the signal, or the exception with its message.
    """

    def __init__(self, cause: Literal["memory", "time", "died", "failed"], detail: str = "") -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause = cause
        self.detail = detail


class Child:
    """A process that does pieces of work, one at a time; it is started, and replaced, when needed.

    Args:
        limits: of each piece of work.
        folder: a temporary folder for the output of the process.
        modules: what to import at its start, before any work.
    """

    def __init__(self, limits: Limits, folder: Path, *modules: str) -> None:
        self._limits = limits
        self._folder = folder
        self._modules = modules
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._output: IO[bytes] | None = None
        self._task: tuple[object, ...] = ()
        self._has_begun = self._is_second = False
        self.deadline = 0.0

    @property
    def connection(self) -> Connection:
        """The connection that becomes readable when there is something to `take`."""
        if self._connection is None:
            raise ValueError("the child has not been started")
        return self._connection

    def start(self) -> None:
        """Start the process, if none runs.

        Raises:
            BatteryError: the system cannot start one.
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
                    stdin=subprocess.PIPE,  # never written to: it closes with this process, which ends the child
                    stdout=self._output,
                    stderr=self._output,  # what libraries print when they crash stays off the terminal
                    pass_fds=[theirs.fileno()],
                )
        except OSError as error:
            raise BatteryError(f"cannot start a process to read workbooks with: {error.strerror or error}") from None

    def begin(self, work: Callable[..., object], *arguments: object) -> None:
        """Begin some work: a function of a module, which returns its result or an iterator over results."""
        self._task = (work, arguments, self._limits.memory_bytes)
        self._send_task()

    def _send_task(self) -> None:
        self.start()
        self._has_begun = False
        self.deadline = time.monotonic() + START_SECONDS
        with suppress(OSError):  # it died while idle, which `take_ready` notices
            self.connection.send(self._task)

    def take(self) -> tuple[bool, object]:
        """Wait for the next result; returns whether the work has ended, and the result.

        Raises:
            BatteryError: the work has raised it.
            WorkEndedError: the work ended early; the caller removes what it left behind.
        """
        while True:
            message = self.take_ready()
            if message is not None:
                return message
            self.connection.poll(max(0.0, self.deadline - time.monotonic()))

    def take_ready(self) -> tuple[bool, object] | None:
        """The next result as `take` returns it, without waiting; None where there is none yet and time is left.

        Raises:
            BatteryError: the work has raised it.
            WorkEndedError: the work ended early; the caller removes what it left behind.
        """
        if not self.connection.poll():
            if time.monotonic() < self.deadline:
                return None
            short = self._ran_out_of_memory()
            self.end()
            raise WorkEndedError("memory" if short else "time")
        try:
            kind, result, held_bytes = self.connection.recv()
        except (EOFError, OSError):
            death = self._death()
            if self._has_begun or self._is_second:
                raise death from None
            self._is_second = True  # it died before this work began, so another child tries it
            self._send_task()
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
        """Do some work, and return its result.

        Raises:
            BatteryError: the work has raised it.
            WorkEndedError: the work ended early.
        """
        self.begin(work, *arguments)
        return self.take()[1]

    def results(self, work: Callable[..., Iterator[object]], *arguments: object) -> Iterator[object]:
        """Do some work that gives an iterator, and yield its results; it continues when the next one is asked for.

        Raises:
            BatteryError: the work has raised it.
            WorkEndedError: the work ended early.
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
                if not done:  # the caller does not want the rest
                    self.end()
            with suppress(OSError):  # it has died since, which `take` notices
                self.connection.send(None)
            self.deadline = time.monotonic() + self._limits.seconds

    def end(self) -> None:
        """Kill the process, also in the middle of some work."""
        if self._process is None or self._process.stdin is None or self._output is None:
            return
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # a disk that does not respond keeps it from ending
            self._process.wait(_EXIT_SECONDS)
        self._process.stdin.close()
        self.connection.close()
        self._output.close()
        self._process = None

    def _death(self) -> WorkEndedError:
        """Why the process ended."""
        if self._process is None or self._output is None:
            raise ValueError("the child has not been started")
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_SECONDS)
        code = self._process.returncode or 0
        short = self._ran_out_of_memory()
        self.end()
        if short:
            return WorkEndedError("memory")
        try:
            return WorkEndedError("died", signal.Signals(-code).name)
        except ValueError:
            return WorkEndedError("died", f"exit code {code}")

    def _ran_out_of_memory(self) -> bool:
        """Whether the process has said so."""
        if self._output is None:
            return False
        self._output.seek(0)
        output = self._output.read(_OUTPUT_BYTES)
        return any(mark in output for mark in _OUT_OF_MEMORY)


def serve(connection: int, modules: Iterable[str]) -> None:
    """The main loop of the child: receive some work, do it, send back its results, and receive the next.

    Args:
        connection: a file descriptor of the connection to the parent.
        modules: what to import before any work.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    end_with_parent()
    sys.unraisablehook = _end_where_memory_is_short
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
    """The results of some work, and how it ended."""
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
    except BaseException as error:  # noqa: BLE001  # a panic in Rust is not an `Exception`, and must not end the process
        text = (str(error).splitlines() or [""])[0]
        yield "failed", f"{type(error).__name__}: {text}"
    else:
        yield "done", result


def _end_where_memory_is_short(unraisable: sys.UnraisableHookArgs) -> None:
    """End the process at a MemoryError that nobody gets to see; what else nobody gets to see stays off the terminal.

    CPython waits for ever for a thread that found no memory to begin with (python/cpython#140746).
    """
    if issubclass(unraisable.exc_type, MemoryError):
        os.write(sys.stderr.fileno(), _OUT_OF_MEMORY[-1])
        os._exit(1)


def limit_memory(memory_bytes: int) -> None:
    """Let this process take so many bytes of address space beyond what it holds now; kept on Linux alone."""
    if sys.platform == "linux":  # other systems ignore it
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = _size() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _lift() -> None:
    if sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _size() -> int:
    """The address space of this process in bytes; 0 where the system does not tell it."""
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
