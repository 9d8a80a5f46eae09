"""The incremental capacity of the chosen cycles of the cells that have changed."""

from ageing.tables import draw_curves


def model(dbt, session):
    """Curves on a voltage grid, from `battery_ica_readings`."""
    readings = dbt.ref("battery_ica_readings")
    if dbt.is_incremental:
        readings = readings.filter("cell_id in (select cell_id from touched)")
    ordered = readings.order("cell_id, cycle_number, direction, data_point")
    return session.from_arrow(draw_curves(ordered.to_arrow_table()))
