"""Whether a sheet's units agree with each other: energy over charge is a voltage, which the sheet has, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from producer.cells import numbers_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

MOST: Final = 3.0
"""How many times the highest voltage the mean voltage of a charge may be said to be, and still pass for rounding."""

LEAST: Final = 1 / 300
"""What part of it, at least: a lithium electrode may be charged at 0.05 V and rest at 3 V."""


def unit_doubts(columns: Mapping[str, pa.ChunkedArray]) -> list[str]:
    """What in a sheet cannot be, whatever the cell, as lines for a person; a unit in its header may be wrong.

    Args:
        columns: those of the contract, in its units: V, Ah and Wh.
    """
    doubts = []
    for way in ("charge", "discharge"):
        names = ("voltage(v)", f"{way}_capacity(ah)", f"{way}_energy(wh)")
        if any(columns[name].null_count for name in names):
            continue
        voltage, charge, energy = (numbers_in(columns[name]) for name in names)
        gained_ah, gained_wh, highest = np.ptp(charge), np.ptp(energy), np.abs(voltage).max()
        if gained_ah > 0 and gained_wh > 0 and not LEAST * highest <= gained_wh / gained_ah <= MOST * highest:
            doubts.append(
                f"{gained_wh:.4g} Wh of {way} over {gained_ah:.4g} Ah would be {gained_wh / gained_ah:.4g} V, and the "
                f"voltage is {highest:.4g} V at most; a unit in the header may be wrong"
            )
    return doubts
