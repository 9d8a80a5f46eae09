"""The simulated cell as Maccor exports it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from support.twins.cell import restarted

if TYPE_CHECKING:
    from pathlib import Path

    from support.twins.cell import Floats, TwinCell

NO_SENSOR: Final = "-2501.71411"


def write_maccor(
    path: Path,
    cell: TwinCell,
    *,
    signed: bool = False,
    times: str = "d",
    sensor: bool = True,
    thousands: bool = False,
    header_first: bool = False,
    am_pm: bool = False,
) -> Path:
    """Write a text export; times are `d` (days and h:m:s), `Sec`, `Min`, `Hr` or `plain` (minutes, not named)."""
    titles, cells = ["Rec#", "Cyc#", "Step"], [cell.data_point, cell.cycle - 1, cell.step]
    texts = [[f"{number:,d}" if thousands else str(number) for number in column] for column in cells]
    for name, values in (("Test", cell.test_time), ("Step", cell.step_time)):
        title, column = _times(name, values, times)
        titles.append(title)
        texts.append([f"{float(one):,.4f}" for one in column] if thousands and times != "d" else column)
    charge = restarted(cell.charge_capacity, cell.step_run) + restarted(cell.discharge_capacity, cell.step_run)
    energy = restarted(cell.charge_energy, cell.step_run) + restarted(cell.discharge_energy, cell.step_run)
    current = cell.current if signed else np.abs(cell.current)
    for title, values in (("Amp-hr", charge), ("Watt-hr", energy), ("Amps", current), ("Volts", cell.voltage)):
        titles.append(title)
        texts.append([f"{one:.10f}" for one in values])
    titles += ["State", "ES", "DPt Time", "ACImp/Ohms", "DCIR/Ohms"]
    clock = "%m/%d/%Y %I:%M:%S %p" if am_pm else "%m/%d/%Y %H:%M:%S"
    texts += [
        ["RCD"[way] for way in cell.direction],
        ["1"] * len(cell),
        [stamp.strftime(clock) for stamp in cell.date_time.astype("datetime64[s]").tolist()],
        ["0.00000"] * len(cell),
        ["0.00000" if way == 0 else "0.03125" for way in cell.direction],
    ]
    titles += ["Aux #1", " Units", "Aux #2", " Units"]
    texts += [[NO_SENSOR] * len(cell), [" C  "] * len(cell)]
    texts += [[f"{one:.5f}" if sensor else NO_SENSOR for one in cell.temperature], [" C  "] * len(cell)]
    rows = ["\t".join(row) for row in zip(*texts, strict=True)]
    head = (
        [] if header_first else ["Today's Date 03/20/2024  Date of Test:\t03/14/2024\t Filename:\tC:\\data\\lab\\A.022"]
    )
    path.write_text("\r\n".join([*head, "\t".join(titles), *rows, ""]), encoding="latin-1", newline="")
    return path


def _times(name: str, seconds: Floats, unit: str) -> tuple[str, list[str]]:
    if unit == "d":
        return f"{name}Time", [
            f"  {int(one // 86400)}d {int(one % 86400 // 3600):02d}:{int(one % 3600 // 60):02d}:{one % 60:g}"
            for one in seconds
        ]
    scale = {"Sec": 1.0, "Min": 60.0, "Hr": 3600.0, "plain": 60.0}[unit]
    title = f"{name}Time" if unit == "plain" else f"{name} ({unit})"
    return title, [repr(float(one) / scale) for one in seconds]
