"""Projections of simulated fades, back-tested against how they went on, and of a real cell."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support import fading
from support.fading import cs2_35, cycles
from support.profiles import examples

from ageing.projection import HORIZON, LEAST_FOR_PROJECTION, LEAST_FOR_SLOPE, fade_per_cycle, project

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from ageing.projection import Projection

    Floats = npt.NDArray[np.float64]

FIRST_AH = 1.1
THRESHOLD_AH = 0.88
NOISE_AH = 0.003


noise = partial(fading.noise, size_ah=NOISE_AH, alike=0.6)


def fade(kind: str, life: int, observed: int, seed: int) -> Floats:
    """The first cycles of a fade that passes `THRESHOLD_AH` at cycle `life`."""
    t = cycles(observed) / life
    rng = np.random.default_rng(1000 + seed)
    at, steeper = rng.uniform(0.3, 0.9), rng.uniform(2, 6)
    lost = {
        "linear": t,
        "square root": np.sqrt(t),
        "accelerating": t**2,
        "knee": (t + (steeper - 1) * np.maximum(t - at, 0)) / (1 + (steeper - 1) * (1 - at)),
    }[kind]
    return np.asarray(FIRST_AH - (FIRST_AH - THRESHOLD_AH) * lost + noise(observed, seed))


def holds(projection: Projection, life: float) -> bool:
    return projection.low <= life and (projection.high is None or life <= projection.high)


@pytest.mark.parametrize("kind", ["linear", "square root", "accelerating", "knee"])
@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_at_least_nine_of_ten_intervals_hold_how_the_fade_went_on(kind: str, share: float) -> None:
    made = []
    for seed in range(30):
        life = 200 + 20 * seed
        observed = round(share * life)
        projection = project(cycles(observed), fade(kind, life, observed, seed), THRESHOLD_AH)
        if projection:
            made.append(holds(projection, life))
    assert len(made) >= 20
    assert sum(made) >= 0.9 * len(made)


@pytest.mark.parametrize("share", [0.4, 0.6, 0.8])
def test_a_straight_fade_is_projected_within_five_percent_of_its_life(share: float) -> None:
    projection = project(cycles(round(share * 500)), fade("linear", 500, round(share * 500), 1), THRESHOLD_AH)
    assert projection is not None
    assert projection.cycle == pytest.approx(500, rel=0.05)


@pytest.mark.parametrize("size", [1e-5, 1e4])
def test_a_cell_of_any_size_has_the_same_projection(size: float) -> None:
    x, q = cycles(300), fade("accelerating", 500, 300, 1)
    one, other = project(x, q, THRESHOLD_AH), project(x, size * q, size * THRESHOLD_AH)
    assert one is not None
    assert other is not None
    assert [other.cycle, other.low, other.high] == pytest.approx([one.cycle, one.low, one.high], rel=1e-9)
    assert fade_per_cycle(x, size * q) == pytest.approx(size * (fade_per_cycle(x, q) or 0), rel=1e-9)


def test_nearer_to_the_threshold_the_interval_is_narrower() -> None:
    def width(observed: int) -> float:
        projection = project(cycles(observed), fade("linear", 500, observed, 2), THRESHOLD_AH)
        assert projection is not None
        assert projection.high is not None
        return projection.high - projection.low

    assert width(475) < width(400) / 2 < width(300) / 4


def test_a_knee_that_begins_tomorrow_and_makes_the_fade_four_times_as_steep_is_within_the_interval() -> None:
    observed = 300
    projection = project(cycles(observed), fade("linear", 500, observed, 3), THRESHOLD_AH)
    assert projection is not None
    assert projection.low <= observed + 200 / 4


def test_after_an_acceleration_the_older_course_no_longer_counts() -> None:
    # 300 slow cycles, then a hundred at 1.5 mAh: it passes at 400 + (1.1 - 0.03 - 0.15 - 0.88) / 0.0015 = 426.7.
    q = FIRST_AH - 1e-4 * cycles(400) - 1.4e-3 * np.maximum(cycles(400) - 300, 0) + noise(400, 4)
    projection = project(cycles(400), q, THRESHOLD_AH)
    assert projection is not None
    assert projection.cycle == pytest.approx(426.7, abs=5)


def test_an_open_interval_says_that_the_slow_bound_is_not_known() -> None:
    projection = project(cycles(150), fade("linear", 500, 150, 5), THRESHOLD_AH)
    assert projection is not None
    assert projection.high is None


def test_recoveries_and_cycles_cut_short_move_a_projection_by_less_than_two_percent() -> None:
    q = fade("linear", 500, 300, 6)
    spoilt = q.copy()
    spoilt[20::40] += 0.05
    spoilt[25::60] = 0.31
    plain, moved = (project(cycles(300), values, THRESHOLD_AH) for values in (q, spoilt))
    assert plain is not None
    assert moved is not None
    assert moved.cycle == pytest.approx(plain.cycle, rel=0.02)


def test_the_level_that_a_projection_starts_from_is_not_moved_by_three_cycles_cut_short_at_the_end() -> None:
    q = fade("linear", 500, 300, 6)
    spoilt = q.copy()
    spoilt[-3:] = 0.31
    plain, moved = (project(cycles(300), values, THRESHOLD_AH) for values in (q, spoilt))
    assert plain is not None
    assert moved is not None
    assert moved.cycle == pytest.approx(plain.cycle, rel=0.02)


def test_too_few_cycles_give_no_projection() -> None:
    n = LEAST_FOR_PROJECTION - 1
    assert project(cycles(n), fade("linear", 80, n, 7), THRESHOLD_AH) is None


def test_as_few_cycles_as_are_needed_give_a_projection() -> None:
    n = LEAST_FOR_PROJECTION
    assert project(cycles(n), fade("linear", 80, n, 7), THRESHOLD_AH) is not None


def test_a_threshold_that_has_been_passed_gives_no_projection() -> None:
    assert project(cycles(320), fade("linear", 300, 320, 8), THRESHOLD_AH) is None


def test_a_threshold_that_was_passed_before_a_recovery_gives_no_projection() -> None:
    q = fade("linear", 300, 320, 8)
    q[-15:] += 0.1
    assert project(cycles(320), q, THRESHOLD_AH) is None


def test_single_cycles_below_the_threshold_have_not_passed_it() -> None:
    q = fade("linear", 500, 300, 9)
    q[::20] = 0.5
    assert project(cycles(300), q, THRESHOLD_AH) is not None


@pytest.mark.parametrize("slope", [0.0, 1e-4])
def test_a_capacity_that_does_not_fall_hardly_ever_gives_a_projection(slope: float) -> None:
    # Of three windows of noise that lasts, one falls significantly by chance in about an eighth of the records; without
    # the question whether it does, a quarter would be projected.
    found = [project(cycles(200), 1.0 + slope * cycles(200) + noise(200, seed), 0.992) for seed in range(40)]
    assert sum(projection is not None for projection in found) <= 7


def test_a_cell_that_has_been_recovering_for_half_its_life_gives_no_projection() -> None:
    x = cycles(400)
    assert project(x, 1.1 - 5e-4 * np.minimum(x, 190) + 2e-5 * np.maximum(x - 190, 0), THRESHOLD_AH) is None


def test_a_constant_capacity_gives_no_projection() -> None:
    assert project(cycles(200), np.full(200, 1.0), THRESHOLD_AH) is None


@pytest.mark.parametrize(("lives", "known"), [(HORIZON + 1.5, False), (HORIZON + 0.5, True)])
def test_a_passing_further_away_than_the_horizon_is_not_projected(lives: float, known: bool) -> None:
    # A fade seen for 100 cycles that passes after so many times 100 cycles; the first 100 of them have gone by.
    q = FIRST_AH - (FIRST_AH - THRESHOLD_AH) * cycles(100) / (lives * 100)
    assert (project(cycles(100), q, THRESHOLD_AH) is not None) == known


def test_values_that_are_not_finite_are_left_out() -> None:
    x, q = cycles(300), fade("linear", 500, 300, 10)
    missing = np.zeros(300, dtype=np.bool_)
    missing[3::7] = True
    spoilt = np.where(missing, np.resize([np.nan, np.inf, -np.inf], 300), q)
    assert project(x, spoilt, THRESHOLD_AH) == project(x[~missing], q[~missing], THRESHOLD_AH)


def test_a_threshold_that_is_not_a_number_gives_no_projection() -> None:
    assert project(cycles(300), fade("linear", 500, 300, 11), np.nan) is None


def test_the_fade_of_a_straight_record_is_its_slope() -> None:
    assert fade_per_cycle(cycles(60), 1.1 - 5e-4 * cycles(60)) == pytest.approx(-5e-4, rel=1e-9)


def test_the_fade_of_a_long_record_is_its_slope_within_two_percent() -> None:
    x = cycles(3000)
    assert fade_per_cycle(x, 1.1 - 1e-4 * x + noise(3000, 12)) == pytest.approx(-1e-4, rel=0.02)


def test_the_fade_of_a_long_record_is_that_of_its_whole_life() -> None:
    x = cycles(3000)
    # The slope between two cycles of a parabola is that of the middle between them, half the life in the median.
    assert fade_per_cycle(x, 1.1 - 1e-8 * x**2) == pytest.approx(-2e-8 * 1500, rel=0.02)


def test_a_fifth_of_cycles_cut_short_moves_the_fade_by_less_than_five_percent() -> None:
    q = 1.1 - 5e-4 * cycles(200)
    q[::5] = 0.4
    assert fade_per_cycle(cycles(200), q) == pytest.approx(-5e-4, rel=0.05)


def test_the_fade_of_too_few_cycles_is_not_known() -> None:
    n = LEAST_FOR_SLOPE
    x, q = cycles(n), 1.1 - 5e-4 * cycles(n)
    assert (fade_per_cycle(x[1:], q[1:]), fade_per_cycle(x, q) is None) == (None, False)


@examples(1, derandomize=True)
@given(st.data())
def test_no_input_raises_or_gives_nonsense(data: st.DataObject) -> None:
    n = data.draw(st.integers(0, 90))
    anything = st.floats(width=64) | st.floats(0, 2) | st.integers(-3, 200).map(float)
    falling = arrays(np.float64, n, elements=st.floats(-0.02, 0.02)).map(lambda off: 1.1 - 2e-3 * cycles(n) + off)
    x = data.draw(st.just(cycles(n)) | arrays(np.float64, n, elements=anything))
    q = data.draw(falling | arrays(np.float64, n, elements=anything))
    threshold = data.draw(st.floats(0.5, 1) | anything)

    slope = fade_per_cycle(x, q)
    assert slope is None or np.isfinite(slope)
    projection = project(x, q, threshold)
    if projection is not None:
        last = x[np.isfinite(x) & np.isfinite(q)].max()
        assert last <= projection.low <= projection.cycle
        assert np.isfinite(projection.cycle)
        assert projection.high is None or projection.cycle <= projection.high < np.inf


@pytest.mark.parametrize("age", [200, 300, 400, 500, 580])
def test_the_interval_of_the_real_cell_holds_cycle_599(shared_data: Path, age: int) -> None:
    # Its centred median over eleven cycles passes 0.8 * 1.1 Ah there.
    projection = project(*cs2_35(shared_data, age), THRESHOLD_AH)
    assert projection is not None
    assert holds(projection, 599)


def test_the_real_cell_is_projected_within_five_percent_twenty_cycles_ahead(shared_data: Path) -> None:
    projection = project(*cs2_35(shared_data, 580), THRESHOLD_AH)
    assert projection is not None
    assert projection.cycle == pytest.approx(599, rel=0.05)


def test_the_real_cell_that_has_passed_gives_no_projection(shared_data: Path) -> None:
    assert project(*cs2_35(shared_data, 640), THRESHOLD_AH) is None
