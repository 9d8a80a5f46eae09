"""Fade, knee and projected end of life of the cells that have changed."""

from ageing.tables import judge_fades


def model(dbt, session):
    """One row a cell with complete cycles; reference tests run at another rate, so they are not compared."""
    cycles = dbt.ref("battery_cycles").filter("is_complete and not is_reference_test")
    if dbt.is_incremental:
        cycles = cycles.filter("cell_id in (select cell_id from touched)")
    ordered = cycles.order("cell_id, cycle_number").to_arrow_table()
    share = float(dbt.config.meta_get("end_of_life_percent")) / 100
    recent_cycles = int(dbt.config.meta_get("recent_cycles"))
    median_cycles = int(dbt.config.meta_get("median_cycles"))
    return session.from_arrow(judge_fades(ordered, share, recent_cycles, median_cycles))
