"""In which unit, and with how many decimals, an amount is shown, so that cells of any size can be read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

UNKNOWN: Final = "-"
"""Shown where there is no value."""

DECIMALS: Final = 4
"""Decimals of capacities in Ah and kAh; with other prefixes there are as many as give five significant digits."""

AH_COLUMN: Final = "%.5g"
"""The format of a column of capacities in Ah of many cells, large and small."""

OHM_COLUMN: Final = "%.4g"
"""The format of a column of resistances in mΩ of many cells."""

_PREFIXES: Final = ((1e4, "k", 1e-3), (0.1, "", 1.0), (1e-4, "m", 1e3), (0.0, "µ", 1e6))
"""Prefixes of Ah and A by the least amount that they are for, each with what the amount is multiplied by."""

_OHM_PREFIXES: Final = ((1e3, "k", 1e-3), (10.0, "", 1.0), (1e-4, "m", 1e3), (0.0, "µ", 1e6))
"""The same of Ω: resistances of ordinary cells are in mΩ."""


@dataclass(frozen=True)
class Amount:
    """How amounts of one kind are shown: their unit, what to multiply them by to have it, and their decimals."""

    unit: str
    factor: float
    decimals: int

    def text(self, value: float | None, unknown: str = UNKNOWN) -> str:
        """An amount in the base unit (Ah, A, Ω) as a number in the unit that it is shown in."""
        return unknown if value is None else f"{self.factor * value:,.{self.decimals}f}"


def capacity_amount(capacity_ah: float | None, unit: str = "Ah") -> Amount:
    """How capacities of a cell of such a capacity, in Ah, are shown; or currents in A, where that is the unit."""
    size = _size(capacity_ah)
    prefix, factor = ("", 1.0) if size is None else _prefix(size, _PREFIXES)
    decimals = DECIMALS if size is None or factor <= 1 else max(0, DECIMALS - _exponent(size * factor))
    return Amount(f"{prefix}{unit}", factor, decimals)


def capacity_amount_of(cell: Mapping[str, Any]) -> Amount:
    """How capacities of a cell are shown, by its row of `battery_cells`."""
    return capacity_amount(cell["nominal_capacity_ah"] or cell["initial_capacity_ah"])


def resistance_amount(ohm: float | None) -> Amount:
    """How resistances of a cell of about such a resistance, in Ω, are shown: with three digits at least."""
    size = _size(ohm)
    prefix, factor = ("m", 1e3) if size is None else _prefix(size, _OHM_PREFIXES)
    decimals = 1 if size is None else max(1, 2 - _exponent(size * factor))
    return Amount(f"{prefix}Ω", factor, decimals)


def largest(*columns: npt.NDArray[np.float64]) -> float | None:
    """The largest magnitude among some columns; None where they have no value."""
    sizes = [float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) for values in columns]
    return max(sizes, default=0.0) or None


def _size(amount: float | None) -> float | None:
    return None if amount is None or not 0 < abs(amount) < math.inf else abs(amount)


def _prefix(size: float, prefixes: tuple[tuple[float, str, float], ...]) -> tuple[str, float]:
    return next((prefix, factor) for least, prefix, factor in prefixes if size >= least)


def _exponent(value: float) -> int:
    return math.floor(math.log10(value))
