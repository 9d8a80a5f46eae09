from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from support.aged import cycles_table
from support.grouped import described

from dashboard.groups.attributes import Kind, attributes_of
from dashboard.groups.figures_of_cells import figures_of_cells


def test_what_a_lab_has_described_comes_first_and_what_nobody_has_said_anything_of_is_no_attribute() -> None:
    cells = described(A={"cell_group": "fast", "latest_soh": 0.9, "metadata": {"lot": "7"}}, B={"mass_g": 45.0})
    names = list(attributes_of(cells))
    assert names[:3] == ["group", "mass", "lot"]
    assert "chemistry" not in names
    assert "cell" not in names


def test_columns_are_texts_numbers_or_tags_with_their_units() -> None:
    cells = described(A={"cell_group": "fast", "latest_soh": 0.9, "tags": ["b", "a"], "mass_g": 45.0}, B={"tags": []})
    found = attributes_of(cells)
    assert {name: found[name].kind for name in ("group", "tags", "mass")} == {
        "group": Kind.TEXT, "tags": Kind.TAGS, "mass": Kind.NUMBER,
    }  # fmt: skip
    assert found["tags"].values == {"A": ("b", "a")}
    assert str(found["mass"].label) == "mass (g)"
    assert found["state of health"].number("A") == pytest.approx(90.0)  # a share is in percent
    assert math.isnan(found["state of health"].number("B"))


def test_cells_are_together_by_the_month_in_which_they_began() -> None:
    began = {"A": "2010-08-30T14:00", "B": "2010-08-01T00:00"}
    cells = described(**{cell: {"first_at": np.datetime64(at, "us")} for cell, at in began.items()}, C={})
    assert attributes_of(cells)["month of the first reading"].values == {"A": "2010-08", "B": "2010-08"}


def test_a_free_column_is_a_number_where_every_value_is_one() -> None:
    cells = described(
        A={"metadata": {"electrolyte_ul": "12.5", "lot": "007", "rig": "3", "odd": "1e999"}},
        B={"metadata": {"electrolyte_ul": "-1e1", "lot": "12", "rig": "left", "odd": "1"}},
        C={"metadata": {"electrolyte_ul": " "}},
    )
    found = attributes_of(cells)
    assert found["electrolyte ul"].values == {"A": 12.5, "B": -10.0}
    assert {name: found[name].kind for name in ("lot", "rig", "odd")} == dict.fromkeys(("lot", "rig", "odd"), Kind.TEXT)


def test_attributes_of_one_name_are_told_apart() -> None:
    cells = described(
        A={
            "mass_g": 45.0,
            "chemistry": "LCO",
            "metadata": {"mass": "light", "chemistry": "x"},
            "stated": {"mass_g": "3"},
        }
    )
    found = attributes_of(cells)
    assert {"mass": "mass_g", "chemistry": "chemistry", "chemistry, the lab's column": "lab.chemistry"}.items() <= {
        name: one.key for name, one in found.items()
    }.items()
    assert found["mass, the lab's column"].values == {"A": "light"}
    assert found["active mass (g), as files state"].values == {"A": 3.0}
    assert len({one.key for one in found.values()}) == len(found)
    assert all(one.name == name for name, one in found.items())


def test_no_attribute_is_called_what_a_choice_offers_besides() -> None:
    """`Colour by` offers “cell” as well, and `Panels by` “none”."""
    found = attributes_of(described(A={"metadata": {"cell": "x", "none": "y"}, "stated": {"cell": "z"}}))
    assert {"cell", "none"}.isdisjoint(found)
    assert {"lab.cell", "lab.none", "stated.cell"} <= {one.key for one in found.values()}


def test_codes_are_said_in_words_and_damaged_json_says_nothing() -> None:
    cells = described(A={"metadata": {"a": "1"}}, B={})
    cells = cells.set_column(
        cells.column_names.index("metadata"), "metadata", pa.array(['{"a": ', '["list"]'], pa.string())
    )
    found = attributes_of(cells)
    assert found["rule for the end of life"].values["A"] == "median of 11 cycles below 80 % of nominal capacity"
    assert "a" not in found


def test_figures_over_the_cycles_leave_out_wild_efficiencies_reference_tests_and_broken_cycles() -> None:
    resistance = [0.1] * 15 + [0.15] * 15
    efficiency = [34.0, *([0.999] * 28), 0.5]
    cycles = cycles_table(
        internal_resistance_ohm=resistance, coulombic_efficiency=efficiency,
        is_complete=pa.array([True] * 29 + [False]), is_reference_test=pa.array([False, True] + [False] * 28),
    )  # fmt: skip
    (row,) = figures_of_cells(cycles).to_pylist()
    assert row["cell_id"] == "A"
    assert row["coulombic_efficiency_median"] == 0.999
    assert row["resistance_growth"] == pytest.approx(0.5)
    assert row["temperature_median_c"] is None


def test_the_growth_of_a_resistance_takes_two_values_and_of_few_the_halves() -> None:
    def growth(*ohm: float | None) -> float | None:
        found = figures_of_cells(cycles_table(len(ohm), internal_resistance_ohm=pa.array(ohm, pa.float64())))
        return found["resistance_growth"][0].as_py()  # type: ignore[no-any-return]

    assert growth(0.1) is None
    assert growth(None, None) is None
    assert growth(0.1, None, 0.2) == pytest.approx(1.0)
    assert growth(0.1, 0.1, 0.3, 0.3) == pytest.approx(2.0)
    assert growth(0.0, 0.1, 0.2) == pytest.approx(1.0)  # 0 is no measurement
