"""What holds of a cell and by which source: what is told, the lab's file of cells, the shipped one, and its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dashboard.cells.sources import STATED, Known, held, in_words, known_elsewhere
from kernel.base.errors import BatteryError
from kernel.base.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

HEADER = (
    "cell_pattern,chemistry,nominal_capacity_ah,charge_limit_v,discharge_limit_v,full_cycle_min_ah,full_cycle_max_v\n"
)


def settings(folder: Path, *lines: str) -> Settings:
    file = folder / "lab.csv"
    file.write_text(HEADER + "".join(f"{line}\n" for line in lines))
    return Settings(battery_cells=file)


def known(made: Settings, cell: str) -> dict[str, tuple[str, str]]:
    return {one.column: (one.text, one.source) for one in known_elsewhere(made, [cell], {})[cell]}


def test_the_line_of_the_lab_s_file_with_the_longest_pattern_that_matches_holds(tmp_path: Path) -> None:
    made = settings(tmp_path, "CS2_*,NMC,2.2,,,,", "CS2_3?,,1.2,,,,", "*,LFP,9,,,,")
    assert known(made, "CS2_35") == {"nominal_capacity_ah": ("1.2", "BATTERY_CELLS, CS2_3?")}
    assert known(made, "CS2_9") == {
        "chemistry": ("NMC", "BATTERY_CELLS, CS2_*"), "nominal_capacity_ah": ("2.2", "BATTERY_CELLS, CS2_*"),
    }  # fmt: skip
    assert known(made, "X")["chemistry"] == ("LFP", "BATTERY_CELLS, *")


def test_without_a_file_of_the_lab_the_shipped_one_holds_and_no_other_cell_is_described() -> None:
    assert known(Settings(), "CS2_35")["nominal_capacity_ah"] == ("1.1", "shipped cells.csv, CS2_*")
    assert known(Settings(), "cs2_35") == {}


def test_what_files_state_comes_last_and_only_where_it_is_a_column() -> None:
    found = known_elsewhere(Settings(), ["CS2_35", "X"], {"CS2_35": '{"channel":"3","mass_g":"0.012"}', "X": None})
    assert found["CS2_35"][-1] == Known("mass_g", "0.012", STATED)
    assert found["X"] == ()


def test_a_file_of_the_lab_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    file = tmp_path / "lab.csv"
    with pytest.raises(BatteryError, match="cannot be read: No such file"):
        known_elsewhere(Settings(battery_cells=file), ["X"], {})
    file.write_text("cell,capacity\n")
    with pytest.raises(BatteryError, match="must begin with the line cell_pattern"):
        known_elsewhere(Settings(battery_cells=file), ["X"], {})


def test_what_is_told_wins_and_what_others_say_stands_beside_it() -> None:
    elsewhere = [
        Known("mass_g", "2", "BATTERY_CELLS, A*"),
        Known("mass_g", "3", STATED),
        Known("chemistry", "LCO", STATED),
    ]
    mass, chemistry = sorted(held({"mass_g": 1.0}, elsewhere), key=lambda one: one.value.column, reverse=True)
    assert (mass.value.text, mass.value.source) == ("1", "told here")
    assert [(other.text, other.source) for other in mass.others] == [("2", "BATTERY_CELLS, A*"), ("3", "its files")]
    assert (chemistry.value.text, chemistry.others) == ("LCO", ())


def test_a_line_says_only_what_is_not_told() -> None:
    elsewhere = [Known("mass_g", "2", STATED), Known("nominal_capacity_ah", "1.1", "BATTERY_CELLS, A*")]
    assert in_words({"mass_g": 1.0}, elsewhere, has_readings=True) == "nominal capacity 1.1 Ah (BATTERY_CELLS, A*)"
    assert in_words({}, (), has_readings=True) == ""
