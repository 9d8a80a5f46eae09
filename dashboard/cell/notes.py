"""What must be said beside a cell's figures lest they be misread: a basis that does not fit, a life that is too short.

The functions are pure, from rows of the marts to sentences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dashboard.words.amounts import capacity_amount, capacity_amount_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

HIGHEST_SOH: Final = 1.1
"""A state of health above this says more about its basis than about the cell."""

OTHER_RATE: Final = 1.25
"""Discharges whose currents differ by more than this factor are not comparable in capacity."""

FIRM_BASIS: Final = (
    "Its nominal capacity is a firm basis: tell it on the page Cells or by `battery cells set`, or write it into the "
    "file that `BATTERY_CELLS` names."
)


@dataclass(frozen=True)
class Note:
    """What must be said: the sentence, and the reasons and what to do about it."""

    sentence: str
    detail: str = ""


def notes_of(cell: Mapping[str, Any], cycles: pa.Table, steps: pa.Table, thresholds: Mapping[str, float]) -> list[Note]:
    """Why figures of the cell are missing, or are no measure of its ageing; nothing where all is in order.

    Args:
        cell: its row of `battery_cells`.
        cycles: its rows of `battery_cycles`, in the order of their numbers.
        steps: its rows of `battery_steps`.
        thresholds: those that the marts were built with, by name.
    """
    if not cell["complete_cycle_count"]:
        return [_too_short(cell)]
    notes = [_too_healthy(cell, cycles, thresholds), _other_rate(cell, cycles, steps, thresholds)]
    return [note for note in notes if note]


def _too_short(cell: Mapping[str, Any]) -> Note:
    count = cell["cycle_count"]
    so_far = {0: "There is no cycle yet", 1: "Its one cycle is not complete"}.get(
        count, f"None of its {count:,} cycles is complete"
    )
    return Note(
        f"{so_far}: state of health, fade and end of life come with the first complete one.",
        "A cycle is complete once it has been discharged to its end.",
    )


def _too_healthy(cell: Mapping[str, Any], cycles: pa.Table, thresholds: Mapping[str, float]) -> Note | None:
    """Why the state of health is above what a cell can have."""
    nominal = cell["nominal_capacity_ah"]
    basis = nominal or cell["initial_capacity_ah"]
    if not basis:
        return None
    share = _floats(cycles, "discharge_capacity_ah") / basis
    complete, reference = _flags(cycles, "is_complete"), _flags(cycles, "is_reference_test")
    high = complete & (share > HIGHEST_SOH)
    if not high.any():
        return None
    amount = capacity_amount_of(cell)
    reached = f"{100 * share[high].max():.0f} %"
    of = f"{amount.factor * basis:.4g} {amount.unit}"
    if nominal:
        return Note(
            f"Its cycles discharge up to {reached} of the nominal capacity, {of}: that is probably another cell's.",
            "The page Cells says where the nominal capacity is from: it was told there or by `battery cells set`, or "
            "stands in a file of cells, which `BATTERY_CELLS` names.",
        )
    first = f"{thresholds['initial_cycles']:.0f}"
    if reference[np.argmax(np.where(high, share, 0.0))]:
        said = (
            f"Reference tests reach {reached} of the initial capacity, {of}: discharged more slowly than the others, "
            "they are not comparable and do not count."
        )
    else:
        said = (
            f"Cycles reach {reached} of the initial capacity, {of}, which rose at first, or was measured at another "
            "current or to other limits: so the state of health is no measure of ageing here."
        )
    return Note(
        said,
        f"The initial capacity is the median of the first {first} complete cycles that are no reference tests. "
        f"{FIRM_BASIS}",
    )


def _other_rate(
    cell: Mapping[str, Any], cycles: pa.Table, steps: pa.Table, thresholds: Mapping[str, float]
) -> Note | None:
    """Why the state of health is no measure of ageing: the first cycles ran at another current than the last."""
    if cell["nominal_capacity_ah"]:
        return None
    current = discharge_currents(cycles, steps)
    rows = np.flatnonzero(_flags(cycles, "is_complete") & ~_flags(cycles, "is_reference_test") & np.isfinite(current))
    width = int(thresholds["initial_cycles"])
    if len(rows) <= width:
        return None
    first, last = (float(np.median(current[part])) for part in (rows[:width], rows[-width:]))
    if max(first, last) <= OTHER_RATE * min(first, last):
        return None
    amount = capacity_amount(max(first, last), "A")
    return Note(
        f"The first complete cycles were discharged with {amount.factor * first:.3g} {amount.unit}, the last with "
        f"{amount.factor * last:.3g} {amount.unit}: part of the change in the state of health is the other current, "
        "not ageing.",
        f"The initial capacity is that of the first complete cycles. {FIRM_BASIS}",
    )


def discharge_currents(cycles: pa.Table, steps: pa.Table) -> npt.NDArray[np.float64]:
    """The highest constant current that each cycle was discharged with in A; NaN where there is none."""
    discharges = steps.filter(pc.equal(steps["kind"], "cc_discharge"))
    of_cycle = discharges.group_by(["test_id", "cycle_index"]).aggregate([("current_median_a", "min")])
    keys = zip(
        *(of_cycle[name].to_pylist() for name in ("test_id", "cycle_index", "current_median_a_min")), strict=True
    )
    found = {(test, index): -current for test, index, current in keys if current is not None}
    named = zip(cycles["test_id"].to_pylist(), cycles["cycle_index"].to_pylist(), strict=True)
    return np.array([found.get(key, np.nan) for key in named], dtype=np.float64)


def _floats(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    return table.column(name).cast("float64").to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _flags(table: pa.Table, name: str) -> npt.NDArray[np.bool_]:
    return pc.fill_null(table.column(name), fill_value=False).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
