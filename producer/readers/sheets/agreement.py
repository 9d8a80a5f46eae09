"""Whether a sheet's units agree with each other: energy over charge is a voltage, which the sheet has, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from producer.readers.sheets.cells import numbers_in
from producer.readers.units import SAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from producer.readers.sheets.header import Place
    from producer.readers.units import Unit

MOST: Final = 3.0
"""How many times the highest voltage the mean voltage of a charge may be said to be, and still pass for rounding."""

LEAST: Final = 1 / 300
"""What part of it, at least: a lithium electrode may be charged at 0.05 V and rest at 3 V."""

COUNTED: Final = ("current(a)", "charge_capacity(ah)", "discharge_capacity(ah)")
"""The columns of a sheet that have one prefix, as one setting of the software that wrote it gives it."""

CLOSE: Final = 0.05
"""By how much energies may differ from voltage times charge, as a share: voltages are sampled, energies are counted."""


def denied_prefix(columns: Mapping[str, pa.ChunkedArray], places: Mapping[str, Place]) -> Unit | None:
    """The prefix of current and capacities, such as the m of mA, that voltages and energies deny; None where none is.

    Both stand in plain units. Where the energies are as many times voltage times charge as the prefix makes smaller,
    the numbers are right, and the prefix is not.

    Args:
        columns: those of the contract, in its units.
        places: where they stand in the sheet, and in which unit.
    """
    units = {places[name].unit for name in COUNTED if name in places}
    plain = ("voltage(v)", "charge_energy(wh)", "discharge_energy(wh)")
    if len(units) != 1 or any(name not in places or places[name].unit not in {None, SAME} for name in plain):
        return None
    (unit,) = units
    if unit is None or unit.divided_by == 1.0 or any(columns[name].null_count for name in (*COUNTED, *plain)):
        return None
    voltage = numbers_in(columns["voltage(v)"])[1:]
    expected = measured = 0.0
    for way in ("charge", "discharge"):
        expected += float(voltage @ np.diff(numbers_in(columns[f"{way}_capacity(ah)"])).clip(0))
        measured += float(np.diff(numbers_in(columns[f"{way}_energy(wh)"])).clip(0).sum())
    return unit if expected > 0 and abs(measured / expected / unit.divided_by - 1) <= CLOSE else None


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
