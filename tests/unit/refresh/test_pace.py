"""The pace of a refresh that keeps running: soon after a drop, seldom under a stream, later after failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refresh.pace import LONGEST_WAIT_SECONDS, MOST_CREDIT_SECONDS, QUIET_SECONDS, SHARE, Pace

if TYPE_CHECKING:
    from collections.abc import Callable

TICK = 0.5


def built(news: Callable[[float], str | None], until: float, takes: float = 5.0, fails: int = 0) -> list[float]:
    """The times at which models were built, when each build takes so long and the first ones fail."""
    pace, now, times = Pace(0.0), 0.0, []
    seen: str | None = None
    while now < until:
        found = news(now)
        if pace.is_due(None if found == seen else found, now):
            times.append(now)
            began, now = now, now + takes
            if len(times) <= fails:
                pace.failed(began, now)
            else:
                pace.refreshed(began, now)
                seen = found
        now += TICK
    return times


def test_nothing_new_is_not_built() -> None:
    assert built(lambda _: None, until=1000) == []


def test_a_drop_is_built_as_soon_as_the_landing_pauses() -> None:
    assert built(lambda now: "a" if now < 3 else f"{min(now, 8.0)} s", until=100) == [QUIET_SECONDS, 8 + QUIET_SECONDS]


def test_what_lands_without_a_pause_is_built_after_a_while() -> None:
    assert built(str, until=60, takes=1)[:2] == [LONGEST_WAIT_SECONDS, 2 * LONGEST_WAIT_SECONDS + 1 + TICK]


def test_what_lands_during_a_build_is_built_next() -> None:
    assert built(lambda now: "a" if now < 3 else "b", until=60) == [1.5, 8.5]


def test_a_stream_that_never_pauses_takes_a_share_of_the_time_in_the_long_run() -> None:
    until = 20_000.0
    for every in (2.0, 7.0, 60.0):
        times = built(lambda now, every=every: f"{now // every}", until)  # type: ignore[misc]
        assert 5 * len(times) <= SHARE * until + MOST_CREDIT_SECONDS + 5
    assert len(times) >= until // 60 - 1, "one drop a minute is built at once"


def test_the_first_drops_after_a_pause_are_all_built_at_once() -> None:
    assert built(lambda now: f"{now // 10}", until=90) == [10 * drop + QUIET_SECONDS for drop in range(9)]


def test_a_drop_after_a_long_build_waits_no_longer_than_that_took() -> None:
    assert built(lambda now: "a" if now < 300 else "b", until=900, takes=200) == [1.5, 300 + 200]
    assert built(lambda now: "a" if now < 130 else "b", until=900, takes=60) == [1.5, 130 + QUIET_SECONDS]


def test_a_failure_is_tried_again_after_pauses_that_grow_and_sooner_when_more_has_landed() -> None:
    times = built(lambda now: "a" if now < 200 else "b", until=250, fails=9, takes=1)
    assert times == [1.5, 1.5 + 1 + 30, 32.5 + 1 + 60, 200 + QUIET_SECONDS]
