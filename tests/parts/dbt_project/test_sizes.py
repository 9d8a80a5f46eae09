"""One simulated life at 1e-5, 1 and 1e4 times the current: what has no unit is equal, all else scales with the size."""

from __future__ import annotations

import itertools
import math
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pytest
from support.landed import put
from support.modelled import ORDER, Warehouse, run_dbt

from dashboard.cell.marts import CellMarts
from dashboard.cell.pulses import pulse_resistance_of
from dashboard.figures.ageing import cycles_of
from dashboard.report.page import ReportInfo, draw_figures, write_page
from dashboard.report.text import key_figures
from dashboard.words.thresholds import thresholds_of
from kernel.contract.reading import COUNTER_NOISE, COUNTERS, Quality
from producer.simulate import Ageing, simulate_tests

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

Row = dict[str, Any]

SIZES: Final = {"COIN": 1e-5, "CELL": 1.0, "PACK": 1e4}
"""Lives by how many times the current of the one in the middle they have: 10 µA, 1 A and 10 kA at most."""

CYCLES: Final = 60
STARTED: Final = datetime(2009, 1, 1)  # noqa: DTZ001  # a cycler's wall clock has no zone
REL, ABS = 1e-9, 1e-12
"""How far values may be off once they are divided by the size; `ABS` is ten atto-Ah of a cell of 10 µA."""

STREAMED: Final = {"_ah": 3e-7, "_wh": 3e-7, "_ohm": 2e-5, "_efficiency": 2e-4}
"""The same for the table of the stream, which counts whole pico-Ah and nano-ohm; a test may begin with a cycle that
takes little charge, whose efficiency is above 30."""


FITTED: Final = {"knee_cycle": 1e-6, "knee_low_cycle": 1e-6, "knee_high_cycle": 1e-6, "knee_confidence": 1e-7}
"""The same for what is fitted by iteration, which ends once it gains less than 1e-8."""


@cache
def life() -> tuple[Row, ...]:
    """A life with a knee and an end, pauses, cycles cut short, and whatever counters do; before it, a pulse test."""
    ageing = Ageing(fade=0.160 / CYCLES, knee=0.93 * CYCLES, width=0.1 * CYCLES)
    exports = simulate_tests("CELL", cycles=CYCLES, seed=3, cycles_per_file=20, ageing=ageing, log_every=6, size=0.9)
    tests = [export.test.readings.to_pylist() for export in exports[:-1]]
    rested(tests[0])
    reset_within(tests[0])
    noisy(tests[0])
    fallen(tests[0])
    leaping(tests[1])
    at_zero_for_a_while(tests[1])
    spoilt(tests[2])
    return tuple(itertools.chain(pulse_test(), *tests))


def pulse_test() -> list[Row]:
    """A rest, a discharge and a charge of 20 s that are logged every second, and rests between."""
    rows: list[Row] = []
    charged = discharged = time = 0.0
    for step, (seconds, current) in enumerate(((30, 0.0), (20, -0.9), (30, 0.0), (20, 0.6), (30, 0.0)), start=1):
        for second in range(1, seconds + 1):
            time += 1.0
            charged += max(current, 0.0) / 3600
            discharged += max(-current, 0.0) / 3600
            ohm = 0.05 + 0.03 * (1 - math.exp(-second / 8)) if current else 0.0
            rows.append(
                {
                    "cell_id": "CELL", "test_id": "PULSES", "source_file": "PULSES.xlsx", "data_point": len(rows) + 1,
                    "test_time(s)": time, "date_time": STARTED + timedelta(seconds=time), "step_time(s)": float(second),
                    "step_index": step, "cycle_index": 1, "current(a)": current, "voltage(v)": 3.8 + current * ohm,
                    "charge_capacity(ah)": charged, "discharge_capacity(ah)": discharged,
                    "charge_energy(wh)": 3.8 * charged, "discharge_energy(wh)": 3.8 * discharged,
                }
            )  # fmt: skip
    return rows


def rested(rows: list[Row]) -> None:
    """What an instrument shows where no current flows, up or down by turns, and does not count."""
    for row in rows:
        if row["current(a)"] == 0.0:
            row["current(a)"] = 1e-3 * (1 if row["data_point"] % 3 else -1)


def first_of(rows: list[Row], cycle: int, step: int) -> int:
    return next(at for at, row in enumerate(rows) if (row["cycle_index"], row["step_index"]) == (cycle, step))


def move(rows: list[Row], name: str, by: float) -> None:
    """Move a counter from a reading on."""
    for row in rows:
        row[name] += by


