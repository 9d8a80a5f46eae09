"""Cells that are easily misjudged, and what the models say of them: of any size, at rest, begun half-way, pulsed."""

from __future__ import annotations

import csv
import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from support.landed import put
from support.modelled import CYCLE_READINGS, STREAMED, Row, Warehouse, cycling, run_dbt
from support.places import SHARED

from kernel.contract.reading import COUNTERS, LANDED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

START: Final = datetime(2024, 1, 1)  # noqa: DTZ001  # a cycler's wall clock has no zone
CAPACITIES: Final = (1.1, 1.0, 1.05)
SIZES: Final = {"COIN": 1e-5, "CELL": 1.0, "PACK": 1e3}
"""Cells by what their currents are of those of the cell in the middle: 10 µA, 1 A and 1 kA."""

COIN_FILE: Final = SHARED / "foreign" / "arbin_res_86uA_as_product_columns.csv"
COIN_EFFICIENCIES: Final = [0.983, 0.995, 0.995, 0.995]
COIN_CAPACITIES: Final = [
    (1, 0.0004835149, 0.0004751559),
    (2, 0.0004767506, 0.0004743533),
    (3, 0.0004761845, 0.0004740015),
    (4, 0.0004760282, 0.0004737044),
]
"""Cycle, charge and discharge in Ah, as the README of the shared data states them."""


def course(cell: str) -> list[Row]:
    """Three cycles without a resistance from the cycler."""
    return [row | {"internal_resistance(ohm)": None} for row in cycling(cell, START, CAPACITIES)]


def scaled(rows: list[Row], size: float) -> list[Row]:
    """The same course of a cell of another size."""
    return [row | {name: row[name] * size for name in ("current(a)", *COUNTERS)} for row in rows]


def offset(rows: list[Row], size: float) -> list[Row]:
    """With what an instrument shows where no current flows, up or down by turns, and does not count."""
    return [row | {"current(a)": row["current(a)"] or (size if row["data_point"] % 3 else -size)} for row in rows]


def glitched(rows: list[Row]) -> list[Row]:
    """One current that the instrument could just report, in the middle of a charge."""
    return [row | ({"current(a)": 9_900.0} if row["data_point"] == 60 else {}) for row in rows]


def at_rest(rows: list[Row]) -> list[Row]:
    """Nothing but an instrument's offset."""
    return offset([row | {"current(a)": 0.0, "voltage(v)": 3.3, **dict.fromkeys(COUNTERS, 0.0)} for row in rows], 3e-4)


def of_file(path: Path) -> list[Row]:
    """The readings of a CSV file in the cycler's own columns."""
    with path.open(newline="") as file:
        lines: list[dict[str, Any]] = [
            {name.lower(): value for name, value in line.items()} for line in csv.DictReader(file)
        ]
    whole = {"data_point", "step_index", "cycle_index"}
    return [
        dict.fromkeys(LANDED.names)
        | {name: int(value) if name in whole else float(value) for name, value in line.items() if name != "date_time"}
        | {"cell_id": "86UA", "test_id": "T", "date_time": datetime.fromisoformat(line["date_time"])}
        | {"quality": 0, "streamed_at": STREAMED, "kafka_partition": 0, "kafka_offset": 0, "kafka_row": 0}
        for line in lines
    ]


def later(rows: list[Row], since: int) -> list[Row]:
    """The readings from a place on as a test of their own, whose clocks and counters begin there."""
    before = rows[since - 1]
    start = before["date_time"] + timedelta(hours=2)
    in_step = before["step_time(s)"] if before["step_index"] == rows[since]["step_index"] else 0.0
    found = []
    for number, row in enumerate(rows[since:], start=1):
        is_of_first_step = number <= CYCLE_READINGS and row["step_index"] == rows[since]["step_index"]
        passed = row["test_time(s)"] - before["test_time(s)"]
        found.append(
            row
            | {"test_id": start.isoformat(), "data_point": number, "test_time(s)": passed}
            | {"date_time": start + timedelta(seconds=round(passed))}
            | {"step_time(s)": row["step_time(s)"] - (in_step if is_of_first_step else 0.0)}
            | {name: row[name] - before[name] for name in COUNTERS}
        )
    return found


def rested(rows: list[Row], voltage: float) -> list[Row]:
    """The same test after a minute of rest at a voltage."""
    rest = rows[0] | {"step_index": 9, "current(a)": 0.0, "voltage(v)": voltage, "step_time(s)": 60.0}
    moved = [
        row
        | {"data_point": row["data_point"] + 1, "test_time(s)": row["test_time(s)"] + 60}
        | {"date_time": row["date_time"] + timedelta(seconds=60)}
        for row in rows
    ]
    return [rest | {"test_time(s)": 60.0, **dict.fromkeys(COUNTERS, 0.0)}, *moved]


DISCHARGE: Final = 2 * CYCLE_READINGS + 25
"""Where the last discharge of a course begins: after a rest, 20 readings of a charge, 3 of its hold, and a rest."""

