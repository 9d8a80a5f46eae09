"""What is drawn of a cell's cycles and over what: columns of `battery_cycles` with their words and units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow.compute as pc

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa


@dataclass(frozen=True)
class Axis:
    """What a life is drawn over: the column of `battery_cycles`, and the title with its unit."""

    column: str
    title: str


AXES: Final = {
    "cycle": Axis("cycle_number", "cycle number"),
    "efc": Axis("equivalent_full_cycles", "equivalent full cycles"),
    "date": Axis("started_at", "cycler's wall clock"),
}


@dataclass(frozen=True)
class Measure:
    """One figure a cycle: its column, its words, its unit, and what it is multiplied by to have that unit."""

    column: str
    words: str
    unit: str
    scale: float = 1.0

    @property
    def title(self) -> str:
        """The title of an axis."""
        return f"{self.words} ({self.unit})"


MEASURES: Final = {
    "capacity": Measure("discharge_capacity_ah", "discharge capacity", "Ah"),
    "soh": Measure("soh", "state of health", "%", 100.0),
    "ce": Measure("coulombic_efficiency", "coulombic efficiency", "%", 100.0),
    "ee": Measure("energy_efficiency", "energy efficiency", "%", 100.0),
    "resistance": Measure("internal_resistance_ohm", "internal resistance", "mΩ", 1000.0),
    "voltage": Measure("mean_discharge_voltage_v", "mean discharge voltage", "V"),
    "cc": Measure("cc_charge_time_s", "constant-current charge time", "min", 1 / 60),
    "cv": Measure("cv_charge_time_s", "constant-voltage charge time", "min", 1 / 60),
    "temperature": Measure("temperature_max_c", "highest temperature", "°C"),
}


def column(table: pa.Table, name: str) -> npt.NDArray[Any]:
    """A column as an array: floats with NaN for NULL, times as they are."""
    values = table.column(name)
    if values.type in {"timestamp[us]", "timestamp[ns]"}:
        return values.to_numpy()  # type: ignore[no-any-return]
    return values.cast("float64").to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def flags(table: pa.Table, name: str) -> npt.NDArray[np.bool_]:
    """A column of truth values as an array; what is unknown is false."""
    return pc.fill_null(table.column(name), fill_value=False).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def comparable(cycles: pa.Table) -> npt.NDArray[np.bool_]:
    """Complete cycles that are no reference tests: those that fade and end of life are told by."""
    chosen: npt.NDArray[np.bool_] = flags(cycles, "is_complete") & ~flags(cycles, "is_reference_test")
    return chosen


def cycles_of(cycles: pa.Table, cell: str) -> pa.Table:
    """The cycles of one cell in the order of their numbers."""
    return cycles.filter(pc.equal(cycles["cell_id"], cell)).sort_by("cycle_number")


def cycles_by_cell(cycles: pa.Table) -> dict[str, pa.Table]:
    """The cycles of each cell in the order of their numbers, all at once: one sort, and a slice for each."""
    ordered = cycles.sort_by([("cell_id", "ascending"), ("cycle_number", "ascending")]).combine_chunks()
    runs = pc.run_end_encode(ordered["cell_id"].combine_chunks()) if ordered.num_rows else None
    if runs is None:
        return {}
    ends = runs.run_ends.to_pylist()
    starts = [0, *ends[:-1]]
    return {
        cell: ordered.slice(start, end - start)
        for cell, start, end in zip(runs.values.to_pylist(), starts, ends, strict=True)
    }


def has_place(x: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where a position along x is known: cycles of files without dates have no time."""
    known: npt.NDArray[np.bool_] = ~np.isnat(x) if x.dtype.kind == "M" else np.isfinite(x)
    return known
