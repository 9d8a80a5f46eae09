"""A warm dbt: a process that has imported dbt and read the project, for a refresh that runs again and again.

A dbt process of its own needs some 5 s of a processor before it builds anything. The warm one needs them once. It is
replaced when it has died, when the project or what it was read with has changed, and when it has run often or has
grown. It ends with the thread that has started it, and holds the lock on the models for as long as it runs, however
that ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

import structlog

from kernel.base.output import relay_line
from kernel.base.processes import relay_lines
from refresh.dbt import RELAY_SECONDS, environment_of, project_options
from refresh.project import inputs_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from kernel.base.settings import Settings

_log = structlog.get_logger()

MOST_RUNS: Final = 200
"""After so many runs the process is replaced, in case that it leaks."""

MOST_BYTES: Final = 1024**3
"""The process is replaced when it has more memory than this after a run."""

LEVEL: Final = ("--log-level-file", "info")
"""What dbt writes to its log: at its own level, some 4 MB a run, an eighth of the time of a run."""

LINES_OF_ANSWER: Final = 2
"""One when the command begins, one when it has ended."""

_KILLED: Final = -9


class WarmDbt:
    """Runs dbt in a process that stays; a context manager, since that process ends with the block.

    Args:
        settings: of the pipeline.
        schema: where the models are built.
    """

    def __init__(self, settings: Settings, schema: str) -> None:
        self._settings = settings
        self._schema = schema
        self._process: _Process | None = None

    def __enter__(self) -> Self:
        """Begin; the process starts when it is needed, or with `prepare`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self.end()

    @property
    def pid(self) -> int | None:
        """The process that runs dbt; None where none does."""
        return None if self._process is None else self._process.pid

    def prepare(self) -> None:
        """Have a process that has read the project as it is now; this does not wait until it has.

        Raises:
            BatteryError: the dbt project is not installed beside the package, or one of the lab's own files cannot be
                used.
        """
        state = self._state()
        if self._process is not None and not self._process.may_stay(state):
            self.end()
        if self._process is None:
            self._process = _Process(
                state, project_options(self._settings), environment_of(self._settings, self._schema)
            )

    def run(self, options: Sequence[str], environment: Mapping[str, str], lock: int) -> int:
        """Run dbt; the exit code that its own command would have, or that of a process that was killed.

        Args:
            options: dbt's subcommand with its options.
            environment: that of the run.
            lock: the lock on the models, which the process holds, too, while it runs.
        """
        try:
            try:
                return self._ask(options, environment, lock)
            except _NotBegunError:
                _log.warning("the process that runs dbt had ended by itself before this run; another one runs it")
                self.end()
                return self._ask(options, environment, lock)
        except (_NotBegunError, _EndedError):
            _log.warning("the process that runs dbt has ended by itself; the next run starts another")
            self.end()
            return _KILLED
        except BaseException:  # such as a signal that ends this process
            self.end()
            raise

    def _ask(self, options: Sequence[str], environment: Mapping[str, str], lock: int) -> int:
        self.prepare()
        if self._process is None:  # `prepare` has made one
            return _KILLED
        return self._process.run([*LEVEL, *options], environment, lock)

    def end(self) -> None:
        """End the process, if there is one, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def _state(self) -> str:
        """What the process depends on: the project, and what it reads of the environment while it reads the project."""
        environment = environment_of(self._settings, self._schema)
        parsed = {
            name: value
            for name, value in environment.items()
            if name.startswith(("DBT_", "BATTERY_CELLS", "BATTERY_ALERT_RULES"))
        }
        options = project_options(self._settings)
        return hashlib.sha256(repr((inputs_of(self._settings), sorted(parsed.items()), options)).encode()).hexdigest()


class _EndedError(Exception):
    """The process has ended while it ran a command."""


class _NotBegunError(Exception):
    """The process has ended before it began the command."""


class _Process:
    """A process that runs `refresh.warm_process`, and the socket on which it is asked."""

    def __init__(self, state: str, options: Sequence[str], environment: Mapping[str, str]) -> None:
        self._state = state
        self._runs = self._bytes = 0
        self._asked, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "refresh.warm_process"),
                    *(str(os.getpid()), str(theirs.fileno()), json.dumps(list(options))),
                ],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                text=True,
                errors="backslashreplace",
            )
        self._relays = [*self._relayed()]

    @property
    def pid(self) -> int:
        return self._process.pid

    def may_stay(self, state: str) -> bool:
        """Whether it lives, has read the project in this state, and has not run too often or grown too large."""
        is_small = self._runs < MOST_RUNS and self._bytes < MOST_BYTES
        return self._process.poll() is None and self._state == state and is_small

    def run(self, options: Sequence[str], environment: Mapping[str, str], lock: int) -> int:
        """Run dbt; its exit code.

        Raises:
            _EndedError: the process ended.
            _NotBegunError: it ended before dbt began.
        """
        request = json.dumps({"arguments": list(options), "environment": dict(environment)}).encode()
        answer = b""
        with suppress(OSError):
            socket.send_fds(self._asked, [len(request).to_bytes(8, "big")], [lock])
            self._asked.sendall(request)
            while answer.count(b"\n") < LINES_OF_ANSWER and (part := self._asked.recv(4096)):
                answer += part
        if not answer:
            raise _NotBegunError
        if answer.count(b"\n") < LINES_OF_ANSWER:
            raise _EndedError
        report: dict[str, Any] = json.loads(answer)
        self._runs += 1
        self._bytes = int(report["bytes"])
        return int(report["code"])

    def end(self) -> None:
        self._asked.close()
        self._process.kill()
        self._process.wait()
        for relay in self._relays:
            relay.join(RELAY_SECONDS)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def _relayed(self) -> Iterator[threading.Thread]:
        """Print its output without the control characters that a value may hold."""
        for stream, is_err in ((self._process.stdout, False), (self._process.stderr, True)):
            if stream is not None:
                yield relay_lines(stream, partial(relay_line, err=is_err))
