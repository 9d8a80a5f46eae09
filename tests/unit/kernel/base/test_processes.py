from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kernel.base.processes import SHORT_LIFE_SECONDS, Restarts, relay_lines

if TYPE_CHECKING:
    import pytest


def test_pauses_grow_while_lives_are_short_and_a_long_life_starts_over(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    restarts = Restarts()
    pauses = []
    for life in (0.0, SHORT_LIFE_SECONDS - 1, 0.0, SHORT_LIFE_SECONDS, 0.0):
        restarts.started()
        clock += life
        pauses.append((restarts.ended(), restarts.short_lives))
    assert pauses == [(1.0, 1), (2.0, 2), (4.0, 3), (1.0, 0), (2.0, 1)]


def test_a_start_that_fails_is_followed_by_a_pause_and_is_no_life() -> None:
    restarts = Restarts()
    assert [restarts.failed(), restarts.failed()] == [1.0, 2.0]
    assert restarts.short_lives == 0


def test_lines_are_passed_on_to_their_end_even_where_nobody_takes_one() -> None:
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        if line == "two":
            raise BrokenPipeError

    relay = relay_lines(["one\n", "two\n", "\n", "three"], tell)
    relay.join(60)
    assert relay.daemon, "lines that go on do not keep this process from ending"
    assert told == ["one", "two", "", "three"]
