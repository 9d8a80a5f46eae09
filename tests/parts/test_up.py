"""`battery up`: a workbook dropped into the inbox ends in the marts, and one signal ends all parts."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs
from support.pipeline import Pipeline, take_unit_tests_as_passed

import kernel.base.processes
from battery.up import Part
from kernel.base.ports import free_port
from kernel.edges.broker import answers, embedded_broker
from producer.simulate import simulate_cell
from refresh.export import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_SECONDS = 120
CHILD = re.compile(r"battery\0.*--with-parent\0")


class Up:
    """A running `battery up` in a process group of its own, as a shell makes one for it."""

    def __init__(self, pipeline: Pipeline, *arguments: str) -> None:
        self.pipeline = pipeline
        self.inbox = pipeline.folder / "inbox"
        take_unit_tests_as_passed(pipeline.settings)
        self.log = pipeline.folder / f"up-{len(list(pipeline.folder.glob('up-*')))}.log"
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "battery", "up", "--inbox", str(self.inbox), *arguments],
                env=pipeline.environment,
                cwd=pipeline.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def children(self) -> dict[int, str]:
        """The parts that run, by their process ids, each with its command."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (command := (folder / "cmdline").read_text()) and CHILD.search(command):
                    parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                    if parent == self.process.pid:
                        found[int(folder.name)] = command.partition("--with-parent\0")[2].replace("\0", " ").strip()
        return found

    def pid_of(self, command: str) -> int:
        """The part with that command."""
        return next(pid for pid, found in self.children().items() if found.startswith(command))

    def wait_for(self, what: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, f"{what}: {self.said}"
            time.sleep(0.05)

    def drop(self, workbook: Path) -> None:
        """Move a workbook in whole, from the same file system."""
        copy = self.pipeline.folder / workbook.name
        shutil.copy(workbook, copy)
        copy.rename(self.inbox / workbook.name)

    def marts(self) -> dict[str, int]:
        """How many rows each exported mart has."""
        manifest = self.pipeline.folder / "objects" / MANIFEST
        return (
            {name: table["rows"] for name, table in json.loads(manifest.read_text())["tables"].items()}
            if (manifest.exists())
            else {}
        )

    def require_clean_end(self, children: dict[int, str], code: int = 0) -> None:
        assert self.process.wait(DEADLINE_SECONDS) == code, self.said
        assert "Traceback" not in self.said
        assert "was killed" not in self.said
        left = [command for pid, command in children.items() if Path(f"/proc/{pid}").exists()]
        assert left == []


@pytest.fixture(scope="module")
def workbooks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("workbooks")
    return [simulate_cell(folder, f"UP_{number}", cycles=4, seed=number, cycles_per_file=4)[0] for number in (1, 2)]


@pytest.fixture
def place(tmp_path: Path) -> Pipeline:
    """Room for a pipeline; no broker runs at its port yet."""
    return Pipeline(tmp_path, free_port())


@pytest.fixture
def running(place: Pipeline) -> Iterator[Callable[..., Up]]:
    """Starts `battery up`; whatever a failed test has left of it is killed."""
    started: list[Up] = []

    def start(*arguments: str) -> Up:
        started.append(Up(place, *arguments))
        return started[-1]

    yield start
    for up in started:
        if up.process.poll() is None:  # its parts end with it: their standard input closes
            up.process.kill()
            up.process.wait()


def test_a_dropped_workbook_is_shown_a_killed_worker_comes_back_and_one_ctrl_c_stops_all(
    running: Callable[..., Up], place: Pipeline, workbooks: list[Path]
) -> None:
    port = free_port()
    up = running("--port", str(port))
    up.wait_for("all parts", lambda: "Ctrl-C stops all" in up.said)
    assert f"dashboard  http://127.0.0.1:{port}\n" in up.said
    assert f"inbox      {up.inbox}  (drop workbooks or ZIPs here)\n" in up.said
    assert sorted(command.split()[0] for command in up.children().values()) == [
        "broker", "dashboard", "produce", "stream", "transform",
    ]  # fmt: skip
    assert up.pid_of("produce --watch --skip-landed")  # what has landed from a log that is gone need not come again
    worker = up.pid_of("stream")
    os.kill(worker, signal.SIGKILL)
    up.drop(workbooks[0])
    up.wait_for("the marts of the first cell", lambda: up.marts().get("battery_cells") == 1)
    assert up.pid_of("stream") != worker
    assert re.search(r"a part has ended by itself, starting it again +exit_code=-9 in_seconds=1.0 part=worker", up.said)

    os.kill(up.pid_of("stream"), signal.SIGKILL)
    up.drop(workbooks[1])

    def has_landed() -> bool:
        before, _, after = up.said.rpartition("exit_code=-9")
        return "exit_code=-9" in before and "committed" in after

    up.wait_for("the second cell", has_landed)
    children = up.children()
    assert all(os.getpgid(pid) != up.process.pid for pid in children)  # the terminal's Ctrl-C does not reach them
    os.killpg(up.process.pid, signal.SIGINT)  # as a terminal does: to all of the foreground group
    up.require_clean_end(children)
    assert not answers(place.port)
    told = re.findall(r"published (\d+) rows of", up.said)
    assert place.query("select count(*) from battery_ts_cleaned") == [(sum(map(int, told)),)]
    assert place.query("select count(distinct cell_id) from battery_ts_cleaned") == [(2,)]
    ended = re.findall(r"ended +exit_code=0 part=(\w+)", up.said)
    assert ended == ["inbox", "refresh", "worker", "dashboard", "broker"]


def test_sigterm_to_it_alone_stops_all_but_a_broker_that_was_there_and_logs_are_json_where_that_is_wanted(
    running: Callable[..., Up], place: Pipeline, workbooks: list[Path]
) -> None:
    place.extra |= {"LOG_FORMAT": "json"}
    with embedded_broker(place.port):
        up = running("--no-dashboard")
        up.wait_for("all parts", lambda: "Ctrl-C stops all" in up.said)
        up.drop(workbooks[0])
        up.wait_for("a commit", lambda: '"event": "committed"' in up.said)
        children = up.children()
        assert sorted(command.split()[0] for command in children.values()) == ["produce", "stream", "transform"]
        up.process.terminate()
        up.require_clean_end(children)
        assert answers(place.port)
    assert "using the broker that answers there already" in up.said
    block = {"", f"inbox      {up.inbox}  (drop workbooks or ZIPs here)", "Ctrl-C stops all"}
    lines = [json.loads(line) for line in up.said.splitlines() if line not in block]
    assert {"worker", "inbox"} <= {line.get("part") for line in lines}
    assert all({"event", "level", "timestamp"} <= set(line) for line in lines)


def descendants(ancestor: int) -> dict[int, str]:
    """The processes that one has started, and those that these have, by their ids, each with its command."""
    parents, commands = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            commands[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
    found = {ancestor}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: commands[pid] for pid in found - {ancestor}}


def test_nothing_outlives_it_where_it_is_killed_and_the_next_one_waits_for_the_end_of_its_parts(
    running: Callable[..., Up],
) -> None:
    port = str(free_port())
    up = running("--port", port)
    up.wait_for("all parts", lambda: "Ctrl-C stops all" in up.said)
    children = descendants(up.process.pid)
    assert len(children) >= 6  # five parts, and the broker's own
    worker = up.pid_of("stream")
    os.kill(worker, signal.SIGSTOP)
    up.process.kill()
    up.process.wait()
    second = running("--port", port)
    try:
        second.wait_for("its turn", lambda: "waiting for the parts of an earlier `battery up` to end" in second.said)
    finally:
        os.kill(worker, signal.SIGCONT)
    second.wait_for("all parts", lambda: "Ctrl-C stops all" in second.said)
    assert {pid: command for pid, command in children.items() if Path(f"/proc/{pid}").exists()} == {}
    assert "using the broker that answers there already" not in second.said
    children = second.children()
    second.process.terminate()
    second.require_clean_end(children)


def test_nothing_outlives_a_broker_part_that_is_killed(running: Callable[..., Up]) -> None:
    up = running("--no-dashboard")
    up.wait_for("all parts", lambda: "Ctrl-C stops all" in up.said)
    children, below = up.children(), descendants(up.pid_of("broker"))
    assert len(below) == 1
    os.kill(up.pid_of("broker"), signal.SIGKILL)
    up.require_clean_end(children, 2)
    up_to = time.monotonic() + DEADLINE_SECONDS
    while any(Path(f"/proc/{pid}").exists() for pid in below):
        assert time.monotonic() < up_to, below
        time.sleep(0.05)


def test_of_two_over_the_same_data_the_second_says_so_and_the_first_goes_on(
    running: Callable[..., Up], place: Pipeline
) -> None:
    up = running("--no-dashboard")
    up.wait_for("all parts", lambda: "Ctrl-C stops all" in up.said)
    children = up.children()
    for name, elsewhere in (("RECOVERY_DIR", {}), ("WAREHOUSE", {"RECOVERY_DIR": str(place.folder / "other")})):
        second = Pipeline(place.folder, place.port, elsewhere)
        *before, said = second.battery(
            "up", "--no-dashboard", "--inbox", str(place.folder / "another"), code=2
        ).splitlines()
        assert said.startswith(f"battery: another `battery up` is running over {name}={place.folder}")
        assert f"(process {up.process.pid}); stop that one, or give this one" in said
        assert before == []
    assert up.children() == children
    up.process.terminate()
    up.require_clean_end(children)


def test_a_part_that_fails_again_and_again_is_started_after_pauses_that_grow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = 1000.0
    lives: list[subprocess.Popen[str]] = []

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[str]:
        lives.append(subprocess.Popen(*arguments, **options))
        return lives[-1]

    monkeypatch.setattr(time, "monotonic", lambda: clock)
    popen = SimpleNamespace(Popen=start, PIPE=subprocess.PIPE, STDOUT=subprocess.STDOUT)
    monkeypatch.setattr(kernel.base.processes, "subprocess", popen)
    with capture_logs() as told:
        part = Part("worker", ["no-such-command"])
        part.keep_running()
        for life in range(1, 10):
            assert len(lives) == life
            assert lives[-1].wait(DEADLINE_SECONDS) == 2
            part.keep_running()
            clock += told[-1]["in_seconds"] - 0.1
            part.keep_running()
            assert len(lives) == life, "it is not started before its pause is over"
            clock += 0.2
            part.keep_running()
        clock += 3600  # a long life
        lives[-1].wait(DEADLINE_SECONDS)
        part.keep_running()
    pauses = [line["in_seconds"] for line in told if line["log_level"] == "warning"]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60, 1]
    assert {line["part"] for line in told} == {"worker"}


