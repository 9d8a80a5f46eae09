"""How many decimals a capacity is shown with, so that coin cells keep as many digits as large cells."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SMALL_AH: Final = 0.1
"""Cells with a smaller capacity, Ah, are shown with more decimals."""

DECIMALS: Final = 4
"""Decimals of capacities in Ah, for cells that are not small."""

AH_COLUMN: Final = "%.5g"
"""The format of a column of capacities in Ah of many cells, large and small."""


def decimals(capacity_ah: float | None) -> int:
    """Decimals of the capacities of a cell: four, or as many as give a small cell four significant digits."""
    if capacity_ah is None or not 0 < capacity_ah < SMALL_AH:
        return DECIMALS
    return DECIMALS - 1 - math.floor(math.log10(capacity_ah))


def decimals_of(cell: Mapping[str, Any]) -> int:
    """Decimals of the capacities of a cell, by its row of `battery_cells`."""
    return decimals(cell["nominal_capacity_ah"] or cell["initial_capacity_ah"])
