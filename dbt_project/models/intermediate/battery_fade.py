"""Fade, knee and projected end of life of the cells that have changed."""

from ageing.tables import judge_fades


def model(dbt, session):
    """One row a cell with complete cycles; reference tests run at another rate, so they are not compared."""
    cycles = dbt.ref("battery_cycles").filter("is_complete and not is_reference_test")
    if dbt.is_incremental:
        cycles = cycles.filter("cell_id in (select cell_id from touched)")
    return session.from_arrow(judge_fades(cycles.order("cell_id, cycle_number").to_arrow_table()))
