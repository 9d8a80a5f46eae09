"""When a run of a cluster over hosts is whole, lost, or to end."""

from __future__ import annotations

import pytest

from dataflows.hosts.plan import Heard, Run, Told, members_of
from dataflows.hosts.watch import Watch

RUN = Run("run", {0: "turn 0", 1: "turn 1"}, 8)
OTHER = Run("another run", {1: "turn 1", 2: "turn 2"}, 8)
IN_IT = {"run": RUN, "waits": False}


def told(index: int, **changes: object) -> Told:
    hears = frozenset(range(3)) - {index}
    return Told(index, {}, **{"turn": f"turn {index}", "hears": hears, **changes})  # type: ignore[arg-type]


def heard(*others: Told, since: float = 100.0) -> dict[int, Heard]:
    return {other.index: Heard(other, since) for other in others}


@pytest.fixture
def watch() -> Watch:
    return Watch(RUN, 0, silence=15.0)


def test_a_run_is_whole_while_its_hosts_are_in_it_or_about_to_begin_it(watch: Watch) -> None:
    assert watch.lost(heard(told(1)), 1.0) is None
    assert watch.lost(heard(told(1, **IN_IT)), 100.0) is None


@pytest.mark.parametrize(
    ("other", "elapsed", "why"),
    [
        (None, 1.0, "it has not answered for 15 s"),
        (told(1), 16.0, "it has not begun the run within 15 s"),
        (told(1, turn="a later turn", run=RUN), 1.0, "it has left the run"),
        (told(1, run=OTHER, waits=False), 1.0, "it has left the run"),
        (told(1, turn="of a new life"), 1.0, "it has left the run"),
    ],
)
def test_a_host_is_lost_when_it_is_silent_or_elsewhere(
    watch: Watch, other: Told | None, elapsed: float, why: str
) -> None:
    assert watch.lost({} if other is None else heard(other), elapsed) == (1, why)


def test_a_host_that_has_ended_the_run_well_may_go(watch: Watch) -> None:
    assert watch.lost(heard(told(1, ended=True, **IN_IT)), 1.0) is None
    assert watch.done == {1}
    assert watch.lost({}, 100.0) is None


def test_a_host_that_has_ended_first_when_all_were_asked_to_is_not_lost(watch: Watch) -> None:
    watch.is_ending = True
    assert watch.lost(heard(told(1, turn="the next turn", run=RUN)), 1.0) is None
    assert watch.done == {1}


def test_a_run_ends_when_one_of_its_hosts_asks_for_it(watch: Watch) -> None:
    assert watch.stops(heard(told(1, **IN_IT))) is None
    assert watch.stops(heard(told(1, stops=True, **IN_IT))) == 1
    assert watch.stops(heard(told(1, stops=True, run=OTHER, waits=False))) is None


def test_an_error_counts_as_that_of_a_lost_host_only_where_one_is_lost(watch: Watch) -> None:
    assert not watch.strays(heard(told(1, **IN_IT)))
    assert not watch.strays(heard(told(1, run=RUN)))  # it has ended its processes, since those here have ended
    assert watch.strays({})
    assert watch.strays(heard(told(1, run=OTHER, waits=False)))


def test_a_host_is_waited_for_until_it_has_answered_for_a_while_and_would_make_the_run_larger() -> None:
    watch = Watch(Run("run", {0: "turn 0"}, 8), 0, silence=15.0)
    mine = told(0, **IN_IT)

    def newcomers(other: Told, since: float, partitions: int = 4) -> list[int]:
        return watch.newcomers(
            mine, heard(other, since=since), 15.0, lambda present: members_of(present, partitions, 1)
        )

    assert newcomers(told(1), 14.0) == []
    assert newcomers(told(1), 16.0) == [1]
    assert newcomers(told(1, leaves=True), 16.0) == []
    assert newcomers(told(1), 16.0, partitions=5) == []  # two cannot share five partitions
