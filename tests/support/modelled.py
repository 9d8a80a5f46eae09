"""Landing tables filled by hand, the models that dbt builds of them, and cells that cycle as they are told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from support.schemas import connected

from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from kernel.contract.reading import ABOUT, LANDED, QUARANTINED
from refresh.dbt import PUBLISHED, dbt, lock_models
from sink.tables import CREATE_CELL_EVENTS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KEY = "cell_id, test_id, data_point"
CYCLE_READINGS = 45
STREAMED = datetime(2026, 1, 1)  # noqa: DTZ001  # a TIMESTAMP without zone

Row = dict[str, Any]

ORDER = {
    "battery_test_about": "cell_id, test_id",
    "battery_cell_stated": "cell_id",
    "battery_test_versions": "all",
    "battery_cleaned": "cell_id, test_id, data_point",
    "battery_features": "cell_id, test_id, data_point",
    "battery_steps": "cell_id, test_id, step_number",
    "battery_tests": "cell_id, test_id",
    "battery_thresholds": "name",
    "battery_cell_metadata": "cell_id",
    "battery_cell_versions": "cell_id",
    "battery_cycles": "cell_id, cycle_number",
    "battery_gaps": "cell_id, test_id",
    "battery_ica": "cell_id, cycle_number, direction, voltage_v",
    "battery_fade": "cell_id",
    "battery_cells": "cell_id",
    "battery_groups": "cell_group, cycle_number",
    "battery_alert_thresholds": "cell_id, kind",
    "battery_arrivals": "cell_id, test_id",
    "battery_alerts": "alert_id",
    "battery_live_tests": "cell_id",
    "bdf_timeseries": "cell_id, test_id, record_index",
}
"""The models, each with an order of its rows."""


BUILD = ("build", "--exclude-resource-type", "unit_test")
"""Everything but dbt's unit tests, which look at no landed reading: one build of the suite runs them."""


def run_dbt(settings: Settings, command: Sequence[str] = BUILD) -> None:
    """Run a dbt command on the models where readers look, as by hand."""
    with lock_models(settings) as lock:
        done = dbt(settings, command, PUBLISHED, lock)
    if done.failure:
        raise BatteryError(done.failure)


def create_landing(path: Path, rows: list[Row]) -> None:
    """Make the tables of readings, quarantine and what was said as the worker makes them, with some readings in."""
    with duckdb.connect(path) as connection:
        for name, schema in (
            ("battery_ts_cleaned", LANDED),
            ("battery_quarantine", QUARANTINED),
            ("battery_about", ABOUT),
        ):
            empty = schema.empty_table()
            connection.register("empty", empty)
            connection.execute(f"create table {name} as from empty")
            for field in schema:
                if not field.nullable:
                    connection.execute(f'alter table {name} alter column "{field.name}" set not null')
        for statement in CREATE_CELL_EVENTS:
            connection.execute(statement)
    land(path, rows)


def land(path: Path, rows: list[Row]) -> None:
    """Add readings to the landing."""
    with duckdb.connect(path) as connection:
        connection.register("rows", pa.Table.from_pylist(rows, schema=LANDED))
        connection.execute("insert into battery_ts_cleaned from rows")


def say(path: Path, rows: list[Row]) -> None:
    """Add what messages say of tests; columns that a row lacks are NULL."""
    with duckdb.connect(path) as connection:
        connection.register("rows", pa.Table.from_pylist(rows, schema=ABOUT))
        connection.execute("insert into battery_about from rows")


@dataclass(frozen=True)
class Warehouse:
    """A warehouse file and what its relations hold."""

    path: Path

    @property
    def settings(self) -> Settings:
        return Settings(warehouse=str(self.path))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with connected(self.path, read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def execute(self, sql: str) -> None:
        with connected(self.path) as connection:
            connection.execute(sql)

    def rows(self, relation: str, order: str = KEY) -> list[Row]:
        with connected(self.path, read_only=True) as connection:
            found: list[Row] = connection.sql(f"from {relation} order by {order}").to_arrow_table().to_pylist()
        return found


def differences(one: Warehouse, other: Warehouse) -> list[str]:
    """Models whose rows differ between two warehouses."""
    return [name for name, order in ORDER.items() if one.rows(name, order) != other.rows(name, order)]


def cycling(
    cell: str,
    start: datetime,
    capacities: Sequence[float],
    *,
    discharged_to: float = 2.7,
    temperature: float | None = None,
) -> list[Row]:
    """One test of a cell whose cycles each charge and discharge the capacities, in Ah.

    Charge at 0.5 A to 4.2 V, held there down to 0.05 A, rest, discharge at 1 A: `CYCLE_READINGS` readings a cycle.
    """
    rows: list[Row] = []
    time, charged, discharged = 0.0, 0.0, 0.0

    def read(step: int, cycle: int, seconds: float, step_time: float, current: float, voltage: float) -> None:
        nonlocal time
        time += seconds
        rows.append(
            dict.fromkeys(LANDED.names)
            | {
                "cell_id": cell,
                "test_id": start.isoformat(),
                "source_file": f"{cell}_{start:%m_%d_%y}.xlsx",
                "data_point": len(rows) + 1,
                "test_time(s)": time,
                "date_time": start + timedelta(seconds=round(time)),
                "step_time(s)": step_time,
                "step_index": step,
                "cycle_index": cycle,
                "current(a)": current,
                "voltage(v)": voltage,
                "charge_capacity(ah)": charged,
                "discharge_capacity(ah)": discharged,
                "charge_energy(wh)": 4 * charged,
                "discharge_energy(wh)": 3.5 * discharged,
                "internal_resistance(ohm)": 0.1,
                "temperature(c)": temperature,
                "quality": 0,
                "streamed_at": STREAMED,
                "kafka_partition": 0,
                "kafka_offset": len(rows) // 1000,
                "kafka_row": len(rows) % 1000,
            }
        )

    for cycle, capacity in enumerate(capacities, start=1):
        read(1, cycle, 60, 60, 0.0, 3.3)
        for part in range(1, 21):
            charged += 0.9 * capacity / 20
            read(2, cycle, 324 * capacity, 324 * capacity * part, 0.5, 3.5 + 0.7 * part / 20)
        for third, current in enumerate((0.4, 0.2, 0.05), start=1):
            charged += capacity / 30
            read(3, cycle, 400, 400 * third, current, 4.2)
        read(4, cycle, 60, 60, 0.0, 4.15)
        for part in range(1, 21):
            discharged += capacity / 20
            read(5, cycle, 180 * capacity, 180 * capacity * part, -1.0, 4.0 + (discharged_to - 4.0) * part / 20)
    return rows
