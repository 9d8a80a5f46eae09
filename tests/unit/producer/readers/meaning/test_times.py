"""Test times of files that have times of steps alone."""

from __future__ import annotations

import numpy as np

from producer.readers.meaning.counters import begins
from producer.readers.meaning.times import elapsed, gone_on, true_unit

STEP_TIME = np.array([0.0, 10.0, 0.0, 5.0, 1.0, 2.0])
STARTS = begins(np.array([1, 1, 2, 2, 3, 3]), 6)


def test_a_step_begins_when_the_clock_says() -> None:
    clock = 1e9 + np.array([0.0, 10.0, 12.0, 17.0, 21.0, 22.0])
    assert elapsed(STEP_TIME, STARTS, clock).tolist() == [0.0, 10.0, 12.0, 17.0, 21.0, 22.0]


def test_without_a_clock_a_step_begins_where_the_one_before_was_last_read() -> None:
    assert elapsed(STEP_TIME, STARTS, None).tolist() == [0.0, 10.0, 10.0, 15.0, 16.0, 17.0]


def test_a_clock_that_goes_back_does_not_take_the_test_back() -> None:
    clock = 1e9 + np.array([0.0, 10.0, 3.0, 8.0, 21.0, 22.0])
    found = elapsed(STEP_TIME, STARTS, clock)
    assert (np.diff(found) >= 0).all()
    assert found[2] == 10.0


def test_times_with_rests_between_them_are_still_seconds() -> None:
    time = np.arange(10.0)
    clock = time + np.where(time > 4, 3600.0, 0.0)
    assert true_unit(time, clock) is None
    assert true_unit(time / 60, clock) == 60  # the minute


def test_times_that_never_begin_again_are_left_alone_and_others_go_on_by_the_clock() -> None:
    time = np.array([0.0, 10.0, 20.0, 0.0, 10.0])
    assert gone_on(time[:3], None) is None
    assert (found := gone_on(time, None)) is not None
    assert found.tolist() == [0.0, 10.0, 20.0, 20.0, 30.0]
    assert (found := gone_on(time, np.array([0.0, 10.0, 20.0, 50.0, 60.0]))) is not None
    assert found.tolist() == [0.0, 10.0, 20.0, 50.0, 60.0]
