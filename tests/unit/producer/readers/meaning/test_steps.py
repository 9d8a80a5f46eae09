"""Steps and cycles that files do not number."""

from __future__ import annotations

import numpy as np

from producer.readers.meaning.steps import cycles_of, directions_of, steps_of


def test_a_step_begins_where_the_direction_changes() -> None:
    assert steps_of(np.array([0.0, 0.0, 1.0, 1.0, 0.0, -1.0])).tolist() == [1, 1, 2, 2, 3, 4]


def test_a_held_current_that_jumps_to_another_begins_a_step() -> None:
    assert steps_of(np.array([1.0, 1.0, 1.0, 0.5, 0.5, 0.5])).tolist() == [1, 1, 1, 2, 2, 2]


def test_a_current_that_glides_is_one_step() -> None:
    assert set(steps_of(np.array([1.0, 1.0, 0.9, 0.7, 0.5, 0.3, 0.2])).tolist()) == {1}


def test_the_offset_of_an_instrument_is_no_current() -> None:
    assert directions_of(np.array([1e-4, 1.0, -1e-4, -1.0])).tolist() == [0, 1, 0, -1]


def test_a_cycle_begins_where_a_charge_follows_a_discharge_whatever_rests_between() -> None:
    assert cycles_of(np.array([0, -1, 0, 1, 0, 1, -1, -1, 0, 1])).tolist() == [1, 1, 1, 2, 2, 2, 2, 2, 2, 3]
