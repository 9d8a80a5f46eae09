"""What the pages of many cells choose and say, before anything is drawn."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("streamlit", reason="streamlit is not installed, which comes with the extra dashboard")

from dashboard.figures.fleet import MOST_WITH_POINTS, TO_NOMINAL
from dashboard.figures.measures import MEASURES
from dashboard.groups.panels import MOST_IN_COLOUR
from dashboard.pages.compare import FIRST_CELLS, first_cells, scales_of, size_ratio
from dashboard.pages.fleet import chart_lines, foremost_cells


def row(cell: str, nominal: float | None = 1.1, **columns: Any) -> dict[str, Any]:
    return {
        "cell_id": cell, "nominal_capacity_ah": nominal, "initial_capacity_ah": nominal, "chemistry": None,
        "complete_cycle_count": 10, "latest_soh": 0.9,
    } | columns  # fmt: skip


def test_a_comparison_begins_with_cells_of_one_size() -> None:
    rows = [row("coin", 0.001), row("A"), row("B", complete_cycle_count=800), row("C"), row("D"), row("E")]
    assert first_cells(rows) == ["B", "A", "C", "D"]
    assert len(first_cells(rows)) == FIRST_CELLS
    assert first_cells([row("A", complete_cycle_count=None)]) == ["A"]


def test_only_a_capacity_is_relative_to_the_nominal_one() -> None:
    assert {measure for measure in MEASURES if TO_NOMINAL in scales_of(measure)} == {"capacity"}


def test_how_different_cells_are_is_told_by_their_capacities() -> None:
    assert size_ratio([row("A"), row("B", 2.2), row("C", None)]) == 2.0
    assert size_ratio([row("A", None)]) == 1.0
    assert size_ratio([]) == 1.0


def test_all_cells_of_a_small_fleet_are_in_colour_and_the_first_of_a_large_one() -> None:
    few = [row(f"C{number}") for number in range(MOST_WITH_POINTS)]
    assert len(foremost_cells(few, [])) == MOST_WITH_POINTS
    assert foremost_cells([*few, row("Z")], []) == [f"C{number}" for number in range(MOST_IN_COLOUR)]
    assert "In colour: the first 9 of the table" in " ".join(
        chart_lines(13, foremost_cells([*few, row("Z")], []), [], "cycle")
    )


def test_cells_that_cannot_be_drawn_are_named_and_not_in_colour() -> None:
    assert foremost_cells([row("A"), row("*new*")], ["*new*"]) == ["A"]
    lines = chart_lines(2, ["A"], ["*new*"], "cycle")
    assert lines[-1] == r"1 cell is not drawn, without a complete cycle yet: \*new\*."
    assert not any("In colour" in line for line in lines)
    undated = chart_lines(9, ["A"], ["B", "C", "D", "E", "F"], "date")[-1]
    assert undated == (
        "5 cells are not drawn, without a complete cycle with known cycler's wall clock: B, C, D, E and 1 more."
    )
