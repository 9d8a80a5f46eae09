"""A record settled: what a file lacks is made, what it has stays, and what was assumed is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from producer.readers.meaning.settle import settle
from producer.readers.record import Record

CURRENT = np.array([0.0, 1.0, 1.0, 0.0, -1.0, -1.0, 1.0, 1.0])
VOLTAGE = np.array([3.3, 3.5, 4.0, 3.9, 3.6, 3.1, 3.5, 3.9])
TIME = 3600.0 * np.arange(8, dtype=np.float64)
CHARGE = np.array([0.0, 1.0, 2.0, 2.0, 2.0, 2.0, 3.0, 4.0])
DISCHARGE = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 2.0])
STEP = np.array([1, 2, 2, 3, 4, 4, 2, 2])
CYCLE = np.array([1, 1, 1, 1, 1, 1, 2, 2])

WHOLE = Record(
    CURRENT,
    VOLTAGE,
    TIME,
    data_point=np.arange(1, 9),
    step=STEP,
    cycle=CYCLE,
    counters={
        "charge_capacity": CHARGE,
        "discharge_capacity": DISCHARGE,
        "charge_energy": CHARGE * 3.7,
        "discharge_energy": DISCHARGE * 3.5,
    },
)


def numbers(record: Record, name: str) -> list[float]:
    return [float(value) for value in settle(record).columns[name].to_pylist()]


def test_a_record_that_lacks_nothing_stays_as_it_is_and_nothing_is_assumed() -> None:
    settled = settle(WHOLE)
    assert settled.assumptions == ()
    assert settled.integrated == ()
    assert numbers(WHOLE, "charge_capacity(ah)") == CHARGE.tolist()
    assert numbers(WHOLE, "current(a)") == CURRENT.tolist()
    assert numbers(WHOLE, "step_index") == STEP.tolist()


def test_missing_counters_are_integrals_and_named() -> None:
    bare = replace(WHOLE, counters={})
    assert settle(bare).integrated == (
        "charge_capacity(ah)",
        "discharge_capacity(ah)",
        "charge_energy(wh)",
        "discharge_energy(wh)",
    )
    assert numbers(bare, "charge_capacity(ah)") == CHARGE.tolist()
    assert numbers(bare, "discharge_capacity(ah)") == DISCHARGE.tolist()
    assert "the file has no capacities and energies; they are integrals of the current over time" in (
        settle(bare).assumptions
    )


def test_missing_energies_alone_are_integrated_alone() -> None:
    bare = replace(WHOLE, counters={"charge_capacity": CHARGE, "discharge_capacity": DISCHARGE})
    assert settle(bare).integrated == ("charge_energy(wh)", "discharge_energy(wh)")


def test_missing_steps_and_cycles_are_told_by_the_current() -> None:
    bare = replace(WHOLE, step=None, cycle=None)
    assert numbers(bare, "step_index") == [1, 2, 2, 3, 4, 4, 5, 5]
    assert numbers(bare, "cycle_index") == CYCLE.tolist()


def test_one_counter_for_both_directions_becomes_two() -> None:
    single = np.array([0.0, 1.0, 2.0, 2.0, 1.0, 2.0, 1.0, 2.0])
    bare = replace(WHOLE, counters={"capacity": single})
    assert numbers(bare, "charge_capacity(ah)") == pytest.approx(CHARGE)
    assert numbers(bare, "discharge_capacity(ah)") == pytest.approx(DISCHARGE)


def test_a_current_without_a_sign_gets_it_from_the_counters() -> None:
    assert numbers(replace(WHOLE, current=np.abs(CURRENT)), "current(a)") == CURRENT.tolist()


def test_discharge_counters_that_are_negative_count_all_the_same() -> None:
    turned = replace(WHOLE, counters={"charge_capacity": CHARGE, "discharge_capacity": -DISCHARGE})
    assert numbers(turned, "discharge_capacity(ah)") == DISCHARGE.tolist()


def test_numbers_that_do_not_rise_are_replaced_and_that_is_said() -> None:
    odd = replace(WHOLE, data_point=np.array([1, 2, 2, 3, 4, 5, 6, 7]))
    assert numbers(odd, "data_point") == list(range(1, 9))
    assert settle(odd).assumptions == ("numbers of the readings do not rise; readings were numbered in their order",)


def test_a_record_without_any_time_is_an_error() -> None:
    with pytest.raises(ValueError, match="test time"):
        settle(replace(WHOLE, test_time=None))
