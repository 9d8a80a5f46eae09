"""Simulated cells as PEC's software exports them: a preamble, then one table of all cells of a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from support.twins.cell import restarted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from support.twins.cell import TwinCell

PREAMBLE: Final = (
    "Test:,187",
    "TestRegime Name:,formation and cycles",
    "Start Time:,03/14/2024 09:30:15",
    "User:,J. Doe",
    "#RESULTS CHECK",
    "Voltage,Ok,3,4,5",
    "#END RESULTS CHECK",
)
TITLES: Final = (
    "Test", "Cell", "Rack", "Shelf", "Position", "Cell ID", "Step", "Cycle", "Total Time (Seconds)",
    "Load On Time (Seconds)", "Step Time (Seconds)", "Real Time", "Position Start Time", "Voltage (mV)",
    "Current (mA)", "Charge Capacity (mAh)", "Discharge Capacity (mAh)", "Charge Capacity (mWh)",
    "Discharge Capacity (mWh)", "ReasonCode", "Internal Resistance 1 (mOhm)", "Ambient temperature (ÃÂ°C)",
    "Cell surface temperature (ÃÂ°C)",
)  # fmt: skip


@dataclass(frozen=True)
class Placed:
    """A cell in a place of the cycler."""

    cell: TwinCell
    test: str = "187"
    rack: str = "SBT0550"
    shelf: str = "001"
    position: str = "1"
    cell_id: str = ""


def lines_of(placed: Placed, *, unsigned: bool = False) -> list[str]:
    """The rows of a cell, below `TITLES`."""
    cell = placed.cell
    per_cycle = [
        1e3 * restarted(counter, cell.cycle)
        for counter in (cell.charge_capacity, cell.discharge_capacity, cell.charge_energy, cell.discharge_energy)
    ]
    current = 1e3 * (np.abs(cell.current) if unsigned else cell.current)
    lines = []
    for at in range(len(cell)):
        clock = f"{cell.date_time[at].item():%m/%d/%Y %H:%M:%S}"
        cells = [
            placed.test, "1", placed.rack, placed.shelf, placed.position, placed.cell_id, str(cell.step_run[at]),
            str(cell.cycle[at] - 1), f"{cell.test_time[at]:.3f}", f"{cell.test_time[at]:.3f}",
            f"{cell.step_time[at]:.3f}", clock, "03/14/2024 09:30:15", f"{1e3 * cell.voltage[at]:.4f}",
            f"{current[at]:.1f}", *(f"{counter[at]:.3f}" for counter in per_cycle), "2", "0", "19.5",
            f"{cell.temperature[at]:.2f}",
        ]  # fmt: skip
        lines.append(",".join(cells))
    return lines


def write_text(
    path: Path,
    lines: Sequence[str],
    *,
    titles: Sequence[str] = TITLES,
    preamble: Sequence[str] = PREAMBLE,
) -> Path:
    """Write rows below the preamble and the titles."""
    path.write_text("\n".join([*preamble, ",".join(titles), *lines]) + "\n", encoding="utf-8")
    return path