def reset_within(rows: list[Row]) -> None:
    """All counters begin anew with a charge."""
    at = first_of(rows, 4, 2)
    before = rows[at - 1].copy()
    for name in COUNTERS:
        move(rows[at:], name, -before[name])


def noisy(rows: list[Row]) -> None:
    """A counter falls in a discharge by half of what is noise for a current of 0.99 A."""
    move(rows[first_of(rows, 6, 7) + 5 :], "charge_capacity(ah)", -0.45 * COUNTER_NOISE)


def fallen(rows: list[Row]) -> None:
    """A counter falls in a discharge by three times what is noise, and by more than that."""
    move(rows[first_of(rows, 7, 7) + 5 :], "charge_capacity(ah)", -3 * COUNTER_NOISE)
    move(rows[first_of(rows, 8, 7) + 5 :], "charge_capacity(ah)", -0.01)


def leaping(rows: list[Row]) -> None:
    """A counter leaps away and back, and another to stay."""
    rows[first_of(rows, 3, 2) + 9]["charge_capacity(ah)"] += 500.0
    move(rows[first_of(rows, 5, 7) + 9 :], "discharge_capacity(ah)", 300.0)


def at_zero_for_a_while(rows: list[Row]) -> None:
    """A counter shows next to nothing for some readings, less than is told from zero."""
    at = first_of(rows, 9, 2) + 6
    for row in rows[at : at + 3]:
        row["charge_capacity(ah)"] = 0.4 * COUNTER_NOISE


def spoilt(rows: list[Row]) -> None:
    """A spike of the voltage, and a hole of two hours."""
    rows[first_of(rows, 3, 7) + 9]["voltage(v)"] += 0.3
    for row in rows[first_of(rows, 5, 5) :]:
        row["test_time(s)"] += 7_200
        row["date_time"] += timedelta(hours=2)


def sized(cell: str, size: float) -> list[Row]:
    """The same life of a cell of another size."""
    found = []
    for row in life():
        ohm = row.get("internal_resistance(ohm)")
        scaled = {name: row[name] * size for name in ("current(a)", *COUNTERS)}
        found.append(row | scaled | {"cell_id": cell, "internal_resistance(ohm)": None if ohm is None else ohm / size})
    return found


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """The three lives in one warehouse."""
    warehouse = Warehouse(tmp_path_factory.mktemp("sizes") / "battery.duckdb")
    put(warehouse.path, {cell: sized(cell, size) for cell, size in SIZES.items()})
    run_dbt(warehouse.settings)
    return warehouse


def power_of(name: str) -> int:
    """By which power of the size the values of a column scale, as the end of its name says."""
    powers = {
        "_v_per_ah": -1, "_ah_per_v": 1, "_ah_per_100_cycles": 1, "_ah_per_cycle": 1, "_ah": 1, "_wh": 1, "_a": 1,
        "_ohm": -1, "(a)": 1, "(ah)": 1, "(wh)": 1, "(ohm)": -1, "power_watt": 1, "total_capacity": 1, "_ampere": 1,
    }  # fmt: skip
    return next((power for end, power in powers.items() if name.endswith(end)), 0)


def of_size(warehouse: Warehouse, relation: str, cell: str, order: str, without: frozenset[str]) -> list[Row]:
    """What a relation holds of a cell, as it would be of a CS2 cell."""
    size = SIZES[cell]
    rows = [row for row in warehouse.rows(relation, order) if row["cell_id"] == cell]
    return [
        {
            name: value / size ** power_of(name) if power_of(name) and value is not None else value
            for name, value in row.items()
            if name not in without
        }
        for row in rows
    ]


MODELS: Final = sorted(
    set(ORDER) - {"battery_thresholds", "battery_test_versions", "battery_cell_versions", "battery_test_about"}
)
"""The models that are compared: all but checksums, numbers of the project, and what messages say."""


def assert_alike(warehouse: Warehouse, relation: str, order: str, tolerance: Mapping[str, float]) -> None:
    without = frozenset({"cell_id", "alert_id"})  # an alert is named after its cell
    cell, *others = (of_size(warehouse, relation, name, order, without) for name in ("CELL", "COIN", "PACK"))
    for name, other in zip(("COIN", "PACK"), others, strict=True):
        assert len(other) == len(cell), (relation, name)
        for number, (one, two) in enumerate(zip(cell, other, strict=True)):
            for column, value in one.items():
                expected: Any = value
                if isinstance(value, float):
                    end = next((end for end in tolerance if column.endswith(end)), None)
                    allowed = tolerance[end] if end else ABS
                    expected = pytest.approx(value, rel=REL, abs=allowed, nan_ok=True)
                assert two[column] == expected, (relation, name, number, column)


