"""The simulated cell as Neware's software exports it: flat and layered texts, and workbooks of BTS and of BTSDA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import openpyxl
import xlwt
from support.twins.cell import restarted, twin_cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    from support.twins.cell import TwinCell

    Floats = npt.NDArray[np.float64]

TYPES: Final = (
    "Rest", "CC Chg", "CV Chg", "Rest", "CC DChg", "Rest", "CC DChg", "Rest", "CC DChg",
)  # fmt: skip
"""The type of each step of a cycle, in the words of BTSDA."""


def flat(path: Path, cell: TwinCell | None = None, *, mark: str = ",", types: Sequence[str] = TYPES) -> Path:
    """A flat text of BTSDA: counters of the step, times as h:m:s that go beyond a day."""
    cell = twin_cell() if cell is None else cell
    charge, discharge, charge_energy, discharge_energy = of_steps(cell)
    titles = [
        "DataPoint", "Cycle Index", "Step Index", "Step Type", "Time", "Total Time", "Current(A)", "Voltage(V)",
        "Capacity(Ah)", "Chg. Cap.(Ah)", "DChg. Cap.(Ah)", "Energy(Wh)", "Chg. Energy(Wh)", "DChg. Energy(Wh)", "Date",
        "Power(W)", "T1(?)",
    ]  # fmt: skip
    lines = [mark.join(titles)]
    for at in range(len(cell)):
        cells = [
            cell.data_point[at], cell.cycle[at], cell.step[at], types[cell.step[at] - 1], hms(cell.step_time[at]),
            hms(cell.test_time[at]), f"{cell.current[at]:.4f}", f"{cell.voltage[at]:.4f}",
            f"{charge[at] + discharge[at]:.9f}", f"{charge[at]:.9f}", f"{discharge[at]:.9f}",
            f"{charge_energy[at] + discharge_energy[at]:.9f}", f"{charge_energy[at]:.9f}",
            f"{discharge_energy[at]:.9f}", stamp(cell, at), f"{cell.current[at] * cell.voltage[at]:.5f}",
            f"{cell.temperature[at]:.2f}",
        ]  # fmt: skip
        lines.append(mark.join(map(str, cells)))
    path.write_text("\n".join(lines) + "\n")
    return path


def layered(path: Path, cell: TwinCell | None = None, *, mark: str = ",") -> Path:
    """A text in layers: the first step of a cycle stands on the line of the cycle; one Capacity for both directions."""
    cell = twin_cell() if cell is None else cell
    charge, discharge, charge_energy, discharge_energy = of_steps(cell)
    lines = [
        "Cycle Index,Chg. Cap.(Ah),DChg. Cap.(Ah),Chg. Time",
        ",Step Index,Step Number,Step Type,Step Time,Capacity(mAh)",
        ",,DataPoint,Time,Total Time,Current(mA),Voltage(V),Capacity(mAh),Energy(mWh),Date,T1(?)",
    ]
    run = cell.step_run
    for at in range(len(cell)):
        if not at or run[at] != run[at - 1]:
            head = "" if at and cell.cycle[at] == cell.cycle[at - 1] else f"{cell.cycle[at]},0,0,00:00:00"
            lines.append(f"{head},{cell.step[at]},{run[at]},{TYPES[cell.step[at] - 1]},00:00:20,0")
        cells = [
            "", "", cell.data_point[at], hms(cell.step_time[at]), hms(cell.test_time[at]),
            f"{1e3 * cell.current[at]:.1f}", f"{cell.voltage[at]:.4f}", f"{1e3 * (charge + discharge)[at]:.6f}",
            f"{1e3 * (charge_energy + discharge_energy)[at]:.6f}", stamp(cell, at), f"{cell.temperature[at]:.2f}",
        ]  # fmt: skip
        lines.append(",".join(map(str, cells)))
    path.write_text("\n".join(line.replace(",", mark) for line in lines) + "\n")
    return path


def details(path: Path, sheets: Mapping[str, tuple[int, int]], cell: TwinCell | None = None) -> Path:
    """A workbook of BTS: sheets by name, each with the readings from one index to another; times are of the step."""
    cell = twin_cell() if cell is None else cell
    charge, discharge, charge_energy, discharge_energy = of_steps(cell)
    header: list[Any] = [
        "Record Index", "Status", "JumpTo", "Cycle", "Step", "Cur(mA)", "Voltage(V)", "CapaCity(mAh)", "Energy(mWh)",
        "Relative Time(h:min:s.ms)", "Absolute Time",
    ]  # fmt: skip
    rows: list[list[Any]] = [
        [
            int(cell.data_point[at]), TYPES[cell.step[at] - 1].replace(" ", "_"), 1, int(cell.cycle[at]),
            int(cell.step[at]), 1e3 * cell.current[at], cell.voltage[at], 1e3 * (charge + discharge)[at],
            1e3 * (charge_energy + discharge_energy)[at], f"{hms(cell.step_time[at], 1)}.000",
            cell.date_time[at].astype(object),
        ]
        for at in range(len(cell))
    ]  # fmt: skip
    pages: dict[str, Sequence[Sequence[Any]]] = {"Cycle_1_1_1": [["Channel", "ToTal of Cycle"]]}
    for name, (first, last) in sheets.items():
        pages[name] = [header, *rows[first:last]]
    return workbook(path, pages)


def records(path: Path, cell: TwinCell | None = None) -> Path:
    """A workbook of BTSDA, .xlsx or .xls: a sheet of records beside what is stated of the test."""
    cell = twin_cell() if cell is None else cell
    charge, discharge, charge_energy, discharge_energy = of_steps(cell)
    header: list[Any] = [
        "DataPoint", "Cycle Index", "Step Index", "Step Type", "Time", "Total Time", "Current(A)", "Voltage(V)",
        "Chg. Cap.(Ah)", "DChg. Cap.(Ah)", "Chg. Energy(Wh)", "DChg. Energy(Wh)", "Date",
    ]  # fmt: skip
    rows: list[list[Any]] = [
        [
            int(cell.data_point[at]), int(cell.cycle[at]), int(cell.step[at]), TYPES[cell.step[at] - 1],
            hms(cell.step_time[at]), hms(cell.test_time[at]), float(cell.current[at]), float(cell.voltage[at]),
            float(charge[at]), float(discharge[at]), float(charge_energy[at]), float(discharge_energy[at]),
            stamp(cell, at),
        ]
        for at in range(len(cell))
    ]  # fmt: skip
    stated: list[list[Any]] = [
        ["Test information"],
        ["Start step ID", 1, "Barcode", "B-0017", "Creator", "A. Person"],
        ["Active material", "12.5mg", "Nominal capacity(mAh)", 1000, "Process name", "three cycles"],
    ]
    return workbook(path, {"unit": [["Unit"]], "test": stated, "record": [header, *rows]})


def workbook(path: Path, sheets: Mapping[str, Sequence[Sequence[Any]]]) -> Path:
    """Sheets of rows, as .xls or .xlsx by the path's ending."""
    if path.suffix == ".xls":
        old = xlwt.Workbook()
        for name, rows in sheets.items():
            page = old.add_sheet(name)
            for number, row in enumerate(rows):
                for column, value in enumerate(row):
                    page.write(number, column, value)
        old.save(str(path))
        return path
    book = openpyxl.Workbook(write_only=True)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    book.save(path)
    return path


