from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from support.looking import contrast

from dashboard.cycle.lines import ChargeLines, TimeLines
from dashboard.cycle.scale import NOMINAL, ChargeScale, plain_scale, relative_scale
from dashboard.figures import cycle
from dashboard.figures.life import over_life
from dashboard.figures.panels import FEW, SCALE, colours_of

PAGES = ("#ffffff", "#0e1117")
AH = plain_scale(1.0)
NONE = np.array([])


def traces(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def titles(figure: Any) -> set[str]:
    return {axis.title.text for axis in (*figure.select_xaxes(), *figure.select_yaxes()) if axis.title.text}


def charge_lines(number: int, charge: float = 1.0, discharge: float = 0.9) -> ChargeLines:
    voltage = np.linspace(3.0, 4.2, 20)
    return ChargeLines(
        number, (np.linspace(0, charge, 20), voltage), (np.linspace(0, discharge, 20), voltage[::-1].copy())
    )


def time_lines(number: int, **columns: Any) -> TimeLines:
    made: dict[str, Any] = {
        "hours": np.array([0.0, 0.5, np.nan, 1.0]), "voltage": np.array([3.0, 3.1, np.nan, 3.3]),
        "current": np.array([0.5, 0.5, np.nan, 0.0]), "is_single": np.array([False, False, False, True]),
        "left_out": (NONE, NONE, NONE),
    }  # fmt: skip
    return TimeLines(number, **(made | columns))


def curves(*numbers: int, ways: tuple[str, ...] = ("charge", "discharge"), **columns: Any) -> pa.Table:
    """Curves of some cycles on a grid of three voltages, each with a peak in the middle."""
    keys = [(number, way) for number in numbers for way in ways]
    count = len(keys)
    made = {
        "cycle_number": [number for number, _ in keys for _ in range(3)],
        "direction": [way for _, way in keys for _ in range(3)],
        "voltage_v": [3.7, 3.8, 3.9] * count, "capacity_ah": [0.1, 0.2, 0.3] * count,
        "dqdv_ah_per_v": [1.0, 4.0, 1.0] * count, "dvdq_v_per_ah": [1.0, 0.25, 1.0] * count,
        "peak_voltage_v": [None, 3.805, None] * count, "peak_height_ah_per_v": [None, 4.1, None] * count,
    }  # fmt: skip
    return pa.table(made | columns)


@pytest.mark.parametrize("colour", SCALE)
@pytest.mark.parametrize("page", PAGES)
def test_every_colour_of_the_scale_can_be_seen_on_a_light_and_on_a_dark_page(colour: str, page: str) -> None:
    assert contrast(colour, page) >= 3.0


def test_many_cycles_are_coloured_by_their_number_and_a_bar_says_which() -> None:
    figure = cycle.over_charge([("A", [charge_lines(number) for number in range(1, 102, 10)])], AH)
    drawn = traces(figure)
    assert figure.layout.showlegend is False
    bar = drawn["cycle number"].marker
    assert (bar.cmin, bar.cmax, bar.showscale) == (1, 101, True)
    assert bar.colorbar.title.text == "cycle number<br> "
    assert len({drawn[f"cycle {number}"].line.color for number in range(1, 102, 10)}) == 11
    assert len(figure.data) == 12  # both directions of a cycle are one line with a gap
    assert np.isnan(drawn["cycle 1"].x).sum() == 1


def test_the_colour_of_one_of_many_cycles_is_its_place_between_the_first_and_the_last() -> None:
    many = colours_of([*range(1, FEW + 1), 201])
    assert many.has_bar
    assert colours_of([1, *range(95, 108), 201]).of[101] == _rgb(SCALE[4])
    assert many.of[1] == _rgb(SCALE[0])
    assert many.of[201] == _rgb(SCALE[-1])


def _rgb(colour: str) -> str:
    return f"rgb({', '.join(str(int(colour[at : at + 2], 16)) for at in (1, 3, 5))})"


def test_a_few_cycles_have_a_legend_and_colours_far_apart_however_close_their_numbers() -> None:
    figure = cycle.over_charge([("A", [charge_lines(number) for number in (1, 2, 900)])], AH)
    assert figure.layout.showlegend is True
    assert [trace.name for trace in figure.data if trace.showlegend] == ["cycle 1", "cycle 2", "cycle 900"]
    assert [trace.line.dash for trace in figure.data[:2]] == ["solid", "dash"]
    assert figure.data[2].line.color == _rgb(SCALE[4])
    assert colours_of([7]).of == {7: _rgb(SCALE[0])}
    assert colours_of([]).of == {}


def test_cells_stand_beside_one_another_with_the_same_axes_and_colours() -> None:
    names = ["A", "B", "C", "<D>"]
    for count in (2, 3, 4):
        cells = [(name, [charge_lines(number) for number in (1, 5)]) for name in names[:count]]
        figure = cycle.over_charge(cells, AH)
        assert [note.text for note in figure.layout.annotations] == ["A", "B", "C", "&lt;D&gt;"][:count]
        for axes in (figure.select_xaxes(), figure.select_yaxes()):
            assert len({axis.matches for axis in axes} - {None}) == 1
        assert len({trace.yaxis or "y" for trace in figure.data}) == count
        assert [trace.name for trace in figure.data if trace.showlegend] == ["cycle 1", "cycle 5"]
        assert len({trace.line.color for trace in figure.data if trace.name == "cycle 5"}) == 1


def test_charge_is_drawn_by_its_scale_and_a_cycle_of_which_that_is_unknown_is_not() -> None:
    cell = {"cell_id": "A", "nominal_capacity_ah": 2.0, "initial_capacity_ah": 1.9, "stated": None}
    figure = cycle.over_charge([("A", [charge_lines(3)])], relative_scale(NOMINAL, [cell], {}))
    assert figure.data[0].x[-1] == 50.0
    assert titles(figure) == {"charge (% of nominal capacity)", "voltage (V)"}
    unknown = ChargeScale("%", "charge (%)", "%/V", "V/%", factors={("A", 3): 50.0})
    assert set(traces(cycle.over_charge([("A", [charge_lines(3), charge_lines(4)])], unknown))) == {"cycle 3"}


def test_voltage_and_current_are_drawn_over_time_with_dots_and_crosses_where_there_is_no_line() -> None:
    spike = (np.array([0.2]), np.array([12.0]), np.array([0.5]))
    figure = cycle.over_time([("A", [time_lines(7, left_out=spike)])])
    assert titles(figure) == {"voltage (V)", "current (A)", "time since the cycle began (h)"}
    voltage, dots, crosses = figure.data[:3]
    assert np.isnan(voltage.y[2])
    assert (dots.mode, list(dots.x), list(dots.y)) == ("markers", [1.0], [3.3])
    assert (crosses.name, list(crosses.y)) == ("cycle 7, left out by the cleaning", [12.0])
    assert figure.data[3].yaxis == "y2"


def test_currents_of_a_coin_cell_are_drawn_in_a_unit_that_suits_them() -> None:
    small = time_lines(7, current=np.array([8.6e-5, 8.6e-5, np.nan, 0.0]))
    assert "current (µA)" in titles(cycle.over_time([("A", [small])]))


def test_discharges_are_drawn_below_zero_and_peaks_on_their_curves() -> None:
    figure = cycle.incremental(curves(3), [3, 4])
    charge, discharge, peaks = figure.data
    assert list(charge.y) == [1.0, 4.0, 1.0]
    assert list(discharge.y) == [-1.0, -4.0, -1.0]
    assert (list(peaks.x), list(peaks.y)) == ([3.805, 3.805], [4.1, -4.1])
    assert titles(figure) == {"voltage (V)", "dQ/dV (Ah/V)"}


def test_curves_of_cycles_that_are_not_wanted_are_not_drawn_and_rows_may_come_in_any_order() -> None:
    table = curves(3, 4, 5)
    shuffled = table.take(np.random.default_rng(1).permutation(table.num_rows))
    figure = cycle.incremental(shuffled, [3, 5])
    assert [trace.name for trace in figure.data] == ["cycle 3", "cycle 3", "cycle 5", "cycle 5", "peaks"]
    assert all(list(trace.x) == [3.7, 3.8, 3.9] for trace in figure.data[:4])


def test_the_axis_of_dv_by_dq_holds_most_of_the_charge_and_not_what_goes_to_infinity() -> None:
    steep = np.concatenate(([500.0, 80.0], np.full(200, 0.5), [90.0, 900.0]))
    table = pa.table(
        {
            "cycle_number": [1] * 204, "direction": ["charge"] * 204, "voltage_v": 3 + 0.01 * np.arange(204),
            "capacity_ah": np.cumsum(0.01 / steep), "dvdq_v_per_ah": steep,
        }
    )  # fmt: skip
    figure = cycle.differential(table, [1])
    low, high = figure.layout.yaxis.range
    assert -0.1 < low <= 0
    assert 0.5 < high < 1
    assert titles(figure) == {"charge (Ah)", "dV/dQ (V/Ah)"}
    assert list(figure.data[0].y) == steep.tolist()  # what is cut off can be zoomed to


def test_curves_relative_to_a_capacity_are_inverse_in_dv_by_dq() -> None:
    scale = ChargeScale("%", "charge (%)", "% per V", "V per %", factors={"A": 50.0})
    of = [cycle.CellCurves("A", [3], curves(3, ways=("charge",)))]
    assert list(cycle.incremental_of(of, scale).data[0].y) == [50.0, 200.0, 50.0]
    inverse = cycle.differential_of(of, scale).data[0]
    assert (list(inverse.x), list(inverse.y)) == ([5.0, 10.0, 15.0], [0.02, 0.005, 0.02])


def test_a_map_over_life_has_voltage_across_and_cycles_upwards_charge_and_discharge_apart() -> None:
    table = curves(1, 50, 120)
    figure = over_life([("A", table)], AH)
    charge, discharge = figure.data
    assert (charge.name, discharge.name) == ("A, charge", "A, discharge")
    assert (list(charge.x), list(charge.y)) == ([3.7, 3.8, 3.9], [1, 50, 120])
    assert np.asarray(charge.z).tolist() == [[1.0, 4.0, 1.0]] * 3
    assert titles(figure) == {"voltage (V)", "cycle number"}
    assert figure.layout.coloraxis.colorbar.title.text == "dQ/dV (Ah/V)<br> "
    both = over_life([("A", table), ("B", curves(1, 2, 3, ways=("charge",)))], AH)
    assert [trace.name for trace in both.data] == ["A, charge", "A, discharge", "B, charge"]
    assert {note.text for note in both.layout.annotations} >= {"A, charge", "B, discharge"}


def test_where_a_curve_of_a_map_has_no_point_there_is_a_hole_and_one_sharp_peak_does_not_take_all_colours() -> None:
    table = curves(*range(1, 60), ways=("charge",))
    height = [1.0, 4.0, 1.0] * 59
    height[0] = 1000.0
    figure = over_life([("A", table.set_column(4, "dqdv_ah_per_v", pa.array(height)).slice(0, 176))], AH)
    assert np.isnan(np.asarray(figure.data[0].z)[-1, -1])
    assert figure.layout.coloraxis.cmax == 4.0
    assert figure.layout.coloraxis.cmin == 0


def test_a_figure_without_anything_to_draw_says_why() -> None:
    nothing = curves(1).slice(0, 0)
    for figure, why in (
        (cycle.over_charge([("A", [])], AH), "no current, or no counter of the charge"),
        (cycle.over_charge([("A", [ChargeLines(1, (NONE, NONE), (NONE, NONE))])], AH), "no current"),
        (cycle.over_time([("A", [])]), "no readings"),
        (cycle.incremental(nothing, []), "no step at constant current"),
        (cycle.differential(nothing, []), "no step at constant current"),
        (over_life([("A", curves(1, 2))], AH), "at least 3 cycles"),
    ):
        assert not figure.data
        assert why in figure.layout.annotations[-1].text