BEGINNINGS: Final[dict[str, Callable[[list[Row]], list[Row]]]] = {
    "CUT": lambda rows: rows[31:],
    "CONTINUED": lambda rows: [*rows[: DISCHARGE + 7], *later(rows, DISCHARGE + 7)],
    "CONTINUED_RESTED": lambda rows: [*rows[: DISCHARGE + 7], *rested(later(rows, DISCHARGE + 7), 3.7)],
    "WHOLE": lambda rows: [*rows[:DISCHARGE], *later(rows, DISCHARGE)],
    "WHOLE_RESTED": lambda rows: [*rows[: DISCHARGE - 1], *later(rows, DISCHARGE - 1)],
    "ALONE": lambda rows: later(rows, DISCHARGE),
    "ALONE_RESTED": lambda rows: later(rows, DISCHARGE - 1),
}
"""Courses by where a test of them begins; those of two tests are cut before or in the middle of a discharge."""


OHMIC, POLARISED, SECONDS = 0.05, 0.03, 8.0
"""Of a cell with one RC element in series with a resistance: both resistances in Ω, and its time constant in s."""


def resistance(seconds: float) -> float:
    """What that cell shows so long after a current has set in, in Ω."""
    return OHMIC + POLARISED * (1 - math.exp(-seconds / SECONDS))


def pulsed(
    cell: str,
    times: Sequence[float],
    *,
    current: float = -2.0,
    last_rest: float = 60.0,
    strays: float = 0.0,
    has_step_time: bool = True,
) -> list[Row]:
    """A rest of a minute, then a current from its end on, which is logged at some times after that, in s.

    Args:
        cell: its id.
        times: at which the pulse is logged.
        current: in A.
        last_rest: when the rest was logged last, in s.
        strays: by how much the current has grown at the end of the pulse, as a share of it.
        has_step_time: whether the cycler says how long a step has lasted.
    """
    empty = dict.fromkeys(LANDED.names) | {"cell_id": cell, "test_id": START.isoformat(), "cycle_index": 1}
    empty |= {"quality": 0, "streamed_at": STREAMED, "kafka_partition": 0, "kafka_offset": 0, "kafka_row": 0}
    rows = [
        empty | {"step_index": 1, "test_time(s)": time, "step_time(s)": time, "current(a)": 0.0, "voltage(v)": 3.8}
        for time in (1.0, 20.0, last_rest)
    ]
    for time in times:
        strength = current * (1 + strays * time / times[-1])
        voltage = 3.8 + strength * resistance(time)
        rows.append(
            empty
            | {"step_index": 2, "test_time(s)": 60 + time, "step_time(s)": time}
            | {"current(a)": strength, "voltage(v)": voltage}
        )
    return [
        row | {"data_point": point, "step_time(s)": row["step_time(s)"] if has_step_time else None}
        for point, row in enumerate(rows, start=1)
    ]


EVERY_SECOND: Final = [0.37 + second for second in range(40)]

PULSES: Final = {
    "EVERY_SECOND": (pulsed("EVERY_SECOND", EVERY_SECOND), 1e-4),
    "CHARGED": (pulsed("CHARGED", EVERY_SECOND, current=0.5), 1e-4),
    "AT_THE_TIME": (pulsed("AT_THE_TIME", [1e-6, 10.015, 40.0]), 1e-4),
    "CLOSE_ENOUGH": (pulsed("CLOSE_ENOUGH", [1.0, 7.0, 12.0, 60.0]), 1e-3),
    "UNTIL_THEN": (pulsed("UNTIL_THEN", [1.0, 5.0, 9.9]), 1e-3),
    "NO_STEP_TIME": (pulsed("NO_STEP_TIME", [second + 0.1 for second in range(20)], has_step_time=False), 1e-3),
    "TOO_FAR_APART": (pulsed("TOO_FAR_APART", [1.0, 16.0, 60.0]), None),
    "EVERY_HALF_MINUTE": (pulsed("EVERY_HALF_MINUTE", [1e-6, 30.0, 60.0]), None),
    "BY_VOLTAGE": (pulsed("BY_VOLTAGE", [9.95, 40.0, 70.0]), None),
    "TOO_SHORT": (pulsed("TOO_SHORT", [1.0, 3.0, 5.0]), None),
    "STRAYED": (pulsed("STRAYED", EVERY_SECOND, strays=0.2), None),
    "RESTED_UNSEEN": (pulsed("RESTED_UNSEEN", EVERY_SECOND, last_rest=45.0), None),
    "BEGAN_UNSEEN": (pulsed("BEGAN_UNSEEN", [second + 3.0 for second in range(20)], has_step_time=False), None),
}
"""Pulses by how they are logged, each with how well the resistance at 10 s can be told from it in Ω; None for not."""


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """All of them in one warehouse."""
    cells = {cell: scaled(offset(course(cell), 0.001), size) for cell, size in SIZES.items()}
    cells["GLITCH"] = glitched(course("GLITCH"))
    cells["AT_REST"] = at_rest(course("AT_REST"))
    cells["AT_REST_MEASURED"] = at_rest(cycling("AT_REST_MEASURED", START, CAPACITIES))
    cells["NO_COUNTERS"] = [row | dict.fromkeys(COUNTERS) for row in offset(course("NO_COUNTERS"), 0.001)]
    cells |= {cell: rows for cell, (rows, _) in PULSES.items()}
    cells |= {cell: cut(course(cell)) for cell, cut in BEGINNINGS.items()}
    if COIN_FILE.exists():
        cells["86UA"] = of_file(COIN_FILE)
    warehouse = Warehouse(tmp_path_factory.mktemp("odd") / "battery.duckdb")
    put(warehouse.path, cells)
    run_dbt(warehouse.settings)
    return warehouse


