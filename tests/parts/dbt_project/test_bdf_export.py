"""What the project shows under the names of the Battery Data Format, its own reader reads back."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pytest
from support.modelled import Warehouse, create_landing, cycling, run_dbt

from producer.readers.base import ReadOptions
from producer.readers.registry import reader_of

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

STARTS = (datetime(2024, 3, 1, 9), datetime(2024, 4, 1, 9))  # noqa: DTZ001  # a cycler's wall clock has no zone
SAME = ("data_point", "test_time(s)", "date_time", "step_time(s)", "step_index", "cycle_index", "current(a)",
        "voltage(v)", "internal_resistance(ohm)", "temperature(c)")  # fmt: skip


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    folder = tmp_path_factory.mktemp("export")
    warehouse = Warehouse(folder / "battery.duckdb")
    rows = [
        row
        for cell, starts in (("A", STARTS), ("B", STARTS[:1]))
        for start in starts
        for row in cycling(cell, start, [1.0, 0.9, 0.8], temperature=25.0 if cell == "A" else None)
    ]
    create_landing(warehouse.path, rows)
    run_dbt(warehouse.settings, ("run", "--select", "+bdf_timeseries"))
    return warehouse


def gains(readings: pa.Table, counter: str) -> dict[int, float]:
    """What a counter gained in each cycle, Ah."""
    values, cycle = readings[counter].to_numpy(), readings["cycle_index"].to_numpy()
    gained = np.diff(values, prepend=0.0)
    return {int(number): float(gained[cycle == number].sum()) for number in np.unique(cycle)}


@pytest.mark.parametrize("name", ["bdf_timeseries.csv", "bdf_timeseries.parquet"])
def test_the_export_comes_back_as_the_readings_and_cycles_that_landed(
    exported: Warehouse, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    with duckdb.connect(exported.path, read_only=True) as connection:
        connection.execute(f"copy (from bdf_timeseries order by cell_id, test_id, record_index) to '{path}'")
    registered = reader_of(path, name)
    assert registered is not None
    assert registered.reader.name == "bdf"
    tests = registered.reader.read(path, ReadOptions(name)).tests
    assert [(test.cell_id, test.started_at.month) for test in tests] == [("A", 3), ("B", 3), ("A", 4)]
    for test in tests:
        where = f"where cell_id = '{test.cell_id}' and month(test_id::timestamp) = {test.started_at.month}"
        with duckdb.connect(exported.path, read_only=True) as connection:
            landed = connection.sql(f"from battery_ts_cleaned {where} order by data_point").to_arrow_table()
        for column in SAME:
            assert test.readings[column].to_pylist() == landed[column].to_pylist(), column
        for counter in ("charge_capacity(ah)", "discharge_capacity(ah)"):
            assert gains(test.readings, counter) == pytest.approx(gains(landed, counter), abs=1e-9)
