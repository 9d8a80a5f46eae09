"""The processes of a cluster: which one this is, who begins the run, and how long the others are waited for.

Bytewax connects the processes before it builds a part of the flow. It tries without an end, and says nothing while it
waits for another process to call. So a process that is left alone has to notice that by itself.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kernel.base.errors import BatteryError
from kernel.base.output import complain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernel.base.settings import Settings

EXIT_ALONE: Final = 2
"""Exit code of a process whose peers do not come; the same as that of a BatteryError."""


@dataclass(frozen=True)
class Peers:
    """The processes of a cluster.

    Args:
        process: the number of this process.
        addresses: the addresses (host:port) of all.
        run_id: the run that they share.
        patience: how long to wait for a peer that does not come, or does not begin the run, s.
    """

    process: int
    addresses: tuple[str, ...]
    run_id: str
    patience: float

    @property
    def begin_here(self) -> bool:
        """Whether this process begins the run: process 0 does, and the others join it."""
        return self.process == 0

    @property
    def beginner(self) -> str:
        """Who begins the run."""
        return f"process 0 at {self.addresses[0]}"

    def __str__(self) -> str:
        others = [f"{number} at {place}" for number, place in enumerate(self.addresses) if number != self.process]
        return f"process{'es' if len(others) > 1 else ''} {', '.join(others)}"


def peers_of_this_process(settings: Settings) -> Peers | None:
    """The cluster in which Bytewax was started in this process; None for a single process.

    Raises:
        BatteryError: a process of a cluster has no RUN_ID, and would be a run by itself.
    """
    started = getattr(getattr(sys.modules.get("__main__"), "__spec__", None), "name", None)
    return peers_of(settings, sys.argv[1:], os.environ) if started == "bytewax.run" else None


def peers_of(settings: Settings, arguments: Sequence[str], environment: Mapping[str, str]) -> Peers | None:
    """Read the arguments `-i` and `-a` of `python -m bytewax.run`, or the variables that stand for them.

    Raises:
        BatteryError: a process of a cluster has no RUN_ID, and would be a run by itself.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-i", "--process-id", default=environment.get("BYTEWAX_PROCESS_ID"))
    parser.add_argument("-a", "--addresses", default=environment.get("BYTEWAX_ADDRESSES"))
    options, _ = parser.parse_known_args(arguments)
    if options.process_id is None or not options.addresses or ";" not in options.addresses:
        return None
    if not settings.run_id:
        raise BatteryError(
            f"RUN_ID is not set, and this is process {options.process_id} of a cluster: set it for all of its "
            "processes, to a new value for each start"
        )
    addresses = tuple(options.addresses.split(";"))
    return Peers(int(options.process_id), addresses, settings.run_id, settings.cluster_timeout_seconds)


def await_peers(peers: Peers) -> threading.Event:
    """End this process with one line that says why, unless the returned event is set in time.

    A thread has to do so: while it connects, Bytewax neither returns nor lets a signal through.
    """
    connected = threading.Event()

    def wait() -> None:
        if not connected.wait(peers.patience):
            complain(
                f"process {peers.process} at {peers.addresses[peers.process]} has waited {peers.patience:g} s "
                f"(CLUSTER_TIMEOUT_SECONDS) for {peers} of its cluster; see that each one runs and can be reached "
                "there, then start all again with a new RUN_ID"
            )
            os._exit(EXIT_ALONE)

    threading.Thread(target=wait, name="await-peers", daemon=True).start()
    return connected
