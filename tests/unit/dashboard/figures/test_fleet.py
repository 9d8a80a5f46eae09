from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from support.aged import CELL, cycles_table, notes, titles, traces
from support.fleet_figures import compare, fleet

from dashboard.colours import Ink, deal_inks
from dashboard.figures.fleet import AS_MEASURED, TO_FIRST, TO_NOMINAL, left_out
from dashboard.figures.measures import AXES, MEASURES
from dashboard.figures.style import MUTED

INKS = deal_inks(["A", "B", "C"])


def cells(*names: str, **columns: Any) -> list[dict[str, Any]]:
    return [{**CELL, "cell_id": name, **columns} for name in names]


def cycles_of_cells(*names: str, count: int = 30) -> pa.Table:
    return pa.concat_tables([cycles_table(count, name) for name in names])


def test_the_fleet_marks_ends_and_knees_on_the_courses_and_mutes_the_others() -> None:
    rows = [{**CELL, "eol_cycle": 21, "knee_cycle": 10.0}, *cells("B", "C")]
    figure = fleet(rows, cycles_of_cells("A", "B", "C"), "cycle", ["A"], INKS)
    drawn = traces(figure)
    assert (drawn["end of life"].x[0], drawn["end of life"].y[0]) == (21, pytest.approx(79.0))
    assert (drawn["knee"].x[0], drawn["knee"].y[0]) == (10, pytest.approx(90.0))
    others = drawn["2 more cells"]
    assert others.line.color == MUTED != drawn["A"].line.color
    assert len(others.x) == 62
    assert list(np.flatnonzero(np.isnan(others.y))) == [30, 61]  # no line leads from one cell to the next
    assert figure is not None
    assert next(iter(trace.name for trace in figure.data)) == "2 more cells"  # what is in colour lies on top


def test_lines_of_the_fleet_have_no_teeth_and_single_cycles_lie_behind_them() -> None:
    health = [1.0 - 0.001 * row for row in range(30)]
    health[15] = 0.2
    figure = fleet(cells("A"), cycles_table(soh=health), "cycle", ["A"], INKS)
    drawn = traces(figure)
    assert min(drawn["A"].y) > 96
    assert min(drawn["A, each cycle"].y) == 20.0
    assert drawn["A, each cycle"].marker.color == drawn["A"].line.color
    assert drawn["A, each cycle"].marker.opacity < 0.5
    assert "1 of 30 points lies outside (▲▼): A cycle 16" in notes(figure)


def test_the_thresholds_of_all_rules_lie_within_the_axis() -> None:
    rows = [*cells("A"), *cells("B", eol_rule="median_5_below_60_percent_of_nominal")]
    figure = fleet(rows, cycles_of_cells("A", "B", count=5), "cycle", ["A", "B"], INKS)
    assert figure is not None
    assert [line.y0 for line in figure.layout.shapes] == [60, 80]
    assert figure.layout.yaxis.range[0] < 60


def test_one_worn_cell_among_many_healthy_ones_stays_within_the_axis() -> None:
    names = [f"H{number}" for number in range(200)]
    worn = cycles_table(cell="A", soh=[0.4] * 30)
    healthy = [cycles_table(cell=name, soh=[1.0] * 30) for name in names]
    figure = fleet(cells("A", *names), pa.concat_tables([worn, *healthy]), "cycle", ["A"], INKS)
    assert figure is not None
    assert figure.layout.yaxis.range[0] < 40


def test_a_fleet_is_a_few_traces_whatever_its_size() -> None:
    names = [f"H{number}" for number in range(200)]
    figure = fleet(cells(*names), cycles_of_cells(*names, count=6), "cycle", names[:9], deal_inks(names))
    assert figure is not None
    assert len(figure.data) <= 2 * 9 + 1


def test_a_cell_has_its_colour_in_the_fleet_and_in_a_comparison() -> None:
    cycles = cycles_of_cells("A", "B")
    for name in ("A", "B"):
        in_fleet = traces(fleet(cells("A", "B"), cycles, "cycle", ["A", "B"], INKS))[name].line
        compared = traces(compare(cycles, cells("B", "A"), "capacity", "cycle", INKS))[name].line
        assert (in_fleet.color, in_fleet.dash) == (compared.color, compared.dash)
        assert Ink(in_fleet.color, in_fleet.dash) == INKS[name]


@pytest.mark.parametrize("axis", AXES)
def test_many_cells_can_be_drawn_over_every_axis(axis: str) -> None:
    cycles = cycles_of_cells("A", "B")
    for figure in (
        fleet(cells("A", "B"), cycles, axis, ["A"], INKS),
        compare(cycles, cells("A", "B"), "soh", axis, INKS),
    ):
        assert figure is not None
        assert AXES[axis].title in titles(figure)
        assert all(len(trace.x) == len(trace.y) > 0 for trace in figure.data)


