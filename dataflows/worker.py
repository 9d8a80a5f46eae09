"""Starting the worker: what `battery stream` adds to a bare `python -m bytewax.run dataflows.battery`."""

from __future__ import annotations

import os
import runpy
import sys
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import structlog

from dataflows.recovery import error_of, make_empty_store, make_recovery_store
from dataflows.summary import TALLY
from kernel.base.errors import StartAgainError, battery_error_in, raised_errors
from kernel.base.stopping import kill_orphan, stop_on_signals, stop_with
from kernel.edges.kafka import open_topic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from kernel.base.settings import Settings

_log = structlog.get_logger()

EXIT_START_AGAIN: Final = 75
"""Exit code of a process of a cluster when all of them must start again."""

EXIT_PEER_LOST: Final = 76
"""Exit code of a process of a cluster when another one has ended: it has no error of its own."""

CLUSTER_VARIABLES: Final = ("BYTEWAX_ADDRESSES", "BYTEWAX_PROCESS_ID")
"""What tells the supervisor of a host which hosts there are; Bytewax would read them as its own."""


@dataclass(frozen=True)
class Member:
    """One process of a cluster.

    Args:
        process: its place among the addresses.
        addresses: those (host:port) of all processes.
        supervisor: the process id of its supervisor.
        local: its place among the processes of its machine.
    """

    process: int
    addresses: tuple[str, ...]
    supervisor: int
    local: int

    def __str__(self) -> str:
        return f"{self.process} {';'.join(self.addresses)} {self.supervisor} {self.local}"

    @classmethod
    def from_text(cls, text: str) -> Member:
        """Read what `str` wrote."""
        process, addresses, supervisor, local = text.split()
        return cls(int(process), tuple(addresses.split(";")), int(supervisor), int(local))

    @property
    def has_recovery_store(self) -> bool:
        """Whether the recovery store of the run is on this machine, which is that of process 0."""
        return self.process == self.local


class _WithoutPandas(MetaPathFinder):
    """Keeps pandas out of the worker: pyarrow would import it with the first array, 80 MB that nothing uses."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:  # noqa: ARG002
        if fullname == "pandas":
            raise ModuleNotFoundError("the worker does not use pandas", name=fullname)


def stream(settings: Settings, *, until_end: bool, member: Member | None = None) -> None:
    """Run the worker in this process until it is asked to stop, or has reached the end of every partition.

    Creates the recovery store when it is absent. When a replay has replaced the tables meanwhile, the worker starts
    again by itself.

    Raises:
        BatteryError: no broker answers, or the worker had to give up.
    """
    stop_on_signals()
    if member is not None:
        stop_with(member.supervisor)
        kill_orphan(member.supervisor)
    open_topic(settings, create=True)  # its errors are one line, while those of a running flow are not
    arguments = _arguments(settings, member)
    os.environ["STREAM_UNTIL_END"] = str(until_end or settings.stream_until_end).lower()
    if member is None:
        os.environ["RUN_ID"] = uuid4().hex  # a start of this command is a run of its own
    sys.meta_path.insert(0, _WithoutPandas())
    os.environ["RUST_BACKTRACE"] = "0"  # Bytewax panics when a part raises; the error itself says what a person needs
    sys.argv = ["bytewax.run", "dataflows.battery", *arguments]
    try:
        with TALLY.shown(until_end=until_end or settings.stream_until_end, lines=member is not None):
            runpy.run_module("bytewax.run", run_name="__main__", alter_sys=True)
    except Exception as error:
        own = battery_error_in(error)
        of_the_store = error_of(settings, error) if own is None else None
        if member is not None:
            _leave_the_cluster(own or of_the_store or error)
        if isinstance(own, StartAgainError):
            _log.info("starting again", because=str(own))
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # this very program
        if of_the_store is not None:
            raise of_the_store from error
        raise
    except BaseException as error:
        # In a cluster an error of a part ends in a panic without a message, and so does a lost peer.
        if member is None or type(error).__name__ != "PanicException":
            raise
        _leave_the_cluster(next(iter(raised_errors), None) or error_of(settings, error))


def _arguments(settings: Settings, member: Member | None) -> list[str]:
    """What Bytewax is told: where its recovery store is, which is made where it is absent, and the cluster."""
    keeps_store = member is None or member.has_recovery_store
    if keeps_store:
        make_recovery_store(settings)
    recovery = settings.recovery_dir if keeps_store else make_empty_store(settings)
    arguments = ["-r", str(recovery), "-s", str(settings.commit_interval_seconds), "-b", "0"]
    for name in CLUSTER_VARIABLES:  # they are for the supervisor
        os.environ.pop(name, None)
    if member is not None:
        _choose_ports(settings, member.local)
        if len(member.addresses) > 1:
            arguments += ["-i", str(member.process), "-a", ";".join(member.addresses)]
    return arguments


def _choose_ports(settings: Settings, local: int) -> None:
    """Give each process of a cluster on one machine its own ports for metrics and Bytewax's web API."""
    if settings.metrics_port:
        os.environ["METRICS_PORT"] = str(settings.metrics_port + local)
    os.environ["BYTEWAX_DATAFLOW_API_PORT"] = str(settings.bytewax_dataflow_api_port + local)


def _leave_the_cluster(error: Exception | None) -> None:
    """End this process with the exit code that tells the supervisor what to do.

    Raises:
        Exception: the error of a part of this process, unless it is a reason to start again.
    """
    if error is None:
        sys.exit(EXIT_PEER_LOST)
    if isinstance(error, StartAgainError):
        _log.info("starting again", because=str(error))
        sys.exit(EXIT_START_AGAIN)
    raise error
