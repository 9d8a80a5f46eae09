"""How processes are started and ended, whatever they do about it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kernel.base.ports import free_port
from kernel.base.processes import end_process, kill_processes, release_processes, start_command

if TYPE_CHECKING:
    import pytest

SECONDS = 60

LEADER = """
import signal, subprocess, sys, time
{handler}
member = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(member.pid, flush=True)
while True:
    time.sleep(600)
"""


def leader(handler: str) -> tuple[subprocess.Popen[str], int]:
    """A process that leads its session and has said that it is ready, and one that it has started."""
    process = subprocess.Popen(
        [sys.executable, "-c", LEADER.format(handler=handler)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_a_process_that_ends_when_asked_to_is_not_killed() -> None:
    process, member = leader("signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))")
    assert end_process(process, SECONDS)
    assert process.returncode == 7
    assert process.stdin is not None
    assert process.stdin.closed
    os.kill(member, signal.SIGKILL)
    assert end_process(process, SECONDS), "it has ended before"


def test_a_process_deaf_to_sigterm_is_killed_with_what_it_started() -> None:
    process, _ = leader("signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    assert not end_process(process, 0.1)
    assert process.returncode == -signal.SIGKILL
    assert process.stdout is not None
    assert process.stdout.read() == "", "both held it open"


def test_all_are_killed_at_once_and_those_that_have_ended_are_left() -> None:
    processes = [leader("")[0] for _ in range(2)]
    kill_processes(processes[:1])
    kill_processes(processes)
    assert [process.returncode for process in processes] == [-signal.SIGKILL] * 2
    assert all(process.stdin is not None and process.stdin.closed for process in processes)


def test_no_signal_goes_to_the_number_of_a_process_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    process = subprocess.Popen(["true"], start_new_session=True)
    process.wait(SECONDS)
    killed: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, _: killed.append(group))
    kill_processes([process])
    assert killed == [], "another process may have that number by now"


def test_a_commands_output_comes_through_one_pipe_whatever_its_bytes_and_it_holds_the_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nprintf '\\377\\n'; echo wrong >&2; [ -e /proc/self/fd/$3 ] && echo $1 $2 holds it\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with (tmp_path / "lock").open("w") as lock:
        process = start_command([str(lock.fileno())], output=subprocess.PIPE, locks=[lock.fileno()])
    assert process.communicate(timeout=SECONDS)[0].splitlines() == ["\\xff", "wrong", "-m battery holds it"]


def test_a_command_has_its_environment_and_a_session_of_its_own_and_ends_with_its_standard_input() -> None:
    process = start_command(
        ["--with-parent", "broker", "--port", str(free_port())], {"PYTHONWARNINGS": "error"}, output=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("127.0.0.1:"), "it is up"
    assert os.getsid(process.pid) == process.pid
    assert b"PYTHONWARNINGS=error" in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    release_processes([process])
    assert process.wait(SECONDS) == 0
