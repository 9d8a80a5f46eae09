"""Whether a run is whole: what its other hosts have told, and what to do about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dataflows.hosts.plan import united

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from dataflows.hosts.plan import Heard, Run, Told


@dataclass
class Watch:
    """One run, as one of its hosts watches it.

    Args:
        run: the run.
        index: this host.
        silence: how long a host may take to begin the run, s; whether it is heard is decided elsewhere.
        done: the hosts whose processes have ended the run well.
        is_ending: whether the run was asked to end.
    """

    run: Run
    index: int
    silence: float
    done: set[int] = field(default_factory=set)
    is_ending: bool = False

    def lost(self, heard: Mapping[int, Heard], elapsed: float) -> tuple[int, str] | None:
        """A host that the run has lost, and how; None while it is whole.

        Args:
            heard: the hosts that have answered lately.
            elapsed: how long ago the run began here, s.
        """
        for index, turn in sorted(self.run.members.items()):
            if index == self.index or index in self.done:
                continue
            if index not in heard:
                return index, f"it has not answered for {self.silence:g} s"
            told = heard[index].told
            is_last = told.run is not None and told.run.run_id == self.run.run_id
            if is_last and (
                not told.waits or self.is_ending
            ):  # one that has ended first already waits for the next run
                if told.ended or told.waits:
                    self.done.add(index)
            elif told.waits and told.turn == turn:
                if elapsed > self.silence:
                    return index, f"it has not begun the run within {self.silence:g} s"
            else:
                return index, "it has left the run"
        return None

    def stops(self, heard: Mapping[int, Heard]) -> int | None:
        """A host that asks that the run end; None for none."""
        for index in sorted(self.run.members):
            told = heard[index].told if index in heard else None
            if told is not None and told.stops and told.run is not None and told.run.run_id == self.run.run_id:
                return index
        return None

    def strays(self, heard: Mapping[int, Heard]) -> bool:
        """Whether a host of the run is not heard, or is in another run: then an error here may come from that."""
        return any(
            index not in heard or (told := heard[index].told).run is None or told.run.run_id != self.run.run_id
            for index in self.run.members
            if index not in {self.index, *self.done}
        )

    def newcomers(
        self,
        mine: Told,
        heard: Mapping[int, Heard],
        steady: float,
        shares: Callable[[Collection[int]], Sequence[int]],
    ) -> list[int]:
        """The hosts with which a new run would be larger than this one.

        Args:
            mine: what this host tells.
            heard: the hosts that have answered lately.
            steady: for how long a newcomer must have answered, s.
            shares: which of some hosts would be in a run.
        """
        known = {index: other for index, other in heard.items() if index in self.run.members or other.since > steady}
        members = shares(united(mine, known))
        if len(members) <= len(self.run.members):
            return []
        return [index for index in members if index not in self.run.members]
