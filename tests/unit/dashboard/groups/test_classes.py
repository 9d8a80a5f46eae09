from __future__ import annotations

from typing import Any

from support.grouped import described

from dashboard.figures.style import COLOURS, MUTED
from dashboard.groups.attributes import attributes_of
from dashboard.groups.classes import Classes, classes_of


def classes(column: str, name: str, **values: Any) -> Classes:
    cells = described(**{cell: {column: value} for cell, value in values.items()})
    return classes_of(attributes_of(cells)[name], list(values))


def test_cells_of_a_text_are_a_class_in_the_order_of_people_and_those_without_come_last_and_muted() -> None:
    found = classes("cell_group", "group", A="10C", B="2C", C="10C", D=None)
    assert found.order == ("2C", "10C", "no group")
    assert found.among(["D", "A", "B"]) == {"2C": ["B"], "10C": ["A"], "no group": ["D"]}
    assert found.inks["no group"].colour == MUTED
    assert {found.inks[name].colour for name in ("2C", "10C")} <= set(COLOURS)


def test_tags_are_classes_by_their_combinations() -> None:
    found = classes("tags", "tags", A=["a", "b"], B=["a"], C=None)
    assert found.of == {"A": "a, b", "B": "a", "C": "no tags"}


def test_few_numbers_are_a_class_each_and_many_are_quarters_of_the_cells() -> None:
    few = classes("temperature_c", "temperature", A=25.0, B=-5.0, C=25.0)
    assert few.order == ("-5 °C", "25 °C")
    many = classes("mass_g", "mass", **{f"C{number}": float(number) for number in range(100)})
    assert many.order == ("below 24.8 g", "24.8 to 49.5 g", "49.5 to 74.2 g", "74.2 g or more")
    assert [len(members) for members in many.among(many.of).values()] == [25, 25, 25, 25]


def test_a_class_of_numbers_holds_what_its_name_says() -> None:
    values = {f"C{number}": 1000.0 + number / 7 for number in range(40)}
    found = classes("mass_g", "mass", **values)
    for cell, name in found.of.items():
        ends = [float(part) for part in name.replace(" g", "").split() if part[0].isdigit()]
        low, high = (float("-inf"), ends[0]) if name.startswith("below") else (ends[0], (*ends, float("inf"))[1])
        assert low <= values[cell] < high, (cell, name)


def test_numbers_that_are_nearly_all_the_same_are_apart_from_the_others() -> None:
    values = {f"C{number}": 5.0 for number in range(90)} | {f"D{number}": 6.0 + number for number in range(9)}
    found = classes("mass_g", "mass", **values)
    assert found.order == ("below 6 g", "6 g or more")


def test_a_class_keeps_its_ink_whatever_is_filtered_and_smaller_ones_beyond_the_colours_are_muted() -> None:
    values = {f"C{number}": f"group {number % 12}" for number in range(120)} | {"D": "group 3"}
    found = classes("cell_group", "group", **values)
    few = found.foremost(["C3", "D", "C4"], 9)
    assert few is found
    some = found.foremost(values, 9)
    assert some.order[-1] == "3 more"
    assert some.inks["3 more"].colour == MUTED
    assert some.inks["group 3"] == found.inks["group 3"]
    assert sum(len(members) for members in some.among(values).values()) == 121
