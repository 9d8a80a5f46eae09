"""Cells that are easily misjudged, and what the models say of them: of any size, at rest, begun in the middle."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from conftest import SHARED
from landed import put
from modelled import CYCLE_READINGS, STREAMED, Row, Warehouse, cycling, run_dbt

from battery.reading import COUNTERS, LANDED

if TYPE_CHECKING:
    from pathlib import Path

START: Final = datetime(2024, 1, 1)  # noqa: DTZ001  # a cycler's wall clock has no zone
CAPACITIES: Final = (1.1, 1.0, 1.05)
SIZES: Final = {"COIN": 1e-5, "CELL": 1.0, "PACK": 1e3}
"""Cells by what their currents are of those of the cell in the middle: 10 µA, 1 A and 1 kA."""

COIN_FILE: Final = SHARED / "foreign" / "arbin_res_86uA_as_product_columns.csv"
COIN_EFFICIENCIES: Final = [0.983, 0.995, 0.995, 0.995]


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
    return [row | ({"current(a)": 1_900.0} if row["data_point"] == 60 else {}) for row in rows]


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

BEGINNINGS: Final = {
    "CUT": lambda rows: rows[31:],
    "CONTINUED": lambda rows: [*rows[: DISCHARGE + 7], *later(rows, DISCHARGE + 7)],
    "CONTINUED_RESTED": lambda rows: [*rows[: DISCHARGE + 7], *rested(later(rows, DISCHARGE + 7), 3.7)],
    "WHOLE": lambda rows: [*rows[:DISCHARGE], *later(rows, DISCHARGE)],
    "WHOLE_RESTED": lambda rows: [*rows[: DISCHARGE - 1], *later(rows, DISCHARGE - 1)],
    "ALONE": lambda rows: later(rows, DISCHARGE),
    "ALONE_RESTED": lambda rows: later(rows, DISCHARGE - 1),
}
"""Courses by where a test of them begins; those of two tests are cut before or in the middle of a discharge."""


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """All of them in one warehouse."""
    cells = {cell: scaled(offset(course(cell), 0.001), size) for cell, size in SIZES.items()}
    cells["GLITCH"] = glitched(course("GLITCH"))
    cells["AT_REST"] = at_rest(course("AT_REST"))
    cells["NO_COUNTERS"] = [row | dict.fromkeys(COUNTERS) for row in offset(course("NO_COUNTERS"), 0.001)]
    cells |= {cell: cut(course(cell)) for cell, cut in BEGINNINGS.items()}
    if COIN_FILE.exists():
        cells["86UA"] = of_file(COIN_FILE)
    warehouse = Warehouse(tmp_path_factory.mktemp("odd") / "battery.duckdb")
    put(warehouse.path, cells)
    run_dbt(warehouse.settings, ("build", "--exclude-resource-type", "unit_test"))
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


def test_a_coin_cell_at_86_microamperes_has_complete_cycles(warehouse: Warehouse) -> None:
    if not COIN_FILE.exists():
        pytest.skip(f"{COIN_FILE.name} is not there: this machine has no shared data")
    found = warehouse.query(
        "select round(coulombic_efficiency, 3) from battery_cycles where cell_id = '86UA' and is_complete "
        "order by cycle_number"
    )
    assert [efficiency for (efficiency,) in found] == COIN_EFFICIENCIES


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
