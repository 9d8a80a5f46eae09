from __future__ import annotations

from threading import Barrier, Event, Thread

import pytest

from dashboard.look_cache import LookCache
from kernel.base.errors import BatteryError
from refresh.marts import NothingYetError


class Counted:
    """Something to look at; how often anybody has."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.looks = 0
        self.seconds = seconds
        self.error: BatteryError | None = None

    def __call__(self) -> int:
        self.looks += 1
        Event().wait(self.seconds)  # time for another look to begin meanwhile
        if self.error is not None:
            raise self.error
        return self.looks


def test_a_fresh_look_is_not_repeated_and_an_old_one_is() -> None:
    remembered, make = LookCache(), Counted()
    assert [remembered.look("it", make, 60).value for _ in range(3)] == [1, 1, 1]
    assert remembered.look("it", make, -1).value == 2
    assert remembered.look("another", make, 60).value == 3


def test_a_look_that_has_expired_is_repeated_and_is_shown_where_that_fails() -> None:
    remembered, make = LookCache(), Counted()
    remembered.look("it", make, 60)
    remembered.expire("it")
    remembered.expire("what nobody has seen")
    assert remembered.look("it", make, 60).value == 2
    remembered.expire("it")
    make.error = BatteryError("held by another")
    assert remembered.look("it", make, 60).value == 2


def test_where_looking_fails_the_last_look_is_shown_with_why() -> None:
    remembered, make = LookCache(), Counted()
    first = remembered.look("it", make, -1)
    make.error = BatteryError("held by another")
    again = remembered.look("it", make, -1)
    assert (again.value, again.at, again.complaint) == (1, first.at, "held by another")
    assert remembered.look("it", make, 60).complaint == "held by another"  # no second try within the time
    assert make.looks == 2
    make.error = None
    assert remembered.look("it", make, -1).complaint is None


def test_what_was_never_seen_is_the_error_itself() -> None:
    make = Counted()
    make.error = BatteryError("no such place")
    with pytest.raises(BatteryError, match="no such place"):
        LookCache().look("it", make, 60)


def test_what_is_no_longer_there_is_not_remembered() -> None:
    remembered, make = LookCache(), Counted()
    remembered.look("it", make, -1)
    make.error = NothingYetError("gone")
    with pytest.raises(NothingYetError):
        remembered.look("it", make, -1)
    make.error = BatteryError("cannot be reached")
    with pytest.raises(BatteryError, match="cannot be reached"):
        remembered.look("it", make, 60)


def test_of_many_kinds_of_looks_the_newest_are_remembered() -> None:
    remembered, make = LookCache(most=2), Counted()
    for what in ("one", "two", "three"):
        remembered.look(what, make, 60)
    assert [remembered.look(what, make, 60).value for what in ("three", "two", "one")] == [3, 2, 4]


def test_visitors_who_come_together_share_one_look() -> None:
    remembered, make, together = LookCache(), Counted(0.3), Barrier(8)
    found = []

    def visit() -> None:
        together.wait()
        found.append(remembered.look("it", make, 60).value)

    visitors = [Thread(target=visit) for _ in range(8)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert found == [1] * 8
