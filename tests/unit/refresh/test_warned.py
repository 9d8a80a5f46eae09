"""The line on what the tests of the models warn of: which test, and the rows of which cells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kernel.edges.warehouse import DuckDBFile
from refresh.warned import TestWarning, in_words, warnings_in

if TYPE_CHECKING:
    from pathlib import Path

CYCLES = "with final as (select * from cycles where soh > 3) select * from final"
SOH = TestWarning("accepted_range of battery_cycles.soh", 3, CYCLES)


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBFile:
    file = DuckDBFile(tmp_path / "battery.duckdb", lock_timeout_seconds=10)
    with file.connect("test") as connection:
        connection.execute(
            "create table cycles as "
            "select * from (values ('A', 4.0), ('B', 5.0), ('A', 6.0), ('C', 1.0)) as t (cell_id, soh)"
        )
    return file


def left(folder: Path, *results: dict[str, Any]) -> tuple[Path, Path]:
    """What dbt leaves of a run: its results, and a manifest of two tests."""
    nodes = {
        "test.battery.accepted_range_battery_cycles_soh__3__0.d9a7": {
            "name": "accepted_range_battery_cycles_soh__3__0",
            "test_metadata": {"name": "accepted_range"},
            "column_name": "soh",
            "attached_node": "model.battery.battery_cycles",
        },
        "test.battery.few": {"name": "few", "test_metadata": None, "column_name": None, "attached_node": None},
    }
    (folder / "run_results.json").write_text(json.dumps({"results": results}))
    (folder / "manifest.json").write_text(json.dumps({"nodes": nodes}))
    return folder / "run_results.json", folder / "manifest.json"


def test_only_tests_that_warned_are_named_and_one_of_a_column_by_its_model(tmp_path: Path) -> None:
    found = warnings_in(
        *left(
            tmp_path,
            {
                "unique_id": "test.battery.accepted_range_battery_cycles_soh__3__0.d9a7",
                "status": "warn", "failures": 3, "compiled_code": CYCLES,
            },
            {"unique_id": "test.battery.few", "status": "warn", "failures": 1, "compiled_code": None},
            {"unique_id": "test.battery.many", "status": "pass", "failures": 0, "compiled_code": "select 1"},
            {"unique_id": "model.battery.x", "status": "warn", "failures": None},
        )
    )  # fmt: skip
    assert found == (SOH, TestWarning("few", 1, ""))


def test_a_run_that_ended_before_it_left_results_warns_of_nothing(tmp_path: Path) -> None:
    assert warnings_in(tmp_path / "run_results.json", tmp_path / "manifest.json") == ()


def test_a_warning_names_the_cells_of_its_rows_the_most_first(warehouse: DuckDBFile) -> None:
    assert in_words(warehouse, [SOH]) == "1 warning: accepted_range of battery_cycles.soh: 3 rows of A (2), B (1)"


def test_a_warning_of_one_cell_names_it_and_of_many_the_first_three(warehouse: DuckDBFile) -> None:
    one = TestWarning("one", 1, "select * from cycles where cell_id = 'B'")
    many = TestWarning("many", 9, "select 'cell ' || range as cell_id from range(9)")
    assert in_words(warehouse, [one, many]) == (
        "2 warnings: one: 1 row of B; many: 9 rows of cell 0 (1), cell 1 (1), cell 2 (1), 6 more cells"
    )


@pytest.mark.parametrize("query", ["", "select 1 as x", "select * from gone"])
def test_rows_that_name_no_cell_or_cannot_be_asked_for_are_counted(warehouse: DuckDBFile, query: str) -> None:
    assert in_words(warehouse, [TestWarning("few", 1, query)]) == "1 warning: few: 1 row"


def test_a_warehouse_that_cannot_be_opened_costs_no_more_than_the_cells(tmp_path: Path) -> None:
    (tmp_path / "battery.duckdb").write_text("none")
    broken = DuckDBFile(tmp_path / "battery.duckdb", lock_timeout_seconds=0)
    assert in_words(broken, [SOH]) == "1 warning: accepted_range of battery_cycles.soh: 3 rows"


def test_more_than_five_tests_are_counted(warehouse: DuckDBFile) -> None:
    line = in_words(warehouse, [TestWarning(f"t{n}", 1, "") for n in range(7)])
    assert line.startswith("7 warnings: t0: 1 row; ")
    assert line.endswith("t4: 1 row; and 2 more")
