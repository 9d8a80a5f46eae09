from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pytest
from support.aged import CELL, cycles_table, notes, steps_table, titles, traces

from dashboard.colours import FIRST, Ink
from dashboard.figures import ageing
from dashboard.figures.courses import FAINT_POINTS
from dashboard.figures.measures import AXES, MEASURES
from dashboard.figures.style import NOTE, NOTE_CHARACTERS, set_notes_on_paper

OTHER = Ink("#B74B38", "dot")


def test_fade_draws_each_complete_cycle_once_and_the_median_that_the_rule_goes_by() -> None:
    complete = [row != 4 for row in range(30)]
    figure = ageing.fade(CELL, cycles_table(is_complete=complete))
    drawn = traces(figure)
    assert list(drawn["complete cycles"].x) == [row + 1 for row in range(30) if row != 4]
    assert list(drawn["complete cycles"].y) == pytest.approx([0.99 - 0.01 * row for row in range(30) if row != 4])
    assert list(drawn["cut short"].x) == [5]
    median = drawn["median of 11"]
    assert list(median.x) == list(range(7, 26))
    assert median.y[0] == pytest.approx(1.0 - 0.01 * 7)
    assert titles(figure) == {"cycle number", "discharge capacity (Ah)"}


def test_fade_says_the_rule_of_the_end_of_life_in_words_at_its_threshold() -> None:
    figure = ageing.fade({**CELL, "eol_cycle": 21}, cycles_table())
    assert figure is not None
    assert [line.y0 for line in figure.layout.shapes if line.type == "line"] == [0.8]
    assert "0.800 Ah: median of 11 cycles below 80 % of nominal capacity" in notes(figure)
    end = traces(figure)["end of life: cycle 21"]
    assert (end.x[0], end.y[0]) == (21, 0.8)


def test_the_threshold_lies_within_the_axis_though_no_cycle_is_near_it() -> None:
    figure = ageing.fade(CELL, cycles_table(5))
    assert figure is not None
    low, high = figure.layout.yaxis.range
    assert low < 0.8
    assert high > 0.99


def test_the_fade_is_drawn_with_the_thresholds_that_the_name_of_the_published_rule_carries() -> None:
    cell = {**CELL, "eol_rule": "median_5_below_70_percent_of_nominal"}
    figure = ageing.fade(cell, cycles_table())
    assert figure is not None
    assert [line.y0 for line in figure.layout.shapes if line.type == "line"] == [pytest.approx(0.7)]
    assert list(traces(figure)["median of 5"].x) == list(range(3, 29))


def test_without_a_nominal_capacity_the_threshold_is_of_the_initial_one() -> None:
    rule = {"eol_rule": "median_11_below_80_percent_of_initial"}
    assert ageing.threshold_ah({**CELL, **rule, "nominal_capacity_ah": None}) == pytest.approx(0.88)
    assert ageing.threshold_ah({**CELL, "nominal_capacity_ah": None, "initial_capacity_ah": None}) is None


@pytest.mark.parametrize(("high", "until", "reach"), [(70.0, "70", 30.0), (None, "open", 40.0)])
def test_a_projected_end_is_drawn_with_its_range(high: float | None, until: str, reach: float) -> None:
    cell = {**CELL, "projected_eol_cycle": 40.0, "projected_eol_low_cycle": 35.0, "projected_eol_high_cycle": high}
    end = traces(ageing.fade(cell, cycles_table()))[f"projected end: cycle 40 (35 to {until})"]
    assert (end.x[0], end.error_x.arrayminus[0], end.error_x.array[0]) == (40.0, 5.0, reach)


def test_a_knee_is_drawn_on_the_course_with_its_interval() -> None:
    cell = {**CELL, "knee_cycle": 20.4, "knee_low_cycle": 18.0, "knee_high_cycle": 23.0}
    figure = ageing.fade(cell, cycles_table())
    assert figure is not None
    knee = traces(figure)["knee: cycle 20 (18 to 23)"]
    assert (knee.x[0], knee.y[0]) == (21, pytest.approx(0.79))
    assert (18, 23) in {(shape.x0, shape.x1) for shape in figure.layout.shapes}