def test_without_a_state_of_health_or_a_measure_there_is_no_figure() -> None:
    cycles = cycles_table(soh=[None] * 30)
    assert fleet(cells("A"), cycles, "cycle", ["A"], INKS) is None
    assert compare(cycles, cells("A"), "temperature", "cycle", INKS) is None
    assert compare(cycles, cells("X"), "capacity", "cycle", INKS) is None


def test_cells_are_compared_by_their_complete_cycles_relative_to_the_first_if_wished() -> None:
    cycles = cycles_table(is_complete=[row != 0 for row in range(30)])
    absolute = traces(compare(cycles, cells("A"), "capacity", "cycle", INKS))["A"]
    assert (absolute.x[0], absolute.y[0]) == (2, pytest.approx(0.98))
    figure = compare(cycles, cells("A"), "capacity", "cycle", INKS, scale=TO_FIRST)
    relative = traces(figure)["A"]
    assert (relative.y[0], relative.y[-1]) == (pytest.approx(100.0), pytest.approx(100 * 0.7 / 0.98))
    assert "discharge capacity, relative to the first (%)" in titles(figure)


def test_relative_to_the_nominal_capacity_cells_are_left_out_of_which_it_is_unknown() -> None:
    cycles = cycles_of_cells("A", "B")
    rows = [*cells("A", nominal_capacity_ah=2.0), *cells("B", nominal_capacity_ah=None)]
    drawn = traces(compare(cycles, rows, "capacity", "cycle", INKS, scale=TO_NOMINAL))
    assert "B" not in drawn
    assert drawn["A"].y[0] == pytest.approx(49.5)
    assert left_out(cycles, rows, "capacity", "cycle", TO_NOMINAL) == ["B"]
    assert left_out(cycles, rows, "capacity", "cycle", AS_MEASURED) == []
    assert left_out(cycles, rows, "temperature", "cycle", AS_MEASURED) == ["A", "B"]


def test_the_capacities_of_coin_cells_are_compared_in_a_unit_that_suits_them() -> None:
    cycles = cycles_table(discharge_capacity_ah=[4.7e-4] * 30)
    figure = compare(cycles, cells("A", nominal_capacity_ah=5e-4), "capacity", "cycle", INKS)
    assert "discharge capacity (mAh)" in titles(figure)
    assert traces(figure)["A"].y[0] == pytest.approx(0.47)


def test_cells_of_a_group_share_a_colour_and_one_entry_of_the_legend() -> None:
    cycles = cycles_of_cells("A", "B", "C")
    groups = {"A": "LCO", "B": "NMC", "C": "LCO"}
    inks = deal_inks(["LCO", "NMC"])
    figure = compare(cycles, cells("A", "B", "C"), "capacity", "cycle", inks, groups=groups)
    assert figure is not None
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert [(line.name, line.showlegend) for line in lines] == [("LCO", True), ("NMC", True), ("LCO", False)]
    assert lines[0].line.color == lines[2].line.color != lines[1].line.color


def test_of_many_cells_only_the_lines_are_drawn() -> None:
    names = [f"H{number}" for number in range(20)]
    figure = compare(cycles_of_cells(*names), cells(*names), "capacity", "cycle", deal_inks(names))
    assert figure is not None
    assert [trace.name for trace in figure.data] == names


def test_a_cell_without_a_complete_cycle_is_shown_as_points_that_nothing_joins() -> None:
    cycles = cycles_table(3, is_complete=[False] * 3)
    drawn = traces(compare(cycles, cells("A"), "capacity", "cycle", INKS))["A"]
    assert drawn.mode == "markers"
    assert list(drawn.x) == [1, 2, 3]
    assert set(drawn.marker.symbol) == {"x-thin-open"}


def test_coulombic_efficiencies_are_compared_between_99_and_101_percent() -> None:
    efficiency: list[Any] = [0.999] * 30
    efficiency[3] = 30.0
    figure = compare(cycles_table(coulombic_efficiency=efficiency), cells("A"), "ce", "cycle", INKS)
    assert figure is not None
    low, high = figure.layout.yaxis.range
    assert 98.5 < low <= 99
    assert 101 <= high < 101.5
    assert "1 of 30 points lies outside (▲▼): A cycle 4" in notes(figure)


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_names_its_unit_on_the_axis(measure: str) -> None:
    cycles = cycles_table(temperature_max_c=[30.0] * 30)
    assert MEASURES[measure].title in titles(compare(cycles, cells("A"), measure, "cycle", INKS))
