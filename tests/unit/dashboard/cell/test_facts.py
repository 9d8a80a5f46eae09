"""The line of facts of a cell: what it is, how it was tested, and what must be said beside its figures."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from dashboard.cell.facts import c_rate, facts_of, in_a_line
from dashboard.cell.notes import notes_of
from dashboard.cell.pulses import pulse_resistance_of
from dashboard.words.thresholds import thresholds_of

STEPS = pa.schema(
    [
        ("test_id", pa.string()), ("cycle_index", pa.int32()), ("step_number", pa.int64()), ("kind", pa.string()),
        ("started_at", pa.timestamp("us")), ("current_median_a", pa.float64()), ("current_max_a", pa.float64()),
        ("duration_s", pa.float64()), ("charge_capacity_ah", pa.float64()), ("discharge_capacity_ah", pa.float64()),
        ("pulse_resistance_ohm", pa.float64()), ("pulse_time_s", pa.float64()),
    ]
)  # fmt: skip

CYCLES = pa.schema(
    [
        ("test_id", pa.string()), ("cycle_index", pa.int32()), ("discharge_capacity_ah", pa.float64()),
        ("is_complete", pa.bool_()), ("is_reference_test", pa.bool_()), ("temperature_mean_c", pa.float64()),
        ("temperature_max_c", pa.float64()),
    ]
)  # fmt: skip


def cell(**known: Any) -> dict[str, Any]:
    return {
        "cell_id": "A", "chemistry": None, "nominal_capacity_ah": None, "initial_capacity_ah": None, "stated": None,
        "cycle_count": 9, "complete_cycle_count": 9,
    } | known  # fmt: skip


def steps(*currents: float | tuple[float, float], hours: float = 1.0) -> pa.Table:
    """Steps at constant current in A, each in a cycle of its own; one that is a pair holds for so many hours."""
    pairs = [current if isinstance(current, tuple) else (current, hours) for current in currents]
    return pa.Table.from_pylist(
        [
            {
                "test_id": "T", "cycle_index": number, "step_number": number,
                "kind": "cc_charge" if ampere > 0 else "cc_discharge", "current_median_a": ampere,
                "current_max_a": ampere, "duration_s": 3600 * lasting,
            }
            for number, (ampere, lasting) in enumerate(pairs, start=1)
        ],
        schema=STEPS,
    )  # fmt: skip


def cycles(*capacities: float, reference: tuple[int, ...] = (), temperatures: tuple[float, ...] = ()) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "test_id": "T", "cycle_index": number, "discharge_capacity_ah": capacity, "is_complete": True,
                "is_reference_test": number in reference,
                "temperature_mean_c": temperatures[number - 1] if temperatures else None,
                "temperature_max_c": temperatures[number - 1] + 1 if temperatures else None,
            }
            for number, capacity in enumerate(capacities, start=1)
        ],
        schema=CYCLES,
    )  # fmt: skip


def of_files(*files: tuple[str | None, str | None]) -> pa.Table:
    return pa.table({
        "reader": pa.array([reader for reader, _ in files], pa.string()),
        "source_file": pa.array([file for _, file in files], pa.string()),
    })  # fmt: skip


def line(known: dict[str, Any], of: pa.Table, *, lives: pa.Table | None = None, files: pa.Table | None = None) -> str:
    lives = cycles(1.0) if lives is None else lives
    return in_a_line(facts_of(known, lives, of, of_files(("arbin", "a.xlsx")) if files is None else files))


def test_a_cell_is_told_by_capacity_chemistry_rates_temperature_and_cycler() -> None:
    known = cell(nominal_capacity_ah=1.1, chemistry="LCO", stated='{"group": "fast"}')
    told = line(known, steps(0.5501, 0.5499, -1.0997, -1.1), lives=cycles(1.1, 1.1, temperatures=(24.9, 25.4)))
    assert told == "1.1 Ah nominal · LCO · group fast · C/2 charge, 1C discharge · 25 °C · Arbin .xlsx"


def test_a_group_that_the_lab_has_told_comes_before_one_that_files_state_and_says_so() -> None:
    known = cell(cell_group="slow", stated='{"group": "fast"}')
    told = facts_of(known, cycles(1.0), steps(1.0), of_files(("arbin", "a.xlsx")))
    group = next(fact for fact in told if fact.about == "group")
    assert (group.value, group.basis) == ("slow", "by what the lab has told, or a file of cells")


def test_what_is_not_known_of_a_cell_comes_last() -> None:
    told = line(cell(initial_capacity_ah=0.001), steps(0.0001, -0.0001))
    assert told == (
        "about C/10 charge and discharge · no temperature measured · Arbin .xlsx · "
        "not known: nominal capacity, chemistry"
    )


def test_rates_that_move_little_of_the_charge_are_not_told_and_many_are_a_range() -> None:
    known = cell(nominal_capacity_ah=1.0, chemistry="LFP")
    assert "C/2 charge, 1C discharge" in line(known, steps(0.5, (2.0, 0.01), -1.0))
    assert "C/20 to 2C discharge" in line(known, steps((-0.05, 20.0), -1.0, -2.0))
    assert "C/2 and 1C discharge" in line(known, steps(-0.5, -0.51, -0.5, -1.0))


def test_without_a_capacity_currents_are_told_and_a_stated_one_is_the_basis() -> None:
    assert "0.5 A charge" in line(cell(), steps(0.5))
    stated = cell(stated=json.dumps({"nominal_capacity_ah": "5.0"}))
    assert line(stated, steps(0.5)).startswith("5 Ah nominal, as its file states · C/10 charge · ")
    assert "no step at constant current" in line(cell(), steps())


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (1.003, "1C"),
        (0.975, "1C"),
        (0.5, "C/2"),
        (0.33, "C/3"),
        (0.049, "C/20"),
        (0.7, "0.7C"),
        (2.97, "3C"),
        (12, "12C"),
    ],
)
def test_a_rate_is_written_as_labs_do(rate: float, words: str) -> None:
    assert c_rate(rate) == words


@pytest.mark.parametrize(
    ("means", "words"), [((25.0, 26.0), "26 °C"), ((10.0, 45.0), "10 to 45 °C"), ((), "no temperature measured")]
)
def test_a_temperature_is_one_or_a_range(means: tuple[float, ...], words: str) -> None:
    assert f"· {words} ·" in line(cell(), steps(1.0), lives=cycles(1.0, 1.0, temperatures=means))


@pytest.mark.parametrize(
    ("stated", "files", "words"),
    [
        (None, [("neware-binary", "a.ndax"), ("neware", "b.csv")], "Neware .ndax, Neware .csv"),
        ('{"cycler": "Arbin 203439"}', [("arbin-res", "a.res")], "Arbin 203439 .res"),
        ('{"cycler": "BTS-4000"}', [("neware", "a.xlsx")], "BTS-4000, Neware .xlsx"),
        (None, [(None, None)], "live readings"),
    ],
)
def test_a_cycler_is_told_by_its_files(stated: str | None, files: list[tuple[str, str]], words: str) -> None:
    assert f"· {words} ·" in line(cell(stated=stated), steps(1.0), files=of_files(*files))


def notes(known: dict[str, Any], lives: pa.Table, of: pa.Table) -> list[str]:
    return [note.sentence for note in notes_of(known, lives, of, thresholds_of(None))]


def test_nothing_is_said_of_a_cell_whose_basis_is_in_order() -> None:
    known = cell(initial_capacity_ah=1.0)
    assert notes(known, cycles(*[1.0] * 9), steps(*[-1.0] * 9)) == []


def test_reference_tests_above_the_initial_capacity_are_said_not_to_count() -> None:
    (said,) = notes(cell(initial_capacity_ah=1.0), cycles(2.14, *[1.0] * 8, reference=(1,)), steps(*[-1.0] * 9))
    assert said.startswith("Reference tests reach 214 % of the initial capacity, 1 Ah: discharged more slowly")


def test_a_state_of_health_above_110_percent_is_said_to_be_no_measure_of_ageing() -> None:
    (said,) = notes(cell(initial_capacity_ah=1.0), cycles(*[1.0] * 8, 1.2), steps(*[-1.0] * 9))
    assert said.startswith("Cycles reach 120 % of the initial capacity")
    assert said.endswith("no measure of ageing here.")
    (said,) = notes(cell(nominal_capacity_ah=0.5, initial_capacity_ah=1.0), cycles(*[1.0] * 9), steps(*[-1.0] * 9))
    assert said.startswith("Its cycles discharge up to 200 % of the nominal capacity, 0.5 Ah")


def test_first_cycles_at_another_current_are_said_not_to_be_comparable() -> None:
    currents = steps(*[-0.1] * 5, *[-1.0] * 5)
    (said,) = notes(cell(initial_capacity_ah=1.0), cycles(*[1.0] * 5, *[0.8] * 5), currents)
    assert said.startswith("The first complete cycles were discharged with 0.1 A, the last with 1 A")
    assert notes(cell(initial_capacity_ah=1.0, nominal_capacity_ah=1.0), cycles(*[1.0] * 10), currents) == []


@pytest.mark.parametrize(
    ("count", "words"), [(0, "There is no cycle yet"), (1, "Its one cycle is not"), (3, "None of its 3 cycles is")]
)
def test_a_cell_without_a_complete_cycle_is_said_to_have_none(count: int, words: str) -> None:
    (said,) = notes(cell(complete_cycle_count=0, cycle_count=count), cycles(), steps())
    assert said.startswith(words)


def test_a_resistance_of_a_stated_time_stands_with_its_rule_and_so_does_that_there_is_none() -> None:
    thresholds = {"pulse_time_s": 10.0}
    none = pulse_resistance_of(steps(-1.0, -1.0), thresholds)
    assert (none.latest_ohm, none.time) == (None, "10 s")
    assert "No resistance at 10 s: ΔV / ΔI at 10 s after a current has set in" in none.sentence
    pulsed = steps(-1.0, -1.0, 1.0).set_column(10, "pulse_resistance_ohm", pa.array([0.1, 0.2, None], pa.float64()))
    pulsed = pulsed.set_column(11, "pulse_time_s", pa.array([18.0, 18.0, None], pa.float64()))
    some = pulse_resistance_of(pulsed, thresholds)
    assert (some.latest_ohm, some.count, some.time) == (0.2, 2, "18 s")
    assert some.sentence.startswith("Resistance at 18 s: ΔV / ΔI at 18 s")
    assert "2 steps have such readings" in some.sentence
