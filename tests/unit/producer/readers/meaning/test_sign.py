"""The sign of the current: found from states, counters and voltages, and never turned twice."""

from __future__ import annotations

import numpy as np
import pytest

from producer.readers.meaning.sign import settle_sign

RIGHT = np.array([0.0, 1.0, 1.0, 1.0, 0.0, -1.0, -1.0, -1.0])
VOLTAGE = np.array([3.3, 3.5, 3.7, 4.0, 3.9, 3.6, 3.4, 3.1])
STATE = np.array([0, 1, 1, 1, 0, -1, -1, -1])
COUNTERS = {
    "charge_capacity": np.array([0.0, 0.1, 0.2, 0.3, 0.3, 0.3, 0.3, 0.3]),
    "discharge_capacity": np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.2, 0.3]),
}
NONE: dict[str, np.ndarray] = {}


@pytest.mark.parametrize("current", [RIGHT, -RIGHT, np.abs(RIGHT), -np.abs(RIGHT)])
@pytest.mark.parametrize(("state", "counters"), [(STATE, NONE), (None, COUNTERS), (STATE, COUNTERS)])
def test_states_and_counters_give_every_current_its_sign(
    current: np.ndarray, state: np.ndarray | None, counters: dict[str, np.ndarray]
) -> None:
    found, said = settle_sign(current, VOLTAGE, state, counters, None)
    assert found.tolist() == RIGHT.tolist()
    assert (said is None) == (current is RIGHT)


def test_voltages_tell_where_nothing_else_does() -> None:
    found, said = settle_sign(-RIGHT, VOLTAGE, None, NONE, None)
    assert found.tolist() == RIGHT.tolist()
    assert said == "current is positive while discharging in the file; its sign was turned, as the voltages tell"
    assert settle_sign(RIGHT, VOLTAGE, None, NONE, None) == (RIGHT, None)


def test_the_jump_of_an_onset_is_no_movement() -> None:
    """A pulse lifts the voltage at once by its resistance; only what follows tells the direction."""
    current = np.array([0.0, -1.0, -1.0, 0.0, 1.0, 1.0])
    voltage = np.array([3.0, 3.9, 3.8, 3.0, 2.0, 2.1])
    assert settle_sign(current, voltage, None, NONE, None)[1] is None


def test_noise_in_rests_does_not_make_a_current_signed() -> None:
    current = np.abs(RIGHT)
    current[0] = -1e-5
    found, said = settle_sign(current, VOLTAGE, STATE, NONE, None)
    assert found[5] == -1.0
    assert said is not None
    assert "no sign" in said


def test_an_offset_in_rests_that_is_no_noise_makes_no_current_signed() -> None:
    current = np.where(STATE == 0, -0.01, np.abs(RIGHT))
    found, said = settle_sign(current, VOLTAGE, STATE, NONE, None)
    assert np.sign(found[STATE != 0]).tolist() == RIGHT[STATE != 0].tolist()
    assert said is not None
    assert "no sign" in said


def test_a_reading_that_lags_behind_its_state_does_not_turn_the_others() -> None:
    current = np.array([0.0, -1.0, 1.0, 1.0, 0.0, 1.0, -1.0, -1.0])
    assert settle_sign(current, VOLTAGE, STATE, NONE, None) == (current, None)


def test_a_file_of_discharges_alone_is_turned_only_where_it_says_so() -> None:
    current, voltage = np.array([1.0, 1.0, 1.0]), np.array([4.0, 3.8, 3.5])
    assert settle_sign(current, voltage, np.array([-1, -1, -1]), NONE, None)[0].tolist() == [-1.0, -1.0, -1.0]
    assert settle_sign(current, voltage, None, NONE, None) == (current, None)
    assert settle_sign(-current, voltage, np.array([-1, -1, -1]), NONE, None)[1] is None


def test_a_test_without_current_stays_as_it_is() -> None:
    nothing = np.zeros(3)
    assert settle_sign(nothing, nothing, None, NONE, None) == (nothing, None)


def test_a_current_without_a_sign_gets_that_of_the_voltages_of_each_step_where_nothing_else_tells() -> None:
    steps = np.repeat([1, 2, 3, 4, 5], 4)
    current = np.concatenate(
        (np.full(4, 1.0), [0.9, 0.5, 0.3, 0.2], np.zeros(4), np.full(4, 1.0), [0.9, 0.5, 0.3, 0.2])
    )
    voltage = np.concatenate(
        ([3.0, 3.5, 3.8, 4.2], np.full(4, 4.2), np.full(4, 4.1), [3.9, 3.5, 3.0, 2.5], [2.5, 2.52, 2.53, 2.53])
    )
    found, said = settle_sign(current, voltage, None, NONE, steps)
    assert np.sign(found).tolist() == np.repeat([1, 1, 0, -1, -1], 4).tolist()
    assert (
        said == "current has no sign in the file; it got that of the voltages of each step, so that charge is positive"
    )


def test_steps_whose_current_is_not_held_tell_no_direction() -> None:
    steps = np.repeat([1, 2], 4)
    current = np.array([1.0, 2.0, 1.0, 0.2, 1.0, 1.0, 1.0, 1.0])
    voltage = np.array([4.0, 3.8, 3.9, 4.0, 3.9, 3.8, 3.7, 3.6])
    assert settle_sign(current, voltage, None, NONE, steps) == (current, None)


def test_crosstalk_in_the_counter_of_the_other_direction_turns_no_reading() -> None:
    current = np.array([0.0, -10.0, -10.0, -10.0])
    counters = {
        "charge_capacity": np.array([0.0, 5e-10, 5e-10, 5e-10]), "discharge_capacity": np.array([0.0, 0.0, 0.1, 0.2]),
    }  # fmt: skip
    found, said = settle_sign(current, np.array([3.5, 3.4, 3.3, 3.2]), None, counters, None)
    assert found.tolist() == current.tolist()
    assert said is None
