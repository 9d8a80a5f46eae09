"""Charge and incremental capacity of any cycles, by the rules of the marts: the SQL is that of the dbt macros."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb

from ageing.tables import draw_curves
from dashboard.macros import macro

if TYPE_CHECKING:
    import pyarrow as pa

_READINGS: Final = """
    readings as (
        select
            cell_id, test_id, data_point, cycle_index, step_index, quality,
            test_time_s as "test_time(s)", step_time_s as "step_time(s)",
            current_a as "current(a)", voltage_v as "voltage(v)",
            charge_counter_ah as "charge_capacity(ah)", discharge_counter_ah as "discharge_capacity(ah)",
            null::double as "charge_energy(wh)", null::double as "discharge_energy(wh)",
            is_kept
        from looked_at
    )
"""
"""The readings of a look in the columns of the contract, as the macros name them."""

_CURVES: Final = """
    with {readings}, kept as (select * from readings where is_kept), {curve_readings}
    select cell_id, test_id, cycle_index, cycle_number, direction, voltage_v, counter_ah
    from curve_readings order by cycle_number, direction, data_point
"""

_MOVED: Final = """
    with {readings}, {numbered}, {gained}
    select
        step_number,
        case when "charge_capacity(ah)" is not null and not bool_or({charge_leap}) over in_step
            then (sum(charge_aah) over so_far - first_value(charge_aah ignore nulls) over so_far) / {unit}
        end as charge_ah,
        case when "discharge_capacity(ah)" is not null and not bool_or({discharge_leap}) over in_step
            then (sum(discharge_aah) over so_far - first_value(discharge_aah ignore nulls) over so_far) / {unit}
        end as discharge_ah
    from gained
    window
        so_far as (partition by test_id, cycle_index order by data_point),
        in_step as (partition by test_id, step_number)
    order by test_id, data_point
"""


def curves_of(readings: pa.Table, cycles: pa.Table, steps: pa.Table) -> pa.Table:
    """The incremental capacity of some cycles, as the mart `battery_ica` has it for the cycles that it chooses.

    Args:
        readings: of those cycles, as `Publication.readings_by_test` gives them.
        cycles: their rows of `battery_cycles`.
        steps: the steps of the cell, rows of `battery_steps`.

    Returns:
        A row a point of the voltage grid, with the columns of `battery_ica`.
    """
    sql = _CURVES.format(readings=_READINGS, curve_readings=macro("curve_readings", "kept", "steps", "cycles"))
    with duckdb.connect() as connection:
        for name, table in (("looked_at", readings), ("cycles", cycles), ("steps", steps)):
            connection.register(name, table)
        return draw_curves(connection.execute(sql).to_arrow_table())


def with_charge(readings: pa.Table) -> pa.Table:
    """Readings with the charge moved since the first one of their cycle, by the counter rule of `battery_steps`.

    Args:
        readings: of whole cycles in their order, as `Publication.readings_by_test` gives them, n rows.

    Returns:
        The same rows with `step_number`, which tells the steps of a test apart, and `charge_ah` and `discharge_ah` in
        Ah: NULL where the counter was not measured, and in every step in which it leaps.
    """
    sql = _MOVED.format(
        readings=_READINGS,
        numbered=macro("number_steps", "readings"),
        unit=macro("counter_unit"),
        gained=macro("counter_gains", "readings", "numbered"),
        charge_leap=macro("has_flag", "charge_capacity_leap"),
        discharge_leap=macro("has_flag", "discharge_capacity_leap"),
    )
    with duckdb.connect() as connection:
        connection.register("looked_at", readings)
        moved = connection.execute(sql).to_arrow_table()
    for name in moved.column_names:
        readings = readings.append_column(name, moved[name])
    return readings
