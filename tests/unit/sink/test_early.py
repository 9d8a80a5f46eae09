"""Commits before the epoch closes: soon after a drop, and no more objects under a thin stream."""

from __future__ import annotations

import pytest

from sink.early import LEAST_ROWS, QUIET_SECONDS, EarlyCommits


def commits(interval: float, rows_each: int, every: float, seconds: int = 600) -> int:
    """How many commits a stream of so many rows every so many seconds causes, with those that close epochs."""
    last_message = last_commit = -1e9
    early = EarlyCommits(interval, lambda: now - last_message)
    waiting = count = 0
    next_message, next_epoch = 0.0, interval
    for tick in range(seconds * 10):
        now = tick / 10
        if now >= next_message:
            last_message, next_message = now, next_message + every
            waiting += rows_each
        if early.is_due(waiting, now - last_commit) or (now >= next_epoch and waiting):
            last_commit, waiting, count = now, 0, count + 1
        if now >= next_epoch:
            next_epoch += interval
    return count


@pytest.mark.parametrize("every", [0.1, 0.5, 1.0, 3.0, 7.0])
def test_a_thin_stream_is_committed_as_often_as_epochs_close(every: float) -> None:
    assert commits(10, rows_each=1, every=every) <= 600 / 10 + 2


def test_a_stream_that_never_pauses_is_committed_as_epochs_close_however_many_rows_it_has() -> None:
    assert commits(10, rows_each=LEAST_ROWS, every=QUIET_SECONDS / 2) <= 600 / 10 + 1


def test_drops_of_many_rows_are_committed_at_once_up_to_five_an_interval() -> None:
    assert commits(10, rows_each=LEAST_ROWS, every=8) == 600 / 8
    assert 4 * 60 <= commits(10, rows_each=LEAST_ROWS, every=1) <= 5 * 60 + 1


def test_nothing_is_committed_where_nothing_waits_or_more_may_come() -> None:
    assert not EarlyCommits(10, lambda: 100.0).is_due(0, 100)
    assert not EarlyCommits(10, lambda: QUIET_SECONDS / 2).is_due(LEAST_ROWS, 100)
    assert EarlyCommits(10, lambda: QUIET_SECONDS).is_due(1, 100)
