"""Cells of sheets as columns: by what most cells of a column are, and with empty ones among them."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import pyarrow as pa
import pytest

from producer.readers.tables.titles import Column
from producer.readers.tables.workbooks import array_of
from producer.readers.units import SAME

STAMP = datetime(2024, 3, 1, 9)  # noqa: DTZ001  # a wall clock has no zone


@pytest.mark.parametrize(
    ("quantity", "cells", "expected"),
    [
        ("current", [0.5, 1.0], pa.array([0.5, 1.0])),
        ("current", [0.5, "", 1.0], pa.array([0.5, None, 1.0])),
        ("current", ["", ""], pa.array([None, None], pa.float64())),
        ("current", [0.5, "-"], pa.array(["0.5", "-"])),
        ("cycle", [1.0, "2"], pa.array(["1", "2"])),
        ("state", ["Rest", ""], pa.array(["Rest", ""])),
        ("state", [1.0, "Rest", 1.5], pa.array(["1", "Rest", "1.5"])),
        ("date_time", [STAMP, STAMP], pa.array([STAMP, STAMP], pa.timestamp("us"))),
        ("date_time", [STAMP, ""], pa.array([STAMP, None], pa.timestamp("us"))),
        ("date_time", [45352.5, ""], pa.array([45352.5, None])),
        ("date_time", [STAMP, "x"], pa.array(["2024-03-01 09:00:00", "x"])),
        ("date_time", [STAMP, date(2024, 3, 1)], pa.array(["2024-03-01 09:00:00", "2024-03-01"])),
        ("test_time", [0.0, 1.5], pa.array([0.0, 1.5])),
        ("test_time", ["00:00:01", "26:00:00.5"], pa.array([1.0, 93_600.5])),
        ("test_time", ["00:00:01", ""], pa.array([1.0, None])),
        ("test_time", [time(0, 0, 1), timedelta(hours=26), "1-02:00:00"], pa.array([1.0, 93_600.0, 93_600.0])),
    ],
    ids=str,
)
def test_a_column_is_what_its_cells_are(quantity: str, cells: list[object], expected: pa.Array) -> None:
    array = array_of(cells, quantity, Column("x", None if quantity == "test_time" else SAME), since_1904=False)
    assert array.equals(expected), array


@pytest.mark.parametrize("cells", [["1", "2"], [1.0, "2"]])
def test_times_in_a_unit_that_are_texts_without_any_duration_stay_texts(cells: list[object]) -> None:
    assert array_of(cells, "test_time", Column("x", SAME), since_1904=False).to_pylist() == ["1", "2"]
