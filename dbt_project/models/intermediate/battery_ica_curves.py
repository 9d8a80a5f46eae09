"""The incremental capacity of the chosen cycles, of the tests that have changed or of which others were chosen."""

from ageing.tables import draw_curves


def model(dbt, session):
    """Curves on a voltage grid, from `battery_ica_readings`."""
    dbt.ref("battery_chosen_versions")
    readings = dbt.ref("battery_ica_readings")
    if dbt.is_incremental:
        readings = readings.filter("(cell_id, test_id) in (select cell_id, test_id from touched)")
    ordered = readings.order("cell_id, cycle_number, direction, data_point")
    return session.from_arrow(draw_curves(ordered.to_arrow_table()))
