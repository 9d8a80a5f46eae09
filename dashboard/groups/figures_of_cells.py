"""Figures over the cycles of each cell that `battery_cells` does not hold: efficiencies, growth of the resistance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb

from ageing.record import MEDIAN_CYCLES

if TYPE_CHECKING:
    import pyarrow as pa

_FIGURES: Final = """
    with usual as (
        select * from battery_cycles where is_complete and not is_reference_test
    ),

    resistances as (
        select
            cell_id,
            internal_resistance_ohm,
            row_number() over (partition by cell_id order by cycle_number) as number,
            count(*) over (partition by cell_id) as number_of
        from usual
        where internal_resistance_ohm > 0
    ),

    growths as (
        select
            cell_id,
            median(internal_resistance_ohm) filter (where number > number_of - least($median_cycles, number_of // 2))
            / median(internal_resistance_ohm) filter (where number <= least($median_cycles, number_of // 2)) - 1
                as resistance_growth
        from resistances
        group by cell_id
        having count(*) > 1
    )

    select
        usual.cell_id,
        median(usual.coulombic_efficiency) as coulombic_efficiency_median,
        median(usual.energy_efficiency) as energy_efficiency_median,
        median(usual.temperature_mean_c) as temperature_median_c,
        any_value(growths.resistance_growth) as resistance_growth
    from usual
    left join growths on usual.cell_id = growths.cell_id
    group by usual.cell_id
    order by usual.cell_id
"""


def figures_of_cells(cycles: pa.Table) -> pa.Table:
    """One row a cell with its figures over its complete cycles that are no reference tests.

    Efficiencies are medians: the first cycle of a file may have an efficiency of 34, since its charge lies in the file
    before. The growth of the resistance is that from the median of the first cycles with one to that of the last,
    `MEDIAN_CYCLES` of them, or half of all where there are fewer.

    Args:
        cycles: rows of `battery_cycles`.

    Returns:
        `cell_id`, `coulombic_efficiency_median`, `energy_efficiency_median` and `resistance_growth` as shares of 1,
        and `temperature_median_c` in °C.
    """
    with duckdb.connect() as connection:
        connection.register("battery_cycles", cycles)
        return connection.execute(_FIGURES, {"median_cycles": MEDIAN_CYCLES}).to_arrow_table()
