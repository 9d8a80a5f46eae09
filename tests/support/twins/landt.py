"""The simulated cell as LANDT's software exports it: a workbook with sheets of cycles and records, or a text."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
import openpyxl
from support.twins.cell import in_one

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from support.twins.cell import TwinCell

HEADER: Final = (
    "Record", "TestTime/Sec", "StepTime/Sec", "Current/mA", "Capacity/mAh", "SpeCap/mAh/g", "SOC|DOD/%", "Voltage/V",
    "Energy/mWh", "SpeEnergy/Wh/kg", "AuxTemp/dC.", "AuxVolt/V", "SysTime", "", "Cycle-Index", "Step-Index",
    "Step-State",
)  # fmt: skip
_STATES: Final = ("R", "C_CC", "C_CV", "R", "D_CC", "R", "RateD", "R", "CPD")
"""What each of the cell's steps is called; a rate is a constant current."""


def records(cell: TwinCell, *, with_temperature: bool = True) -> list[list[object]]:
    """The rows of the records, below `HEADER`; times are in s."""
    direction = cell.direction
    capacity = np.round(1e3 * in_one(cell.charge_capacity, cell.discharge_capacity, direction), 5)
    energy = np.round(1e3 * in_one(cell.charge_energy, cell.discharge_energy, direction), 5)
    return [
        [
            int(cell.data_point[at]),
            float(cell.test_time[at]),
            float(cell.step_time[at]),
            float(np.round(1e3 * cell.current[at], 2)),
            float(capacity[at]),
            float(np.round(capacity[at] / 0.81, 3)),
            0.0,
            float(cell.voltage[at]),
            float(energy[at]),
            0.0,
            float(cell.temperature[at]) if with_temperature else "-",
            "-",
            cell.date_time[at].astype("datetime64[us]").item(),
            "",
            int(cell.cycle[at]),
            int(cell.step_run[at]),
            _STATES[cell.step[at] - 1],
        ]
        for at in range(len(cell))
    ]


def as_shown(seconds: float) -> object:
    """A duration as a sheet may hold it: a time of day within the first day, then a timedelta, then text."""
    duration = timedelta(seconds=seconds)
    if duration < timedelta(hours=16):
        return (np.datetime64(0, "s") + int(seconds)).item().time()
    if duration < timedelta(days=1):
        return duration
    hours, rest = divmod(int(seconds) % 86_400, 3600)
    return f"{duration.days}-{hours:02}:{rest // 60:02}:{rest % 60:02}"


def write_workbook(
    path: Path,
    rows: Sequence[Sequence[object]],
    *,
    header: Sequence[object] = HEADER,
    above: Sequence[Sequence[object]] = (),
    sheet: str = "Record-Tab",
    others: Sequence[str] = ("Cycle-Tab",),
    further: Sequence[Sequence[Sequence[object]]] = (),
) -> Path:
    """Write a workbook.

    Args:
        path: where to.
        rows: of the records.
        header: above them.
        above: rows before the header.
        sheet: what the sheet of records is called.
        others: sheets before it, with one row of a summary.
        further: rows of further sheets, which are named after that of records with a number.
    """
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name in others:
        summary = book.create_sheet(name)
        summary.append(["Cycle", "CapC/mAh", "CapD/mAh"])
        summary.append([1.0, 2.0, 3.0])
    for number, content in enumerate([[*above, header, *rows], *further]):
        written = book.create_sheet(f"{sheet}_{number}" if number else sheet)
        for row in content:
            written.append(list(row))
    book.save(path)
    return path


def with_times(rows: Sequence[Sequence[object]], shown: Callable[[float], object]) -> list[list[object]]:
    """Rows whose test and step times are shown as durations."""
    return [[row[0], *(shown(float(str(cell))) for cell in row[1:3]), *row[3:]] for row in rows]


def write_text(
    path: Path,
    rows: Sequence[Sequence[object]],
    *,
    header: Sequence[str] = HEADER,
    delimiter: str = ",",
) -> Path:
    """Write a text with the same records."""
    lines = [header, *([str(cell) for cell in row] for row in rows)]
    path.write_text("\n".join(delimiter.join(line) for line in lines) + "\n", encoding="utf-8")
    return path
