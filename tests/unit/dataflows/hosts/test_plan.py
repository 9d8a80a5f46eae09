"""Who is in the next run of a cluster over hosts."""

from __future__ import annotations

import pytest

from dataflows.hosts.plan import Heard, Run, Told, differences, invitation, may_go_on, members_of, united

ALL = frozenset(range(3))


def told(index: int, *, hears: frozenset[int] = ALL, **changes: object) -> Told:
    return Told(index, {"release": "1"}, f"turn {index}", hears=hears - {index}, **changes)  # type: ignore[arg-type]


def heard(*others: Told) -> dict[int, Heard]:
    return {other.index: Heard(other, 100.0) for other in others}


def test_hosts_that_all_hear_each_other_are_united() -> None:
    assert list(united(told(1), heard(told(0), told(2)))) == [0, 1, 2]


def test_of_two_hosts_that_do_not_hear_each_other_the_first_one_counts() -> None:
    cut = told(1, hears=frozenset({0})), told(2, hears=frozenset({0}))
    assert list(united(told(0), heard(*cut))) == [0, 1]
    assert list(united(cut[0], heard(told(0)))) == [0, 1]


def test_a_host_that_hears_without_being_heard_is_not_united_with_the_others() -> None:
    assert list(united(told(0), heard(told(1, hears=frozenset({2}))))) == [0]


def test_a_host_that_was_asked_to_end_or_differs_in_a_setting_is_left_out_and_named() -> None:
    other = Told(2, {"release": "2", "LANES": "4"}, "turn 2", hears=ALL)
    assert list(united(told(0), heard(told(1, leaves=True), other))) == [0]
    assert differences(told(0), other) == ["LANES", "release"]


def test_at_most_one_of_two_sides_goes_on() -> None:
    for hosts in range(1, 8):
        for present in range(hosts + 1):
            one = may_go_on(present, hosts, with_first=True)
            other = may_go_on(hosts - present, hosts, with_first=False)
            assert not (one and other), (present, hosts)


@pytest.mark.parametrize(
    ("present", "partitions", "workers", "members"),
    [
        ((0, 1), 4, 1, (0, 1)),
        ((0, 1, 2), 4, 1, (0, 1)),  # three cannot share four partitions evenly
        ((1, 2), 4, 2, (1, 2)),
        ((1, 2), 6, 2, (1,)),
        ((1, 2), 5, 1, (1,)),
        ((0, 1), 3, 2, ()),  # not even one host can share three partitions among two processes
    ],
)
def test_as_many_hosts_take_part_as_can_share_the_partitions_evenly(
    present: tuple[int, ...], partitions: int, workers: int, members: tuple[int, ...]
) -> None:
    assert members_of(present, partitions, workers) == members


def test_a_host_joins_the_run_that_names_the_turn_in_which_it_waits_and_no_other() -> None:
    run = Run("run", {0: "turn 0", 1: "turn 1"}, 8)
    assert invitation(told(1), heard(told(0, run=run, waits=False))) == run
    assert invitation(told(2), heard(told(0, run=run, waits=False))) is None
    earlier = Run("run", {0: "turn 0", 1: "an earlier turn"}, 8)
    assert invitation(told(1), heard(told(0, run=earlier, waits=False))) is None


def test_a_run_that_its_leader_has_given_up_invites_nobody() -> None:
    run = Run("run", {0: "an earlier turn", 1: "turn 1"}, 8)
    assert invitation(told(1), heard(told(0, run=run))) is None
