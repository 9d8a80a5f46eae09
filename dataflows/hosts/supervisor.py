"""The supervisor of one host: it waits for a run, watches the processes of this host and the other hosts, and again.

```
   waits --- all are there, or enough for long enough ---> runs --- the log's end, everywhere ---> exit 0
     ^                                                       |
     +--- a host is lost or has left, a process has died ----+--- an error that a person must fix ---> exit 2
```
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import msgspec
import structlog

from dataflows.hosts.common import common_settings
from dataflows.hosts.last_run import last_run
from dataflows.hosts.plan import Run, Told, differences, invitation, may_go_on, members_of, united
from dataflows.hosts.processes import Processes
from dataflows.hosts.rendezvous import Rendezvous
from dataflows.hosts.watch import Watch
from dataflows.worker import EXIT_PEER_LOST, EXIT_START_AGAIN
from kernel.base.errors import BatteryError
from kernel.base.processes import SHORT_LIFE_SECONDS, Restarts
from kernel.base.stopping import STOP, stop_on_signals
from kernel.edges.kafka import NoBrokerError, open_topic
from kernel.edges.warehouse import open_warehouse

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from dataflows.hosts.places import Hosts
    from dataflows.hosts.plan import Heard
    from kernel.base.settings import Settings

_log = structlog.get_logger()

TICK_SECONDS: Final = 0.1

TAKE_OVER_ABSENCES: Final = 5
"""Hosts that are too few to go on by themselves do so after this many times CLUSTER_ABSENCE_SECONDS, if nobody else
has."""

MOST_SHORT_LIVES: Final = 5
"""Give up after this many lives in a row in which processes of this host died soon after their start."""

LONGEST_STEADY_SECONDS: Final = 1800.0
"""No host that has come back has to answer for longer before the others begin a run with it, s."""

SAY_SECONDS: Final = 5.0
"""How long hosts may be missing before that is worth a log line, s."""

LINGER_SECONDS: Final = 5.0
"""How long a supervisor that ends waits for the others to have heard of it, s."""


def run_hosts(settings: Settings, hosts: Hosts, *, until_end: bool) -> None:
    """Run the processes of this host in a cluster over hosts, until asked to stop or all have reached the log's end.

    Raises:
        BatteryError: this host cannot be reached under its address, or its processes had to give up.
    """
    stop_on_signals()
    until_end = until_end or settings.stream_until_end
    open_topic(settings, create=True)
    told = Told(hosts.index, common_settings(settings, hosts, until_end=until_end), uuid4().hex)
    rendezvous = Rendezvous(hosts, told, settings.cluster_silence_seconds)
    try:
        _Supervisor(settings, hosts, rendezvous, told, until_end=until_end).run()
    finally:
        rendezvous.close()


class _Supervisor:
    def __init__(
        self, settings: Settings, hosts: Hosts, rendezvous: Rendezvous, told: Told, *, until_end: bool
    ) -> None:
        self._settings = settings
        self._hosts = hosts
        self._rendezvous = rendezvous
        self._told = told
        self._until_end = until_end
        self._restarts = Restarts()
        self._partitions = 0
        self._steady_seconds = settings.cluster_silence_seconds
        self._runs: set[str] = set()
        self._next_look = 0.0
        self._said: object = None

    def run(self) -> None:
        while (run := self._wait()) is not None:
            if self._take_part(run):
                return
            self._tell(turn=uuid4().hex, waits=not STOP.is_set(), ended=False, stops=False)
        self._tell(waits=False, leaves=True)

    def _tell(self, **changes: object) -> None:
        self._told = msgspec.structs.replace(self._told, **changes)
        self._rendezvous.tell(self._told)

    def _hearing(self, heard: Mapping[int, Heard]) -> Told:
        """What this host tells, with the hosts that it hears."""
        return msgspec.structs.replace(self._told, hears=frozenset(heard))

    # --- waiting for a run

    def _wait(self) -> Run | None:
        """Wait until a run begins that this host is in; None when asked to stop."""
        began, self._next_look = time.monotonic(), 0.0
        while not STOP.is_set():
            heard = self._rendezvous.heard()
            run = invitation(self._told, heard) or self._plan(heard, time.monotonic() - began)
            if run is not None:
                self._said = None
                return run
            STOP.wait(TICK_SECONDS)
        return None

    def _plan(self, heard: Mapping[int, Heard], waited: float) -> Run | None:
        """The run that this host begins, where it leads and all are there, or enough for long enough."""
        present = united(self._hearing(heard), heard)
        missing = sorted(set(range(len(self._hosts.places))) - set(present))
        if missing and waited > SAY_SECONDS:
            self._say_missing(missing, heard)
        busy = [index for index, told in present.items() if not told.waits]
        if min(present) != self._hosts.index or busy:
            return None
        if missing and waited < self._settings.cluster_absence_seconds:
            return None
        if not may_go_on(len(present), len(self._hosts.places), with_first=0 in present) and not self._has_no_other_run(
            waited
        ):
            return None
        try:
            partitions = self._partitions = len(open_topic(self._settings, create=True).partitions)
        except NoBrokerError as error:
            if self._said != "broker":
                self._said = "broker"
                _log.warning("waiting for the broker", error=str(error))
            return None
        members = self._members_of(present)
        if not members:
            raise BatteryError(
                f"--workers {self._hosts.workers}: topic {self._settings.battery_topic} has {partitions} "
                "partitions, which the processes of one host cannot share evenly, and Bytewax would stall; use a "
                "number that divides them"
            )
        if len(members) < len(present):
            spare = [self._hosts.name(index) for index in sorted(present) if index not in members]
            _log.warning(
                "hosts are left over as spares: the partitions cannot be shared evenly among all",
                partitions=partitions, hosts=len(members), spare=spare,
            )  # fmt: skip
        groups = self._settings.groups_among(self._hosts.workers * len(members))
        return Run(uuid4().hex, {index: present[index].turn for index in members}, groups)

    def _members_of(self, present: Collection[int]) -> tuple[int, ...]:
        return members_of(present, self._partitions, self._hosts.workers)

    def _has_no_other_run(self, waited: float) -> bool:
        """Whether the last run in the warehouse is one that this host was in, which has ended since it has left it.

        Others would have begun a run by now. It is asked for after so long that a run which others were about to begin
        has begun; if two sides begin one at the same time all the same, the warehouse lets one of them land.
        """
        absence = self._settings.cluster_absence_seconds
        if not self._runs or waited < self._next_look:
            return False
        self._next_look = waited + absence
        if waited < TAKE_OVER_ABSENCES * absence:
            return False
        try:
            last = last_run(open_warehouse(self._settings))
        except BatteryError as error:
            _log.warning("cannot see in the warehouse whether other hosts have begun a run", error=str(error))
            return False
        if last in self._runs:
            _log.warning("no other host has begun a run meanwhile: going on without those that are missing")
            return True
        return False

    def _say_missing(self, missing: list[int], heard: Mapping[int, Heard]) -> None:
        reasons = {}
        for index in missing:
            if index not in heard:
                reasons[index] = "it does not answer"
            elif heard[index].told.leaves:
                reasons[index] = "it has been asked to end"
            elif names := differences(self._told, heard[index].told):
                reasons[index] = f"its {', '.join(names)} differs from that of this host"
            else:
                reasons[index] = "not all of the others hear it"
        if reasons != self._said:
            self._said = reasons
            _log.warning(
                "waiting for hosts of the cluster",
                missing=[f"{self._hosts.name(index)}: {why}" for index, why in reasons.items()],
                last_errors=[self._rendezvous.trouble(index) for index in missing if index not in heard],
            )

    # --- a run

    def _take_part(self, run: Run) -> bool:
        """Run the processes of this host until they have ended; whether this supervisor is to end as well.

        Raises:
            BatteryError: they reported an error that a person must fix.
        """
        self._restarts.started()
        self._runs.add(run.run_id)
        self._tell(run=run, waits=False)
        lanes = self._settings.lanes_among(self._hosts.workers * len(run.members))
        processes = Processes(self._hosts, run, lanes, until_end=self._until_end)
        watch = Watch(run, self._hosts.index, self._settings.cluster_silence_seconds)
        _log.info(
            "started a cluster", hosts=sorted(run.members), here=self._hosts.index, processes=processes.pids,
            run_id=run.run_id,
        )  # fmt: skip
        try:
            is_whole = self._watch(processes, watch)
        finally:
            processes.kill()
        if not is_whole:
            return STOP.is_set()
        if any(processes.codes):
            self._judge(processes.codes, watch)
            return STOP.is_set()
        self._tell(ended=True)
        return self._end_together(watch) if self._until_end or STOP.is_set() else False

    def _watch(self, processes: Processes, watch: Watch) -> bool:
        """Watch until the processes of this host have ended, True, or another host is lost, False."""
        began = time.monotonic()
        while not processes.have_ended():
            heard = self._rendezvous.heard()
            elapsed = time.monotonic() - began
            if lost := watch.lost(heard, elapsed):
                self._note_loss(elapsed)
                _log.warning(
                    "a host of the cluster is lost, starting all again", host=self._hosts.name(lost[0]), why=lost[1],
                    last_error=self._rendezvous.trouble(lost[0]),
                )  # fmt: skip
                return False
            if not processes.is_asked and (why := self._reason_to_stop(watch, heard)):
                _log.info("ending the run at the next commit", why=why)
                self._tell(stops=True, leaves=STOP.is_set())
                watch.is_ending = True
                processes.ask_to_end()
            time.sleep(TICK_SECONDS)
        return True

    def _note_loss(self, elapsed: float) -> None:
        """Wait longer and longer for a host that is lost whenever it has come back: the others have work to do."""
        doubled = self._steady_seconds * 2 if elapsed < SHORT_LIFE_SECONDS else 0.0
        self._steady_seconds = min(max(doubled, self._settings.cluster_silence_seconds), LONGEST_STEADY_SECONDS)

    def _reason_to_stop(self, watch: Watch, heard: Mapping[int, Heard]) -> str:
        """Why the run is to end on all hosts at the next commit; empty where it goes on."""
        if STOP.is_set():
            return "this host was asked to stop"
        asking = watch.stops(heard)
        if asking is not None:
            return f"{self._hosts.name(asking)} asks for it"
        if min(watch.run.members) == self._hosts.index and len(watch.run.members) < len(self._hosts.places):
            more = watch.newcomers(self._hearing(heard), heard, self._steady_seconds, self._members_of)
            if more and not watch.done:
                return f"to go on with {', '.join(map(self._hosts.name, more))}"
        return ""

    def _end_together(self, watch: Watch) -> bool:
        """Wait until all hosts of the run have reached its end as well; False where one is lost before it has."""
        began = time.monotonic()
        others = set(watch.run.members) - {self._hosts.index}
        while watch.done < others and not STOP.is_set():
            if lost := watch.lost(self._rendezvous.heard(), time.monotonic() - began):
                _log.warning(
                    "a host of the cluster was lost before the end", host=self._hosts.name(lost[0]), why=lost[1]
                )
                return False
            time.sleep(TICK_SECONDS)
        heard = self._rendezvous.heard()
        gone = {index for index, other in heard.items() if other.told.leaves and other.told.ended}
        self._rendezvous.await_asked(others - gone, LINGER_SECONDS)
        return True

    def _judge(self, codes: list[int], watch: Watch) -> None:
        """Decide whether to start again after processes of this host have failed.

        Raises:
            BatteryError: they have reported an error that a person must fix, or die whenever they start.
        """
        own = [code for code in codes if code and code not in {EXIT_PEER_LOST, EXIT_START_AGAIN}]
        if not own or watch.strays(self._rendezvous.heard()):
            _log.warning("the processes of this host have ended, starting all again", exit_codes=codes)
            return
        if any(code > 0 for code in own):
            raise BatteryError(f"the processes of this host have ended (exit codes {codes}): the reason is above")
        self._restarts.ended()
        if self._restarts.short_lives >= MOST_SHORT_LIVES:
            raise BatteryError(
                f"processes of this host died {self._restarts.short_lives} times in a row within "
                f"{SHORT_LIFE_SECONDS:.0f} s of their start (exit codes {codes}); what they said is above"
            )
        _log.warning("a process of this host has died, starting all again", exit_codes=codes)
