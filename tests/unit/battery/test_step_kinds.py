"""The step of each reading, as the mart numbers steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from battery.step_kinds import with_steps

if TYPE_CHECKING:
    import battery


def test_the_readings_of_one_cycle_have_the_steps_that_the_mart_gives_them(lab: battery.Lab) -> None:
    assert lab.readings("SIM_01", cycles=2)["step_number"].tolist() == [12, 12]
    assert lab.readings("SIM_01")["step_number"].tolist() == [11, 11, 12, 12]
    assert set(lab.readings("SIM_01")["step_kind"]) == {"cc_discharge"}


def test_readings_between_steps_before_the_first_and_of_other_tests_have_none() -> None:
    steps = pa.table(
        {
            "test_id": ["b", "a", "a"], "first_data_point": [1, 8, 3], "last_data_point": [9, 9, 5],
            "step_number": [1, 2, 1], "kind": ["rest", "cc_charge", "rest"],
        }
    )  # fmt: skip
    readings = pa.table({"test_id": ["a", "a", "a", "a", "a", "b", "c"], "data_point": [2, 3, 5, 6, 8, 9, 4]})
    found = with_steps(readings, steps)
    assert found["step_kind"].to_pylist() == [None, "rest", "rest", None, "cc_charge", "rest", None]
    assert found["step_number"].to_pylist() == [None, 1, 1, None, 2, 1, None]


def test_where_there_are_no_steps_no_reading_has_one() -> None:
    steps = pa.table(
        {
            "test_id": pa.array([], pa.string()), "first_data_point": pa.array([], pa.int64()),
            "last_data_point": pa.array([], pa.int64()), "step_number": pa.array([], pa.int64()),
            "kind": pa.array([], pa.string()),
        }
    )  # fmt: skip
    found = with_steps(pa.table({"test_id": ["a"], "data_point": [2]}), steps)
    assert found["step_kind"].to_pylist() == [None]
