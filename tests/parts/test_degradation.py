"""What the models say of a real cell, against values that others have worked out from the same workbooks."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from support.jobs import Job
    from support.pipeline import Pipeline

CONTINUED: Final = {99: 98, 475: 474, 650: 649, 837: 836}
"""Cycles whose charge began in the file before, and the cycle there that ends without a discharge."""

CUT_SHORT: Final = (105, 365)

PUBLISHED: Final = """
    with discharging as (
        select
            c.cycle_number,
            (r."test_time(s)" - lag(r."test_time(s)") over step) * r."current(a)" / 3600 as moved_ah,
            row_number() over (partition by c.cycle_number order by r.data_point desc) as from_the_end,
            r."internal_resistance(ohm)" as resistance
        from battery_ts as r
        inner join battery_steps as s
            on r.cell_id = s.cell_id and r.test_id = s.test_id
            and r.data_point between s.first_data_point and s.last_data_point
        inner join battery_cycles as c
            on s.cell_id = c.cell_id and s.test_id = c.test_id and s.cycle_index = c.cycle_index
        where s.kind = 'cc_discharge' and r.cell_id = 'CS2_35'
        window step as (partition by c.cycle_number order by r.data_point)
    ),
    capacities as (
        select
            row_number() over (order by cycle_number) - 1 as index,
            -sum(moved_ah) filter (from_the_end > 1) as capacity,
            avg(resistance) as resistance
        from discharging group by cycle_number
    ),
    bins as (
        select *, avg(capacity) over bin as mean, stddev_pop(capacity) over bin as sigma
        from capacities
        where index between 1 and (select (count(*) - 2) // 40 * 40 from capacities)
        window bin as (partition by (index - 1) // 40)
    )
    select row_number() over (order by index) as cycle, capacity, resistance
    from bins where abs(capacity - mean) < 2 * sigma
    order by cycle
"""
"""The published series, as its authors have worked it out: the current of the discharge step integrated without its
last interval, the first and the last cycle left out, outliers dropped in bins of 40 cycles: those beyond two standard
deviations from the mean."""


@dataclass
class Aged:
    """The models of CS2_35, and the reference, by cycle number."""

    pipeline: Pipeline
    cycles: dict[int, dict[str, Any]]
    reference: dict[int, dict[str, float]]


@pytest.fixture(scope="module")
def aged(cs2_35_job: Job, shared_data: Path) -> Aged:
    job = cs2_35_job
    names = [name for name, *_ in job.pipeline.query("describe battery_cycles")]
    rows = job.pipeline.query("from battery_cycles where cell_id = 'CS2_35'")
    cycles = [dict(zip(names, row, strict=True)) for row in rows]
    with (shared_data / "reference" / "CS2_35_percycle.csv").open() as file:
        lines = list(csv.DictReader(file))
    text = {"cell", "file", "t0", "steps", "has7"}
    reference = {
        int(line["global_cycle"]): {name: float(value) for name, value in line.items() if name not in text and value}
        for line in lines
    }
    return Aged(job.pipeline, {cycle["cycle_number"]: cycle for cycle in cycles}, reference)


def differences(aged: Aged, ours: str, theirs: str) -> dict[int, float]:
    """By how much a column differs, in the cycles for which the reference has it."""
    return {
        number: abs(aged.cycles[number][ours] - line[theirs])
        for number, line in aged.reference.items()
        if theirs in line
    }


def test_the_cell_has_the_cycles_of_the_reference_in_their_order(aged: Aged) -> None:
    assert sorted(aged.cycles) == sorted(aged.reference) == list(range(1, 887))
    assert {number: cycle["row_count"] for number, cycle in aged.cycles.items()} == {
        number: line["n"] for number, line in aged.reference.items()
    }


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("charge_capacity_ah", "charge_ah_counter"),
        ("discharge_capacity_ah", "discharge_ah_counter"),
        ("charge_energy_wh", "charge_wh"),
        ("discharge_energy_wh", "discharge_wh"),
    ],
)
def test_capacities_and_energies_equal_the_reference(aged: Aged, ours: str, theirs: str) -> None:
    found = differences(aged, ours, theirs)
    assert len(found) == 886
    assert max(found.values()) < 1e-9


@pytest.mark.parametrize(
    ("ours", "theirs", "cycles"),
    [
        ("internal_resistance_ohm", "ir_ohm_mean_step7", 882),
        ("cc_charge_time_s", "ccct_s", 886),
        ("cv_charge_time_s", "cvct_s", 869),
    ],
)
def test_resistance_and_charge_times_equal_the_reference(aged: Aged, ours: str, theirs: str, cycles: int) -> None:
    found = differences(aged, ours, theirs)
    assert len(found) == cycles
    assert max(found.values()) < 1e-6


def test_the_second_cycle_is_as_the_literature_has_it(aged: Aged) -> None:
    second = aged.cycles[2]
    found = {
        "charge": round(second["charge_capacity_ah"], 6),
        "coulombic": round(second["coulombic_efficiency"], 5),
        "energy": round(second["energy_efficiency"], 5),
        "resistance": round(second["internal_resistance_ohm"], 6),
        "constant current": round(second["cc_charge_time_s"], 2),
        "constant voltage": round(second["cv_charge_time_s"], 2),
    }
    assert found == {
        "charge": 1.138646,
        "coulombic": 0.99919,
        "energy": 0.91732,
        "resistance": 0.094009,
        "constant current": 6613.06,
        "constant voltage": 2251.50,
    }


@pytest.mark.parametrize(("number", "charged_in"), CONTINUED.items())
def test_a_cycle_that_continues_from_the_file_before_is_judged_with_its_charge_there(
    aged: Aged, number: int, charged_in: int
) -> None:
    charged = sum(aged.reference[cycle]["charge_ah_counter"] for cycle in (charged_in, number))
    efficiency = aged.cycles[number]["coulombic_efficiency"]
    assert efficiency == pytest.approx(aged.reference[number]["discharge_ah_counter"] / charged, abs=1e-9)
    assert 0.98 < efficiency < 1.02


def test_a_cycle_within_a_file_has_its_own_efficiency(aged: Aged) -> None:
    for number in (100, 300, 500, 700):
        line = aged.reference[number]
        own = line["discharge_ah_counter"] / line["charge_ah_counter"]
        assert aged.cycles[number]["coulombic_efficiency"] == pytest.approx(own, abs=1e-9)


def test_cycles_without_a_discharge_and_cut_short_ones_are_not_complete(aged: Aged) -> None:
    broken = [*CONTINUED.values(), *CUT_SHORT]
    of_broken = {name: {aged.cycles[number][name] for number in broken} for name in ("is_complete", "soh")}
    assert of_broken == {"is_complete": {False}, "soh": {None}}
    # The others that are not: what is left of the cell is below 0.3 Ah.
    rest = [number for number, cycle in aged.cycles.items() if not cycle["is_complete"] and number not in broken]
    assert sorted(rest) == [857, 861, 862, 867]
    assert max(aged.cycles[number]["discharge_capacity_ah"] for number in rest) < 0.3


def test_the_end_of_life_is_that_of_the_rule_that_it_names(aged: Aged) -> None:
    ((rule, cycle, alternatives),) = aged.pipeline.query(
        "select eol_rule, eol_cycle, eol_alternatives from battery_cells"
    )
    assert (rule, cycle) == ("median_11_below_80_percent_of_nominal", 599)
    assert {end["rule"]: end["cycle_number"] for end in alternatives} == {
        "first_below_80_percent_of_nominal": 332,
        "mean_5_below_80_percent_of_initial": 519,
        "median_11_below_80_percent_of_initial": 548,
        "last_above_80_percent_of_initial": 552,
    }


def test_the_published_series_is_reproduced_by_a_query(aged: Aged, shared_data: Path) -> None:
    with (shared_data / "reference" / "published_CS2_35_capacity.csv").open() as file:
        published = [
            (float(line["cycle"]), float(line["capacity"]), float(line["resistance"])) for line in csv.DictReader(file)
        ]
    found = aged.pipeline.query(PUBLISHED)
    assert len(found) == len(published) == 846
    for ours, theirs in zip(found, published, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-9)


def test_charge_is_taken_up_at_higher_voltages_and_less_sharply_as_the_cell_ages(aged: Aged) -> None:
    peaks = aged.pipeline.query(
        "select cycle_number, arg_max(peak_voltage_v, peak_height_ah_per_v), max(peak_height_ah_per_v) "
        "from battery_ica where direction = 'charge' and is_peak and cycle_number % 200 = 1 "
        "group by cycle_number order by cycle_number"
    )
    assert [number for number, _, _ in peaks] == [1, 201, 401, 601, 801]
    voltages, heights = [peak[1] for peak in peaks], [peak[2] for peak in peaks]
    assert voltages[0] + 0.1 < voltages[-1] < 4.2
    assert heights == sorted(heights, reverse=True)


def test_rests_between_files_and_what_the_cell_recovers_in_them_are_found(aged: Aged) -> None:
    assert aged.pipeline.query("select gap_count, round(longest_gap_h) from battery_cells") == [(23, 262.0)]
    longest = aged.pipeline.query("select cycle_number, is_recovery from battery_gaps order by gap_h desc limit 1")
    assert longest == [(650, True)]


def test_the_steps_of_a_cycle_are_told_apart(aged: Aged) -> None:
    kinds = aged.pipeline.query(
        "select s.step_index, s.kind from battery_steps as s inner join battery_cycles as c "
        "using (cell_id, test_id, cycle_index) where c.cycle_number = 2 order by s.step_number"
    )
    assert kinds == [
        (1, "rest"), (2, "cc_charge"), (3, "rest"), (4, "cv_charge"), (5, "rest"), (6, "pulse"), (7, "cc_discharge"),
        (8, "rest"), (9, "pulse"),
    ]  # fmt: skip


def test_no_resistance_is_told_that_the_logging_of_the_cycler_made(aged: Aged) -> None:
    """It logs each 0.2 V, so all but the first discharge lack the readings about 10 s; 0.2 V / 1.1 A are 181.8 mΩ."""
    found = aged.pipeline.query(
        "select c.cycle_number, s.kind, round(s.pulse_resistance_ohm, 4), s.pulse_time_s "
        "from battery_steps as s inner join battery_cycles as c using (cell_id, test_id, cycle_index) "
        "where s.pulse_resistance_ohm is not null"
    )
    assert found == [(1, "cc_discharge", 0.1302, 10.0)]


def test_the_report_says_of_the_cell_what_the_models_say(aged: Aged, tmp_path: Path) -> None:
    path = tmp_path / "CS2_35.html"
    assert aged.pipeline.battery("report", "CS2_35", "--out", str(tmp_path), "--no-png") == f"{path}\n"
    said = re.sub(r"\s+", " ", path.read_text())
    assert (
        "The end of life was reached at cycle 599: median of 11 cycles below 80 % of nominal capacity, which is "
        "0.8800 Ah." in said
    )
    for rule, cycle in (
        ("first_below_80_percent_of_nominal", 332),
        ("median_11_below_80_percent_of_initial", 548),
        ("mean_5_below_80_percent_of_initial", 519),
        ("last_above_80_percent_of_initial", 552),
    ):
        assert re.search(rf'<td class="number">{cycle}</td> ?<td>{rule}</td>', said)
    assert "CALCE Battery Research Group, University of Maryland" in said
