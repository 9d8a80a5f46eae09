"""Tables of several cells, channels or tests, taken apart: in which order, with which rows, and whose they are."""

from __future__ import annotations

import pyarrow as pa
import pytest

from producer.readers.base import BadWorkbookError, ReadOptions
from producer.readers.tables.parts import LABELS, Part, cells_of, split, without_empty
from producer.readers.tables.table import Table
from producer.readers.tables.titles import Column
from producer.readers.units import SAME


def a_table(**columns: list[object]) -> Table:
    return Table("a.csv", {name: pa.chunked_array([pa.array(values)]) for name, values in columns.items()}, first_row=4)


def labels(table: Table) -> dict[str, Column]:
    return {name: Column(name, None) for name in LABELS if name in table.columns}


def test_parts_come_in_the_order_of_the_file_with_the_rows_that_they_had() -> None:
    table = a_table(v=[1, 2, 3, 4], cell=["A", "B", "A", "B"], channel=["x", "x", "y", "x"])
    parts = split(table, labels(table))
    assert [(part.cell, part.channel) for part in parts] == [("A", "x"), ("B", "x"), ("A", "y")]
    assert [part.table.columns["v"].to_pylist() for part in parts] == [[1], [2, 4], [3]]
    assert str(parts[1].table.error("v", "is odd", 1)) == "a.csv, column v, row 7: is odd"


def test_a_table_without_labels_is_one_part() -> None:
    table = a_table(v=[1, 2])
    assert split(table, labels(table)) == [Part(table)]


def test_a_row_of_no_cell_is_an_error_with_its_place() -> None:
    table = a_table(cell=["A", " "])
    with pytest.raises(BadWorkbookError, match=r"^a\.csv, column cell, row 5: the cell is empty"):
        split(table, labels(table))


@pytest.mark.parametrize(
    ("options", "cells"),
    [
        (ReadOptions("lab.csv"), ["A", "B"]),
        (ReadOptions("lab.csv", "X"), ["X_A", "X_B"]),
        (ReadOptions("lab.csv", channel_cells={"b": "Y"}), ["A", "Y"]),
        (ReadOptions("lab.csv", "X", channel_cells={"B": "Y"}), ["X_A", "Y"]),
    ],
)
def test_the_user_names_the_cells_of_a_column(options: ReadOptions, cells: list[str]) -> None:
    table = a_table(v=[1])
    assert cells_of([Part(table, "A"), Part(table, "B")], options) == cells


def test_a_single_channel_is_the_cell_of_the_file_and_several_are_its_cells() -> None:
    table = a_table(v=[1])
    assert cells_of([Part(table, channel="1")], ReadOptions("lab.csv")) == ["lab"]
    assert cells_of([Part(table, channel="1"), Part(table, channel="2")], ReadOptions("lab.csv")) == ["lab_1", "lab_2"]


def test_columns_without_any_value_are_left_out_unless_they_are_needed() -> None:
    table = a_table(a=[None, None], b=["", " "], c=["", "x"], d=[None, None])
    found = {name: Column(name, SAME) for name in "abcd"}
    assert list(without_empty(table, found, needed=("d",))) == ["c", "d"]
