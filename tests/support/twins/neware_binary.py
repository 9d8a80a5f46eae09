"""The simulated cell as a Neware .ndax file of version 17: pages of 4096 bytes with a bit for each row that counts.

What is written is what fastnda reads of that version: voltage and current in `data.ndc`, times and counters of the step
in `data_runInfo.ndc`, and the steps in `data_step.ndc`. Numbers are float32, times ms.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Final

import numpy as np
from support.twins.cell import twin_cell
from support.twins.neware import of_steps

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt
    from support.twins.cell import TwinCell

PAGE, FIRST, MASK = 4096, 132, 4
VERSION: Final = 17
TYPES: Final = (4, 1, 3, 4, 2, 4, 2, 4, 16)
"""Neware's number of the type of each step of a cycle; the last is a pulse."""

_MAIN: Final = np.dtype([("voltage", "<f4"), ("current", "<f4")])
_RUN: Final = np.dtype(
    [
        ("step_time", "<u4"), ("_1", "V1"), ("charge", "<f4"), ("discharge", "<f4"), ("charge_energy", "<f4"),
        ("discharge_energy", "<f4"), ("_2", "V8"), ("dt", "<i4"), ("unix", "<u4"), ("step", "<u4"), ("index", "<u4"),
        ("ms", "<u2"), ("_3", "V53"),
    ]
)  # fmt: skip
_STEP: Final = np.dtype(
    [("cycle", "<u4"), ("step", "<u4"), ("_1", "V16"), ("type", "<u1"), ("_2", "V8"), ("index", "<u4"), ("_3", "V63")]
)
STATED: Final = (
    '<TestInfo DevID="24" UnitID="1" ChlID="3" Barcode="B-0017" Creator="A. Person" ProcessName="three cycles" '
    'StartTime="{start}"/>'
)
STEP: Final = (
    '<Head_Info><Creator Value="A. Person"/><MultCap Value="3600000"/><SCQ Is_Select="1" Value="12500"/></Head_Info>'
)


def ndax(
    path: Path, cell: TwinCell | None = None, *, hours: float = 0.0, states_start: bool = True, every: int = 1
) -> Path:
    """Write the cell.

    Args:
        path: where.
        cell: the cell, by default the twin.
        hours: how far local time is ahead of the clock of the file: 0 for software that counts local time.
        states_start: whether the file says when the test began.
        every: times and counters stand at the first and last reading of a step, and at one of so many; fastnda
            makes those between from the current and the time between two readings.
    """
    cell = twin_cell() if cell is None else cell
    charge, discharge, charge_energy, discharge_energy = of_steps(cell)
    main, run = np.zeros(len(cell), _MAIN), np.zeros(len(cell), _RUN)
    main["voltage"], main["current"] = cell.voltage, cell.current
    run["step_time"] = np.round(cell.step_time * 1000)
    run["charge"], run["discharge"] = charge, discharge
    run["charge_energy"], run["discharge_energy"] = charge_energy, discharge_energy
    run["unix"] = cell.date_time.astype("datetime64[s]").astype(np.int64) - round(hours * 3600)
    run["step"], run["index"] = cell.step_run, np.arange(1, len(cell) + 1)
    run["dt"] = np.round(np.diff(cell.test_time, prepend=0.0) * 1000)
    first = np.flatnonzero(np.diff(cell.step_run, prepend=0))
    kept = np.arange(len(cell)) % every == 0
    kept[first] = kept[first - 1] = True
    steps = np.zeros(len(first), _STEP)
    steps["cycle"], steps["step"] = cell.cycle[first] - 1, cell.step[first]
    steps["type"] = np.array(TYPES)[cell.step[first] - 1]
    start = str((cell.date_time[0] - np.timedelta64(2, "s")).astype("datetime64[s]")).replace("T", " ")
    stated = STATED.format(start=start if states_start else "")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Step.xml", f'<root><config type="Step File">{STEP}</config></root>')
        archive.writestr("TestInfo.xml", f'<root><config type="Test Info File">{stated}</config></root>')
        archive.writestr("data.ndc", _pages(main, 1))
        archive.writestr("data_runInfo.ndc", _pages(run[kept], 18))
        archive.writestr("data_step.ndc", _pages(steps, 7))
    return path


def _pages(rows: npt.NDArray[np.void], kind: int) -> bytes:
    """A page of the file's kind and version, then pages of rows."""
    size = rows.dtype.itemsize
    held = (PAGE - FIRST - 1) // size
    head = bytearray(PAGE)
    head[0], head[2] = kind, VERSION
    pages = [bytes(head)]
    for first in range(0, len(rows), held):
        some = rows[first : first + held]
        page = np.zeros(PAGE, np.uint8)
        bits = np.packbits(np.ones(len(some), np.uint8), bitorder="little")
        page[MASK : MASK + len(bits)] = bits
        content = np.frombuffer(some.tobytes(), np.uint8)
        page[FIRST : FIRST + len(content)] = content
        pages.append(page.tobytes())
    return b"".join(pages)
