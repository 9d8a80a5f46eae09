"""A recount takes the memory of some cells, however many there are, and puts what one cell lacks into a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.places import ROOT

from kernel.edges.warehouse import DuckDBFile, transaction
from sink.tables import create_tables

PIECE_ROWS = 40_000
POINTS = 1_000

RECOUNT = """
import sys
from pathlib import Path
from kernel.edges.warehouse import DuckDBFile
from sink.care import pieces

def peak_kb():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

pieces.PIECE_ROWS, pieces.MEMORY = int(sys.argv[2]), sys.argv[3]
warehouse = DuckDBFile(Path(sys.argv[1]), 30)
with warehouse.connect("load DuckDB", read_only=True) as connection:
    connection.execute("select count(*) from battery_ts_cleaned").fetchall()
before = peak_kb()
counted = pieces.recount_all(warehouse)
print(counted.readings, peak_kb() - before)
"""
"""How many readings were counted, and by how many kB the peak of the process's resident memory grew."""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="only Linux says how much memory was held"
)


def made(path: Path, cells: int, points: int) -> Path:
    """A warehouse of readings without aggregates; each window then differs, which takes memory, too."""
    warehouse = DuckDBFile(path, 30)
    with warehouse.connect("make readings") as connection, transaction(connection):
        create_tables(connection)
        connection.execute(
            """
            insert into battery_ts_cleaned by name
            select
                'CELL_' || cell as cell_id, 'T' as test_id, 'T.xlsx' as source_file, point as data_point,
                10.0 * point as "test_time(s)", timestamp '2024-01-01' + to_seconds(10 * point) as date_time,
                10.0 * point as "step_time(s)", 1 as step_index, point // 300 as cycle_index,
                sin(point) as "current(a)", 3.7 as "voltage(v)", point / 100 as "charge_capacity(ah)",
                point / 100 as "discharge_capacity(ah)", point / 100 as "charge_energy(wh)",
                point / 100 as "discharge_energy(wh)", 0 as quality, timestamp '2024-01-01' as streamed_at,
                0 as kafka_partition, cell as kafka_offset, point as kafka_row
            from range(?) as cells(cell), range(?) as points(point)
            """,
            [cells, points],
        )
    return path


def growth_kb(path: Path, readings: int, limit: str, spill: Path) -> int:
    """By how much memory a process grows that recounts a warehouse of so many readings."""
    spill.mkdir(exist_ok=True)
    child = subprocess.run(
        [sys.executable, "-c", RECOUNT, str(path), str(PIECE_ROWS), limit],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(spill)},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    counted, grown = child.stdout.splitlines()[-1].split()
    assert int(counted) == readings
    assert list(spill.iterdir()) == []
    return int(grown)


def test_a_recount_of_six_times_as_many_cells_takes_no_more_memory(tmp_path: Path) -> None:
    few, many = PIECE_ROWS // POINTS, 6 * PIECE_ROWS // POINTS
    one_piece = growth_kb(made(tmp_path / "few.duckdb", few, POINTS), PIECE_ROWS, "1GB", tmp_path / "spill")
    six = growth_kb(made(tmp_path / "many.duckdb", many, POINTS), 6 * PIECE_ROWS, "1GB", tmp_path / "spill")
    assert six < 1.5 * one_piece  # at once they take 2.6 times as much


def test_a_cell_of_very_many_readings_is_counted_within_the_limit(tmp_path: Path) -> None:
    path, readings = made(tmp_path / "one.duckdb", 1, 6 * PIECE_ROWS), 6 * PIECE_ROWS
    without = growth_kb(path, readings, "4GB", tmp_path / "spill")
    assert growth_kb(path, readings, "130MB", tmp_path / "spill") < 0.7 * without