def layered_sheet(path: Path, cell: TwinCell | None = None) -> Path:
    """A workbook whose sheet has the layers of a text."""
    lines = layered(path.with_suffix(".tmp"), cell).read_text().splitlines()
    path.with_suffix(".tmp").unlink()
    rows = [[float(one) if one.replace(".", "", 1).isdigit() else one for one in line.split(",")] for line in lines]
    return workbook(path, {"Sheet1": rows})


def of_steps(cell: TwinCell) -> tuple[Floats, Floats, Floats, Floats]:
    """Counters of charge Ah, discharge Ah, charge Wh and discharge Wh that begin again with each step."""
    run = cell.step_run
    return (
        restarted(cell.charge_capacity, run),
        restarted(cell.discharge_capacity, run),
        restarted(cell.charge_energy, run),
        restarted(cell.discharge_energy, run),
    )


def hms(seconds: float, digits: int = 2) -> str:
    """A duration as Neware writes it: hours are not folded into days."""
    whole = round(seconds)
    return f"{whole // 3600:0{digits}}:{whole // 60 % 60:02}:{whole % 60:02}"


def stamp(cell: TwinCell, at: int) -> str:
    """The wall clock of a reading."""
    return str(cell.date_time[at].astype("datetime64[s]")).replace("T", " ")
