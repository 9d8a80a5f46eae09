"""The benchmark of reading on tiny workbooks: what it prints and what is read, not how long that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.workbooks import SEED, measure
from producer.simulate import simulate_tests

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from benchmarks.figures import Figure


def test_all_sides_read_all_rows_of_the_same_workbooks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures: list[Figure] = []
    measure(figures.append, tmp_path / "benchmark", tiny=True)
    rows = sum(export.test.readings.num_rows for export in simulate_tests("BENCH", cycles=2, seed=SEED))
    said = [line.partition(" in ")[0] for line in capsys.readouterr().err.splitlines()]
    assert said == [f"bench: {side}: {rows:,} rows" for side in ("openpyxl", "read_workbook", "2 processes")]
    assert [(figure.name, figure.unit) for figure in figures] == [
        ("workbook_read", "rows/s"),
        ("workbook_read_2", "rows/s"),
    ]
    assert all(figure.ratio > 0 for figure in figures)