@pytest.mark.parametrize("model", MODELS)
def test_a_life_is_the_same_at_any_size(warehouse: Warehouse, model: str) -> None:
    of_a_knee = {"value": FITTED["knee_confidence"]} if model == "battery_alerts" else {}
    assert_alike(warehouse, model, ORDER[model], FITTED | of_a_knee)


def test_what_lands_has_the_same_flags_at_any_size(warehouse: Warehouse) -> None:
    assert_alike(warehouse, "battery_ts_cleaned", "cell_id, test_id, data_point", {})
    assert warehouse.query("select count(*) from battery_quarantine") == [(0,)]


def test_the_stream_counts_the_same_at_any_size_to_its_own_resolution(warehouse: Warehouse) -> None:
    assert_alike(warehouse, "battery_cell_cycles", "cell_id, test_id, cycle_index", STREAMED)
    throughput = {"_ah": 3e-7, "_wh": 3e-7, "_mean_a": 6e-5}
    assert_alike(warehouse, "battery_cell_windows", "cell_id, window_start", throughput)


def test_the_life_has_all_that_is_compared(warehouse: Warehouse) -> None:
    (cell,) = [row for row in warehouse.rows("battery_cells", "cell_id") if row["cell_id"] == "CELL"]
    assert min(cell["knee_cycle"], cell["eol_cycle"], cell["gap_count"], cell["fade_ah_per_100_cycles"]) > 0
    assert cell["complete_cycle_count"] > 50
    kinds = warehouse.query("select distinct kind from battery_steps where cell_id = 'CELL' order by kind")
    assert [kind for (kind,) in kinds] == ["cc_charge", "cc_discharge", "cv_charge", "pulse", "rest"]
    assert warehouse.query("select count(*) > 0 from battery_steps where pulse_resistance_ohm > 0") == [(True,)]
    assert warehouse.query("select count(*) > 0 from battery_ica where is_peak") == [(True,)]
    qualities = warehouse.query("select distinct quality from battery_ts where cell_id = 'CELL'")
    seen = Quality(0)
    for (quality,) in qualities:
        seen |= Quality(quality)
    for flag in (Quality.SPIKE, Quality.GAP, Quality.COUNTER_RESET, Quality.COUNTER_FELL, Quality.COUNTER_LEAP):
        assert flag in seen, flag
    fell = f"select count(*) from battery_ts where cell_id = 'CELL' and quality & {Quality.COUNTER_FELL} <> 0"  # noqa: S608
    assert warehouse.query(fell) == [(2,)], "what is noise is no fall"


def report_of(warehouse: Warehouse, cell: str) -> CellMarts:
    """The report on a cell from the tables of a warehouse."""

    def table(name: str) -> pa.Table:
        with duckdb.connect(warehouse.path, read_only=True) as connection:
            return connection.sql(f"from {name} where cell_id = '{cell}' order by {ORDER[name]}").to_arrow_table()

    return CellMarts(
        table("battery_cells").to_pylist()[0],
        cycles_of(table("battery_cycles"), cell),
        table("battery_steps"), table("battery_gaps"), table("battery_tests"), table("battery_ica"),
        thresholds_of(None),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "capacity", "resistance"), [("COIN", "µAh", "kΩ"), ("CELL", "Ah", "mΩ"), ("PACK", "kAh", "µΩ")]
)
def test_the_figures_of_a_report_can_be_read_at_any_size(
    warehouse: Warehouse, cell: str, capacity: str, resistance: str
) -> None:
    report = report_of(warehouse, cell)
    pulses = pulse_resistance_of(report.steps, report.thresholds)
    figures = {figure["label"]: figure for figure in key_figures(report.cell, report.thresholds, pulses)}
    assert figures["Discharge capacity"]["unit"] == capacity
    assert figures["Fade, whole life"]["unit"] == f"{capacity} per 100 cycles"
    assert figures["Internal resistance"]["unit"] == resistance
    for label in ("Discharge capacity", "Fade, whole life", "Fade, recent", "Internal resistance"):
        digits = figures[label]["value"].replace(",", "").replace(".", "").lstrip("0")
        assert len(digits) >= 3, (label, figures[label])
    drawn = list(draw_figures(report))
    page = write_page(report, drawn, ReportInfo(None, "1"), file_name=cell)
    assert f"capacity before ({capacity})" in page
    for figure in drawn:
        if figure.name in {"fade", "resistance", "dqdv"}:
            largest = max(abs(float(y)) for trace in figure.drawing.data for y in trace.y if y == y)  # noqa: PLR0124
            assert 0.1 < largest < 1e4, (figure.name, largest)
