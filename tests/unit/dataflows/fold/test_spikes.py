"""The spike filter on whole lives, and what `battery_cleaned` drops of what it suspects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from support.macros import macros_of

from dataflows.fold.spikes import VOLTAGE, spikes
from producer.readers.arbin import read_workbook
from producer.simulate import simulate_tests

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

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
    step: npt.NDArray[np.int64]

    def suspected(self, voltage: npt.NDArray[np.float64] | None = None) -> npt.NDArray[np.bool_]:
        values = self.voltage if voltage is None else voltage
        return spikes(self.time, values, self.current, self.peak, self.position, VOLTAGE)

    def dropped(self, voltage: npt.NDArray[np.float64] | None = None) -> npt.NDArray[np.bool_]:
        """What `battery_cleaned` drops of the suspected, by its own SQL."""
        came_back = macros_of("came_back.sql").came_back("voltage")
        rows = pa.table(
            {
                "row": np.arange(len(self.step)),
                "step": self.step,
                "voltage": self.voltage if voltage is None else voltage,
                "suspected": self.suspected(voltage),
            }
        )
        found = duckdb.from_arrow(rows).query(
            "rows",
            f"select suspected and {came_back} from rows window in_step as (partition by step order by row), "  # noqa: S608
            "soon as (partition by step order by row rows between 1 following and 3 following) order by row",
        )
        return np.array([dropped for (dropped,) in found.fetchall()])


def steps_of(tests: Iterable[pa.Table], every: int = 1) -> Steps:
    """Tests end to end, of which every n-th reading was logged."""
    found: list[Steps] = []
    for number, test in enumerate(tests):
        rows = test.take(pa.array(range(0, test.num_rows, every)))
        key = rows["cycle_index"].to_numpy() * 100 + rows["step_index"].to_numpy()
        start = np.concatenate(([0], np.flatnonzero(np.diff(key)) + 1))
        size = np.diff(np.append(start, len(key)))
        position = np.arange(len(key)) - np.repeat(start, size)
        current = rows["current(a)"].to_numpy()
        found.append(
            Steps(
                rows["test_time(s)"].to_numpy(),
                rows["voltage(v)"].to_numpy(),
                current,
                np.maximum.accumulate(np.abs(current)),
                position,
                np.repeat(size, size) - position - 1,
                np.repeat(np.arange(len(size)), size) + 1_000_000 * number,
            )
        )
    return Steps(*(np.concatenate([getattr(part, name) for part in found]) for name in Steps.__annotations__))


@pytest.fixture(scope="module")
def real(shared_data: Path) -> list[pa.Table]:
    """Readings of every third workbook of the real cells."""
    books = [read_workbook(path) for path in sorted((shared_data / "calce").glob("CS2_3*/*.xls*"))[::3]]
    return [test.readings for book in books for test in book.tests]


@pytest.fixture(scope="module")
def lives() -> list[pa.Table]:
    return [simulate_tests(f"SPIKE_{number}", cycles=50, seed=number)[0].test.readings for number in range(6)]


@pytest.fixture(scope="module")
def steps(lives: list[pa.Table]) -> Steps:
    return steps_of(lives)


def test_of_a_thousand_spikes_inside_steps_at_least_99_in_100_are_found(steps: Steps) -> None:
    noise = np.random.default_rng(1000)
    inside = np.flatnonzero((steps.position >= FROM_THE_ENDS) & (steps.left >= FROM_THE_ENDS))
    # Apart from each other, as glitches are: a sample in fourteen would be no glitch.
    places = noise.choice(inside[:: len(inside) // (2 * SPIKES)], SPIKES, replace=False)
    voltage = steps.voltage.copy()
    voltage[places] += noise.choice([-VOLTS, VOLTS], SPIKES)
    found = steps.suspected(voltage)
    dropped = steps.dropped(voltage)
    assert dropped[places].sum() >= 0.98 * SPIKES
    assert not dropped[np.setdiff1d(np.arange(len(dropped)), places)].any()
    assert found[places].sum() >= 0.99 * SPIKES
    found[places] = False
    assert found.sum() <= SPIKES / 1000, "neighbours of spikes were taken for spikes"


def test_an_undisturbed_life_has_no_spike(steps: Steps) -> None:
    assert not steps.suspected().any()


def test_a_pack_of_cells_in_series_has_no_spike_that_one_of_them_has_not(steps: Steps) -> None:
    """400 cells at up to 1,680 V, whose instrument has 400 times the noise."""
    noise = np.random.default_rng(400).normal(0, 0.001, len(steps.voltage))
    assert not steps.suspected(400 * (steps.voltage + noise)).any()
    at = int(np.flatnonzero((steps.position >= FROM_THE_ENDS) & (steps.left >= FROM_THE_ENDS))[200])
    voltage = 400 * steps.voltage
    voltage[at] += 400 * VOLTS
    assert np.flatnonzero(steps.suspected(voltage)).tolist() == [at]


@pytest.mark.parametrize("every", [4, 10])
def test_of_a_life_that_was_logged_coarsely_nothing_is_dropped(lives: list[pa.Table], every: int) -> None:
    thin = steps_of(lives, every)
    assert thin.suspected().any(), "the filter looks back only: it has to suspect the knees"
    assert not thin.dropped().any()


@pytest.mark.parametrize("every", [1, 2, 4, 10])
def test_of_real_cells_however_coarsely_logged_nothing_is_dropped(real: list[pa.Table], every: int) -> None:
    assert not steps_of(real, every).dropped().any()


def test_the_first_three_samples_of_a_step_are_not_judged(steps: Steps) -> None:
    voltage = steps.voltage.copy()
    voltage[steps.position == FROM_THE_ENDS - 1] += 1.0
    found = steps.suspected(voltage)
    assert not found[steps.position < FROM_THE_ENDS].any()


@pytest.mark.parametrize(("ohms", "amperes"), [(60.0, 0.005), (0.03, 10.0), (0.001, 100.0)])
def test_in_a_drive_cycle_the_current_explains_the_voltage_whatever_the_size_of_the_cell(
    ohms: float, amperes: float
) -> None:
    noise = np.random.default_rng(7)
    current = amperes * np.concatenate((noise.uniform(-1, 1, 2000), np.sin(np.cumsum(noise.normal(0, 0.2, 2000)))))
    assert not driven(ohms, current).any()


def test_where_the_current_jumps_nothing_is_judged() -> None:
    current = 30.0 * np.random.default_rng(7).uniform(-1, 1, 4000)
    assert driven(0.03, current).sum() <= 4, "a cell that loses 0.9 V to its resistance is beyond what is allowed for"


def driven(ohms: float, current: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """What is suspected of a cell that follows its current, a sample a second."""
    time = np.arange(float(len(current)))
    peak = np.maximum.accumulate(np.abs(current))
    return spikes(time, 3.7 + ohms * current, current, peak, np.arange(len(current)), VOLTAGE)
