from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.looking import contrast

from dashboard.amounts import capacity_amount, resistance_amount
from dashboard.figures import ageing, stream
from dashboard.figures.style import COLOURS, MUTED, kept_rows

CELL = {
    "cell_id": "A", "nominal_capacity_ah": 1.0, "initial_capacity_ah": 1.1, "complete_cycle_count": 30,
    "eol_rule": "median_11_below_80_percent_of_nominal", "eol_cycle": None, "knee_cycle": None, "knee_low_cycle": None,
    "knee_high_cycle": None, "projected_eol_cycle": None, "projected_eol_low_cycle": None,
    "projected_eol_high_cycle": None,
}  # fmt: skip
PAGES = ("#ffffff", "#0e1117")


def cycles_table(count: int = 30, cell: str = "A", **columns: list[Any]) -> pa.Table:
    """Rows of battery_cycles: capacity falls by 0.01 Ah a cycle from 1 Ah; two tests."""
    number = np.arange(1, count + 1)
    capacity = 1.0 - 0.01 * number
    made: dict[str, Any] = {
        "cell_id": [cell] * count,
        "test_id": ["first" if row < count // 2 else "second" for row in range(count)],
        "cycle_index": number,
        "cycle_number": number,
        "started_at": pa.array(
            np.datetime64("2020-01-01T00:00:00", "us") + number * np.timedelta64(3_600_000_000, "us")
        ),
        "discharge_capacity_ah": capacity,
        "soh": capacity,
        "coulombic_efficiency": np.full(count, 0.999),
        "energy_efficiency": np.full(count, 0.91),
        "internal_resistance_ohm": np.full(count, 0.09),
        "mean_discharge_voltage_v": np.full(count, 3.6),
        "cc_charge_time_s": np.full(count, 6000.0),
        "cv_charge_time_s": np.full(count, 1200.0),
        "temperature_mean_c": pa.nulls(count, pa.float64()),
        "temperature_max_c": pa.nulls(count, pa.float64()),
        "equivalent_full_cycles": number * 0.98,
        "is_complete": [True] * count,
        "is_reference_test": [False] * count,
    }
    return pa.table(made | columns)


def steps_table(**columns: list[Any]) -> pa.Table:
    made: dict[str, list[Any]] = {
        "cell_id": ["A"], "test_id": ["second"], "cycle_index": [20], "kind": ["cc_discharge"],
        "pulse_resistance_ohm": [0.15], "pulse_time_s": [10.0],
    }  # fmt: skip
    return pa.table(made | columns)


def traces(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def titles(figure: Any) -> set[str]:
    return {axis.title.text for axis in (*figure.select_xaxes(), *figure.select_yaxes()) if axis.title.text}


@pytest.mark.parametrize("colour", [*COLOURS, MUTED])
@pytest.mark.parametrize("page", PAGES)
def test_every_colour_can_be_seen_on_a_light_and_on_a_dark_page(colour: str, page: str) -> None:
    assert contrast(colour, page) >= 3.0


@given(
    st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), max_size=300),
    st.integers(10, 40),
)
def test_what_is_left_out_of_a_line_is_never_an_extreme_nor_an_end(values: list[float], most: int) -> None:
    y = np.array(values)
    rows = kept_rows(y, most)
    assert list(rows) == sorted(set(rows))
    assert len(rows) <= most + 2
    there = y[np.isfinite(y)]
    if len(y) <= most:
        assert len(rows) == len(y)
    elif len(there):
        kept = y[rows]
        assert (np.nanmin(kept), np.nanmax(kept)) == (there.min(), there.max())
        assert (kept[0], kept[-1]) == (there[0], there[-1])


def test_a_spike_of_one_reading_among_a_million_is_drawn_where_it_is() -> None:
    y = np.sin(np.linspace(0, 40, 1_000_000))
    y[654_321] = 9.0
    rows = kept_rows(y)
    assert 654_321 in rows
    assert len(rows) <= 4_002