def test_every_other_test_is_a_band_unless_bands_are_not_wanted() -> None:
    def bands(*, wanted: bool) -> list[tuple[Any, Any]]:
        figure = ageing.fade(CELL, cycles_table(), bands=wanted)
        assert figure is not None
        return [(shape.x0, shape.x1) for shape in figure.layout.shapes if shape.type == "rect"]

    assert bands(wanted=True) == [(16, 30)]
    assert bands(wanted=False) == []


@pytest.mark.parametrize("axis", AXES)
def test_every_figure_of_a_cell_can_be_drawn_over_every_axis_with_its_unit(axis: str) -> None:
    cycles = cycles_table()
    for figure in (
        ageing.fade({**CELL, "eol_cycle": 21}, cycles, axis),
        ageing.efficiency(cycles, axis),
        ageing.resistance(cycles, steps_table(), axis),
        ageing.charge_times(cycles, axis),
    ):
        assert figure is not None
        assert AXES[axis].title in titles(figure)
        assert all(len(trace.x) == len(trace.y) > 0 for trace in figure.data)


def test_measures_have_the_unit_that_their_axis_says() -> None:
    cycles = cycles_table()
    coulombic, energy = (trace for trace in ageing.efficiency(cycles).data if trace.mode == "lines")  # type: ignore[union-attr]
    assert set(coulombic.y) == {99.9}
    assert set(energy.y) == {91.0}
    drawn = traces(ageing.resistance(cycles, steps_table()))
    assert set(drawn["the cycler's, median of 11 cycles"].y) == {90.0}
    pulse = drawn["10 s into a discharge"]
    assert (list(pulse.x), list(pulse.y)) == ([20], [150.0])
    times = traces(ageing.charge_times(cycles))
    assert (set(times["constant current"].y), set(times["constant voltage"].y)) == ({100.0}, {20.0})
    assert set(times["in all"].y) == {120.0}
    for key, measure in MEASURES.items():
        assert re.search(r" \((Ah|%|mΩ|V|min|°C)\)$", measure.title), key


@pytest.mark.parametrize(("size", "charge", "ohm"), [(1e-5, "µAh", "kΩ"), (1.0, "Ah", "mΩ"), (1e4, "kAh", "µΩ")])
def test_the_axes_of_a_cell_of_any_size_have_a_unit_that_suits_it(size: float, charge: str, ohm: str) -> None:
    cell = CELL | {"nominal_capacity_ah": 1.1 * size}
    cycles = cycles_table(discharge_capacity_ah=[size] * 30, internal_resistance_ohm=[0.09 / size] * 30)
    fade, resistance = (
        ageing.fade(cell, cycles),
        ageing.resistance(cycles, steps_table(pulse_resistance_ohm=[0.15 / size])),
    )
    assert titles(fade) == {"cycle number", f"discharge capacity ({charge})"}
    assert titles(resistance) == {"cycle number", f"resistance ({ohm})"}
    for figure in (fade, resistance):
        assert figure is not None
        assert all(0.1 <= value < 1e4 for trace in figure.data for value in trace.y)


def test_the_capacities_of_a_coin_cell_keep_their_digits() -> None:
    coin = CELL | {"nominal_capacity_ah": None, "initial_capacity_ah": 4.7e-4}
    coin["eol_rule"] = "median_11_below_80_percent_of_initial"
    figure = ageing.fade(coin, cycles_table(discharge_capacity_ah=[4.7e-4] * 30))
    assert figure is not None
    assert figure.data[0].hovertemplate == "cycle %{customdata}<br>%{y:.5f} mAh<extra></extra>"
    assert "0.3760 mAh: median of 11 cycles below 80 % of initial capacity" in notes(figure)


