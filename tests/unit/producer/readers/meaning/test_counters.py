"""Counters of files made counters of the test: whatever they count, the gains are the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.readers.meaning.counters import accumulate, begins, integrate, kind_of, share_out, split_net

LABELS = np.array([1, 1, 1, 2, 2, 2, 3, 3, 3])
STEPS = begins(LABELS, 9)
NO_CYCLES = begins(None, 9)
OF_TEST = np.array([0.0, 0.1, 0.2, 0.2, 0.35, 0.5, 0.5, 0.5, 0.9])


def restarted(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A counter of a test as one that begins again where a label does."""
    first = np.flatnonzero(begins(labels, len(values)))
    before = np.concatenate(([0.0], values[first[1:] - 1]))
    found: np.ndarray = values - before[np.cumsum(begins(labels, len(values))) - 1]
    return found


def test_a_counter_of_the_test_stays_as_the_file_has_it_to_the_last_digit() -> None:
    values = np.array([0.8800053, 0.88141066, 0.9, 0.9, 1.0719])
    steps = begins(np.array([1, 1, 2, 2, 3]), 5)
    assert kind_of(values, steps, begins(None, 5)) == "test"
    assert accumulate(values, "test", steps, begins(None, 5)).tolist() == values.tolist()


def test_a_counter_that_falls_where_steps_begin_counts_steps() -> None:
    assert kind_of(restarted(OF_TEST, LABELS), STEPS, NO_CYCLES) == "step"


def test_a_counter_that_falls_where_cycles_begin_counts_cycles() -> None:
    cycles = np.array([1, 1, 1, 1, 1, 1, 2, 2, 2])
    assert kind_of(restarted(OF_TEST, cycles), STEPS, begins(cycles, 9)) == "cycle"


def test_a_counter_that_falls_anywhere_is_irregular_and_still_added_up() -> None:
    values = np.array([0.0, 0.2, 0.1, 0.3, 0.0, 0.1])
    steps = begins(np.ones(6, np.int64), 6)
    assert kind_of(values, steps, begins(None, 6)) == "irregular"
    assert accumulate(values, "irregular", steps, begins(None, 6)) == pytest.approx([0.0, 0.2, 0.3, 0.5, 0.5, 0.6])


def test_a_step_may_begin_with_more_than_the_step_before_ended_with() -> None:
    """Sparse logging may show nothing of a step's beginning: the value there is all gained in it."""
    values = np.array([0.0, 0.1, 0.3, 0.5])
    steps = begins(np.array([1, 1, 2, 2]), 4)
    assert accumulate(values, "step", steps, begins(None, 4)) == pytest.approx([0.0, 0.1, 0.4, 0.6])


def test_lost_digits_are_no_beginning() -> None:
    values = np.array([0.0, 1.0, 0.9999999, 1.2])
    assert kind_of(values, begins(np.arange(4), 4), begins(None, 4)) == "test"


def test_an_empty_cell_keeps_the_value_before() -> None:
    values = np.array([0.0, np.nan, 0.2, np.nan])
    assert accumulate(values, "test", begins(None, 4), begins(None, 4)).tolist() == [0.0, 0.0, 0.2, 0.2]


@given(
    st.lists(st.tuples(st.integers(1, 4), st.floats(0, 1, allow_nan=False)), min_size=1, max_size=40),
    st.sampled_from(["step", "cycle"]),
)
def test_a_counter_that_begins_again_has_the_gains_of_that_of_the_test(
    moves: list[tuple[int, float]], kind: str
) -> None:
    labels = np.repeat(np.arange(len(moves)), [length for length, _ in moves])
    gains = np.repeat([gain for _, gain in moves], [length for length, _ in moves])
    values = np.cumsum(gains)
    starts = begins(labels, len(values))
    found = accumulate(restarted(values, labels), kind, starts, starts)
    assert found == pytest.approx(values, abs=1e-9)


def test_one_counter_for_both_directions_holds_in_a_rest_and_goes_on_when_its_direction_resumes() -> None:
    direction = np.array([-1, -1, 0, 0, -1, -1, 0, 1, 1, 1])
    capacity = np.array([0.0, 2.7, 2.7, 2.7, 2.8, 3.0, 3.0, 0.1, 1.0, 2.6])
    charge, discharge = share_out(capacity, direction, "irregular", begins(None, 10))
    assert discharge[-1] == pytest.approx(3.0)
    assert charge[-1] == pytest.approx(2.6)


def test_one_counter_begins_again_where_the_direction_turns_even_with_a_larger_value() -> None:
    direction = np.array([-1, -1, 1, 1])
    charge, discharge = share_out(np.array([0.0, 1.0, 1.5, 2.0]), direction, "irregular", begins(None, 4))
    assert (charge[-1], discharge[-1]) == pytest.approx((2.0, 1.0))


def test_a_net_counter_is_split_by_the_way_it_moves() -> None:
    charge, discharge = split_net(np.array([5.0, 6.0, 4.0, 4.5]), "test", begins(None, 4), begins(None, 4))
    assert (charge[-1], discharge[-1]) == pytest.approx((1.5, 2.0))


def test_an_integral_takes_trapezoids_within_a_step_and_the_new_current_at_its_beginning() -> None:
    current = np.array([0.0, 0.0, 1.0, 1.0, -2.0])
    time = np.array([0.0, 3600.0, 7200.0, 10800.0, 14400.0])
    charge, discharge = integrate(current, time, begins(np.array([1, 1, 2, 2, 3]), 5))
    assert charge.tolist() == [0.0, 0.0, 1.0, 2.0, 2.0]
    assert discharge.tolist() == [0.0, 0.0, 0.0, 0.0, 2.0]


def test_a_counter_that_holds_in_rests_counts_no_steps_though_it_falls_where_steps_begin() -> None:
    steps = begins(np.array([1, 1, 2, 2, 3, 3, 4, 4]), 8)
    assert kind_of(np.array([0.0, 2.0, 2.0, 2.0, 2.1, 3.0, 0.1, 1.0]), steps, begins(None, 8)) == "irregular"


@pytest.mark.parametrize("kind", ["test", "cycle"])
def test_one_counter_of_a_whole_test_or_cycle_goes_on_where_the_direction_turns(kind: str) -> None:
    direction = np.array([1, 1, 1, -1, -1, 1, 1])
    capacity = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    charge, discharge = share_out(capacity, direction, kind, begins(None, 7), np.full(7, 1.1))
    assert (charge[-1], discharge[-1]) == pytest.approx((4.0, 2.0))


def test_one_counter_that_never_falls_begins_again_where_no_more_moved_than_it_has() -> None:
    direction = np.array([-1, -1, 1, 1])
    moved = np.array([0.0, 0.1, 0.4, 0.4])
    charge, discharge = share_out(np.array([0.0, 0.1, 0.4, 0.8]), direction, "test", begins(None, 4), moved)
    assert (charge[-1], discharge[-1]) == pytest.approx((0.8, 0.1))
