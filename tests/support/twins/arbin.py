"""Files as Arbin's software and laboratories that publish its data write them, of the simulated cell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import openpyxl
from support.twins.access import BYTE, DOUBLE, LONG, SHORT, SINGLE, TEXT, AccessTable, write_access
from support.twins.cell import COUNTERS, restarted

from producer.readers.sheets.titles import HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from support.twins.cell import TwinCell

    from producer.readers.base import Test

    Columns = dict[str, Sequence[Any]]

DAY: Final = np.timedelta64(1, "D")


def followed(test: Test) -> Test:
    """A test whose counters count all of it, of one whose counters may begin again, as a fall tells."""
    readings = test.readings
    for name in (f"{name}({'ah' if name.endswith('capacity') else 'wh'})" for name in COUNTERS):
        counter = readings[name].to_numpy()
        gain = np.diff(counter, prepend=0.0)
        total = np.cumsum(np.where(gain < 0, counter, gain))
        readings = readings.set_column(readings.schema.get_field_index(name), readings.schema.field(name), [total])
    return replace(test, readings=readings)


def unix_seconds(cell: TwinCell) -> Sequence[float]:
    """The wall clock as seconds since 1970."""
    return list((cell.date_time.astype(np.int64) / 1e6).tolist())


def ticks(cell: TwinCell) -> Sequence[int]:
    """The wall clock as ticks of 1e-7 s since 1970, as Arbin's database has it."""
    return list((cell.date_time.astype(np.int64) * 10).tolist())


def days_since_1900(cell: TwinCell) -> Sequence[float]:
    """The wall clock as a spreadsheet counts it."""
    return list(((cell.date_time - np.datetime64("1899-12-30")) / DAY).tolist())


def days_since_0(cell: TwinCell) -> Sequence[float]:
    """The wall clock as MATLAB counts it."""
    return list(((cell.date_time - np.datetime64("1970-01-01")) / DAY + 719_529).tolist())


def american(cell: TwinCell) -> Sequence[str]:
    """The wall clock with the month first, to the millisecond."""
    return [f"{stamp:%m/%d/%Y %H:%M:%S}.000" for stamp in cell.date_time.tolist()]


def iso(cell: TwinCell) -> Sequence[str]:
    """The wall clock with the year first."""
    return [f"{stamp:%Y-%m-%d %H:%M:%S}" for stamp in cell.date_time.tolist()]


def mits7(cell: TwinCell) -> Columns:
    """Columns of MITS 7, whose counters begin again with each cycle."""
    counters = {name: restarted(getattr(cell, name), cell.cycle) for name in COUNTERS}
    return {
        "Data_Point": cell.data_point.tolist(),
        "Test_Time(s)": cell.test_time.tolist(),
        "Date_Time": american(cell),
        "Step_Time(s)": cell.step_time.tolist(),
        "Step_Index": cell.step.tolist(),
        "Cycle_Index": cell.cycle.tolist(),
        "Current(A)": cell.current.tolist(),
        "Voltage(V)": cell.voltage.tolist(),
        "Charge_Capacity(Ah)": counters["charge_capacity"].tolist(),
        "Discharge_Capacity(Ah)": counters["discharge_capacity"].tolist(),
        "Charge_Energy(Wh)": counters["charge_energy"].tolist(),
        "Discharge_Energy(Wh)": counters["discharge_energy"].tolist(),
        "dV/dt(V/s)": [0.0] * len(cell),
        "Internal_Resistance(Ohm)": [""] * len(cell),
        "Is_FC_Data": [0] * len(cell),
        "Temperature (C)_1": cell.temperature.tolist(),
    }