def test_a_line_keeps_its_ends_though_they_are_no_extremes() -> None:
    y = np.random.default_rng(1).random(1_000_000)
    y[0] = y[-1] = 0.5
    assert {0, 999_999} <= set(kept_rows(y))


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


def test_fade_names_the_rule_of_the_end_of_life_at_its_threshold() -> None:
    figure = ageing.fade({**CELL, "eol_cycle": 21}, cycles_table())
    assert [line.y0 for line in figure.layout.shapes if line.type == "line"] == [0.8]
    assert any("0.800 Ah: median_11_below_80_percent_of_nominal" in note.text for note in figure.layout.annotations)
    end = traces(figure)["end of life: cycle 21"]
    assert (end.x[0], end.y[0]) == (21, 0.8)


def test_the_fade_is_drawn_with_the_thresholds_that_the_name_of_the_published_rule_carries() -> None:
    cell = {**CELL, "eol_rule": "median_5_below_70_percent_of_nominal"}
    figure = ageing.fade(cell, cycles_table())
    assert [line.y0 for line in figure.layout.shapes if line.type == "line"] == [pytest.approx(0.7)]
    assert list(traces(figure)["median of 5"].x) == list(range(3, 29))
    assert [line.y0 for line in ageing.fleet([cell], cycles_table(), "cycle", []).layout.shapes] == [70]


def test_without_a_nominal_capacity_the_threshold_is_of_the_initial_one() -> None:
    rule = {"eol_rule": "median_11_below_80_percent_of_initial"}
    assert ageing.threshold_ah({**CELL, **rule, "nominal_capacity_ah": None}) == pytest.approx(0.88)
    assert ageing.threshold_ah({**CELL, "nominal_capacity_ah": None, "initial_capacity_ah": None}) is None


@pytest.mark.parametrize(("high", "until", "reach"), [(70.0, "70", 30.0), (None, "open", 40.0)])
def test_a_projected_end_is_drawn_with_its_range(high: float | None, until: str, reach: float) -> None:
    cell = {**CELL, "projected_eol_cycle": 40.0, "projected_eol_low_cycle": 35.0, "projected_eol_high_cycle": high}
    end = traces(ageing.fade(cell, cycles_table()))[f"projected end of life: cycle 40 (35 to {until})"]
    assert (end.x[0], end.error_x.arrayminus[0], end.error_x.array[0]) == (40.0, 5.0, reach)


def test_a_knee_is_drawn_on_the_course_with_its_interval() -> None:
    cell = {**CELL, "knee_cycle": 20.4, "knee_low_cycle": 18.0, "knee_high_cycle": 23.0}
    figure = ageing.fade(cell, cycles_table())
    knee = traces(figure)["knee: cycle 20 (18 to 23)"]
    assert (knee.x[0], knee.y[0]) == (21, pytest.approx(0.79))
    assert (18, 23) in {(shape.x0, shape.x1) for shape in figure.layout.shapes}


def test_every_other_test_is_a_band_unless_bands_are_not_wanted() -> None:
    def bands(*, wanted: bool) -> list[tuple[Any, Any]]:
        shapes = ageing.fade(CELL, cycles_table(), bands=wanted).layout.shapes
        return [(shape.x0, shape.x1) for shape in shapes if shape.type == "rect"]

    assert bands(wanted=True) == [(16, 30)]
    assert bands(wanted=False) == []


@pytest.mark.parametrize("axis", ageing.AXES)
def test_every_figure_of_a_cell_can_be_drawn_over_every_axis_with_its_unit(axis: str) -> None:
    cycles = cycles_table()
    for figure in (
        ageing.fade({**CELL, "eol_cycle": 21}, cycles, axis),
        ageing.efficiency(cycles, axis),
        ageing.resistance(cycles, steps_table(), axis),
        ageing.charge_times(cycles, axis),
        ageing.fleet([CELL], cycles, axis, ["A"]),
        ageing.compare(cycles, ["A"], "soh", axis),
    ):
        assert ageing.AXES[axis].title in titles(figure)
        assert all(len(trace.x) == len(trace.y) > 0 for trace in figure.data)


