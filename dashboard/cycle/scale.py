"""What the charge of a cycle is shown relative to, so that cells of any size can be laid on one another.

The charge in Ah, as a share of a capacity, by mass or by area.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dashboard.words.amounts import capacity_amount

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    Cell = Mapping[str, Any]

MEASURED, NOMINAL, INITIAL, OWN = "as measured", "% of nominal", "% of initial", "% of its own"
MASS, AREA = "mAh/g", "mAh/cm²"
"""The words that stand in the box and in the address."""

BASES: Final = (MEASURED, NOMINAL, INITIAL, OWN, MASS, AREA)

_OF: Final = {NOMINAL: "nominal capacity", INITIAL: "initial capacity", OWN: "the cycle's discharge capacity"}

MAH_PER_AH: Final = 1e3


@dataclass(frozen=True)
class ChargeScale:
    """How charge is shown: its unit alone, on an axis, by V and inverse, and what Ah are multiplied by.

    `factors` are by cell and cycle number, or by cell alone for all its cycles; `factor` is for the others.
    """

    unit: str
    axis: str
    per_volt: str
    volts_per: str
    factor: float = math.nan
    factors: Mapping[tuple[str, int] | str, float] | None = None

    def of(self, cell: str, number: int) -> float:
        """What the charge in Ah of a cycle is multiplied by; NaN where that is unknown."""
        factors = self.factors or {}
        return factors.get((cell, number), factors.get(cell, self.factor))


def plain_scale(largest_ah: float | None) -> ChargeScale:
    """The charge itself, in Ah or what suits its size."""
    amount = capacity_amount(largest_ah)
    unit = amount.unit
    return ChargeScale(unit, f"charge ({unit})", f"{unit}/V", f"V/{unit}", amount.factor)


def relative_scale(basis: str, cells: Sequence[Cell], cycles: Mapping[str, pa.Table]) -> ChargeScale:
    """The charge relative to one of `BASES` other than `MEASURED`.

    Args:
        basis: of those that `offered_bases` offers for the cells.
        cells: rows of `battery_cells`.
        cycles: rows of `battery_cycles` by cell, for `OWN`.
    """
    if basis == MASS:
        by_mass: dict[tuple[str, int] | str, float] = {
            cell["cell_id"]: MAH_PER_AH / mass for cell in cells if (mass := mass_g(cell)) is not None
        }
        return ChargeScale(MASS, "charge by mass (mAh/g)", "mAh/(g·V)", "V·g/mAh", factors=by_mass)
    if basis == AREA:
        by_area: dict[tuple[str, int] | str, float] = {
            cell["cell_id"]: MAH_PER_AH / cell["area_cm2"] for cell in cells if _is_positive(cell.get("area_cm2"))
        }
        return ChargeScale(AREA, "charge by area (mAh/cm²)", "mAh/(cm²·V)", "V·cm²/mAh", factors=by_area)
    shares: dict[tuple[str, int] | str, float] = {}
    for cell in cells:
        name = cell["cell_id"]
        if basis == OWN:
            of_cell = cycles[name]
            own = zip(of_cell["cycle_number"].to_pylist(), of_cell["discharge_capacity_ah"].to_pylist(), strict=True)
            shares |= {(name, number): 100 / capacity for number, capacity in own if capacity and capacity > 0}
        else:
            capacity = cell["nominal_capacity_ah" if basis == NOMINAL else "initial_capacity_ah"]
            shares |= {name: 100 / capacity} if capacity and capacity > 0 else {}
    return ChargeScale("%", f"charge (% of {_OF[basis]})", f"{basis}/V", f"V/{basis}", factors=shares)


def offered_bases(cells: Sequence[Cell]) -> tuple[list[str], list[str]]:
    """Which of `BASES` all of some cells can be shown by, and of the others a line each that says why not.

    Args:
        cells: rows of `battery_cells`.
    """
    unknown = {
        NOMINAL: ([cell["cell_id"] for cell in cells if not _is_positive(cell["nominal_capacity_ah"])],
                  "nominal capacity is known"),
        INITIAL: ([cell["cell_id"] for cell in cells if not _is_positive(cell["initial_capacity_ah"])],
                  "initial capacity is known, for want of complete cycles"),
        OWN: ([cell["cell_id"] for cell in cells if not cell["complete_cycle_count"]], "cycle is complete"),
        MASS: ([cell["cell_id"] for cell in cells if mass_g(cell) is None],
               "mass is told, or stated in a file"),
        AREA: ([cell["cell_id"] for cell in cells if not _is_positive(cell.get("area_cm2"))], "area is told"),
    }  # fmt: skip
    offered = [basis for basis in BASES if not unknown.get(basis, ([], ""))[0]]
    if len(unknown[AREA][0]) == len(cells):  # few labs tell areas: nobody misses them
        del unknown[AREA]
    refused = [f"{basis}: of {', '.join(names)} no {what}" for basis, (names, what) in unknown.items() if names]
    return offered, refused


def mass_g(cell: Cell) -> float | None:
    """The mass in g by which a cell is shown: what the lab has told, else what its files state; None without either."""
    told: float | None = cell.get("mass_g")
    return told if _is_positive(told) else stated_mass_g(cell)


def stated_mass_g(cell: Cell) -> float | None:
    """The active mass in g that the cell's files state; None where they state none, or no number above 0."""
    stated = cell.get("stated")
    try:
        mass = float(json.loads(stated)["mass_g"]) if stated else math.nan
    except (KeyError, TypeError, ValueError):
        return None
    return mass if math.isfinite(mass) and mass > 0 else None


def _is_positive(capacity: float | None) -> bool:
    return capacity is not None and bool(np.isfinite(capacity)) and capacity > 0
