"""Tables of many cells in, tables out: what the dbt models in Python do, with neither dbt nor a database.

The models choose the rows and land the result; between the two, an Arrow table is cut into charges or cells, and each
is given to the functions of this package.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from ageing.incremental_capacity import incremental_capacity
from ageing.knee import METHOD, find_knee
from ageing.projection import fade_per_cycle, project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ageing.incremental_capacity import Curve

GRID_DIGITS: Final = 9
"""Digits of a grid's voltages that are kept: 402 times 0.01 V is 4.02 V and not 4.0200000000000005."""

CURVES: Final = pa.schema(
    [
        ("cell_id", pa.string()),
        ("test_id", pa.string()),
        ("cycle_index", pa.int32()),
        ("cycle_number", pa.int32()),
        ("direction", pa.string()),
        ("voltage_v", pa.float64()),
        ("capacity_ah", pa.float64()),
        ("dqdv_ah_per_v", pa.float64()),
        ("dvdq_v_per_ah", pa.float64()),
        ("peak_voltage_v", pa.float64()),
        ("peak_height_ah_per_v", pa.float64()),
        ("peak_prominence_ah_per_v", pa.float64()),
    ]
)

FADES: Final = pa.schema(
    [
        ("cell_id", pa.string()),
        ("fade_ah_per_cycle", pa.float64()),
        ("recent_fade_ah_per_cycle", pa.float64()),
        ("knee_cycle", pa.float64()),
        ("knee_low_cycle", pa.float64()),
        ("knee_high_cycle", pa.float64()),
        ("knee_confidence", pa.float64()),
        ("knee_method", pa.string()),
        ("projected_eol_cycle", pa.float64()),
        ("projected_eol_low_cycle", pa.float64()),
        ("projected_eol_high_cycle", pa.float64()),
    ]
)

_CHARGE: Final = ("cell_id", "test_id", "cycle_index", "cycle_number", "direction")


def draw_curves(readings: pa.Table) -> pa.Table:
    """The incremental capacity of every charge and discharge among some readings.

    Args:
        readings: `cell_id, test_id, cycle_index, cycle_number, direction`, `voltage_v` in V and `counter_ah`, the
            counter of that direction in Ah; those of a charge stand together, in their order.

    Returns:
        A row a point of the grid (`CURVES`); a peak stands at the point that is nearest to it. A charge of which there
        is no curve has no rows.
    """
    curves = [CURVES.empty_table()]
    for charge in _groups(readings, ("cell_id", "cycle_number", "direction")):
        counter = charge.column("counter_ah").to_numpy()
        curve = incremental_capacity(charge.column("voltage_v").to_numpy(), counter - counter[0])
        if curve is not None:
            curves.append(_points({name: charge.column(name)[0].as_py() for name in _CHARGE}, curve))
    return pa.concat_tables(curves)


def judge_fades(cycles: pa.Table, end_of_life_share: float, recent_cycles: int, median_cycles: int) -> pa.Table:
    """Fade, knee and projected end of life of every cell among some complete cycles.

    Args:
        cycles: `cell_id`, `cycle_number`, `discharge_capacity_ah` in Ah and `soh`, the same as a share of the cell's
            basis; those of a cell stand together, cycle numbers rising.
        end_of_life_share: share of the basis (nominal, else initial capacity) at which a life ends.
        recent_cycles: complete cycles over which the recent fade is taken.
        median_cycles: complete cycles whose median decides that a life has ended, an odd number.

    Returns:
        A row a cell (`FADES`), in cycles and Ah by cycle; NULL what cannot be told.
    """
    found = []
    for cell in _groups(cycles, ("cell_id",)):
        number = cell.column("cycle_number").to_numpy().astype(np.float64)
        capacity = cell.column("discharge_capacity_ah").to_numpy()
        basis = capacity[0] / cell.column("soh").to_numpy()[0]
        knee = find_knee(number, capacity)
        projection = project(number, capacity, end_of_life_share * basis, median_cycles)
        found.append(
            {
                "cell_id": cell.column("cell_id")[0].as_py(),
                "fade_ah_per_cycle": fade_per_cycle(number, capacity),
                "recent_fade_ah_per_cycle": fade_per_cycle(number[-recent_cycles:], capacity[-recent_cycles:]),
                "knee_cycle": knee and knee.cycle,
                "knee_low_cycle": knee and knee.low,
                "knee_high_cycle": knee and knee.high,
                "knee_confidence": knee and knee.confidence,
                "knee_method": knee and METHOD,
                "projected_eol_cycle": projection and projection.cycle,
                "projected_eol_low_cycle": projection and projection.low,
                "projected_eol_high_cycle": projection and projection.high,
            }
        )
    return pa.Table.from_pylist(found, schema=FADES)


def _groups(table: pa.Table, names: tuple[str, ...]) -> Iterator[pa.Table]:
    """Cut a table where one of some columns changes."""
    if table.num_rows == 0:
        return
    codes = [table.column(name).combine_chunks().dictionary_encode().indices.to_numpy() for name in names]
    changes = np.logical_or.reduce([np.diff(code) != 0 for code in codes])
    start = np.concatenate(([0], np.flatnonzero(changes) + 1, [table.num_rows])).tolist()
    for first, last in itertools.pairwise(start):
        yield table.slice(first, last - first)


def _points(key: dict[str, object], curve: Curve) -> pa.Table:
    count = len(curve.voltage)
    at_peak = {name: np.full(count, np.nan) for name in ("voltage", "height", "prominence")}
    for peak in curve.peaks:
        nearest = int(np.argmin(np.abs(curve.voltage - peak.voltage)))
        for name, values in at_peak.items():
            values[nearest] = getattr(peak, name)
    columns: dict[str, object] = {name: [value] * count for name, value in key.items()} | {
        "voltage_v": np.round(curve.voltage, GRID_DIGITS),
        "capacity_ah": curve.capacity,
        "dqdv_ah_per_v": curve.dq_dv,
        "dvdq_v_per_ah": curve.dv_dq,
        "peak_voltage_v": at_peak["voltage"],
        "peak_height_ah_per_v": at_peak["height"],
        "peak_prominence_ah_per_v": at_peak["prominence"],
    }
    return pa.table([pa.array(columns[field.name], field.type, from_pandas=True) for field in CURVES], schema=CURVES)
