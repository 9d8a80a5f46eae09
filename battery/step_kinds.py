"""Which step of `battery_steps` each reading belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import numpy.typing as npt

    Numbers = npt.NDArray[np.int64]


def with_steps(readings: pa.Table, steps: pa.Table) -> pa.Table:
    """Readings with the number and the kind of their step.

    Args:
        readings: of one cell, n rows.
        steps: the rows of `battery_steps` of that cell.

    Returns:
        The same rows with `step_number` and `step_kind` as the mart has them; NULL for a reading of no step.
    """
    tests = pc.unique(steps["test_id"])
    firsts = _keys(steps["test_id"], steps["first_data_point"], tests)
    lasts = _keys(steps["test_id"], steps["last_data_point"], tests)
    order = np.argsort(firsts)
    keys = _keys(readings["test_id"], readings["data_point"], tests)
    places = np.searchsorted(firsts, keys, side="right", sorter=order) - 1
    rows = order[np.maximum(places, 0)] if len(order) else np.zeros(len(keys), np.int64)
    is_within = (places >= 0) & (keys >= 0) & (keys <= (lasts[rows] if len(order) else -1))
    at = pa.array(rows, mask=~is_within)
    return (
        readings.drop_columns([name for name in ("step_number",) if name in readings.column_names])
        .append_column("step_number", steps["step_number"].take(at))
        .append_column("step_kind", steps["kind"].take(at))
    )


def _keys(tests: pa.ChunkedArray, points: pa.ChunkedArray, known: pa.Array) -> Numbers:
    """One number by test and data point, ascending within a test; negative where the test is not among the known."""
    number = pc.fill_null(pc.index_in(tests, value_set=known), -1).to_numpy().astype(np.int64)
    keys: Numbers = np.where(number < 0, -1, (number << 40) + points.to_numpy())
    return keys
