"""The spike filter on whole simulated lives: it finds what was injected, and calls nothing else a spike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dataflows.spikes import VOLTAGE, spikes
from producer.simulate import simulate_tests

if TYPE_CHECKING:
    import numpy.typing as npt

SPIKES = 1000
VOLTS = 0.1
FROM_THE_ENDS = 3


@dataclass
class Steps:
    time: npt.NDArray[np.float64]
    voltage: npt.NDArray[np.float64]
    current: npt.NDArray[np.float64]
    peak: npt.NDArray[np.float64]
    position: npt.NDArray[np.int64]
    left: npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def steps() -> Steps:
    found: list[Steps] = []
    for number in range(6):
        for export in simulate_tests(f"SPIKE_{number}", cycles=50, seed=number, cycles_per_file=50)[:1]:
            rows = export.test.readings
            key = rows["cycle_index"].to_numpy() * 100 + rows["step_index"].to_numpy()
            start = np.concatenate(([0], np.flatnonzero(np.diff(key)) + 1))
            size = np.diff(np.append(start, len(key)))
            position = np.arange(len(key)) - np.repeat(start, size)
            found.append(
                Steps(
                    rows["test_time(s)"].to_numpy(),
                    rows["voltage(v)"].to_numpy(),
                    rows["current(a)"].to_numpy(),
                    np.maximum.accumulate(np.abs(rows["current(a)"].to_numpy())),
                    position,
                    np.repeat(size, size) - position - 1,
                )
            )
    return Steps(*(np.concatenate([getattr(part, name) for part in found]) for name in Steps.__annotations__))


def test_of_a_thousand_spikes_inside_steps_at_least_99_in_100_are_found(steps: Steps) -> None:
    noise = np.random.default_rng(1000)
    inside = np.flatnonzero((steps.position >= FROM_THE_ENDS) & (steps.left >= FROM_THE_ENDS))
    # Apart from each other, as glitches are: a sample in fourteen would be no glitch.
    places = noise.choice(inside[:: len(inside) // (2 * SPIKES)], SPIKES, replace=False)
    voltage = steps.voltage.copy()
    voltage[places] += noise.choice([-VOLTS, VOLTS], SPIKES)
    found = spikes(steps.time, voltage, steps.current, steps.peak, steps.position, VOLTAGE)
    assert found[places].sum() >= 0.99 * SPIKES
    found[places] = False
    assert found.sum() <= SPIKES / 1000, "neighbours of spikes were taken for spikes"


def test_an_undisturbed_life_has_no_spike(steps: Steps) -> None:
    assert not spikes(steps.time, steps.voltage, steps.current, steps.peak, steps.position, VOLTAGE).any()


def test_the_first_three_samples_of_a_step_are_not_judged(steps: Steps) -> None:
    voltage = steps.voltage.copy()
    voltage[steps.position == FROM_THE_ENDS - 1] += 1.0
    found = spikes(steps.time, voltage, steps.current, steps.peak, steps.position, VOLTAGE)
    assert not found[steps.position < FROM_THE_ENDS].any()


@pytest.mark.parametrize(("ohms", "amperes"), [(60.0, 0.005), (0.03, 10.0), (0.001, 100.0)])
def test_a_drive_cycle_is_not_judged_since_its_current_moves_the_voltage(ohms: float, amperes: float) -> None:
    noise = np.random.default_rng(7)
    current = amperes * np.concatenate((noise.uniform(-1, 1, 2000), np.sin(np.cumsum(noise.normal(0, 0.2, 2000)))))
    time = np.arange(4000.0)
    peak = np.maximum.accumulate(np.abs(current))
    found = spikes(time, 3.7 + ohms * current, current, peak, np.arange(4000), VOLTAGE)
    assert found.sum() <= 1
