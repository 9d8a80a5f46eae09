"""A pipeline's folder with published marts and readings, filled by hand: two cells of two cycles of two readings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import DuckDBFile
from refresh.export import export_marts
from refresh.readings import export_readings
from sink.tables import create_tables

if TYPE_CHECKING:
    from pathlib import Path

    from kernel.edges.objects import ObjectStore

CELLS = ("SIM_01", "SIM_02")

_READINGS = """
    insert into battery_ts_cleaned by name
    select
        cell as cell_id, '1' as test_id, 'a.xlsx' as source_file, point as data_point, point * 10.0 as "test_time(s)",
        '2026-01-01'::timestamp as date_time, 1.0 as "step_time(s)", 1 as step_index, 1 + point // 2 as cycle_index,
        -0.5 as "current(a)", 4.0 - 0.5 * (point % 2) as "voltage(v)", 0.0 as "charge_capacity(ah)",
        0.5 * (point % 2) as "discharge_capacity(ah)", 20.0 as "temperature(c)", 0 as quality,
        0 as kafka_partition, 0 as kafka_offset, point as kafka_row, '2026-01-01'::timestamp as streamed_at
    from range(4) as points(point), unnest($cells) as cells(cell)
"""

_MODELS = """
    create table battery_cleaned as from battery_ts_cleaned;
    create table battery_tests as
        select cell_id, test_id, count(*) as reading_count from battery_ts_cleaned group by all;
    create table battery_cycles as
        select
            cell_id, test_id, cycle_index, cycle_index as cycle_number,
            1.1::double - 0.05 * (cycle_index - 1) as discharge_capacity_ah,
            if(cycle_index = 1, 1.0, 0.955)::double as soh,
            true as is_complete, false as is_reference_test, count(*) as row_count
        from battery_ts_cleaned
        group by all;
    create table battery_cells as
        select distinct
            cell_id, 'LCO' as chemistry, 1.1::double as nominal_capacity_ah, 0.9::double as latest_soh
        from battery_cycles;
    create table battery_steps as
        select
            cell_id, test_id, cycle_index, cycle_index + 10 as step_number, 'cc_discharge' as kind,
            min(data_point) as first_data_point, max(data_point) as last_data_point
        from battery_ts_cleaned
        group by all;
    create table battery_gaps as select cell_id, test_id, 0.0::double as gap_h from battery_tests where false;
    create table battery_groups as select 'fast' as cell_group, 10 as cycle_number, 0.9::double as soh_mean;
    create table battery_alerts as
        select 'SIM_02/knee' as alert_id, cell_id, 'knee' as kind, 2 as since_cycle from battery_cells
        where cell_id = 'SIM_02';
    create table battery_live_tests as select cell_id, test_id, 3600.0::double as silence_s from battery_tests;
    create table battery_ica as select cell_id, cycle_number, 3.7::double as voltage_v from battery_cycles;
    create table battery_thresholds as select 'end_of_life_percent' as name, 80.0::double as value, '%' as unit;
    create table internal._refreshed as
        select 'battery_cleaned' as model, cell_id, test_id, 'first' as built_by from battery_tests;
"""


def make(folder: Path) -> DuckDBFile:
    """Fill the folder and publish; gives the warehouse beside the objects."""
    warehouse = DuckDBFile(folder / "battery.duckdb", lock_timeout_seconds=1)
    folder.mkdir(parents=True, exist_ok=True)
    with warehouse.connect("fill by hand") as connection:
        create_tables(connection)
        connection.execute(_READINGS, {"cells": list(CELLS)})
        connection.execute(_MODELS)
    publish(folder, warehouse)
    return warehouse


def publish(folder: Path, warehouse: DuckDBFile, *statements: str) -> None:
    """Change the models, and export marts and readings to the folder as a publication does."""
    with warehouse.connect("change the models") as connection:
        for statement in statements:
            connection.execute(statement)
    export(warehouse, FolderStore(folder / "objects"))


def export(warehouse: DuckDBFile, store: ObjectStore) -> None:
    """Export marts and readings as a publication does."""
    export_marts(warehouse, store)
    export_readings(warehouse, store)
