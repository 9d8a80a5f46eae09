"""A process that has loaded once what is slow to load, and forks itself for each piece of code that it is given.

A fork has all that was loaded and shares nothing with the next one: no settings, no open files, no state of libraries.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, TextIO, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

_SERVER = """
import atexit, json, logging, os, socket, sys, threading, traceback

os.dup2(2, 1)
asked = socket.socket(fileno=int(sys.argv[2]))
names = {"__name__": "__main__"}
exec(sys.argv[1], names)
sys.stdout.flush()

def run(request):
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    code = 0
    try:
        exec(request["code"], names)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code

def attend(request, report, *files):
    "Report the process that runs the code: first its id, then how it ended."
    for descriptor, file in enumerate(files, start=1):
        os.dup2(file, descriptor)
        os.close(file)
    child = os.fork()
    if child == 0:
        os.close(report)
        os._exit(run(request))
    for descriptor in range(1, 3):
        os.dup2(0, descriptor)
    with open(report, "w") as told:
        print(child, file=told, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=told, flush=True)

asked.send(b"loaded")
attendants = set()
while True:
    size, files, _, _ = socket.recv_fds(asked, 8, 3)
    if not size:
        os._exit(0)
    request = json.loads(asked.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL))
    attendants -= {pid for pid in attendants if os.waitpid(pid, os.WNOHANG)[0]}
    child = os.fork()
    if child == 0:
        asked.close()
        attend(request, *files)
        os._exit(0)
    attendants.add(child)
    for file in files:
        os.close(file)
"""


class Fork:
    """A process that runs a piece of code in a fork, with what tests ask of a `subprocess.Popen`.

    Args:
        pid: its process id.
        report: where its end is reported.
        stdout: what it says, if that goes here.
    """

    def __init__(self, pid: int, report: TextIO, stdout: TextIO | None) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._report = report

    def poll(self) -> int | None:
        """Its exit code, or None as long as it runs."""
        if self.returncode is None and select.select([self._report], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its exit code."""
        if self.returncode is None:
            if not select.select([self._report], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout or 0)
            self.returncode = int(self._report.readline())
            self._report.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """Wait for its end; what it had left to say."""
        impatience = threading.Timer(timeout or threading.TIMEOUT_MAX, self.kill)
        if timeout is not None:
            impatience.start()
        said = "" if self.stdout is None or self.stdout.closed else self.stdout.read()
        self.wait(timeout)
        impatience.cancel()
        return said, None

    def send_signal(self, sign: int) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, sign)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


Process: TypeAlias = "Fork | subprocess.Popen[str]"
"""A process that was started, in either way."""


class Forks:
    """The process that forks; it starts with the first piece of code.

    Args:
        load: what it loads, as Python; every piece of code has the names that this makes.
        environment: the environment in which that is loaded.
    """

    def __init__(self, load: str, environment: Mapping[str, str]) -> None:
        self._load = load
        self._environment = environment
        self._server: subprocess.Popen[bytes] | None = None
        self._asking: socket.socket | None = None
        self._one_at_a_time = threading.Lock()

    def run(
        self, code: str, environment: Mapping[str, str], folder: Path | None = None, *, merged: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a piece of Python in a fork that has this environment; what `subprocess.run` would say of it.

        Args:
            code: what is run.
            environment: all variables that it has.
            folder: where it runs; by default where this process does.
            merged: whether its errors go where its output goes.
        """
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            files = (out, out if merged else err)
            fork = self._start(code, environment, folder, (files[0].fileno(), files[1].fileno()))
            try:
                code_of_exit = fork.wait()
            except BaseException:
                fork.kill()  # a test that has run out of time leaves nothing running
                raise
            said = []
            for file in files:
                file.seek(0)
                said.append(file.read().decode(errors="backslashreplace"))
        return subprocess.CompletedProcess([code], code_of_exit, *said)

    def start(
        self, code: str, environment: Mapping[str, str], folder: Path, output: IO[str] | int = subprocess.PIPE
    ) -> Fork:
        """Start a piece of Python in a fork that has this environment, as `subprocess.Popen` would.

        Args:
            code: what is run.
            environment: all variables that it has.
            folder: where it runs.
            output: where its output and its errors go: to a file, or to a pipe that is the `stdout` of what returns.
        """
        if output != subprocess.PIPE:
            descriptor = output if isinstance(output, int) else output.fileno()
            return self._start(code, environment, folder, (descriptor, descriptor))
        ours, theirs = os.pipe()
        try:
            return self._start(code, environment, folder, (theirs, theirs), os.fdopen(ours))
        finally:
            os.close(theirs)

    def end(self) -> None:
        """End the process, if there is one."""
        if self._server is not None and self._asking is not None:
            self._asking.close()  # it ends with that
            self._server.wait()
            self._server = None

    def _start(
        self,
        code: str,
        environment: Mapping[str, str],
        folder: Path | None,
        files: tuple[int, int],
        stdout: TextIO | None = None,
    ) -> Fork:
        request = {"code": code, "environment": dict(environment), "folder": str(folder or Path.cwd())}
        body = json.dumps(request).encode()
        ours, theirs = os.pipe()
        report = os.fdopen(ours)
        try:
            with self._one_at_a_time:
                asking = self._loaded()
                socket.send_fds(asking, [len(body).to_bytes(8, "big")], [theirs, *files])
                asking.sendall(body)
        finally:
            os.close(theirs)
        pid = report.readline()
        assert pid, "the process that forks has ended"
        return Fork(int(pid), report, stdout)

    def _loaded(self) -> socket.socket:
        """Where to ask the process that has loaded all."""
        if self._server is None or self._asking is None:
            self._asking, theirs = socket.socketpair()
            with theirs:
                self._server = subprocess.Popen(
                    [sys.executable, "-c", _SERVER, self._load, str(theirs.fileno())],
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            assert self._asking.recv(6) == b"loaded", "the process did not load what it was to load"
        return self._asking