def mits10(cell: TwinCell) -> Columns:
    """Columns of MITS 10: blanks in titles, a tab before each date, and counters of the whole test."""
    return {
        "Data Point": cell.data_point.tolist(),
        "Date Time": [f"\t{text}" for text in american(cell)],
        "Test Time (s)": cell.test_time.tolist(),
        "Step Time (s)": cell.step_time.tolist(),
        "Cycle Index": cell.cycle.tolist(),
        "Step Index": cell.step.tolist(),
        "TC_Counter1": [0] * len(cell),
        "Current (A)": cell.current.tolist(),
        "Voltage (V)": cell.voltage.tolist(),
        "Charge Capacity (Ah)": cell.charge_capacity.tolist(),
        "Discharge Capacity (Ah)": cell.discharge_capacity.tolist(),
        "Charge Energy (Wh)": cell.charge_energy.tolist(),
        "Discharge Energy (Wh)": cell.discharge_energy.tolist(),
        "Capacity (Ah)": cell.charge_capacity.tolist(),
        "mAh/g": [0] * len(cell),
        "dV/dt (V/s)": [0.0] * len(cell),
        "Aux_Temperature_1 (C)": cell.temperature.tolist(),
        "Aux_dT/dt_1 (C/s)": [0] * len(cell),
    }


def without_units(cell: TwinCell, dates: Callable[[TwinCell], Sequence[Any]] = unix_seconds) -> Columns:
    """Columns as Stanford, MIT and Arbin's database have them; readings and cycles count from 0."""
    return {
        "Data_Point": (cell.data_point - 1).tolist(),
        "Test_Time": cell.test_time.tolist(),
        "DateTime": dates(cell),
        "Step_Time": cell.step_time.tolist(),
        "Step_Index": cell.step.astype(np.float64).tolist(),
        "Cycle_Index": (cell.cycle - 1.0).tolist(),
        "Current": cell.current.tolist(),
        "Voltage": cell.voltage.tolist(),
        "Charge_Capacity": cell.charge_capacity.tolist(),
        "Discharge_Capacity": cell.discharge_capacity.tolist(),
        "Charge_Energy": cell.charge_energy.tolist(),
        "Discharge_Energy": cell.discharge_energy.tolist(),
        "dV/dt": [0.0] * len(cell),
        "Internal_Resistance": [0.0] * len(cell),
        "Temperature": cell.temperature.tolist(),
    }


def battery_archive(cell: TwinCell) -> Columns:
    """Columns of Battery Archive, which has neither numbers of readings nor steps."""
    counters = {name: restarted(getattr(cell, name), cell.cycle) for name in COUNTERS}
    return {
        "Date_Time": iso(cell),
        "Test_Time (s)": cell.test_time.tolist(),
        "Cycle_Index": cell.cycle.astype(np.float64).tolist(),
        "Current (A)": cell.current.tolist(),
        "Voltage (V)": cell.voltage.tolist(),
        "Charge_Capacity (Ah)": counters["charge_capacity"].tolist(),
        "Discharge_Capacity (Ah)": counters["discharge_capacity"].tolist(),
        "Charge_Energy (Wh)": counters["charge_energy"].tolist(),
        "Discharge_Energy (Wh)": counters["discharge_energy"].tolist(),
        "Environment_Temperature (C)": [20.0] * len(cell),
        "Cell_Temperature (C)": cell.temperature.tolist(),
    }


def calce(cell: TwinCell) -> Columns:
    """Columns of CALCE's text files, without energies."""
    return {
        "Time_sec": cell.test_time.tolist(),
        "Date_Time": days_since_0(cell),
        "Step": cell.step.tolist(),
        "Cycle": cell.cycle.tolist(),
        "Current_Amp": cell.current.tolist(),
        "Voltage_Volt": cell.voltage.tolist(),
        "Charge_Ah": cell.charge_capacity.tolist(),
        "Discharge_Ah": cell.discharge_capacity.tolist(),
    }