def kinds(warehouse: Warehouse, cell: str) -> list[str]:
    """The kinds of the steps of a cell, in order."""
    found = warehouse.query(f"select kind from battery_steps where cell_id = '{cell}' order by step_number")  # noqa: S608
    return [kind for (kind,) in found]


@pytest.mark.parametrize("cell", [*SIZES, "GLITCH", "NO_COUNTERS"])
def test_steps_are_told_apart_whatever_the_size_of_the_cell(warehouse: Warehouse, cell: str) -> None:
    assert kinds(warehouse, cell) == ["rest", "cc_charge", "cv_charge", "rest", "cc_discharge"] * 3


def test_cells_of_any_size_have_the_same_health(warehouse: Warehouse) -> None:
    found = warehouse.query(
        "select cell_id, list(is_complete order by cycle_number), list(round(soh, 6) order by cycle_number), "
        "list(round(coulombic_efficiency, 6) order by cycle_number) from battery_cycles group by cell_id"
    )
    cells = {cell: of_it for cell, *of_it in found}
    assert cells["CELL"][0] == [True] * 3
    assert {str(cells[cell]) for cell in (*SIZES, "GLITCH")} == {str(cells["CELL"])}


def test_a_test_that_moves_nothing_is_at_rest_whatever_the_instrument_shows(warehouse: Warehouse) -> None:
    assert set(kinds(warehouse, "AT_REST")) == {"rest"}
    first, *others = kinds(warehouse, "AT_REST_MEASURED")
    assert (first, set(others)) == ("pulse", {"rest"}), "the cycler's own pulses remain"


def test_a_coin_cell_at_86_microamperes_has_complete_cycles(warehouse: Warehouse) -> None:
    if not COIN_FILE.exists():
        pytest.skip(f"{COIN_FILE.name} is not there: this machine has no shared data")
    found = warehouse.query(
        "select round(coulombic_efficiency, 3) from battery_cycles where cell_id = '86UA' and is_complete "
        "order by cycle_number"
    )
    assert [efficiency for (efficiency,) in found] == COIN_EFFICIENCIES
    capacities = warehouse.query(
        "select cycle_index, charge_capacity_ah, discharge_capacity_ah from battery_cycles where cell_id = '86UA' "
        "and is_complete order by cycle_number"
    )
    for moved, expected in zip(capacities, COIN_CAPACITIES, strict=True):
        assert moved == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("cell", "complete"),
    [
        ("CUT", [False, True, True]),
        ("CONTINUED", [True, True, False, False]),
        ("CONTINUED_RESTED", [True, True, False, False]),
        ("WHOLE", [True, True, False, True]),
        ("WHOLE_RESTED", [True, True, False, True]),
        ("ALONE", [False]),
        ("ALONE_RESTED", [True]),
    ],
)
def test_the_rest_of_a_discharge_is_no_complete_cycle(warehouse: Warehouse, cell: str, complete: list[bool]) -> None:
    """A test that begins in the middle of a discharge; one that begins with a whole discharge is complete."""
    found = warehouse.query(
        f"select is_complete, soh is not null from battery_cycles where cell_id = '{cell}' order by cycle_number"  # noqa: S608
    )
    assert found == [(whole, whole) for whole in complete]


def test_a_cell_has_the_efficiency_of_a_cycle_over_two_tests(warehouse: Warehouse) -> None:
    """The rest of a discharge ends discharged, so it closes the loop that the test before has begun."""
    found = warehouse.query(
        "select round(coulombic_efficiency, 6) from battery_cycles where cell_id = 'CONTINUED' order by cycle_number"
    )
    assert found == [(1.0,), (1.0,), (None,), (1.0,)]


@pytest.mark.parametrize("cell", PULSES)
def test_a_resistance_is_told_at_ten_seconds_or_not_at_all(warehouse: Warehouse, cell: str) -> None:
    found = warehouse.query(
        f"select pulse_resistance_ohm, pulse_time_s from battery_steps where cell_id = '{cell}' order by step_number"  # noqa: S608
    )
    _, within = PULSES[cell]
    if within is None:
        assert found == [(None, None)] * 2
    else:
        assert found == [(None, None), (pytest.approx(resistance(10), abs=within), 10.0)]
