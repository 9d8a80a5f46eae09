"""How cells of a class age together: at each position the mean of the cells, their spread, and how many they are.

The rule is that of the mart `battery_groups`: complete cycles that are no reference tests, positions rounded to a
multiple of a width, and each cell counted once at a position, with the mean of its cycles there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dashboard.figures.measures import column, comparable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FEW_POSITIONS: Final = 100
"""Positions up to which each has its own mean; cells that live longer have one at each multiple of a width."""

EFC_WIDTH: Final = 2.0
"""The least width in equivalent full cycles: a cycle is about one of them, so that one might fall between two."""

_MEANS: Final = """
    with placed as (
        select
            classes.class,
            cycles.cell_id,
            cycles.cycle_number,
            round(cycles.{axis} / $width) * $width as position,
            classes.factor * cycles.{measure} / case
                when $of_first
                    then nullif(
                        first_value(cycles.{measure}) over (partition by cycles.cell_id order by cycles.cycle_number), 0
                    )
                else 1
            end as value
        from cycles
        inner join classes on cycles.cell_id = classes.cell_id
        where
            cycles.is_complete and not cycles.is_reference_test
            and isfinite(cycles.{axis}) and isfinite(cycles.{measure})
    ),

    cells as (
        select
            class,
            cell_id,
            position,
            avg(value order by cycle_number) as value
        from placed
        where value is not null
        group by class, cell_id, position
    )

    select
        class,
        position,
        count(*) as cell_count,
        avg(value order by cell_id) as mean,
        stddev_samp(value order by cell_id) as sd,
        min(value) as low,
        max(value) as high
    from cells
    group by class, position
    order by class, position
"""


def class_means(
    cycles: pa.Table,
    classes: Mapping[str, str],
    measure: str,
    axis: str,
    width: float,
    *,
    factors: Mapping[str, float] | None = None,
    of_first: bool = False,
) -> pa.Table:
    """The mean of a measure over the cells of each class, along an axis.

    Args:
        cycles: rows of `battery_cycles`.
        classes: the class of each cell that counts, by its id.
        measure: a column of `battery_cycles`.
        axis: the column that positions are taken from.
        width: what positions are rounded to multiples of, in the unit of the axis.
        factors: what the values of a cell are multiplied by, by its id; cells without one do not count. None is 1 for
            all.
        of_first: whether the values of a cell are divided by that of its first cycle that counts.

    Returns:
        A row a class and position, sorted: `class`, `position`, `cell_count`, `mean`, `sd` (sample standard deviation,
        NULL of one cell), `low` and `high`.
    """
    counted = [cell for cell in classes if factors is None or cell in factors]
    of_cells = pa.table(
        {
            "cell_id": pa.array(counted, pa.string()),
            "class": pa.array([classes[cell] for cell in counted], pa.string()),
            "factor": pa.array([1.0 if factors is None else factors[cell] for cell in counted], pa.float64()),
        }
    )
    sql = _MEANS.format(axis=axis, measure=measure)
    with duckdb.connect() as connection:
        connection.register("cycles", cycles)
        connection.register("classes", of_cells)
        return connection.execute(sql, {"width": width, "of_first": of_first}).to_arrow_table()


def means_of_groups(groups: pa.Table, names: Sequence[str], factor: float = 1.0) -> pa.Table:
    """The means of the state of health of groups of cells, as `class_means` returns them, from the mart of groups.

    Args:
        groups: rows of `battery_groups`.
        names: the groups that are wanted.
        factor: what the values are multiplied by.
    """
    rows = groups.filter(pc.is_in(groups["cell_group"], value_set=pa.array(list(names), pa.string())))
    rows = rows.sort_by([("cell_group", "ascending"), ("cycle_number", "ascending")])
    mean, sd, low, high = (pc.multiply(rows[name], factor) for name in ("soh_mean", "soh_sd", "soh_min", "soh_max"))
    return pa.table(
        {
            "class": rows["cell_group"], "position": rows["cycle_number"].cast(pa.float64()),
            "cell_count": rows["cell_count"], "mean": mean, "sd": sd, "low": low, "high": high,
        }
    )  # fmt: skip


def width_of(cycles: pa.Table, axis: str, usual: float) -> float:
    """What positions are rounded to: `usual`, or as little as makes sense where that left few of them.

    Args:
        cycles: rows of `battery_cycles` that are drawn.
        axis: their column that positions are taken from.
        usual: the width of `battery_groups`, in cycles.
    """
    x = column(cycles, axis)[comparable(cycles)]
    x = x[np.isfinite(x)]
    if len(x) and x.max() > FEW_POSITIONS:
        return usual
    return min(usual, EFC_WIDTH if axis == "equivalent_full_cycles" else 1.0)


def counts_in_words(rows: pa.Table, class_name: str) -> list[tuple[int, float]]:
    """How many cells a class has up to which position, where cells end: (5, 300), (4, 420) and so on.

    A position at which a cell has no cycle of its own, such as one with a reference test, does not make it end.

    Args:
        rows: as `class_means` returns them.
        class_name: the class.
    """
    of_class = rows.filter(pc.equal(rows["class"], class_name)).sort_by("position")
    positions, counts = column(of_class, "position"), column(of_class, "cell_count")
    left = np.maximum.accumulate(counts[::-1])[::-1]
    ends = np.flatnonzero(np.append(left[1:] != left[:-1], True)) if len(left) else np.array([], dtype=np.int64)
    return [(int(left[row]), float(positions[row])) for row in ends.tolist()]
