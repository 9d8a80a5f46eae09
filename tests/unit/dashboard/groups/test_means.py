from __future__ import annotations

import re
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from support.aged import cycles_table
from support.places import ROOT

from dashboard.groups.means import class_means, counts_in_words, means_of_groups, width_of

GROUPS = ROOT / "dbt_project" / "models" / "marts" / "battery_groups.sql"


def health(**cells: list[float | None]) -> pa.Table:
    """Rows of battery_cycles of some cells by their states of health, cycle by cycle."""
    return pa.concat_tables(
        [cycles_table(len(soh), cell, soh=pa.array(soh, pa.float64())) for cell, soh in cells.items()]
    )


def mart(cycles: pa.Table, groups: dict[str, str | None]) -> pa.Table:
    """battery_groups by the model's own SQL."""
    sql = GROUPS.read_text().replace("{{ every }}", "10")
    sql = re.sub(r"{{ ref\('(\w+)'\) }}", r"\1", re.sub(r"{%-? set .*?%}", "", sql))
    with duckdb.connect() as connection:
        connection.register("battery_cycles", cycles)
        connection.register(
            "battery_cell_metadata",
            pa.table({"cell_id": list(groups), "cell_group": pa.array(list(groups.values()), pa.string())}),
        )
        return connection.execute(sql).to_arrow_table()


def by_position(rows: pa.Table) -> dict[tuple[str, float], dict[str, Any]]:
    return {(row["class"], row["position"]): row for row in rows.to_pylist()}


def test_the_mean_and_the_sample_standard_deviation_of_cells_at_each_cycle() -> None:
    """Of 1.0, 0.8 and 0.6: mean 0.8, and √((0.04 + 0 + 0.04) / 2) = 0.2."""
    cycles = health(A=[1.0, 0.9], B=[0.8], C=[0.6, 0.7], D=[0.1])
    rows = by_position(
        class_means(cycles, {"A": "x", "B": "x", "C": "x", "D": "y"}, "soh", "cycle_number", 1.0, factors=None)
    )
    first = rows["x", 1.0]
    assert (first["cell_count"], first["mean"], first["sd"]) == (3, pytest.approx(0.8), pytest.approx(0.2))
    assert (first["low"], first["high"]) == (0.6, 1.0)
    second = rows["x", 2.0]
    assert (second["cell_count"], second["mean"], second["sd"]) == (2, pytest.approx(0.8), pytest.approx(0.02**0.5))
    assert (rows["y", 1.0]["cell_count"], rows["y", 1.0]["sd"]) == (1, None)


def test_each_cell_counts_once_however_many_of_its_cycles_are_rounded_to_a_position() -> None:
    cycles = health(A=[1.0] * 14, B=[0.5] * 6)
    rows = by_position(class_means(cycles, {"A": "x", "B": "x"}, "soh", "cycle_number", 10.0))
    assert rows["x", 10.0]["mean"] == pytest.approx(0.75)
    assert rows["x", 10.0]["cell_count"] == 2


def test_broken_cycles_reference_tests_and_cycles_without_a_value_do_not_count() -> None:
    cycles = cycles_table(
        4, soh=pa.array([1.0, 0.2, 0.3, None], pa.float64()), is_complete=pa.array([True, False, True, True]),
        is_reference_test=pa.array([False, False, True, False]),
    )  # fmt: skip
    rows = class_means(cycles, {"A": "x"}, "soh", "cycle_number", 1.0)
    assert rows["position"].to_pylist() == [1.0]


def test_the_means_of_groups_are_those_of_the_mart() -> None:
    cycles = health(
        A=[1 - 0.003 * number for number in range(57)], B=[0.97 - 0.007 * number for number in range(43)],
        C=[0.9 - 0.001 * number for number in range(31)], D=[0.5] * 12,
    )  # fmt: skip
    groups: dict[str, str | None] = {"A": "fast", "B": "fast", "C": "slow", "D": None}
    of_mart = means_of_groups(mart(cycles, groups), ["fast", "slow"])
    of_cells = {cell: group for cell, group in groups.items() if group is not None}
    computed = class_means(cycles, of_cells, "soh", "cycle_number", 10.0)
    assert of_mart.cast(computed.schema).equals(computed)
    assert computed.num_rows == 11


def test_values_can_be_relative_to_the_first_cycle_or_to_a_factor_of_each_cell() -> None:
    cycles = health(A=[0.8, 0.4], B=[0.5, 0.5])
    of_first = by_position(
        class_means(
            cycles, {"A": "x", "B": "x"}, "soh", "cycle_number", 1.0, factors={"A": 100.0, "B": 100.0}, of_first=True
        )
    )
    assert of_first["x", 2.0]["mean"] == pytest.approx(75.0)
    of_one = by_position(class_means(cycles, {"A": "x", "B": "x"}, "soh", "cycle_number", 1.0, factors={"A": 10.0}))
    assert (of_one["x", 1.0]["mean"], of_one["x", 1.0]["cell_count"]) == (pytest.approx(8.0), 1)


def test_n_falls_where_cells_end_and_not_where_a_cycle_is_missing() -> None:
    cycles = health(A=[1.0] * 6, B=[1.0, None, 1.0, 1.0], C=[1.0, 1.0])
    rows = class_means(cycles, {"A": "x", "B": "x", "C": "x"}, "soh", "cycle_number", 1.0)
    assert rows["cell_count"].to_pylist() == [3, 2, 2, 2, 1, 1]
    assert counts_in_words(rows, "x") == [(3, 1.0), (2, 4.0), (1, 6.0)]


def test_positions_are_rounded_as_in_the_mart_once_a_cell_has_lived_long() -> None:
    assert width_of(cycles_table(101), "cycle_number", 10.0) == 10.0
    assert width_of(cycles_table(100), "cycle_number", 10.0) == 1.0
    assert width_of(cycles_table(30), "equivalent_full_cycles", 10.0) == 2.0
