"""Simulated cells: how they age, what their cyclers log, and that their counters are what has flowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ageing.knee import find_knee
from battery.demo import LOG_EVERY, ways_of_ageing
from producer.simulate import LOG_V, Ageing, simulate_tests

if TYPE_CHECKING:
    import pyarrow as pa

    from producer.simulate import Floats

CYCLES = 120
NOMINAL_AH = 1.1


def readings_of(ageing: Ageing | None, log_every: int, cycles: int = 6) -> list[pa.Table]:
    """The readings of a cell's tests, the second export of the last one left out."""
    exports = simulate_tests("SIM", cycles=cycles, seed=2, cycles_per_file=cycles, ageing=ageing, log_every=log_every)
    return [export.test.readings for export in exports[:-1]]


def capacities(ageing: Ageing) -> Floats:
    """The discharge capacity of every cycle in Ah."""
    (test,) = readings_of(ageing, LOG_EVERY, CYCLES)
    cycle = test["cycle_index"].to_numpy()
    counter = test["discharge_capacity(ah)"].to_numpy()
    return np.diff(counter[np.flatnonzero(np.diff(cycle, append=0))], prepend=0.0)


@pytest.fixture(scope="module")
def lives() -> list[Floats]:
    return [capacities(ageing) for ageing in ways_of_ageing(CYCLES)]


def has_knee(capacity: Floats) -> bool:
    return find_knee(np.arange(1.0, CYCLES + 1), capacity) is not None


def test_of_the_demos_cells_one_is_healthy_one_has_a_knee_and_two_reach_the_end_of_their_lives(
    lives: list[Floats],
) -> None:
    health = [float(np.median(capacity[-11:])) / NOMINAL_AH for capacity in lives]
    assert [has_knee(capacity) for capacity in lives] == [False, True, True, False]
    assert 0.95 < health[0] < 1.0
    assert 0.8 < health[1] < 0.9
    assert health[2] < 0.8
    assert health[3] < 0.8


def test_a_sharp_knee_lies_where_it_was_asked_for() -> None:
    knee = find_knee(np.arange(1.0, CYCLES + 1), capacities(Ageing(fade=0.0002, knee=90, width=6)))
    assert knee is not None
    assert knee.cycle == pytest.approx(83, abs=8)


def test_a_coarser_log_leaves_readings_out_and_changes_none() -> None:
    (whole,), (coarse,) = readings_of(None, 1), readings_of(None, LOG_EVERY)
    assert coarse.num_rows < whole.num_rows / 2.5
    assert coarse["data_point"].to_pylist() == list(range(1, coarse.num_rows + 1))
    kept = np.isin(whole["test_time(s)"].to_numpy(), coarse["test_time(s)"].to_numpy())
    assert whole.filter(kept).drop_columns("data_point") == coarse.drop_columns("data_point")


def test_a_coarser_log_has_the_end_of_every_step_and_the_steep_end_of_a_discharge() -> None:
    (whole,), (coarse,) = readings_of(None, 1), readings_of(None, LOG_EVERY)
    for test in (whole, coarse):
        cycle, step = test["cycle_index"].to_numpy(), test["step_index"].to_numpy()
        last = np.flatnonzero(np.diff(cycle * 10 + step, append=0))
        assert len(last) == len(whole.group_by(["cycle_index", "step_index"]).aggregate([]))
        ends = test["voltage(v)"].to_numpy()[last][step[last] == 7]
        assert (ends < 2.7).all()
    step, fall = whole["step_index"].to_numpy(), np.diff(whole["voltage(v)"].to_numpy(), prepend=0.0)
    within = (step == 7) & (np.roll(step, 1) == 7)
    steep = whole["test_time(s)"].to_numpy()[within & (np.abs(fall) > LOG_V)]
    assert len(steep) > 0
    assert np.isin(steep, coarse["test_time(s)"].to_numpy()).all()


def test_counters_are_what_has_flowed() -> None:
    (test,) = readings_of(None, 1)
    current, voltage = test["current(a)"].to_numpy(), test["voltage(v)"].to_numpy()
    before = np.concatenate((current[:1], current[:-1]))
    starts = np.diff(test["step_index"].to_numpy(), prepend=0) != 0
    before[starts] = current[starts]  # a step's current sets in at its start
    hours = np.diff(test["test_time(s)"].to_numpy(), prepend=0.0) / 3600
    charge = (current + before) / 2 * hours
    for sign, name in ((1, "charge"), (-1, "discharge")):
        moved = np.maximum(sign * charge, 0)
        assert test[f"{name}_capacity(ah)"].to_numpy() == pytest.approx(np.cumsum(moved), abs=1e-9)
        assert test[f"{name}_energy(wh)"].to_numpy() == pytest.approx(np.cumsum(moved * voltage), abs=1e-9)


@pytest.mark.parametrize("size", [1e-5, 1e4])
def test_a_cell_of_another_size_has_the_same_life_at_other_currents(size: float) -> None:
    (one,) = readings_of(None, LOG_EVERY)
    other = simulate_tests("SIM", cycles=6, seed=2, cycles_per_file=6, log_every=LOG_EVERY, size=size)[0].test.readings
    for name in one.column_names:
        factor = size if name.endswith(("(a)", "(ah)", "(wh)")) else 1 / size if name.startswith("internal") else 1.0
        if factor == 1.0:
            assert other[name].equals(one[name]), name
        else:
            assert other[name].to_numpy() == pytest.approx(factor * one[name].to_numpy(), rel=1e-14), name


@pytest.mark.parametrize("size", [0.0, -1.0, float("inf"), float("nan")])
def test_a_cell_of_no_size_is_refused(size: float) -> None:
    with pytest.raises(ValueError, match="must be a positive number"):
        simulate_tests("SIM", cycles=1, size=size)


@pytest.mark.parametrize("name", ["cycles", "cycles_per_file", "log_every"])
def test_nothing_to_simulate_or_to_log_is_refused(name: str) -> None:
    count = {"cycles": 2, "cycles_per_file": 2, "log_every": 1, name: 0}
    with pytest.raises(ValueError, match=f"{name}=0.*must all be at least 1"):
        simulate_tests(
            "SIM", cycles=count["cycles"], cycles_per_file=count["cycles_per_file"], log_every=count["log_every"]
        )
