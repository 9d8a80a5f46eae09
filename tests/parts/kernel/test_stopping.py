"""How a process ends with the one that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kernel.base.orphans import start_no_orphan

SECONDS = 60
CHILD = """
import signal, subprocess, sys, time
from kernel.base.stopping import end_with_parent
{handler}
end_with_parent({grace})
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(grandchild.pid, flush=True)
while True:
    time.sleep(600)
"""


def child(handler: str, grace: float) -> subprocess.Popen[str]:
    """A process that leads its group, like a part of `battery up`, and has said that it is ready."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD.format(handler=handler, grace=grace)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + SECONDS
    while (
        Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    ):
        assert time.monotonic() < deadline, pid
        time.sleep(0.01)


def test_a_process_deaf_to_sigterm_is_killed_with_its_group_when_its_parent_is_gone() -> None:
    process = child("signal.signal(signal.SIGTERM, signal.SIG_IGN)", 0.1)
    assert process.stdin is not None
    assert process.stdout is not None
    grandchild = int(process.stdout.readline())
    process.stdin.close()
    assert process.wait(SECONDS) == -signal.SIGKILL
    wait_until_gone(grandchild)


def test_a_handler_that_prints_to_a_pipe_that_nobody_reads_does_its_work() -> None:
    handler = "signal.signal(signal.SIGTERM, lambda *_: (print('stopping', flush=True), sys.exit(7)))"
    process = child(handler, SECONDS)
    assert process.stdin is not None
    assert process.stdout is not None
    grandchild = int(process.stdout.readline())
    process.stdout.close()
    process.stdin.close()
    try:
        assert process.wait(SECONDS) == 7
    finally:
        os.kill(grandchild, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_no_orphan_outlives_the_process_that_started_it() -> None:
    parent = (
        "import time; from kernel.base.orphans import start_no_orphan\n"
        "print(start_no_orphan(['/bin/sleep', '600']).pid, flush=True)\n"
        "time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    orphan = int(process.stdout.readline())
    process.kill()
    process.wait()
    wait_until_gone(orphan)


def test_a_process_that_is_no_orphan_outlives_the_thread_that_started_it_and_is_the_command_itself() -> None:
    started: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=lambda: started.append(start_no_orphan(["/bin/sleep", "600"])))
    thread.start()
    thread.join()
    (process,) = started
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    assert os.getsid(process.pid) == process.pid
    process.terminate()
    assert process.wait(SECONDS) == -signal.SIGTERM


def test_a_program_that_cannot_be_started_ends_with_a_code() -> None:
    assert start_no_orphan(["/nowhere/program"]).wait(SECONDS) == 1


SUPERVISED = """
import os, subprocess, sys, time
child = subprocess.Popen(
    [sys.executable, "-c", "import os, time\\n"
     "from kernel.base.stopping import kill_orphan\\n"
     "kill_orphan(os.getppid(), {grace})\\n"
     "print(os.getpid(), flush=True)\\n"
     "time.sleep(600)"],
    stdin=subprocess.PIPE,
    start_new_session=True,
)
sys.stdin.read()
child.stdin.close()
if child.poll() is None:
    print("asked", flush=True)
time.sleep(600)
"""


def supervisor(grace: float) -> tuple[subprocess.Popen[str], int]:
    """A supervisor that asks its process to end when its own input closes; and that process, which never ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISED.format(grace=grace)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_a_process_that_waits_for_lost_ones_is_killed_once_its_supervisor_has_died() -> None:
    process, waiting = supervisor(0.1)
    process.kill()
    process.wait(SECONDS)
    wait_until_gone(waiting)


def test_a_process_that_is_asked_to_end_by_a_living_supervisor_has_all_the_time_that_gives_it() -> None:
    process, waiting = supervisor(0.0)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    assert process.stdout.readline() == "asked\n"
    wait_until_asleep_alone(waiting)
    os.kill(waiting, signal.SIGKILL)  # it was still there
    process.kill()
    process.wait(SECONDS)


def wait_until_asleep_alone(pid: int) -> None:
    """Until only the first thread of a process is left: the one that could kill it has decided not to."""
    deadline = time.monotonic() + SECONDS
    while len(list(Path(f"/proc/{pid}/task").iterdir())) > 1:
        assert time.monotonic() < deadline, pid
        time.sleep(0.01)
