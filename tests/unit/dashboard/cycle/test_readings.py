from __future__ import annotations

import pyarrow as pa

from dashboard.cycle.readings import ChosenCycles, rows_of, thinned


def rows(count: int, readings: int = 100) -> pa.Table:
    return pa.table(
        {
            "cycle_number": pa.array(range(1, count + 1), pa.int32()), "test_id": ["t"] * count,
            "cycle_index": pa.array(range(11, count + 11), pa.int32()),
            "row_count": pa.array([readings] * count, pa.int64()),
        }
    )  # fmt: skip


def test_cycles_with_more_readings_than_can_be_laid_out_are_thinned_evenly_with_both_ends() -> None:
    assert thinned(rows(101), 10**6, 200).num_rows == 101
    by_readings = thinned(rows(101, readings=10_000), 50_000, 200)["cycle_number"].to_pylist()
    assert by_readings == [1, 26, 51, 76, 101]
    assert thinned(rows(101), 10**6, 3)["cycle_number"].to_pylist() == [1, 51, 101]
    assert thinned(rows(5, readings=10**9), 1_000, 200)["cycle_number"].to_pylist() == [1]
    assert thinned(rows(0), 1_000, 200).num_rows == 0


def test_chosen_cycles_are_named_by_their_test_and_number_within_it() -> None:
    chosen = ChosenCycles("A", rows_of(rows(9), [2, 5, 9]), asked=3)
    assert chosen.numbers == [2, 5, 9]
    assert chosen.by_key == {("t", 12): 2, ("t", 15): 5, ("t", 19): 9}
    few = chosen.few(2)
    assert (few.cell, few.numbers, few.asked) == ("A", [2, 9], 3)
