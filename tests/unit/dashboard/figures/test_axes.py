from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.figures.axes import (
    Outside,
    efficiency_range,
    fit_axis,
    from_zero,
    is_outside,
    joint_range,
    label_place,
    outside_line,
    robust_range,
)
from dashboard.figures.courses import smooth

VALUES = st.lists(st.floats(-1e9, 1e9) | st.just(float("nan")), max_size=120)


@given(VALUES, st.lists(st.floats(-1e9, 1e9), max_size=3), st.booleans())
def test_a_range_holds_what_is_required_and_most_of_the_values(
    values: list[float], required: list[float], close: bool
) -> None:
    y = np.array(values)
    limits = robust_range(y, required, close=close)
    finite = y[np.isfinite(y)]
    if limits is None:
        assert not len(finite)
        assert not required
        return
    assert np.isfinite(limits).all()
    assert limits[0] < limits[1]
    assert all(limits[0] <= value <= limits[1] for value in required)
    assert is_outside(y, limits).sum() <= max(1, 0.1 * len(finite))


def test_a_cycle_of_3000_percent_does_not_flatten_the_others() -> None:
    for count in (5, 40, 886):
        efficiency = np.full(count, 99.9)
        efficiency[0], efficiency[count // 2] = 99.5, 3000.0
        limits = efficiency_range(efficiency)
        assert limits is not None
        assert 98.5 < limits[0] <= 99.0
        assert 101.0 <= limits[1] < 101.5
        assert list(np.flatnonzero(is_outside(efficiency, limits))) == [count // 2]


def test_a_cell_far_from_100_percent_has_a_range_of_its_own_with_100_in_it() -> None:
    limits = efficiency_range(np.linspace(80.0, 90.0, 50))
    assert limits is not None
    assert limits[0] < 81
    assert 100 <= limits[1] < 102


def test_the_fast_fall_of_a_dying_cell_is_not_cut_off() -> None:
    for usual, fast in ((900, 100), (60, 4), (20, 4)):
        capacity = np.concatenate([np.linspace(1.0, 0.95, usual), np.linspace(0.95, 0.5, fast)])
        limits = robust_range(capacity, [0.8], smooth(capacity))
        assert limits is not None
        assert not is_outside(capacity, limits).any()


def test_cycles_without_a_discharge_are_outside_the_range_of_a_life() -> None:
    capacity = np.linspace(1.1, 0.6, 200)
    capacity[[50, 150]] = 0.0
    limits = robust_range(capacity, [0.88])
    assert limits is not None
    assert 0.4 < limits[0] < 0.6
    assert list(np.flatnonzero(is_outside(capacity, limits))) == [50, 150]


@pytest.mark.parametrize("value", [3.6, -1.0, 0.0, 1e-6])
@pytest.mark.parametrize("count", [1, 2, 50])
def test_equal_values_lie_within_a_range_around_them(value: float, count: int) -> None:
    limits = robust_range(np.full(count, value))
    assert limits is not None
    assert limits[0] < value < limits[1]
    assert (limits[0] + limits[1]) / 2 == pytest.approx(value)


def test_where_most_values_are_equal_those_that_are_not_are_marked() -> None:
    values = np.full(100, 25.0)
    values[7] = 80.0
    limits = robust_range(values)
    assert limits is not None
    assert list(np.flatnonzero(is_outside(values, limits))) == [7]


def test_without_a_value_there_is_no_range() -> None:
    assert robust_range(np.array([np.nan, np.nan])) is None
    assert robust_range(np.array([])) is None
    assert efficiency_range(np.array([np.nan])) is None


def test_the_range_is_widened_for_what_is_wished_unless_that_flattens_the_rest() -> None:
    usual = np.linspace(90.0, 100.0, 400)
    near = robust_range(usual, [80.0], np.array([60.0]))
    far = robust_range(usual, [80.0], np.array([5000.0]))
    assert near is not None
    assert near[0] < 60
    assert far is not None
    assert far[1] < 110


def test_series_of_different_levels_all_lie_within_one_axis_each_without_its_wild_values() -> None:
    many, few = np.linspace(90.0, 100.0, 400), np.array([130.0])
    many[7] = 4000.0
    limits = joint_range([(many, many[:0]), (few, few[:0]), (np.array([np.nan]), few[:0])], [85.0])
    assert limits is not None
    assert 80 < limits[0] < 85
    assert 130 < limits[1] < 135
    assert joint_range([(few[:0], few[:0])]) is None


def test_what_lies_outside_is_counted_and_the_first_are_named() -> None:
    assert outside_line([], 886) is None
    assert outside_line([("", 98)], 886) == "1 of 886 points lies outside (▲▼): cycle 98"
    assert (
        outside_line([("", number) for number in (98, 474, 649, 836)], 886)
        == "4 of 886 points lie outside (▲▼): cycles 98, 474, 649 and 1 more"
    )
    assert outside_line([("A", 3), ("B", 1)], 9) == "2 of 9 points lie outside (▲▼): A cycle 3, B cycle 1"


def test_marks_at_the_edge_point_to_where_the_value_is_and_carry_it() -> None:
    figure = go.Figure()
    drawn = Outside(np.arange(1, 5), np.array([1.0, 9.0, 1.1, -7.0]), np.arange(1.0, 5.0), "#1F77C9")
    assert fit_axis(figure, (0.9, 1.2), [drawn], "%{customdata:.1f} Ah") is not None
    assert tuple(figure.layout.yaxis.range) == (0.9, 1.2)
    (marks,) = figure.data
    assert list(marks.x) == [2, 4]
    assert all(0.9 < y < 1.2 for y in marks.y)
    assert list(marks.marker.symbol) == ["triangle-up", "triangle-down"]
    assert (list(marks.customdata), list(marks.text)) == ([9.0, -7.0], ["cycle 2", "cycle 4"])
    assert fit_axis(figure, (-8.0, 10.0), [drawn], "") is None


def test_the_words_of_a_line_stand_above_it_where_the_ticks_of_the_axis_are_below() -> None:
    assert label_place(0.88, (0.87, 1.2)) == "top"
    assert label_place(0.88, (0.3, 1.2)) == "bottom"
    assert label_place(0.88, None) == "bottom"


def test_the_axis_of_what_is_never_negative_begins_at_zero() -> None:
    assert from_zero((-0.5, 0.5)) == (-0.03, 0.5)
    assert from_zero((0.2, 0.5)) == (0.2, 0.5)
    assert from_zero((-0.01, 0.5)) == (-0.01, 0.5)
