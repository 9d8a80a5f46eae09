"""What the supervisors of a cluster tell each other, and who is in the next run: all of it pure.

The host of the lowest index among those that hear each other leads: it alone begins a run. Where hosts are missing,
more than half of all may go on without them, or half with host 0; so of two sides that do not hear each other at most
one goes on by itself. The other one may do so where the warehouse shows that no run has begun without it
(`supervisor.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class Run(msgspec.Struct, frozen=True):
    """A run of the cluster, as the host that leads it has begun it.

    Args:
        run_id: what RUN_ID is for its processes.
        members: the turn of each host that is in it, by the host's index. A host takes part by the turn that it waits
            in, so none is in a run that was planned for an earlier life of it.
        cell_groups: how many groups of cells the processes share.
    """

    run_id: str
    members: dict[int, str]
    cell_groups: int


class Told(msgspec.Struct, frozen=True):
    """What a supervisor tells whoever asks.

    Args:
        index: which host it is.
        common: what must be the same on all hosts: short digests by name.
        turn: identifies this wait for a run; a new one each time.
        run: the run that it is in, or was in last.
        waits: whether it waits for a run.
        ended: whether its processes have ended the run well.
        stops: whether the run is to end at the next commit, on all hosts.
        leaves: whether the supervisor was asked to end.
        hears: the other hosts that have answered it lately.
    """

    index: int
    common: dict[str, str]
    turn: str
    run: Run | None = None
    waits: bool = True
    ended: bool = False
    stops: bool = False
    leaves: bool = False
    hears: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Heard:
    """What a host has told, and for how long it has answered without a gap, s."""

    told: Told
    since: float


def differences(mine: Told, other: Told) -> list[str]:
    """What two hosts would have to have in common and do not, by name."""
    names = sorted({*mine.common, *other.common})
    return [name for name in names if mine.common.get(name) != other.common.get(name)]


def united(mine: Told, heard: Mapping[int, Heard]) -> dict[int, Told]:
    """The hosts that could be in a run with this one: they stay, have all in common, and all hear each other.

    Where not all of them do, those of lower indices count.
    """
    fitting = {mine.index: mine} if not mine.leaves else {}
    for index, other in sorted(heard.items()):
        if not other.told.leaves and not differences(mine, other.told):
            fitting[index] = other.told
    chosen: dict[int, Told] = {}
    for index, told in sorted(fitting.items()):
        if all(index in earlier.hears and place in told.hears for place, earlier in chosen.items()):
            chosen[index] = told
    return chosen


def may_go_on(present: int, hosts: int, *, with_first: bool) -> bool:
    """Whether so many of all hosts may run without the others.

    >>> may_go_on(1, 2, with_first=True), may_go_on(1, 2, with_first=False), may_go_on(2, 3, with_first=False)
    (True, False, True)
    """
    return 2 * present > hosts or (2 * present == hosts and with_first)


def members_of(present: Collection[int], partitions: int, workers: int) -> tuple[int, ...]:
    """The hosts of a run: as many of those present as can share the partitions evenly; none where not even one can.

    Args:
        present: the indices of the hosts that are there.
        partitions: how many partitions the topic has.
        workers: how many processes each host has.
    """
    counts = [count for count in range(1, len(present) + 1) if partitions % (count * workers) == 0]
    return tuple(sorted(present)[: max(counts, default=0)])


def invitation(mine: Told, heard: Mapping[int, Heard]) -> Run | None:
    """The run that another host has begun and that this one is to join: it names the turn in which this one waits."""
    for other in heard.values():
        run = other.told.run
        if run is not None and not other.told.waits and run.members.get(mine.index) == mine.turn:
            return run
    return None
