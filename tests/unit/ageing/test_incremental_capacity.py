"""Incremental capacity of simulated cells with known plateaus, and of a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.profiles import examples

from ageing.incremental_capacity import LEAST_READINGS, WINDOW, incremental_capacity
from producer.readers.arbin import read_workbook

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from ageing.incremental_capacity import Curve

    Floats = npt.NDArray[np.float64]

PLATEAUS = ((3.78, 0.02, 0.25), (3.93, 0.03, 0.45))
"""Voltage and width in V, capacity in Ah, of the simulated plateaus."""


def moved(v: Floats) -> Floats:
    """Capacity in Ah that a simulated cell has taken up at a voltage, from 3.5 V on; logistic plateaus on a slope."""
    steps = sum(ah / (1 + np.exp((at - v) / width)) for at, width, ah in PLATEAUS)
    return np.asarray(steps + 0.3 * (v - 3.5))


def slope(v: Floats) -> Floats:
    """The derivative of `moved` in Ah/V."""
    steps = sum(ah / (4 * width * np.cosh((at - v) / (2 * width)) ** 2) for at, width, ah in PLATEAUS)
    return np.asarray(steps + 0.3)


def charge(n: int = 240, *, low: float = 3.5, high: float = 4.2, noise_v: float = 0.0) -> tuple[Floats, Floats]:
    """Readings of a charge at constant current: voltages and capacities, the capacities evenly spaced."""
    fine = np.linspace(low, high, 20_000)
    q = np.linspace(moved(fine[:1])[0], moved(fine[-1:])[0], n)
    return np.interp(q, moved(fine), fine) + np.random.default_rng(n).normal(0, noise_v, n), q - q[0]


def known(curve: Curve | None) -> Curve:
    assert curve is not None
    return curve


def test_the_derivative_of_a_known_course_comes_back_within_a_tenth_of_its_largest_value() -> None:
    # A window of 60 mV flattens a plateau that is 70 mV wide at half its height; narrower ones suffer more.
    curve = known(incremental_capacity(*charge()))
    true = slope(curve.voltage)
    assert np.max(np.abs(curve.dq_dv - true)) <= 0.1 * true.max()


def test_known_plateaus_are_found_within_five_millivolts() -> None:
    curve = known(incremental_capacity(*charge()))
    assert [peak.voltage for peak in curve.peaks] == pytest.approx([3.78, 3.93], abs=0.005)


def test_two_millivolts_of_noise_move_no_peak_by_a_grid_step_and_add_none() -> None:
    curve = known(incremental_capacity(*charge(noise_v=0.002)))
    assert [peak.voltage for peak in curve.peaks] == pytest.approx([3.78, 3.93], abs=0.01)


def test_a_peak_lies_between_the_points_of_the_grid() -> None:
    # 3.776 V would be 3.78 on the grid; the parabola finds it within 2 mV.
    v, q = charge()
    curve = known(incremental_capacity(v - 0.004, q))
    assert curve.peaks[0].voltage == pytest.approx(3.776, abs=0.002)


def test_the_height_of_a_peak_is_that_of_the_curve_within_two_percent() -> None:
    curve = known(incremental_capacity(*charge()))
    assert max(peak.height for peak in curve.peaks) == pytest.approx(curve.dq_dv.max(), rel=0.02)


def test_a_peak_between_two_points_of_the_grid_is_higher_than_either() -> None:
    v, q = charge()
    curve = known(incremental_capacity(v - 0.005, q))
    highest = max(curve.peaks, key=lambda peak: peak.height)
    assert highest.voltage == pytest.approx(3.925, abs=0.002)
    assert highest.height > curve.dq_dv.max() * 1.001


def test_a_steady_uptake_of_charge_has_the_same_derivative_from_end_to_end() -> None:
    v = np.linspace(3.5, 4.2, 200)
    np.testing.assert_allclose(known(incremental_capacity(v, 2 * (v - 3.5))).dq_dv, 2, rtol=1e-9)


def test_noise_puts_no_charge_where_none_was_taken_up() -> None:
    curve = known(incremental_capacity(*charge(1000, noise_v=0.01)))
    true = moved(curve.voltage) - moved(np.array([3.5]))
    assert np.max(np.abs(curve.capacity - true)) < 0.02


def test_a_counter_that_is_corrected_downwards_never_makes_the_capacity_fall() -> None:
    v, q = charge()
    q[100:] -= 0.05
    assert np.diff(known(incremental_capacity(v, q)).capacity).min() >= 0


def test_a_bump_of_less_than_a_twentieth_of_the_largest_value_is_no_peak() -> None:
    v, q = charge()
    bump = 0.002 / (1 + np.exp((4.1 - v) / 0.012))  # 0.04 Ah/V on a curve that rises to 4
    assert len(known(incremental_capacity(v, q + bump)).peaks) == 2


def test_the_integral_of_the_derivative_is_the_capacity_within_two_percent() -> None:
    curve = known(incremental_capacity(*charge()))
    assert np.trapezoid(curve.dq_dv, curve.voltage) == pytest.approx(curve.capacity[-1] - curve.capacity[0], rel=0.02)


def test_a_discharge_has_the_derivative_of_the_charge_that_it_undoes() -> None:
    v, q = charge()
    charging, discharging = known(incremental_capacity(v, q)), known(incremental_capacity(v[::-1], q[-1] - q[::-1]))
    np.testing.assert_allclose(discharging.dq_dv, charging.dq_dv, atol=1e-9)


def test_the_capacity_of_a_discharge_falls_with_voltage() -> None:
    v, q = charge()
    assert np.all(np.diff(known(incremental_capacity(v[::-1], q[-1] - q[::-1])).capacity) < 0)


def test_voltages_ascend_in_charge_and_discharge() -> None:
    v, q = charge()
    for curve in (incremental_capacity(v, q), incremental_capacity(v[::-1], q)):
        assert np.all(np.diff(known(curve).voltage) > 0)


def test_curves_of_different_cycles_share_their_grid_points_to_the_last_bit() -> None:
    one = known(incremental_capacity(*charge(low=3.512, high=4.199)))
    other = known(incremental_capacity(*charge(low=3.57, high=4.15)))
    assert set(other.voltage) <= set(one.voltage)


def test_the_grid_is_whole_multiples_of_its_distance() -> None:
    curve = known(incremental_capacity(*charge(low=3.512), grid_v=0.02))
    np.testing.assert_allclose(curve.voltage / 0.02, np.round(curve.voltage / 0.02), rtol=1e-12)


def test_the_grid_stays_within_the_readings() -> None:
    v, q = charge(low=3.512, high=4.188)
    curve = known(incremental_capacity(v, q))
    assert (curve.voltage[0], curve.voltage[-1]) == pytest.approx((3.52, 4.18))


def test_the_differential_voltage_is_the_inverse_of_the_incremental_capacity() -> None:
    curve = known(incremental_capacity(*charge()))
    np.testing.assert_allclose(curve.dv_dq * curve.dq_dv, 1)


def test_the_differential_voltage_is_unknown_where_hardly_any_charge_moves() -> None:
    v = np.linspace(3.0, 4.2, 400)
    q = 1 / (1 + np.exp((3.6 - v) / 0.02))
    curve = known(incremental_capacity(v, q))
    assert np.isnan(curve.dv_dq[[0, -1]]).all()


def test_a_wider_window_flattens_peaks() -> None:
    narrow, wide = (known(incremental_capacity(*charge(), window=window)) for window in (5, 21))
    assert wide.dq_dv.max() < 0.8 * narrow.dq_dv.max()


def test_a_plateau_at_one_voltage_is_one_step_of_capacity() -> None:
    v = np.concatenate([np.linspace(3.5, 3.8, 50), np.full(50, 3.8), np.linspace(3.8, 4.1, 50)])
    curve = known(incremental_capacity(v, np.linspace(0, 1.5, 150)))
    assert [peak.voltage for peak in curve.peaks] == pytest.approx([3.8], abs=0.01)


def test_a_course_that_turns_back_never_gives_a_negative_derivative() -> None:
    v, q = charge(noise_v=0.02)
    assert known(incremental_capacity(v, q)).dq_dv.min() >= 0


def test_readings_that_are_not_finite_are_left_out() -> None:
    v, q = charge()
    missing = np.zeros(len(v), dtype=np.bool_)
    missing[4::7] = True
    sound = known(incremental_capacity(v[~missing], q[~missing]))
    for spoilt in ((np.where(missing, np.nan, v), q), (v, np.where(missing, np.nan, q))):
        np.testing.assert_array_equal(known(incremental_capacity(*spoilt)).dq_dv, sound.dq_dv)


def test_readings_of_which_none_is_a_number_give_no_curve() -> None:
    assert incremental_capacity(np.full(100, np.nan), np.full(100, np.nan)) is None


@pytest.mark.parametrize(("fewer", "made"), [(1, False), (0, True)])
def test_a_curve_needs_enough_readings(fewer: int, made: bool) -> None:
    assert (incremental_capacity(*charge(LEAST_READINGS - fewer)) is not None) == made


@pytest.mark.parametrize(("points", "made"), [(WINDOW - 1, False), (WINDOW, True)])
def test_a_curve_needs_voltages_as_far_apart_as_its_window(points: int, made: bool) -> None:
    v, q = charge(low=3.505, high=3.505 + points * 0.01)
    assert (incremental_capacity(v, q) is not None) == made


@pytest.mark.parametrize(("cells", "distance"), [(1, 0.01), (60, 0.01), (400, 0.1)])
def test_a_pack_of_many_cells_has_the_curve_of_one_on_a_grid_that_suits_it(cells: int, distance: float) -> None:
    v, q = charge()
    curve, of_one = known(incremental_capacity(cells * v, q)), known(incremental_capacity(v, q))
    assert np.diff(curve.voltage) == pytest.approx(distance, rel=1e-6)
    assert len(curve.voltage) <= 10_000
    assert np.trapezoid(curve.dq_dv, curve.voltage) == pytest.approx(
        np.trapezoid(of_one.dq_dv, of_one.voltage), rel=0.05
    )


def test_voltages_of_no_battery_give_no_curve() -> None:
    v, q = charge()
    assert incremental_capacity(1e5 * v, q) is None


def test_a_voltage_that_does_not_move_gives_no_curve() -> None:
    assert incremental_capacity(np.full(100, 3.7), np.linspace(0, 1, 100)) is None


def test_a_capacity_that_does_not_move_gives_no_curve() -> None:
    assert incremental_capacity(np.linspace(3.5, 4.2, 100), np.zeros(100)) is None


@pytest.mark.parametrize("grid_v", [0.0, -0.01, np.nan, np.inf])
def test_a_grid_without_a_distance_is_refused(grid_v: float) -> None:
    with pytest.raises(ValueError, match="grid_v"):
        incremental_capacity(*charge(), grid_v=grid_v)


@pytest.mark.parametrize("window", [1, 8])
def test_a_window_that_no_polynomial_fits_is_refused(window: int) -> None:
    with pytest.raises(ValueError, match="window"):
        incremental_capacity(*charge(), window=window)


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(n,\)"):
        incremental_capacity(np.ones(40), np.ones(41))


@examples(1.5, derandomize=True)
@given(st.data())
def test_no_input_raises_or_gives_nonsense(data: st.DataObject) -> None:
    n = data.draw(st.integers(0, 60))
    anything = st.floats(width=64) | st.floats(2.5, 4.3)
    v = data.draw(arrays(np.float64, n, elements=st.floats(2.5, 4.3)) | arrays(np.float64, n, elements=anything))
    q = data.draw(st.just(np.linspace(0, 1, n)) | arrays(np.float64, n, elements=anything))
    curve = incremental_capacity(v, q)
    if curve is not None:
        assert curve.voltage.shape == curve.capacity.shape == curve.dq_dv.shape == curve.dv_dq.shape
        assert np.isfinite([curve.voltage, curve.capacity, curve.dq_dv]).all()
        assert curve.dq_dv.min() >= 0
        assert not (curve.dv_dq <= 0).any()
        assert all(curve.voltage[0] <= peak.voltage <= curve.voltage[-1] for peak in curve.peaks)
        assert all(0 < peak.prominence <= peak.height * (1 + 1e-9) for peak in curve.peaks)


def charges(path: Path) -> list[Curve]:
    """The curves of the charges at constant current, step 2 of the CALCE schedule, of a workbook's cycles."""
    (test,) = read_workbook(path).tests
    rows = test.readings.filter(pc.equal(test.readings["step_index"], 2))
    cycle, v, q = (rows[name].to_numpy() for name in ("cycle_index", "voltage(v)", "charge_capacity(ah)"))
    return [known(incremental_capacity(v[cycle == number], q[cycle == number])) for number in np.unique(cycle)]


