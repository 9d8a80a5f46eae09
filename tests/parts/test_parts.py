"""What a lab makes of its tests, end to end: each file is produced and landed, and the cycles are the cell's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.cycling import cycled, workbook, workbook_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from support.pipeline import Pipeline


def discharged(pipeline: Pipeline, cell: str) -> list[tuple[int, float, float]]:
    """Cycle, charge and discharge in Ah of a cell, by its tests."""
    return [
        (cycle, charge, discharge)
        for cycle, charge, discharge in pipeline.query(
            "select cycle_index, charge_capacity_ah, discharge_capacity_ah from battery_cell_cycles "  # noqa: S608
            f"where cell_id = '{cell}' order by started_at, cycle_index"
        )
    ]


def parts(folder: Path, cuts: Sequence[int]) -> list[Path]:
    rows = cycled(6)
    ends = [0, *cuts, len(rows)]
    return [
        workbook(folder / f"T_Channel_1_Wb_{number}.xlsx", rows[ends[number - 1] : ends[number]])
        for number in range(1, len(ends))
    ]


def require_one_test_of_six_cycles(pipeline: Pipeline, cell: str) -> None:
    """Six cycles of an ampere-hour each way, to what a counter's digits give."""
    cycles = discharged(pipeline, cell)
    assert [cycle for cycle, _, _ in cycles] == [1, 2, 3, 4, 5, 6]
    for _, charge, discharge in cycles:
        assert charge == pytest.approx(1.0, abs=1e-12)
        assert discharge == pytest.approx(1.0, abs=1e-12)
    ((refused,),) = pipeline.query(
        "select coalesce(sum(row_count), 0) from battery_quarantine where reason <> 'duplicate'"
    )
    assert refused == 0


def run(pipeline: Pipeline, *batches: Sequence[Path]) -> None:
    """Produce and land batches, one after the other."""
    for batch in batches:
        pipeline.battery("produce", *map(str, batch))
        pipeline.battery("stream", "--until-end")


def test_two_tests_that_began_in_the_same_second_keep_their_cycles(pipeline: Pipeline, tmp_path: Path) -> None:
    one = workbook(tmp_path / "S_3_1_24.xlsx", cycled(3, 2.0))
    other = workbook(tmp_path / "other" / "S_3_1_24.xlsx", cycled(3, 4.0))
    run(pipeline, [one], [other])
    assert sorted(round(charge, 12) for _, charge, _ in discharged(pipeline, "S")) == [1.0] * 3 + [2.0] * 3
    assert pipeline.query("select * from battery_quarantine") == []


def test_two_channels_of_one_workbook_keep_their_cycles(pipeline: Pipeline, tmp_path: Path) -> None:
    run(pipeline, [workbook_of(tmp_path / "D.xlsx", {"Channel_1-001": cycled(3), "Channel_1-002": cycled(3, 4.0)})])
    for cell, ampere_hours in (("D_1-001", 1.0), ("D_1-002", 2.0)):
        charges = [charge for _, charge, _ in discharged(pipeline, cell)]
        assert charges == pytest.approx([ampere_hours] * 3, abs=1e-12)


def test_the_workbooks_of_one_test_lose_nothing_at_the_seam(pipeline: Pipeline, tmp_path: Path) -> None:
    first, second = parts(tmp_path, [115])
    run(pipeline, [second, first])
    require_one_test_of_six_cycles(pipeline, "T_Channel_1")


def test_parts_that_come_one_after_the_other_lose_nothing_at_the_seam(pipeline: Pipeline, tmp_path: Path) -> None:
    run(pipeline, *[[part] for part in parts(tmp_path, [115, 250])])
    require_one_test_of_six_cycles(pipeline, "T_Channel_1")


@pytest.mark.parametrize("order", [(2, 1), (1, 3, 2), (3, 2, 1), (3, 1, 2)])
def test_parts_that_come_in_the_wrong_order_land_where_they_belong(
    pipeline: Pipeline, tmp_path: Path, order: tuple[int, ...]
) -> None:
    made = parts(tmp_path, [115, 250][: len(order) - 1])
    run(pipeline, *[[made[number - 1]] for number in order])
    require_one_test_of_six_cycles(pipeline, "T_Channel_1")
    rows = pipeline.query("select data_point from battery_ts_cleaned order by data_point")
    assert rows == [(point,) for point in range(1, len(cycled(6)) + 1)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "the later first"])
def test_exports_that_overlap_land_once(pipeline: Pipeline, tmp_path: Path, order: tuple[int, int]) -> None:
    rows = cycled(6)
    each = len(rows) // 6
    exports = [
        workbook(tmp_path / "O_3_1_24.xlsx", rows[: 4 * each]),
        workbook(tmp_path / "O_3_2_24.xlsx", rows[2 * each :]),
    ]
    run(pipeline, *[[exports[number]] for number in order])
    require_one_test_of_six_cycles(pipeline, "O")
    ((count,),) = pipeline.query("select count(*) from battery_ts_cleaned")
    assert count == len(rows)
