"""Counters that stand still in one direction: what they lack is the integral of the current, and that is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.twins.cell import in_one, net, restarted, twin_cell

from producer.readers.meaning.one_way import uncounted_direction
from producer.readers.meaning.settle import settle
from producer.readers.record import Record

if TYPE_CHECKING:
    import numpy.typing as npt

    from producer.readers.meaning.settle import Settled

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

CELL = twin_cell()
MOVED = np.abs(CELL.current) * np.diff(CELL.test_time, prepend=0.0) / 3600.0
CHARGES = np.cumsum(np.diff(CELL.direction, prepend=0) == 1)
"""Which charge of the test each reading is of, or comes after."""

INTEGRAL = 2e-3
"""How far an integral may be off that knows nothing of where steps begin."""


def settled(**counters: Floats) -> Settled:
    return settle(Record(CELL.current, CELL.voltage, CELL.test_time, cycle=CELL.cycle, counters=counters))


def last(found: Settled, name: str) -> float:
    return float(found.columns[name][-1].as_py())


@pytest.mark.parametrize("labels", [np.ones_like(CELL.cycle), CELL.cycle, CHARGES], ids=["test", "cycle", "charge"])
@pytest.mark.parametrize("name", ["charge", "discharge"])
def test_a_counter_that_gains_nothing_in_one_direction_counts_the_other_alone(name: str, labels: Integers) -> None:
    other = {"charge": "discharge", "discharge": "charge"}[name]
    found = settled(capacity=restarted(getattr(CELL, f"{name}_capacity"), labels))
    assert last(found, f"{name}_capacity(ah)") == pytest.approx(getattr(CELL, f"{name}_capacity")[-1], rel=1e-12)
    assert last(found, f"{other}_capacity(ah)") == pytest.approx(getattr(CELL, f"{other}_capacity")[-1], rel=INTEGRAL)
    assert f"{other}_capacity(ah)" in found.integrated
    assert f"{name}_capacity(ah)" not in found.integrated
    assert f"capacity gains nothing in {other}; it was taken as that of {name} alone" in found.assumptions
    assert f"the file has no {other} capacity; it is the integral of the current over time" in found.assumptions
    assert not any("both directions" in line for line in found.assumptions)


def test_an_energy_is_asked_by_itself() -> None:
    both = in_one(CELL.charge_capacity, CELL.discharge_capacity, CELL.direction)
    found = settled(capacity=both, energy=CELL.charge_energy)
    assert found.integrated == ("discharge_energy(wh)",)
    assert last(found, "discharge_energy(wh)") == pytest.approx(CELL.discharge_energy[-1], rel=INTEGRAL)
    assert last(found, "discharge_capacity(ah)") == pytest.approx(CELL.discharge_capacity[-1], rel=1e-12)


def test_a_counter_of_charge_alone_leaves_the_discharge_to_the_integral() -> None:
    found = settled(charge_capacity=CELL.charge_capacity)
    assert last(found, "discharge_capacity(ah)") == pytest.approx(CELL.discharge_capacity[-1], rel=INTEGRAL)
    assert last(found, "charge_capacity(ah)") == CELL.charge_capacity[-1]
    assert "discharge_capacity(ah)" in found.integrated
    assert "the file has no discharge capacity; it is the integral of the current over time" in found.assumptions


def test_a_cell_that_only_charges_has_no_discharge_to_integrate() -> None:
    charging = CELL.direction > 0
    record = Record(
        CELL.current[charging],
        CELL.voltage[charging],
        np.arange(charging.sum(), dtype=np.float64),
        counters={"charge_capacity": CELL.charge_capacity[charging]},
    )
    assert settle(record).integrated == ("charge_energy(wh)", "discharge_energy(wh)")
    assert not settle(record).columns["discharge_capacity(ah)"].to_numpy().any()


@pytest.mark.parametrize(
    ("values", "is_net"),
    [
        (in_one(CELL.charge_capacity, CELL.discharge_capacity, CELL.direction), False),
        (CELL.charge_capacity + CELL.discharge_capacity, False),
        (net(CELL.charge_capacity, CELL.discharge_capacity), True),
        (np.zeros(len(CELL)), False),
        (np.zeros(len(CELL)), True),
    ],
    ids=["begins again", "of the test", "net", "still", "still and net"],
)
def test_a_counter_of_both_directions_or_of_none_lacks_neither(values: Floats, is_net: bool) -> None:
    assert uncounted_direction(values, CELL.direction, MOVED, net=is_net) == 0


def test_a_net_counter_that_never_falls_counts_charge_alone() -> None:
    assert uncounted_direction(CELL.charge_capacity, CELL.direction, MOVED, net=True) == -1


def test_a_charge_that_is_noise_beside_the_other_does_not_need_a_counter() -> None:
    pulses = np.where(CELL.direction < 0, 1e-3 * MOVED, MOVED)
    assert uncounted_direction(CELL.charge_capacity, CELL.direction, MOVED, net=False) == -1
    assert uncounted_direction(CELL.charge_capacity, CELL.direction, pulses, net=False) == 0


def test_pulses_that_the_digits_of_a_counter_do_not_show_are_not_uncounted() -> None:
    direction = np.tile([1, 1, 1, 1, -1, -1], 20)
    moved = np.where(direction > 0, 1.0, 0.3)
    charge = np.cumsum(np.where(direction > 0, moved, 0.0))
    assert uncounted_direction(charge, direction, moved, net=False) == 0
    assert uncounted_direction(charge, direction, np.where(direction > 0, 1.0, 3.0), net=False) == -1
