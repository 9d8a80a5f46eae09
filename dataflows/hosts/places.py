"""Where the hosts of a cluster are, and which of them this one is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dataflows.worker import CLUSTER_VARIABLES
from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Mapping

ADDRESSES, PROCESS_ID = CLUSTER_VARIABLES

MOST_PORT: Final = 65_535


@dataclass(frozen=True)
class Place:
    """Where the supervisor of a host answers; its processes listen at the ports after that one.

    >>> Place.from_text("lab-1:2101").processes(2)
    ('lab-1:2102', 'lab-1:2103')
    """

    host: str
    port: int

    @classmethod
    def from_text(cls, text: str) -> Place:
        """Read HOST:PORT, or [ADDRESS]:PORT of an IPv6 address.

        Raises:
            BatteryError: it is something else.
        """
        host, _, port = text.strip().rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if not bare or (":" in bare and bare == host) or not port.isdecimal() or not 0 < int(port) <= MOST_PORT:
            raise BatteryError(f"--hosts: {text.strip()!r} is not HOST:PORT; write such as lab-1:2101,lab-2:2101")
        return cls(bare, int(port))

    def __str__(self) -> str:
        return self._at(self.port)

    def processes(self, count: int) -> tuple[str, ...]:
        """The addresses (host:port) of the processes on this host."""
        return tuple(self._at(self.port + 1 + number) for number in range(count))

    def _at(self, port: int) -> str:
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"


@dataclass(frozen=True)
class Hosts:
    """The hosts of a cluster.

    Args:
        places: where their supervisors answer, in the same order on every host.
        index: which of them this host is.
        workers: how many processes each host has.
    """

    places: tuple[Place, ...]
    index: int
    workers: int = 1

    @property
    def here(self) -> Place:
        """Where this host is."""
        return self.places[self.index]

    @property
    def others(self) -> tuple[int, ...]:
        """The indices of the other hosts."""
        return tuple(index for index in range(len(self.places)) if index != self.index)

    def name(self, index: int) -> str:
        """A host as messages name it."""
        return f"host {index} ({self.places[index]})"


def find_hosts(hosts: str | None, index: int | None, workers: int, environment: Mapping[str, str]) -> Hosts | None:
    """Read `--hosts` and `--index`, or the variables that Bytewax users know.

    Args:
        hosts: HOST:PORT of each host, with a comma or a semicolon in between; None where the option was not given.
        index: which of them this host is, from 0 on; None where the option was not given.
        workers: how many processes each host has.
        environment: holds BYTEWAX_ADDRESSES and BYTEWAX_PROCESS_ID where the options were not given.

    Returns:
        The hosts; None where neither options nor variables name any.

    Raises:
        BatteryError: they are incomplete, or contradict each other.
    """
    listed = environment.get(ADDRESSES, "") if hosts is None else hosts
    number = environment.get(PROCESS_ID, "") if index is None else str(index)
    if not listed and not number:
        return None
    if not listed or not number:
        raise BatteryError(
            f"a cluster over hosts needs --hosts and --index (or {ADDRESSES} and {PROCESS_ID}): the hosts in the same "
            "order everywhere, and which of them this one is, from 0 on"
        )
    places = tuple(Place.from_text(text) for text in listed.replace(";", ",").split(","))
    if len(set(places)) < len(places):
        raise BatteryError(f"--hosts {listed}: a host is named twice; each needs a HOST:PORT of its own")
    taken = [(place.host, place.port + offset) for place in places for offset in range(workers + 1)]
    if len(set(taken)) < len(taken):
        raise BatteryError(
            f"--hosts {listed}: on one machine the ports of two hosts must be more than {workers} apart, since their "
            "processes listen at the ones after them"
        )
    if not number.isdecimal() or int(number) >= len(places):
        raise BatteryError(
            f"--index {number}: --hosts names {len(places)}, so it is a number from 0 to {len(places) - 1}"
        )
    if any(place.port + workers > MOST_PORT for place in places):
        raise BatteryError(f"--hosts {listed}: {workers} processes have no ports after that; choose a lower port")
    return Hosts(places, int(number), workers)
