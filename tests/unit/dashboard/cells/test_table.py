"""The table of cells that a visitor edits: what differs, what it says, and what cannot be taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from dashboard.cells.table import (
    CELL,
    ELSEWHERE,
    Conflict,
    Edit,
    Fault,
    columns_of,
    conflicts_of,
    edits_of,
    edits_to,
    put,
    read_edits,
    text_table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernel.contract.cell_metadata import Value

TOLD: Mapping[str, Mapping[str, Value]] = {
    "A": {"group": "fast", "mass_g": 45.0, "tags": ("a", "b"), "lot": "007"},
    "B": {"charge_limit_v": 4.2},
}
CELLS = ["A", "B", "C"]


def table(**texts: str) -> pa.Table:
    """The table of these cells with some texts changed: named as `A__mass_g`."""
    made = text_table(TOLD, CELLS, columns_of(TOLD), {"C": "no readings yet"})
    rows = made.to_pylist()
    for name, text in texts.items():
        cell, _, column = name.partition("__")
        rows[CELLS.index(cell)][column] = text
    return pa.Table.from_pylist(rows, schema=made.schema)


def with_rows(*rows: dict[str, str]) -> pa.Table:
    """The same with rows added below."""
    made = table()
    return pa.concat_tables([made, pa.Table.from_pylist([*rows], schema=made.schema)])


def faults(edited: pa.Table) -> list[Fault]:
    return list(read_edits(TOLD, CELLS, edits_of(table(), edited)).faults)


def changes(edited: pa.Table) -> Any:
    return read_edits(TOLD, CELLS, edits_of(table(), edited)).changes


def test_a_table_has_all_values_as_texts_and_columns_that_matter_first() -> None:
    rows = table().to_pylist()
    assert [*rows[0]][:4] == [CELL, ELSEWHERE, "group", "nominal_capacity_ah"]
    assert [*rows[0]][-5:] == ["lot", "charge_limit_v", "discharge_limit_v", "full_cycle_min_ah", "full_cycle_max_v"]
    assert {name: text for name, text in rows[0].items() if text} == {
        CELL: "A", "group": "fast", "mass_g": "45", "tags": "a, b", "lot": "007",
    }  # fmt: skip
    assert {name: text for name, text in rows[2].items() if text} == {CELL: "C", ELSEWHERE: "no readings yet"}


def test_what_was_not_touched_is_no_change() -> None:
    assert edits_of(table(), table()) == []
    assert edits_of(table(), table(C__group="")) == []


def test_texts_that_were_changed_are_read_as_values() -> None:
    edited = table(A__mass_g="46.5", A__tags="b, c", B__group=" slow ", C__lot="8")
    assert changes(edited) == {
        "A": {"mass_g": 46.5, "tags": ("b", "c")}, "B": {"group": "slow"}, "C": {"lot": "8"},
    }  # fmt: skip
    assert read_edits(TOLD, CELLS, edits_of(table(), edited)).count == 4
    assert faults(edited) == []


def test_a_text_that_was_emptied_takes_the_value_away() -> None:
    assert changes(table(A__mass_g="", A__lot=" ")) == {"A": {"mass_g": None, "lot": None}}


def test_the_same_value_in_other_letters_is_no_change() -> None:
    assert changes(table(A__mass_g="45.00", A__tags="b,a", A__group=" fast")) == {}


@pytest.mark.parametrize(
    ("edited", "fault"),
    [
        ({"A__mass_g": "45,2"}, Fault(0, "A", "mass_g", "'45,2' is no number; write one such as 1.1")),
        ({"B__temperature_c": "-300"}, Fault(1, "B", "temperature_c", "-300 is outside of -273.15 to 2000")),
        ({"C__nominal_capacity_ah": "nan"}, Fault(2, "C", "nominal_capacity_ah", "nan is outside of 1e-09 to 100000")),
        ({"C__notes": "x" * 4001}, Fault(2, "C", "notes", "the text takes 4001 bytes, at most 4000 are kept")),
        (
            {"B__discharge_limit_v": "4.2"},
            Fault(1, "B", None, "discharge_limit_v (4.2 V) is not below charge_limit_v (4.2 V)"),
        ),
        ({"A__cell_id": "A2"}, Fault(0, "A", CELL, "the name of a cell stays as it is; write A again")),
    ],
)
def test_what_cannot_be_taken_is_said_with_its_row_its_column_and_why(edited: dict[str, str], fault: Fault) -> None:
    assert faults(table(**edited)) == [fault]


def test_a_row_below_is_a_cell_that_nothing_was_told_of() -> None:
    edited = with_rows({CELL: " D ", "group": "fast"}, {CELL: "E", "mass_g": "1"})
    assert changes(edited) == {"D": {"group": "fast"}, "E": {"mass_g": 1.0}}
    assert faults(edited) == []


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"group": "fast"}, "the row has values but no cell; write its name into the first column"),
        ({CELL: "A", "group": "slow"}, "the cell has a row already; write its values there"),
        (
            {CELL: "a\x07b", "group": "slow"},
            "'a\\x07b' is no cell's id: it has spaces around it or letters that cannot be printed",
        ),
    ],
)
def test_a_row_below_that_names_no_new_cell_is_refused_and_changes_nothing(row: dict[str, str], why: str) -> None:
    edited = with_rows(row)
    assert faults(edited) == [Fault(3, row.get(CELL, ""), CELL, why)]
    assert changes(edited) == {}


def test_two_rows_below_of_one_cell_are_both_refused() -> None:
    found = faults(with_rows({CELL: "D", "group": "fast"}, {CELL: "D", "group": "slow"}))
    assert [(fault.row, fault.why) for fault in found] == [
        (row, "the cell is there twice; put its values into one row") for row in (3, 4)
    ]


def test_a_row_below_without_values_is_nothing() -> None:
    assert edits_of(table(), with_rows({CELL: "D"}, {})) == []


def test_changes_are_put_into_a_table_as_texts_and_new_cells_below() -> None:
    made = put(table(), edits_to({"B": {"group": "slow", "charge_limit_v": None}, "D": {"mass_g": 2.5}}))
    assert changes(made) == {"B": {"group": "slow", "charge_limit_v": None}, "D": {"mass_g": 2.5}}
    assert made[CELL].to_pylist() == ["A", "B", "C", "D"]
    assert made.schema == table().schema


def test_rows_without_a_cell_stay_apart_when_put_into_another_table() -> None:
    made = put(table(), [Edit(7, "", "group", "x"), Edit(7, "", "lot", "1"), Edit(8, "", "group", "y")])
    assert [row["group"] for row in made.to_pylist()[3:]] == ["x", "y"]
    assert made["lot"].to_pylist()[3:] == ["1", None]


def test_a_value_that_others_changed_to_something_else_is_a_conflict() -> None:
    now: Mapping[str, Mapping[str, Value]] = {"A": {"group": "slow", "mass_g": 46.0}, "B": {"lot": "1"}}
    mine: Mapping[str, Mapping[str, Value | None]] = {
        "A": {"group": "slow", "mass_g": 47.0, "notes": "mine"}, "B": {"charge_limit_v": 4.1},
    }  # fmt: skip
    assert conflicts_of(TOLD, now, mine) == [
        Conflict("A", "mass_g", 45.0, 46.0, 47.0),
        Conflict("B", "charge_limit_v", 4.2, None, 4.1),
    ]
