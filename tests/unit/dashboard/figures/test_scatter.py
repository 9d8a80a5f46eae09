from __future__ import annotations

from typing import Any

import pytest
from support.aged import traces
from support.grouped import described

from dashboard.colours import deal_inks
from dashboard.figures.scatter import correlation_lines, placed, ranges_of, scatter
from dashboard.figures.style import MUTED
from dashboard.groups.attributes import Attribute, attributes_of

IDS = list("ABCDE")
ATTRIBUTES = attributes_of(
    described(
        A={"mass_g": 1.0, "eol_cycle": 100, "cell_group": "x", "temperature_c": 25.0},
        B={"mass_g": 2.0, "eol_cycle": 300, "cell_group": "x", "temperature_c": 25.0},
        C={"mass_g": 3.0, "eol_cycle": 200, "cell_group": "y", "temperature_c": 25.0},
        D={"mass_g": 4.0, "cell_group": "y", "temperature_c": 25.0, "nominal_capacity_ah": 3.0},
        E={"eol_cycle": 900},
    )
)
MASS, LIFE, WARMTH, GROUP = (ATTRIBUTES[name] for name in ("mass", "cycle life", "temperature", "group"))
GROUPS = {cell: str(GROUP.values.get(cell, "no group")) for cell in IDS}
INKS = deal_inks(["x", "y", "no group"])


def points(x: Attribute, y: Attribute, **choices: Any) -> dict[str, Any]:
    return traces(scatter(x, y, IDS, GROUPS, INKS, **choices))


def test_a_point_is_a_cell_in_the_ink_of_its_group_and_says_its_id_and_both_measures() -> None:
    drawn = points(MASS, LIFE)
    assert (list(drawn["x"].x), list(drawn["x"].y)) == ([1.0, 2.0], [100.0, 300.0])
    assert list(drawn["x"].customdata) == ["A", "B"]
    assert drawn["x"].text[0] == "A<br>mass: 1 g<br>cycle life: 100 cycles<br>x"
    assert drawn["x"].marker.color == INKS["x"].colour
    assert set(drawn) == {"x", "y"}


def test_a_number_colours_points_on_a_scale_and_those_without_it_are_muted() -> None:
    capacity = ATTRIBUTES["nominal capacity"]
    drawn = points(MASS, WARMTH, by=capacity)
    assert list(drawn["nominal capacity"].marker.color) == [3.0]
    assert drawn["nominal capacity"].marker.showscale is True
    of_some = traces(scatter(WARMTH, MASS, ["A", "B"], GROUPS, INKS, by=MASS))["mass"].marker
    assert (of_some.cmin, of_some.cmax) == (1.0, 4.0)  # of all cells: a number has one colour in every panel
    assert drawn["nominal capacity unknown"].marker.color == MUTED
    assert len(drawn["nominal capacity unknown"].x) == 3


def test_nothing_is_drawn_where_no_cell_has_both() -> None:
    assert scatter(MASS, LIFE, ["D", "E"], GROUPS, INKS) is None
    assert placed(MASS, LIFE, IDS) == ["A", "B", "C"]


def test_the_axes_hold_every_point_also_where_all_are_the_same() -> None:
    (low, high), (flat_low, flat_high) = ranges_of(MASS, WARMTH, ["A", "B", "C"])
    assert low < MASS.number("A") < MASS.number("C") < high
    assert flat_low < 25 < flat_high


def test_the_correlation_is_said_with_n_and_what_is_left_out_and_why() -> None:
    """Masses 1, 2, 3 and lives 100, 300, 200: r = ρ = 1/2, and all six orders of the ranks are as far from 0."""  # noqa: RUF002
    said = correlation_lines(MASS, LIFE, IDS)
    assert said == [
        "Pearson r = 0.50, p = 0.667; Spearman ρ = 0.50, p = 1.000; n = 3 cells.",  # noqa: RUF001
        "1 of 5 cells left out, without mass.",
        "1 of 5 cells left out, without an end of life yet.",
        "Those left out may yet live long, so what is said holds for cells that got there alone.",
    ]


@pytest.mark.parametrize(
    ("x", "y", "cells", "said"),
    [
        (MASS, LIFE, ["A", "B"], "No correlation: 2 cells with both measures, and it takes 3 at least."),
        (MASS, LIFE, ["A"], "No correlation: 1 cell with both measures, and it takes 3 at least."),
        (MASS, LIFE, [], "No correlation: 0 cells with both measures, and it takes 3 at least."),
        (MASS, WARMTH, ["A", "B", "C"], "No correlation: “temperature” is the same for all 3 cells."),
    ],
)
def test_where_there_is_no_correlation_there_is_no_number(
    x: Attribute, y: Attribute, cells: list[str], said: str
) -> None:
    assert correlation_lines(x, y, cells)[0] == said


def test_a_measure_against_itself_is_counted_once() -> None:
    assert correlation_lines(MASS, MASS, IDS)[1:] == ["1 of 5 cells left out, without mass."]
    assert points(MASS, MASS)["x"].text[0] == "A<br>mass: 1 g<br>x"
