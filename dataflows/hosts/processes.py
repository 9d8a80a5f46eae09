"""The processes of one host in one run: started together, ended together."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from dataflows.worker import Member
from kernel.base.processes import kill_processes, release_processes, start_command

if TYPE_CHECKING:
    import subprocess

    from dataflows.hosts.places import Hosts
    from dataflows.hosts.plan import Run

ERROR_SECONDS: Final = 10.0
"""How long the others may take to end after the first one of this host, s: one of them may report the reason."""

STOP_SECONDS: Final = 90.0
"""How long processes may take to end well when asked to, s: they commit, and wait for those of the other hosts."""


class Processes:
    """The processes of this host in a run.

    Args:
        hosts: all hosts.
        run: which of them are in the run.
        lanes: how many lanes all of its processes have.
        until_end: whether the processes stop at the end of the log.
    """

    def __init__(self, hosts: Hosts, run: Run, lanes: int, *, until_end: bool) -> None:
        members = sorted(run.members)
        addresses = tuple(place for index in members for place in hosts.places[index].processes(hosts.workers))
        first = members.index(hosts.index) * hosts.workers
        environment = {"RUN_ID": run.run_id, "LANES": str(lanes), "CELL_GROUPS": str(run.cell_groups)}
        until = ["--until-end"] if until_end else []
        self._processes: list[subprocess.Popen[str]] = []
        try:
            for local in range(hosts.workers):
                member = Member(first + local, addresses, os.getpid(), local)
                self._processes.append(start_command(["stream", "--member", str(member), *until], environment))
        except BaseException:
            self.kill()
            raise
        self._deadline: float | None = None
        self.is_asked = False
        """Whether they were asked to end."""

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [process.pid for process in self._processes]

    @property
    def codes(self) -> list[int]:
        """The exit codes of those that have ended."""
        return [code for process in self._processes if (code := process.poll()) is not None]

    def ask_to_end(self) -> None:
        """Have them commit and end, at the same point of the log as those of the other hosts."""
        if not self.is_asked:
            self.is_asked = True
            self._deadline = time.monotonic() + STOP_SECONDS
            release_processes(self._processes)

    def have_ended(self) -> bool:
        """Whether all have ended; kills those that do not once one has failed, or when asked to for too long."""
        codes = self.codes
        if len(codes) == len(self._processes):
            return True
        now = time.monotonic()
        if any(codes) and (self._deadline is None or self._deadline > now + ERROR_SECONDS):
            self._deadline = now + ERROR_SECONDS
        if self._deadline is not None and now > self._deadline:
            self.kill()
            return True
        return False

    def kill(self) -> None:
        """End them at once; what they have not committed is read again."""
        kill_processes(self._processes)
