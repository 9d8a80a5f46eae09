"""Incremental capacity of any cycles, drawn as the mart `battery_ica` draws it for those that it has chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb

from ageing.tables import draw_curves

if TYPE_CHECKING:
    import pyarrow as pa

_CHARGES: Final = """
    with chosen as (
        select
            steps.cell_id, steps.test_id, steps.cycle_index, cycles.cycle_number,
            case when steps.kind = 'cc_discharge' then 'discharge' else 'charge' end as direction,
            steps.first_data_point, steps.last_data_point,
            steps.test_time_start_s + coalesce(steps.cc_time_s, steps.duration_s) as until_s
        from steps inner join cycles using (cell_id, test_id, cycle_index)
        where steps.kind in ('cc_charge', 'cccv_charge', 'cc_discharge')
        qualify row_number() over (
            partition by steps.cell_id, steps.test_id, steps.cycle_index, direction
            order by steps.charge_capacity_ah + steps.discharge_capacity_ah desc, steps.step_number asc
        ) = 1
    )
    select
        readings.cell_id, readings.test_id, chosen.cycle_index, chosen.cycle_number, chosen.direction,
        readings.voltage_v,
        case when chosen.direction = 'charge' then readings.charge_counter_ah else readings.discharge_counter_ah end
            as counter_ah
    from readings inner join chosen
        on readings.cell_id = chosen.cell_id and readings.test_id = chosen.test_id
        and readings.data_point between chosen.first_data_point and chosen.last_data_point
    where readings.is_kept and readings.test_time_s <= chosen.until_s
    order by chosen.cycle_number, chosen.direction, readings.data_point
"""
"""As dbt_project/models/intermediate/battery_ica_readings.sql: a test compares the curves of both."""


def curves_of(readings: pa.Table, cycles: pa.Table, steps: pa.Table) -> pa.Table:
    """The curves of some cycles.

    Args:
        readings: of those cycles, as `dashboard.landing.look_at_readings` gives them.
        cycles: their rows of `battery_cycles`.
        steps: the steps of the cell, rows of `battery_steps`.

    Returns:
        A row a point of the voltage grid, with the columns of `battery_ica`.
    """
    with duckdb.connect() as connection:
        for name, table in (("readings", readings), ("cycles", cycles), ("steps", steps)):
            connection.register(name, table)
        return draw_curves(connection.execute(_CHARGES).to_arrow_table())
