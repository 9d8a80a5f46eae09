"""A visitor's table: columns and files are put into it, and what others tell meanwhile does not cost what was typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from dashboard.cells.desk import Desk, desk_of
from dashboard.cells.sheets import csv_of, take_column, take_sheet
from dashboard.cells.table import CELL, Conflict, Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernel.contract.cell_metadata import Value

TOLD: Mapping[str, Mapping[str, Value]] = {"A": {"group": "fast", "mass_g": 45.0}, "B": {}}


def desk(*rows: dict[str, str], **texts: str) -> Desk:
    """The table of these cells as a visitor has changed it: texts named as `A__mass_g`, and rows below."""
    made = desk_of(TOLD, ["A", "B"], {"B": "no readings yet"})
    lines = made.edited.to_pylist()
    for name, text in texts.items():
        cell, _, column = name.partition("__")
        lines[["A", "B"].index(cell)][column] = text
    made.edited = pa.Table.from_pylist([*lines, *rows], schema=made.edited.schema)
    return made


def test_a_free_column_is_added_and_keeps_what_was_typed_and_rows_without_values() -> None:
    changed = desk({CELL: "D"}, A__mass_g="46")
    assert take_column(changed, " Electrolyte_uL ")[1]
    assert changed.generation == 1
    assert changed.table is changed.edited
    assert changed.columns[9:12] == ["notes", "electrolyte_ul", "charge_limit_v"]
    assert changed.table.column_names[2:] == changed.columns
    assert changed.read().changes == {"A": {"mass_g": 46.0}}
    assert changed.edited[CELL].to_pylist() == ["A", "B", "D"]


def test_a_column_whose_name_is_no_good_or_there_already_is_refused_in_words() -> None:
    changed = desk()
    assert "write letters, digits and _ only" in take_column(changed, "mass (mg)")[0]
    assert "close to chemistry" in take_column(changed, "chemestry")[0]
    assert take_column(changed, "cell_group") == ("The column group is there already.", False)
    assert changed.generation == 0


def test_a_file_is_put_into_the_table_beside_what_was_typed_and_nothing_else_changes() -> None:
    changed = desk(B__notes="mine")
    said, is_well = take_sheet(changed, b"cell_id,mass_g,lot\nA,45.0,7\nC,,8\n", "lab.csv", clear=False)
    assert is_well
    assert said.startswith("lab.csv: 2 cells read, 2 values differ from what is told; 1 empty fields leave")
    assert changed.read().changes == {"A": {"lot": "7"}, "B": {"notes": "mine"}, "C": {"lot": "8"}}
    take_sheet(changed, b"cell_id,mass_g\nA,\n", "lab.csv", clear=True)
    assert changed.read().changes["A"] == {"lot": "7", "mass_g": None}


def test_a_file_with_one_bad_line_is_refused_whole_with_the_line_and_the_column() -> None:
    changed = desk()
    assert take_sheet(changed, b"cell_id,mass_g\nA,46\nB,heavy\n", "lab.csv", clear=False) == (
        "Nothing was taken from the file. lab.csv, line 3: mass_g: 'heavy' is no number; write one such as 1.1", False,
    )  # fmt: skip
    assert take_sheet(changed, "cell_id,notes\nA,größer\n".encode("latin-1"), "l.csv", clear=False)[0].endswith(
        "l.csv is not UTF-8 text; save it as CSV UTF-8"
    )
    assert changed.read().changes == {}


def test_what_comes_out_as_csv_has_what_is_told_and_a_line_for_every_cell_and_goes_in_unchanged() -> None:
    changed = desk(A__mass_g="99")
    text = csv_of(changed)
    assert text == "cell_id,group,mass_g\nA,fast,45\nB,,\n"
    other = desk()
    assert take_sheet(other, text.encode(), "cells.csv", clear=True)[1]
    assert other.read().changes == {}


def test_what_others_tell_is_shown_and_what_was_typed_elsewhere_stays() -> None:
    changed = desk({CELL: "D", "group": "x"}, B__notes="mine", B__area_cm2="wide")
    changed.reread({"A": {"group": "slow", "lot": "7"}, "B": {}, "Z": {"group": "z"}}, ["A", "B", "Z"], {})
    assert changed.conflicts == []
    assert changed.read().changes == {"B": {"notes": "mine"}, "D": {"group": "x"}}
    assert changed.read().faults == (Fault(1, "B", "area_cm2", "'wide' is no number; write one such as 1.1"),)
    assert "lot" in changed.columns
    assert changed.edited.to_pylist()[0]["group"] == "slow"


def test_of_a_value_that_others_changed_too_theirs_is_shown_and_mine_is_kept_for_a_decision() -> None:
    changed = desk(A__mass_g="47", A__notes="mine")
    changed.reread({"A": {"group": "fast", "mass_g": 46.0}, "B": {}}, ["A", "B"], {})
    assert changed.conflicts == [Conflict("A", "mass_g", 45.0, 46.0, 47.0)]
    assert changed.read().changes == {"A": {"notes": "mine"}}
    assert changed.edited.to_pylist()[0]["mass_g"] == "46"
    changed.reread({"A": {"group": "fast", "mass_g": 46.0}, "B": {}}, ["A", "B"], {})
    assert changed.conflicts == [Conflict("A", "mass_g", 45.0, 46.0, 47.0)]
    changed.put({"A": {"mass_g": 47.0}})
    assert changed.read().changes == {"A": {"mass_g": 47.0, "notes": "mine"}}


def test_what_was_saved_is_no_change_any_more_once_it_is_read_again() -> None:
    changed = desk(A__mass_g="47")
    changed.reread({"A": {"group": "fast", "mass_g": 47.0}, "B": {}}, ["A", "B"], {})
    assert (changed.edits, changed.conflicts) == ([], [])


def test_dropping_changes_leaves_what_is_told() -> None:
    changed = desk({CELL: "D", "group": "x"}, A__mass_g="47")
    take_column(changed, "lot")
    changed.forget()
    assert changed.edits == []
    assert changed.edited[CELL].to_pylist() == ["A", "B"]
    assert "lot" not in changed.columns
