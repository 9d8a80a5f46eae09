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

from dataflows.recovery import error_of, make_recovery_store
from dataflows.summary import TALLY
from kernel.base.errors import StartAgainError, battery_error_in, raised_errors
from kernel.base.stopping import stop_on_signals, stop_with
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


@dataclass(frozen=True)
class Member:
    """One process of a cluster: its place among the `addresses` (host:port) of all, and its supervisor's process id."""

    process: int
    addresses: tuple[str, ...]
    supervisor: int

    def __str__(self) -> str:
        return f"{self.process} {';'.join(self.addresses)} {self.supervisor}"

    @classmethod
    def from_text(cls, text: str) -> Member:
        """Read what `str` wrote."""
        process, addresses, supervisor = text.split()
        return cls(int(process), tuple(addresses.split(";")), int(supervisor))


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
    open_topic(settings, create=True)  # its errors are one line, while those of a running flow are not
    make_recovery_store(settings)
    os.environ["STREAM_UNTIL_END"] = str(until_end or settings.stream_until_end).lower()
    if member is None:
        os.environ["RUN_ID"] = uuid4().hex  # a start of this command is a run of its own
    sys.meta_path.insert(0, _WithoutPandas())
    os.environ["RUST_BACKTRACE"] = "0"  # Bytewax panics when a part raises; the error itself says what a person needs
    arguments = ["-r", str(settings.recovery_dir), "-s", str(settings.commit_interval_seconds), "-b", "0"]
    if member is not None:
        arguments += ["-i", str(member.process), "-a", ";".join(member.addresses)]
        _choose_ports(settings, member.process)
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


def _choose_ports(settings: Settings, process: int) -> None:
    """Give each process of a cluster on one machine its own ports for metrics and Bytewax's web API."""
    if settings.metrics_port:
        os.environ["METRICS_PORT"] = str(settings.metrics_port + process)
    os.environ["BYTEWAX_DATAFLOW_API_PORT"] = str(settings.bytewax_dataflow_api_port + process)


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