def test_measures_have_the_unit_that_their_axis_says() -> None:
    cycles = cycles_table()
    efficiency = traces(ageing.efficiency(cycles))
    assert set(efficiency["coulombic efficiency"].y) == {99.9}
    assert set(efficiency["energy efficiency"].y) == {91.0}
    resistance = traces(ageing.resistance(cycles, steps_table()))
    assert set(resistance["measured by the cycler"].y) == {90.0}
    pulse = resistance["at 10 s of discharge"]
    assert (list(pulse.x), list(pulse.y)) == ([20], [150.0])
    times = traces(ageing.charge_times(cycles))
    assert (set(times["constant current"].y), set(times["constant voltage"].y)) == ({100.0}, {20.0})
    for key, measure in ageing.MEASURES.items():
        assert re.search(r" \((Ah|%|mΩ|V|min|°C)\)$", measure.title), key


@pytest.mark.parametrize(
    ("capacity_ah", "shown"),
    [
        (1.138460, "1.1385 Ah"), (100.0, "100.0000 Ah"), (0.1, "0.1000 Ah"), (0.09, "90.000 mAh"),
        (4.751559e-4, "0.47516 mAh"), (1.13846e-5, "11.385 µAh"), (5e-6, "5.0000 µAh"), (11_384.6, "11.3846 kAh"),
    ],
)  # fmt: skip
def test_a_capacity_is_shown_with_the_digits_of_ordinary_cells_whatever_its_size(
    capacity_ah: float, shown: str
) -> None:
    amount = capacity_amount(capacity_ah)
    assert f"{amount.text(capacity_ah)} {amount.unit}" == shown


@pytest.mark.parametrize(
    ("ohm", "shown"),
    [(0.0940, "94.0 mΩ"), (0.0005, "0.500 mΩ"), (9.03e-6, "9.03 µΩ"), (45.0, "45.0 Ω"), (9_030.0, "9.03 kΩ")],
)
def test_a_resistance_is_shown_with_three_digits_whatever_its_size(ohm: float, shown: str) -> None:
    amount = resistance_amount(ohm)
    assert f"{amount.text(ohm)} {amount.unit}" == shown


@pytest.mark.parametrize(("size", "charge", "ohm"), [(1e-5, "µAh", "kΩ"), (1.0, "Ah", "mΩ"), (1e4, "kAh", "µΩ")])
def test_the_axes_of_a_cell_of_any_size_have_a_unit_that_suits_it(size: float, charge: str, ohm: str) -> None:
    cell = CELL | {"nominal_capacity_ah": 1.1 * size}
    cycles = cycles_table(discharge_capacity_ah=[size] * 30, internal_resistance_ohm=[0.09 / size] * 30)
    assert titles(ageing.fade(cell, cycles)) == {"cycle number", f"discharge capacity ({charge})"}
    steps = steps_table(pulse_resistance_ohm=[0.15 / size])
    assert titles(ageing.resistance(cycles, steps)) == {"cycle number", f"resistance ({ohm})"}
    for figure in (ageing.fade(cell, cycles), ageing.resistance(cycles, steps)):
        assert all(0.1 <= value < 1e4 for trace in figure.data for value in trace.y)


def test_the_capacities_of_a_coin_cell_keep_their_digits() -> None:
    coin = CELL | {"nominal_capacity_ah": None, "initial_capacity_ah": 4.7e-4}
    coin["eol_rule"] = "median_11_below_80_percent_of_initial"
    figure = ageing.fade(coin, cycles_table(discharge_capacity_ah=[4.7e-4] * 30))
    assert figure.data[0].hovertemplate == "cycle %{customdata}<br>%{y:.5f} mAh<extra></extra>"
    assert {note.text for note in figure.layout.annotations} >= {"0.3760 mAh: median_11_below_80_percent_of_initial"}


