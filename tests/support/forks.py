"""A process that has loaded once what is slow to load, and forks itself for each piece of code that it is given.

A fork has all that was loaded and shares nothing with the next one: no settings, no open files, no state of libraries.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SERVER = """
import atexit, json, logging, os, sys, threading, traceback

replies = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
names = {"__name__": "__main__"}
exec(sys.argv[1], names)
sys.stdout.flush()

def run(request):
    for descriptor, name in enumerate(request["files"]):
        os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND if descriptor else os.O_RDONLY), descriptor)
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

print("loaded", file=replies, flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        replies.close()
        os._exit(run(json.loads(line)))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=replies, flush=True)
os._exit(0)
"""


class Forks:
    """The process that forks; it starts with the first piece of code.

    Args:
        load: what it loads, as Python; every piece of code has the names that this makes.
        environment: the environment in which that is loaded.
    """

    def __init__(self, load: str, environment: Mapping[str, str]) -> None:
        self._command = [sys.executable, "-c", _SERVER, load]
        self._environment = environment
        self._server: subprocess.Popen[str] | None = None
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
        with self._one_at_a_time, tempfile.TemporaryDirectory() as own:
            files = [os.devnull, f"{own}/out", f"{own}/out" if merged else f"{own}/err"]
            for name in files[1:]:
                Path(name).touch()
            place = str(folder or Path.cwd())
            request = {"code": code, "environment": dict(environment), "folder": place, "files": files}
            try:
                reply = self._ask(json.dumps(request))
            except BaseException:
                self._kill()  # a test that has run out of time must not leave its answer to the next
                raise
            said = [Path(name).read_text(errors="backslashreplace") for name in files[1:]]
        return subprocess.CompletedProcess([*self._command, code], int(reply), *said)

    def end(self) -> None:
        """End the process, if there is one."""
        if self._server is not None:
            self._server.communicate()  # it ends with its input
            self._server = None

    def _kill(self) -> None:
        if self._server is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._server.pid, signal.SIGKILL)
            self.end()

    def _ask(self, request: str) -> str:
        if self._server is None:
            self._server = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            assert self._server.stdout is not None
            assert self._server.stdout.readline() == "loaded\n", "the process did not load what it was to load"
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        print(request, file=self._server.stdin, flush=True)
        reply = self._server.stdout.readline()
        assert reply, "the process that forks has ended"
        return reply
