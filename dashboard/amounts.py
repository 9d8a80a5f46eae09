"""How a capacity is written, so that a coin cell's keeps its digits as that of a large cell does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SMALL_AH: Final = 0.1
"""A cell with less needs more decimals."""

DECIMALS: Final = 4
"""Of capacities in Ah, for cells that are not small."""

AH_COLUMN: Final = "%.5g"
"""The format of a column of capacities in Ah of many cells, large and small."""


def decimals(capacity_ah: float | None) -> int:
    """Decimals with which capacities of a cell of so many Ah are written: four, or four significant digits."""
    if capacity_ah is None or not 0 < capacity_ah < SMALL_AH:
        return DECIMALS
    return DECIMALS - 1 - math.floor(math.log10(capacity_ah))


def decimals_of(cell: Mapping[str, Any]) -> int:
    """The same by a row of `battery_cells`."""
    return decimals(cell["nominal_capacity_ah"] or cell["initial_capacity_ah"])