def test_a_figure_without_anything_to_draw_says_why() -> None:
    nothing = cycles_table(0)
    unmeasured = cycles_table(internal_resistance_ohm=[None] * 30)
    for figure, why in (
        (ageing.temperature(cycles_table()), "this cell has no temperature sensor"),
        (ageing.resistance(unmeasured, steps_table(test_id=["x"])), "no resistance was measured"),
        (ageing.charge_times(nothing), "no charge yet"),
        (ageing.efficiency(nothing), "no cycle yet"),
        (stream.rates(commits_table(1)), "a rate needs two commits"),
        (stream.objects(commits_table(0)), "no commit yet"),
    ):  # fmt: skip
        assert [note.text for note in figure.layout.annotations] == [why]


def test_temperature_is_drawn_where_there_is_a_sensor() -> None:
    cycles = cycles_table(temperature_max_c=[31.5] * 30, temperature_mean_c=[25.0] * 30)
    drawn = traces(ageing.temperature(cycles))
    assert (set(drawn["highest"].y), set(drawn["mean"].y)) == ({31.5}, {25.0})


def test_the_fleet_marks_ends_and_knees_on_the_courses_and_mutes_the_others() -> None:
    both = pa.concat_tables([cycles_table(), cycles_table(cell="B")])
    cells = [{**CELL, "eol_cycle": 21, "knee_cycle": 10.0}, {**CELL, "cell_id": "B"}]
    figure = ageing.fleet(cells, both, "cycle", ["A"])
    drawn = traces(figure)
    assert (drawn["end of life"].x[0], drawn["end of life"].y[0]) == (21, pytest.approx(79.0))
    assert (drawn["knee"].x[0], drawn["knee"].y[0]) == (10, pytest.approx(90.0))
    assert drawn["B"].line.color == MUTED != drawn["A"].line.color
    assert [trace.name for trace in figure.data][:2] == ["B", "A"]  # what is foremost is drawn last


def test_cells_are_compared_by_their_complete_cycles_relative_to_the_first_if_wished() -> None:
    cycles = cycles_table(is_complete=[row != 0 for row in range(30)])
    absolute = ageing.compare(cycles, ["A"], "capacity", "cycle")
    assert (absolute.data[0].x[0], absolute.data[0].y[0]) == (2, pytest.approx(0.98))
    relative = ageing.compare(cycles, ["A"], "capacity", "cycle", relative=True)
    assert (relative.data[0].y[0], relative.data[0].y[-1]) == (100.0, pytest.approx(100 * 0.7 / 0.98))
    assert "discharge capacity, relative to the first (%)" in titles(relative)


def commits_table(count: int) -> pa.Table:
    at = np.datetime64("2026-01-01T00:00:00", "us") + np.arange(count) * np.timedelta64(10_000_000, "us")
    return pa.table(
        {
            "commit": [str(number) for number in range(count)], "committed_at": pa.array(at),
            "landed": [1000 * (number + 1) for number in range(count)], "quarantined": [0] * count,
            "bytes": [2_000_000] * count,
        }
    )  # fmt: skip


def test_a_rate_is_the_rows_of_a_commit_by_the_seconds_since_the_one_before() -> None:
    drawn = traces(stream.rates(commits_table(3)))
    assert list(drawn["landed"].y) == [200.0, 300.0]
    assert list(drawn["quarantined"].y) == [0.0, 0.0]
    assert list(stream.objects(commits_table(3)).data[0].y) == [2.0, 2.0, 2.0]


def test_refusals_are_drawn_by_reason_and_duplicates_muted() -> None:
    figure = stream.refused(pa.table({"reason": ["duplicate", "missing_value"], "rows": [500, 2]}))
    assert (list(figure.data[0].y), list(figure.data[0].x)) == (["duplicate", "missing_value"], [500, 2])
    assert figure.data[0].marker.color[0] == MUTED != figure.data[0].marker.color[1]
