"""Several worker processes as one Bytewax cluster on this machine, and the supervisor that starts and restarts them.

Bytewax cannot continue when a process of a cluster has ended. So when one ends by itself, all start again as a new run.
Nothing is lost, since only what was committed counts.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import structlog

from dataflows.recovery import make_recovery_store
from dataflows.worker import EXIT_PEER_LOST, EXIT_START_AGAIN, Member
from kernel.base.errors import BatteryError
from kernel.base.ports import free_port
from kernel.base.processes import (
    SHORT_LIFE_SECONDS,
    Restarts,
    kill_processes,
    release_processes,
    start_command,
)
from kernel.base.stopping import STOP, stop_on_signals
from kernel.edges.kafka import open_topic

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence

    from kernel.base.settings import Settings

_log = structlog.get_logger()

ERROR_SECONDS: Final = 10.0
"""How long the others may take to end after the first one, s: one of them may report the reason."""

MOST_SHORT_LIVES: Final = 5
"""Give up after this many short lives in a row."""

TICK_SECONDS: Final = 0.05


def run_cluster(settings: Settings, workers: int, *, until_end: bool) -> None:
    """Run `workers` processes as one pipeline until they are asked to stop, or have reached the end of the log.

    Raises:
        BatteryError: the partitions cannot be shared evenly, or the cluster had to give up.
    """
    _require_even_shares(settings, workers)
    make_recovery_store(settings)
    stop_on_signals()
    shared = {"LANES": settings.lanes_among(workers), "CELL_GROUPS": settings.groups_among(workers)}
    restarts = Restarts()
    while not STOP.is_set():
        restarts.started()
        processes = _start(workers, shared, until_end=until_end)
        try:
            codes = _wait(processes)
        finally:
            kill_processes(processes)
        if not any(codes):
            return
        _judge(codes)
        if STOP.is_set():
            raise BatteryError(
                f"a process of the cluster died while it was to end (exit codes {codes}); start it again"
            )
        restarts.ended()  # without a pause: what had not landed waits
        lives = restarts.short_lives
        if lives >= MOST_SHORT_LIVES and EXIT_START_AGAIN not in codes:
            raise BatteryError(
                f"a process of the cluster died {lives} times in a row within {SHORT_LIFE_SECONDS:.0f} s of its "
                f"start (exit codes {codes}); what they said is above"
            )
        _log.warning("a process of the cluster has ended, starting all again", exit_codes=codes)
        _require_even_shares(settings, workers)  # partitions may have been added


def _require_even_shares(settings: Settings, workers: int) -> None:
    partitions = len(open_topic(settings, create=True).partitions)
    if partitions % workers:
        fitting = [str(count) for count in range(1, partitions + 1) if partitions % count == 0]
        raise BatteryError(
            f"--workers {workers}: topic {settings.battery_topic} has {partitions} partitions, which so many processes "
            f"cannot share evenly, and Bytewax would stall; use --workers {' or '.join(fitting)}, or publish to a new "
            "topic made with a multiple of them (BATTERY_TOPIC_PARTITIONS)"
        )


def _start(workers: int, shared: Mapping[str, int], *, until_end: bool) -> list[subprocess.Popen[str]]:
    """Start all processes as one new run, with settings that they share."""
    first = free_port(workers)
    addresses = tuple(f"127.0.0.1:{first + number}" for number in range(workers))
    run_id = uuid4().hex
    until = ["--until-end"] if until_end else []
    environment = {"RUN_ID": run_id, **{name: str(value) for name, value in shared.items()}}
    members = [str(Member(number, addresses, os.getpid(), number)) for number in range(workers)]
    processes: list[subprocess.Popen[str]] = []
    try:
        for member in members:
            processes.append(start_command(["stream", "--member", member, *until], environment))  # noqa: PERF401
    except BaseException:
        kill_processes(processes)
        raise
    _log.info("started a cluster", processes=[process.pid for process in processes])
    return processes


def _wait(processes: Sequence[subprocess.Popen[str]]) -> list[int]:
    """Wait until all have ended, and return their exit codes.

    When one has failed, the others get `ERROR_SECONDS` to report their errors, and are then killed. When this process
    is to stop, so are they.
    """
    deadline = None
    while any(process.poll() is None for process in processes):
        codes = [process.poll() for process in processes]
        if STOP.is_set():
            release_processes(processes)
        if deadline is None and any(codes):
            deadline = time.monotonic() + ERROR_SECONDS
        if deadline is not None and (_was_killed(codes) or time.monotonic() > deadline):
            kill_processes(processes)
        time.sleep(TICK_SECONDS)
    return [process.returncode for process in processes]


def _was_killed(codes: Sequence[int | None]) -> bool:
    """Whether a process was killed from outside; no other process can report a reason then."""
    return -signal.SIGKILL in codes


def _judge(codes: Sequence[int]) -> None:
    """Give up where a restart would not help.

    Raises:
        BatteryError: a process has reported an error that a person must fix.
    """
    if any(code > 0 and code not in {EXIT_PEER_LOST, EXIT_START_AGAIN} for code in codes):
        raise BatteryError(f"the cluster has ended (exit codes {list(codes)}): the reason is above")
