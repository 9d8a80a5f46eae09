from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.aged import cycles_table

from ageing.record import MEDIAN_CYCLES
from dashboard.figures.courses import FAINT_POINTS_BESIDE, FEW, course_of, drawn_rows, smooth
from dashboard.figures.measures import column, cycles_by_cell, cycles_of

FLOATS = st.floats(-1e6, 1e6)


@given(st.integers(0, 60), FLOATS, FLOATS)
def test_a_steady_fade_comes_out_of_the_median_unchanged(count: int, first: float, slope: float) -> None:
    line = first + slope * np.arange(count, dtype=np.float64)
    assert smooth(line) == pytest.approx(line, abs=1e-6, rel=1e-9)


@given(st.lists(FLOATS, min_size=MEDIAN_CYCLES, max_size=60))
def test_in_the_middle_it_is_the_median_of_eleven(values: list[float]) -> None:
    y = np.array(values)
    reach = MEDIAN_CYCLES // 2
    smoothed = smooth(y)
    assert len(smoothed) == len(y)
    for at in range(reach, len(y) - reach):
        assert smoothed[at] == np.median(y[at - reach : at + reach + 1])


@pytest.mark.parametrize("at", [1, 2, 20, 38])
def test_a_single_cycle_that_was_cut_short_leaves_no_tooth(at: int) -> None:
    capacity = 1.0 - 0.001 * np.arange(40, dtype=np.float64)
    cut = capacity.copy()
    cut[at] = 0.1
    assert np.abs(smooth(cut) - capacity).max() < 0.01


@pytest.mark.parametrize("at", [0, -1], ids=["first", "last"])
def test_a_wild_cycle_at_an_end_does_not_bend_the_line(at: int) -> None:
    capacity = np.linspace(1.1, 1.0, 30)
    wild = capacity.copy()
    wild[at] = 5.0
    assert np.abs(smooth(wild) - capacity).max() < 0.01


def test_the_line_goes_through_complete_cycles_that_are_no_reference_tests() -> None:
    complete, reference = [True] * 30, [False] * 30
    complete[4], reference[9] = False, True
    cycles = cycles_table(is_complete=complete, is_reference_test=reference)
    course = course_of(cycles, "cycle_number", column(cycles, "soh"))
    assert list(course.number[~course.line]) == [5, 10]
    assert np.isnan(course.median[~course.line]).all()
    assert np.isfinite(course.median[course.line]).all()
    assert not course.is_joined


def test_of_a_few_cycles_the_line_joins_the_values_themselves() -> None:
    cycles = cycles_table(FEW - 1)
    course = course_of(cycles, "cycle_number", np.array([1.0, 9.0, 1.0, 9.0]))
    assert course.is_joined
    assert list(course.median) == [1.0, 9.0, 1.0, 9.0]


def test_cycles_without_a_value_or_a_date_are_no_part_of_a_course() -> None:
    cycles = cycles_table(3, started_at=pa.nulls(3, pa.timestamp("us")))
    assert not len(course_of(cycles, "started_at", np.ones(3)).y)
    assert list(course_of(cycles, "cycle_number", np.array([np.nan, 2.0, np.inf])).y) == [2.0]


def test_cells_are_told_apart_at_once_as_one_by_one() -> None:
    both = pa.concat_tables([cycles_table(5, "B"), cycles_table(3, "A"), cycles_table(1, "C")])
    together = cycles_by_cell(both)
    assert list(together) == ["A", "B", "C"]
    for cell, cycles in together.items():
        assert cycles.to_pylist() == cycles_of(both, cell).to_pylist()
    assert cycles_by_cell(both.slice(0, 0)) == {}


def test_of_a_long_life_fewer_single_cycles_are_drawn_with_the_extremes_and_what_the_line_leaves_out() -> None:
    count = 2_000
    complete = [number not in {700, 701, 702} for number in range(count)]
    cycles = cycles_table(count, is_complete=complete, is_reference_test=[False] * count)
    y = 1.0 - 1e-4 * np.arange(count, dtype=np.float64)
    y[1234], y[700] = 30.0, 0.2
    rows = drawn_rows(course_of(cycles, "cycle_number", y))
    assert {0, 700, 701, 702, 1234, count - 1} <= set(rows.tolist())
    assert len(rows) <= FAINT_POINTS_BESIDE + 5