def test_what_is_written_below_a_drawing_has_room_on_a_phone_and_on_paper() -> None:
    figure = ageing.fade(CELL, cycles_table(2, is_complete=[False] * 2))
    assert figure is not None
    (note,) = figure.select_annotations(selector={"name": NOTE})
    assert max(map(len, note.text.split("<br>"))) <= NOTE_CHARACTERS
    screen = figure.layout.margin.b
    set_notes_on_paper(figure, 16, 80)
    (note,) = figure.select_annotations(selector={"name": NOTE})
    assert "<br>" not in note.text
    assert (screen, figure.layout.margin.b) == (48 + 12 + 2 * 17, 80 + 21)


def test_what_was_not_measured_is_not_drawn() -> None:
    nothing = cycles_table(0)
    unmeasured = cycles_table(internal_resistance_ohm=[None] * 30)
    assert ageing.fade(CELL, nothing) is None
    assert ageing.efficiency(nothing) is None
    assert ageing.charge_times(nothing) is None
    assert ageing.charge_times(cycles_table(cc_charge_time_s=[0.0] * 30, cv_charge_time_s=[None] * 30)) is None
    assert ageing.temperature(cycles_table()) is None
    assert ageing.resistance(unmeasured, steps_table(test_id=["x"])) is None
    assert ageing.resistance(unmeasured, steps_table(pulse_resistance_ohm=[None])) is None


def test_over_the_time_a_cell_without_dates_has_no_figure() -> None:
    undated = cycles_table(started_at=pa.nulls(30, pa.timestamp("us")))
    assert ageing.fade(CELL, undated, "date") is None
    assert ageing.efficiency(undated, "date") is None
    assert ageing.resistance(undated, steps_table(), "date") is None
    assert ageing.charge_times(undated, "date") is None


def test_of_a_cell_that_was_only_charged_the_charge_is_drawn_and_said_so() -> None:
    figure = ageing.fade(CELL, cycles_table(1, discharge_capacity_ah=[0.0], is_complete=[False]))
    assert "charge capacity (Ah)" in titles(figure)
    assert list(traces(figure)["cut short"].y) == [0.99]
    assert "nothing was discharged yet: what was charged is shown" in notes(figure)


def test_of_a_cell_without_a_complete_cycle_what_there_is_is_drawn_and_said_so() -> None:
    figure = ageing.fade(CELL, cycles_table(2, is_complete=[False] * 2))
    assert list(traces(figure)["cut short"].x) == [1, 2]
    assert "no complete cycle yet: what was cut short is shown" in notes(figure)


def test_a_single_cycle_is_a_marker_that_can_be_seen_within_the_axes() -> None:
    cycles = cycles_table(1)
    for figure in (ageing.fade(CELL, cycles), ageing.efficiency(cycles), ageing.charge_times(cycles)):
        assert figure is not None
        for trace in figure.data:
            assert "markers" in trace.mode
            assert trace.marker.size >= 7
        assert all(axis.range is not None for axis in figure.select_yaxes())


def test_coulombic_efficiency_is_read_between_99_and_101_percent_whatever_a_single_cycle_says() -> None:
    efficiency: list[Any] = [0.999] * 30
    efficiency[3], efficiency[12] = 30.0, 0.995
    figure = ageing.efficiency(cycles_table(coulombic_efficiency=efficiency))
    assert figure is not None
    low, high = figure.layout.yaxis.range
    assert 98.5 < low <= 99
    assert 101 <= high < 101.5
    assert figure.layout.yaxis.tickformat == ".1f"
    marks = traces(figure)["outside the axis"]
    assert (list(marks.customdata), list(marks.text)) == ([3000.0], ["cycle 4"])
    assert "coulombic: 1 of 30 points lies outside (▲▼): cycle 4" in notes(figure)


def test_cycles_that_were_cut_short_are_told_apart_in_the_efficiency() -> None:
    figure = ageing.efficiency(cycles_table(is_complete=[row != 4 for row in range(30)]))
    points = traces(figure)["each cycle"]
    assert [symbol == "x-thin-open" for symbol in points.marker.symbol] == [row == 4 for row in range(30)]


