"""The simulated cell that the writers of all formats write, and the comparison with what a reader makes of it.

A cell of 1 Ah goes three times through rest, charge at constant current, hold at constant voltage, rest, discharge,
rest, discharge, rest and a pulse. Each step's first reading comes one interval after the step began, so no two
readings share a test time, and a counter that begins again with each step already has a value there. The test takes
longer than a day and passes a midnight; its day of the month cannot be taken for a month.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

if TYPE_CHECKING:
    import numpy.typing as npt

    from producer.readers.base import Test

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

START: Final = np.datetime64("2024-03-14T09:30:15", "us")
"""The wall clock when the test begins; the first reading is one interval later."""

CYCLES: Final = 3
FADE: Final = 0.02
CHARGE, HOLD, REST, DISCHARGE, PULSE = 0.44, 0.05, 0.0, -0.8, -1.6
COUNTERS: Final = ("charge_capacity", "discharge_capacity", "charge_energy", "discharge_energy")

_STEPS: Final = (
    # readings, s between two, A at first and last, V at first and last
    (15, 300, REST, REST, 3.40, 3.41),
    (50, 160, CHARGE, CHARGE, 3.52, 4.20),
    (30, 60, CHARGE, HOLD, 4.20, 4.20),
    (15, 300, REST, REST, 4.18, 4.15),
    (25, 90, DISCHARGE, DISCHARGE, 4.02, 3.45),
    (15, 200, REST, REST, 3.55, 3.60),
    (25, 80, DISCHARGE, DISCHARGE, 3.44, 2.70),
    (12, 300, REST, REST, 3.10, 3.25),
    (10, 1, PULSE, PULSE, 3.00, 2.98),
)


@dataclass(frozen=True)
class TwinCell:
    """One test, n readings; arrays of shape (n,) in the units of the contract.

    Attributes:
        data_point: 1 to n.
        test_time: whole s since the test began.
        step_time: whole s since the step began.
        date_time: wall clock, datetime64[us], on whole seconds.
        step: number within the cycle, 1 to 9.
        cycle: from 1.
        current: A, positive while charging, of four decimals.
        voltage: V, of four decimals.
        charge_capacity: Ah of the whole test: integral of the current by trapezoids within a step.
        discharge_capacity: likewise.
        charge_energy: Wh of the whole test.
        discharge_energy: likewise.
        temperature: degrees Celsius, of two decimals.
    """

    data_point: Integers
    test_time: Floats
    step_time: Floats
    date_time: npt.NDArray[np.datetime64]
    step: Integers
    cycle: Integers
    current: Floats
    voltage: Floats
    charge_capacity: Floats
    discharge_capacity: Floats
    charge_energy: Floats
    discharge_energy: Floats
    temperature: Floats

    def __len__(self) -> int:
        """Readings."""
        return len(self.current)

    @property
    def direction(self) -> Integers:
        """+1 while charging, -1 while discharging, 0 in a rest, shape (n,)."""
        return np.sign(self.current).astype(np.int64)

    @property
    def step_run(self) -> Integers:
        """Which step of the whole test, from 1 on without a gap, shape (n,)."""
        return np.cumsum(np.diff(self.step, prepend=0) != 0)


def twin_cell(count: int = CYCLES) -> TwinCell:
    """The simulated cell of some cycles, 197 readings each; the same each time."""
    step_time, step, cycle, current, voltage = [], [], [], [], []
    for number in range(count):
        for index, (readings, every, first, last, low, high) in enumerate(_STEPS, 1):
            time = every * np.arange(1, readings + 1, dtype=np.float64)
            if first != REST:  # the cell takes less each cycle
                time = np.round(time * (1 - FADE * (number % 10)))
            step_time.append(time)
            step.append(np.full(readings, index))
            cycle.append(np.full(readings, number + 1))
            taper = np.linspace(0.0, 1.0, readings) ** 0.5
            current.append(np.round(first + (last - first) * taper, 4))
            voltage.append(np.round(np.linspace(low, high, readings), 4))
    lengths = [len(time) for time in step_time]
    began = np.concatenate(([0.0], np.cumsum([time[-1] for time in step_time])[:-1]))
    in_step = np.concatenate(step_time)
    test_time = np.repeat(began, lengths) + in_step
    begins = np.zeros(len(in_step), np.bool_)
    begins[np.cumsum([0, *lengths[:-1]])] = True
    amperes, volts = np.concatenate(current), np.concatenate(voltage)
    charge, discharge = _integrals(amperes, test_time, begins)
    charge_energy, discharge_energy = _integrals(amperes * volts, test_time, begins)
    size = len(in_step)
    return TwinCell(
        data_point=np.arange(1, size + 1),
        test_time=test_time,
        step_time=in_step,
        date_time=START + test_time.astype(np.int64).astype("timedelta64[s]"),
        step=np.concatenate(step),
        cycle=np.concatenate(cycle),
        current=amperes,
        voltage=volts,
        charge_capacity=charge,
        discharge_capacity=discharge,
        charge_energy=charge_energy,
        discharge_energy=discharge_energy,
        temperature=np.round(25.0 + np.abs(amperes) + 0.5 * np.sin(test_time / 7000.0), 2),
    )


def cycles(cell: TwinCell) -> list[tuple[int, float, float, float, float]]:
    """Of each cycle its number and what it gained: charge Ah, discharge Ah, charge Wh, discharge Wh."""
    counters = (cell.charge_capacity, cell.discharge_capacity, cell.charge_energy, cell.discharge_energy)
    gains = [np.diff(counter, prepend=0.0) for counter in counters]
    found = []
    for number in np.unique(cell.cycle):
        charge, discharge, charge_energy, discharge_energy = (float(gain[cell.cycle == number].sum()) for gain in gains)
        found.append((int(number), charge, discharge, charge_energy, discharge_energy))
    return found


def restarted(counter: Floats, labels: Integers) -> Floats:
    """A counter that begins again from zero where a label changes, of one that counts the whole test, shape (n,).

    >>> restarted(np.array([0.0, 1.0, 3.0, 6.0]), np.array([1, 1, 2, 2])).tolist()
    [0.0, 1.0, 2.0, 5.0]
    """
    first = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1))
    before = np.where(first > 0, counter[first - 1], 0.0)
    began: Floats = np.repeat(before, np.diff(first, append=len(counter)))
    return counter - began


def in_one(charge: Floats, discharge: Floats, direction: Integers) -> Floats:
    """One counter for both directions, as LANDT's: it holds in rests and begins again where the direction changes.

    Args:
        charge: counter of the whole test, shape (n,).
        discharge: likewise.
        direction: +1, -1 or 0 for a rest, shape (n,).
    """
    moved = np.maximum.accumulate(np.where(direction == 0, 0, np.arange(len(direction))))
    return restarted(charge + discharge, direction[moved])


def net(charge: Floats, discharge: Floats) -> Floats:
    """A counter that rises with charge and falls with discharge, shape (n,)."""
    return charge - discharge


def assert_same_cycles(test: Test, cell: TwinCell, rel: float, *, first: int = 1, energies: bool = True) -> None:
    """Compare what a reader made of the cell's file: the readings, the sign of the current, and each cycle's gains.

    Args:
        test: what the reader gave.
        cell: what was written.
        rel: how far a gain may be off, as a share of the largest gain of its kind.
        first: the number of the first cycle in the file.
        energies: whether energies are compared too; False for formats that cannot have them to `rel`.
    """
    readings = test.readings
    assert readings.num_rows == len(cell)
    current = readings["current(a)"].to_numpy()
    assert np.array_equal(np.sign(np.where(np.abs(current) < 1e-6, 0.0, current)), cell.direction)
    number = readings["cycle_index"].to_numpy()
    assert np.unique(number).tolist() == list(range(first, first + CYCLES))
    expected = np.array(cycles(cell))[:, 1:]
    for at, name in enumerate(COUNTERS if energies else COUNTERS[:2]):
        unit = "(ah)" if name.endswith("capacity") else "(wh)"
        gain = np.diff(readings[name + unit].to_numpy(), prepend=0.0)
        found = [float(gain[number == first + cycle].sum()) for cycle in range(CYCLES)]
        allowed = rel * float(expected[:, at].max())
        assert found == pytest.approx(expected[:, at].tolist(), rel=0, abs=allowed), name


def _integrals(rate: Floats, time: Floats, begins: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """What flowed in and out since the test began; the first reading of a step counts with its own rate."""
    before = np.concatenate(([0.0], rate[:-1]))
    moved = np.where(begins, rate, (rate + before) / 2) * np.diff(time, prepend=0.0) / 3600
    return np.cumsum(moved.clip(min=0.0)), np.cumsum((-moved).clip(min=0.0))