def write_text(
    path: Path, columns: Columns, *, delimiter: str = ",", encoding: str = "utf-8", line_end: str = "\n"
) -> Path:
    """Write columns as text."""
    lines = [delimiter.join(columns), *(delimiter.join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_bytes((line_end.join(lines) + line_end).encode(encoding))
    return path


def write_book(path: Path, cell: TwinCell, sheet: str = "Channel_1-008") -> Path:
    """Write an .xlsx workbook with one channel, and a sheet Info that states whose it is."""
    columns = {**mits7(cell), "Date_Time": cell.date_time.tolist()}
    book = openpyxl.Workbook(write_only=True)
    info = book.create_sheet("Info")
    for row in (
        ["", "TEST REPORT"],
        ["", "Twin of a test"],
        ["Channel", "Start_DateTime", "Schedule_File_Name", "Creator", "Item_ID", "MASS (g)", "Capacity (Ah)"],
        ["1-008", cell.date_time[0].item(), "A. Person\\cycle.sdu", "A. Person", "B 7", 0.0, 1.1],
    ):
        info.append(row)
    channel = book.create_sheet(sheet)
    titles = [title for title in HEADER if title in columns]
    channel.append(titles)
    for values in zip(*(columns[title] for title in titles), strict=True):
        channel.append(values)
    book.save(path)
    return path


RES_READINGS: Final = (
    ("Test_ID", LONG), ("Data_Point", LONG), ("Test_Time", DOUBLE), ("Step_Time", DOUBLE), ("DateTime", DOUBLE),
    ("Step_Index", SHORT), ("Cycle_Index", SHORT), ("Is_FC_Data", BYTE), ("Current", SINGLE), ("Voltage", SINGLE),
    ("Charge_Capacity", DOUBLE), ("Discharge_Capacity", DOUBLE), ("Charge_Energy", DOUBLE),
    ("Discharge_Energy", DOUBLE), ("dV/dt", SINGLE), ("Internal_Resistance", SINGLE), ("AC_Impedance", SINGLE),
    ("ACI_Phase_Angle", SINGLE),
)  # fmt: skip
RES_TESTS: Final = (
    ("Test_ID", LONG), ("Test_Name", TEXT), ("Channel_Index", SHORT), ("Start_DateTime", DOUBLE), ("Creator", TEXT),
    ("Comments", TEXT), ("Schedule_File_Name", TEXT), ("Item_ID", TEXT), ("MASS", DOUBLE), ("Capacity", DOUBLE),
    ("Serial_Number", TEXT),
)  # fmt: skip
RES_SENSORS: Final = (
    ("Test_ID", LONG), ("Data_Point", LONG), ("Auxiliary_Index", SHORT), ("Data_Type", SHORT), ("X", SINGLE),
)  # fmt: skip


def res_rows(cell: TwinCell, test: int = 1, later_days: float = 0.0) -> list[list[Any]]:
    """The cell's readings as rows of Channel_Normal_Table; counters begin again with each cycle."""
    counters = [restarted(getattr(cell, name), cell.cycle).tolist() for name in COUNTERS]
    clock = [days + later_days for days in days_since_1900(cell)]
    zeros = [0.0] * len(cell)
    columns = (
        [test] * len(cell), cell.data_point.tolist(), cell.test_time.tolist(), cell.step_time.tolist(), clock,
        cell.step.tolist(), cell.cycle.tolist(), [0] * len(cell), cell.current.tolist(), cell.voltage.tolist(),
        *counters, zeros, zeros, zeros, zeros,
    )  # fmt: skip
    return [list(row) for row in zip(*columns, strict=True)]


def res_test(test: int = 1, channel: int = 12) -> list[Any]:
    """A row of Global_Table."""
    name, schedule = f"Twin of test {test}", "A. Person\\cycle.sdu"
    return [test, name, channel, 45_000.0, "A. Person", "", schedule, "B 7", 0.0, 1.1, "203439"]


def write_res(
    path: Path,
    readings: Sequence[Sequence[Any]],
    tests: Sequence[Sequence[Any]],
    sensors: Sequence[Sequence[Any]] = (),
    **more: Any,
) -> Path:
    """Write a .res file; `more` is what `write_access` may be told."""
    tables = [
        AccessTable("Global_Table", RES_TESTS, tests),
        AccessTable("Channel_Normal_Table", RES_READINGS, readings),
        AccessTable("Auxiliary_Table", RES_SENSORS, sensors),
    ]
    return write_access(path, tables, **more)