def test_resistances_at_different_times_are_series_of_their_own() -> None:
    steps = steps_table(
        cell_id=["A"] * 4, test_id=["second"] * 4, cycle_index=[20, 21, 20, 22],
        kind=["cc_discharge", "pulse", "cc_discharge", "cc_charge"], current_median_a=[-1.1, -2.0, -1.1, 0.5],
        pulse_resistance_ohm=[0.15, 0.16, 0.19, 0.2], pulse_time_s=[10.0, 10.0, 30.0, 10.0],
    )  # fmt: skip
    drawn = traces(ageing.resistance(cycles_table(), steps))
    assert list(drawn["10 s into a discharge"].y) == [150.0, 160.0]
    assert list(drawn["30 s into a discharge"].y) == [190.0]
    assert list(drawn["10 s into a charge"].y) == [200.0]
    assert {name for name in drawn if " s into " in name} == {
        "10 s into a discharge", "30 s into a discharge", "10 s into a charge",
    }  # fmt: skip
    assert all("lines" not in trace.mode for name, trace in drawn.items() if " s into " in name)
    assert not [name for name in traces(ageing.resistance(cycles_table(), steps.slice(0, 0))) if " s into " in name]


def test_temperature_is_drawn_where_there_is_a_sensor() -> None:
    cycles = cycles_table(temperature_max_c=[31.5] * 30, temperature_mean_c=[25.0] * 30)
    figure = ageing.temperature(cycles)
    drawn = traces(figure)
    assert (set(drawn["highest"].y), set(drawn["mean"].y)) == ({31.5}, {25.0})
    assert figure is not None
    low, high = figure.layout.yaxis.range
    assert low < 25
    assert high > 31.5


def test_cycles_whose_charge_lies_in_the_file_before_leave_no_teeth_in_the_charge_time() -> None:
    held: list[Any] = [1200.0] * 30
    held[10] = 0.0
    drawn = traces(ageing.charge_times(cycles_table(cv_charge_time_s=held)))
    assert set(drawn["constant voltage"].y) == {20.0}
    assert drawn["constant voltage, each cycle"].y[10] == 0.0


def test_a_cell_is_drawn_in_its_own_colour() -> None:
    cycles = cycles_table()
    for ink in (FIRST, OTHER):
        assert traces(ageing.fade(CELL, cycles, ink=ink))["median of 11"].line.color == ink.colour
        assert traces(ageing.efficiency(cycles, ink=ink))["median of 11 cycles"].line.color == ink.colour
        assert traces(ageing.charge_times(cycles, ink=ink))["constant current"].line.color == ink.colour


def test_the_words_of_a_threshold_below_all_cycles_do_not_lie_over_the_ticks() -> None:
    figure = ageing.fade(CELL | {"nominal_capacity_ah": 0.2}, cycles_table())
    assert figure is not None
    (words,) = [note for note in figure.layout.annotations if "nominal capacity" in note.text]
    assert (words.yanchor, words.y) == ("bottom", pytest.approx(0.16))


def test_nothing_discharged_is_drawn_at_the_bottom_of_an_axis_that_has_no_negative_capacity() -> None:
    cycles = cycles_table(1, discharge_capacity_ah=[0.0], charge_capacity_ah=[0.0])
    figure = ageing.fade(CELL | {"nominal_capacity_ah": None, "initial_capacity_ah": None}, cycles)
    assert figure is not None
    low, high = figure.layout.yaxis.range
    assert -0.1 * high < low < 0


def test_a_long_life_draws_no_more_points_than_a_screen_tells_apart() -> None:
    count = 3_000
    figure = ageing.fade(CELL, cycles_table(count))
    assert figure is not None
    drawn = traces(figure)
    assert len(drawn["complete cycles"].x) <= FAINT_POINTS + 2
    assert len(drawn["median of 11"].x) > FAINT_POINTS
