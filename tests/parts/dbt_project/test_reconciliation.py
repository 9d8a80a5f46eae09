"""Cycles made from rows against cycles that were streamed, for every way in which cyclers count."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import pytest
from support.landed import put
from support.modelled import Row, Warehouse, cycling, run_dbt

from kernel.base.errors import BatteryError
from kernel.contract.reading import COUNTERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START: Final = datetime(2024, 1, 1)  # noqa: DTZ001  # a cycler's wall clock has no zone
CAPACITIES: Final = (1.1, 1.0, 1.05)
PICO: Final = 1e-11
"""Some pico-Ah or pico-Wh: what rounding each gain of a cycle to whole ones may come to."""


def counted_from(rows: list[Row], key: Callable[[Row], object]) -> list[Row]:
    """The same course with counters that restart wherever `key` changes."""
    base, before, last = dict.fromkeys(COUNTERS, 0.0), dict.fromkeys(COUNTERS, 0.0), None
    found = []
    for row in rows:
        if key(row) != last:
            base, last = before, key(row)
        before = {name: row[name] for name in COUNTERS}
        found.append(row | {name: row[name] - base[name] for name in COUNTERS})
    return found


def lifted(rows: list[Row]) -> list[Row]:
    """A test that is entered long after its start, with what the counters stood at by then."""
    return [row | {"test_time(s)": row["test_time(s)"] + 90_000, **{n: row[n] + 7.5 for n in COUNTERS}} for row in rows]


def fell_once(rows: list[Row]) -> list[Row]:
    """A counter that was corrected downwards in the middle of a discharge."""
    return [
        row | {"discharge_capacity(ah)": row["discharge_capacity(ah)"] - (0.01 if row["data_point"] > 40 else 0)}
        for row in rows
    ]


def leapt(rows: list[Row]) -> list[Row]:
    """Counters that leap away and back, to stay, and to zero and back."""
    found = []
    for row in rows:
        changes: Row = {}
        if row["data_point"] > 15:
            changes["charge_capacity(ah)"] = row["charge_capacity(ah)"] + 9_000
        if row["data_point"] in {44, 45, 46, 90}:
            changes["discharge_capacity(ah)"] = 99_999.0 - row["data_point"]
            changes["discharge_energy(wh)"] = -7e4
        if row["data_point"] in {100, 101}:
            changes |= {"discharge_capacity(ah)": 0.0, "charge_energy(wh)": 0.0}
        if row["data_point"] == len(rows):
            changes["discharge_energy(wh)"] = 5e5
        found.append(row | changes)
    return found


CELLS: Final = {
    "PER_TEST": lambda rows: rows,
    "PER_CYCLE": lambda rows: counted_from(rows, lambda row: row["cycle_index"]),
    "PER_STEP": lambda rows: counted_from(rows, lambda row: (row["cycle_index"], row["step_index"])),
    "LATE": lifted,
    "FELL": fell_once,
    "HOLES": lambda rows: [row | {COUNTERS[row["data_point"] % 4]: None} for row in rows],
    "NONE": lambda rows: [row | dict.fromkeys(COUNTERS) for row in rows],
    "MID_CYCLE": lambda rows: rows[30:],
    "LEAPT": leapt,
}  # fmt: skip


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """One cell a way of counting."""
    warehouse = Warehouse(tmp_path_factory.mktemp("reconciled") / "battery.duckdb")
    put(warehouse.path, {cell: change(cycling(cell, START, CAPACITIES)) for cell, change in CELLS.items()})
    run_dbt(warehouse.settings)
    return warehouse


def test_cycles_from_rows_agree_with_streamed_ones_whatever_the_counters_count_from(warehouse: Warehouse) -> None:
    """The stream counts whole pico-Ah and the marts whole atto-Ah, so that they differ by what the first leaves out."""
    ((count, charge, energy, missing),) = warehouse.query(
        "select count(*), max(abs(s.charge_capacity_ah - c.charge_capacity_ah)), "
        "max(abs(s.discharge_energy_wh - c.discharge_energy_wh)), count(*) filter (c.charge_capacity_ah is null) "
        "from battery_cell_cycles as s full join battery_cycles as c using (cell_id, test_id, cycle_index)"
    )
    assert (count, missing) == (3 * len(CELLS), 3)
    assert max(charge, energy) < PICO


def test_the_same_course_has_the_same_capacities_whatever_the_counters_count_from(warehouse: Warehouse) -> None:
    found = warehouse.query(
        "select cell_id, list(round(discharge_capacity_ah, 9) order by cycle_number) from battery_cycles "
        "where cell_id in ('PER_TEST', 'PER_CYCLE', 'PER_STEP', 'LATE') group by cell_id"
    )
    assert dict(found) == {cell: list(CAPACITIES) for cell in ("PER_TEST", "PER_CYCLE", "PER_STEP", "LATE")}


def test_no_leap_becomes_a_capacity(warehouse: Warehouse) -> None:
    found = warehouse.query(
        "select charge_capacity_ah, discharge_capacity_ah, charge_energy_wh, discharge_energy_wh "
        "from battery_cycles where cell_id = 'LEAPT' order by cycle_number"
    )
    assert len(found) == len(CAPACITIES)
    for capacity, row in zip(CAPACITIES, found, strict=True):
        # Only where a counter leaps is it the current that tells, which here is not all that the counters count.
        assert row == pytest.approx((capacity, capacity, 4 * capacity, 3.5 * capacity), rel=0.05)
    assert warehouse.query("select count(*) from battery_ts where quality & 512 <> 0") == [(10,)]


def test_no_leap_becomes_a_point_of_a_curve(warehouse: Warehouse) -> None:
    found = warehouse.query("select count(*), max(capacity_ah) from battery_ica where cell_id = 'LEAPT'")
    expected = warehouse.query("select count(*), max(capacity_ah) from battery_ica where cell_id = 'PER_TEST'")
    assert expected[0][0] > 0
    assert found == [(0, None)]  # of the only cycle that is drawn, a counter leaps in either step


def test_how_a_tests_counters_behave_is_recorded(warehouse: Warehouse) -> None:
    found = dict(warehouse.query("select cell_id, counter_behaviour from battery_tests"))
    assert {cell: found[cell] for cell in ("PER_TEST", "PER_CYCLE", "PER_STEP", "NONE", "LATE", "MID_CYCLE")} == {
        "PER_TEST": "per_test",
        "PER_CYCLE": "per_cycle",
        "PER_STEP": "per_step",
        "NONE": "none",
        "LATE": "per_test",
        "MID_CYCLE": "per_test",
    }


def test_a_disagreement_fails_the_refresh_by_name(warehouse: Warehouse) -> None:
    warehouse.execute(
        "update internal._cycles set charge_capacity_pah = charge_capacity_pah + 2000 where cell_id = 'LATE'"
    )
    with pytest.raises(BatteryError, match="test streamed_cycles_agree_with_those_from_rows \\(Got 3 results"):
        run_dbt(warehouse.settings, ("test", "--select", "streamed_cycles_agree_with_those_from_rows"))


def test_a_worker_that_lands_more_between_two_steps_of_a_refresh_fails_none_of_them(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "battery.duckdb")
    rows = cycling("LIVE", START, CAPACITIES)
    put(warehouse.path, {"LIVE": rows[:100]})
    run_dbt(warehouse.settings, ("build", "--select", "+battery_cleaned", "--exclude-resource-type", "unit_test"))
    put(warehouse.path, {"LIVE": rows})
    run_dbt(warehouse.settings, ("build", "--exclude", "+battery_cleaned", "--exclude-resource-type", "unit_test"))
    counts = "select sum(row_count), (select reading_count from battery_tests) from battery_cycles"
    assert warehouse.query(counts) == [(100, 100)]