def highest(curve: Curve) -> tuple[float, float]:
    """Voltage and height of a curve's highest peak."""
    peak = max(curve.peaks, key=lambda peak: peak.height)
    return peak.voltage, peak.height


@pytest.fixture(scope="module")
def young(shared_data: Path) -> list[Curve]:
    """Cycles 4 to 53 of a real cell."""
    return charges(shared_data / "calce" / "CS2_35" / "CS2_35_8_30_10.xlsx")


@pytest.fixture(scope="module")
def aged(shared_data: Path) -> list[Curve]:
    """Fifty cycles of the same cell half a thousand cycles later."""
    return charges(shared_data / "calce" / "CS2_35" / "CS2_35_11_23_10.xlsx")


def test_a_new_real_cell_has_two_peaks_between_3_7_and_4_volts(young: list[Curve]) -> None:
    # The places are what this method found; that there are two, and where about, is known of LiCoO2 on graphite.
    assert [peak.voltage for peak in young[1].peaks] == pytest.approx([3.80, 3.91], abs=0.02)


def test_the_highest_peaks_of_neighbouring_cycles_of_a_real_cell_agree_within_a_grid_step(young: list[Curve]) -> None:
    # The first cycle of a workbook follows a rest of another length, hence from the second on.
    voltages = [highest(curve)[0] for curve in young[1:]]
    assert np.max(np.abs(np.diff(voltages))) <= 0.01


def test_with_age_the_highest_peak_of_a_real_cell_moves_up_and_shrinks(young: list[Curve], aged: list[Curve]) -> None:
    # The direction is what ageing does; the amounts are what this method found.
    before, after = (np.median([highest(curve) for curve in curves], axis=0) for curves in (young, aged))
    assert after[0] - before[0] == pytest.approx(0.02, abs=0.015)
    assert after[1] / before[1] == pytest.approx(0.7, abs=0.1)