def test_a_part_for_which_the_system_has_no_room_is_started_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    popen = SimpleNamespace(Popen=full, PIPE=subprocess.PIPE, STDOUT=subprocess.STDOUT)
    monkeypatch.setattr(kernel.base.processes, "subprocess", popen)
    with capture_logs() as told:
        part = Part("worker", ["stream"])
        part.keep_running()
    (line,) = told
    assert (line["event"], line["in_seconds"]) == ("a part cannot be started, trying again", 1.0)
    assert part.exit_code is None
    part.end()  # nothing is there to end


def test_the_end_of_the_broker_ends_all_with_one_line(running: Callable[..., Up]) -> None:
    up = running("--no-dashboard")
    up.wait_for("all parts", lambda: "Ctrl-C stops all" in up.said)
    children = up.children()
    os.kill(up.pid_of("broker"), signal.SIGTERM)
    up.require_clean_end(children, 2)
    assert not answers(up.pipeline.port)
    assert up.said.splitlines()[-1].startswith("battery: the embedded broker ended by itself (exit code 0)")


def test_what_is_in_the_way_is_one_line(place: Pipeline) -> None:
    (place.folder / "file").touch()
    assert "cannot be made" in place.battery("up", "--inbox", "file", code=2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} is taken" in place.battery("up", "--port", str(port), code=2)
    place.extra["KAFKA_BOOTSTRAP_SERVERS"] = f"127.0.0.2:{place.port}"
    *_, last = place.battery("up", "--no-dashboard", code=2).splitlines()
    assert last.startswith(f"battery: no broker answers at KAFKA_BOOTSTRAP_SERVERS=127.0.0.2:{place.port}")
