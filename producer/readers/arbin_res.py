"""The reader of Arbin's .res files, which are Access databases.

One file may hold several tests, and its readings stand in any order. `access.py` gets the tables.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from producer.readers.access import JET, open_database
from producer.readers.base import BadWorkbookError, Test, Workbook, repeated
from producer.readers.make import as_test
from producer.readers.meaning.counters import AS_READ
from producer.readers.names import cell_id_of
from producer.readers.record import record_of
from producer.readers.sheets.channels import cell_of_channel, run_together
from producer.readers.tables.table import Table
from producer.readers.tables.titles import columns_of
from producer.readers.trace import span_of

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from producer.readers.access import Columns
    from producer.readers.base import ReadOptions
    from producer.readers.sample import FileSample
    from producer.readers.tables.titles import Names

READINGS: Final = "Channel_Normal_Table"
TESTS: Final = "Global_Table"
SENSORS: Final = "Auxiliary_Table"
"""The tables that are read: readings, what is said of each test, and what sensors beside the channel measured."""

TEMPERATURE: Final = 1
"""The `Data_Type` of a sensor of temperature."""

NAMES: Final[Names] = {
    "datapoint": ("data_point", ""),
    "testtime": ("test_time", "s"),
    "steptime": ("step_time", "s"),
    "datetime": ("date_time", ""),
    "stepindex": ("step", ""),
    "cycleindex": ("cycle", ""),
    "isfcdata": ("is_fc_data", ""),
    "current": ("current", "A"),
    "voltage": ("voltage", "V"),
    "chargecapacity": ("charge_capacity", "Ah"),
    "dischargecapacity": ("discharge_capacity", "Ah"),
    "chargeenergy": ("charge_energy", "Wh"),
    "dischargeenergy": ("discharge_energy", "Wh"),
    "dvdt": ("dvdt", "V/s"),
    "internalresistance": ("internal_resistance", "Ohm"),
    "acimpedance": ("ac_impedance", "Ohm"),
    "aciphaseangle": ("aci_phase_angle", "Deg"),
}
_NEEDED: Final = ("Test_ID", "Data_Point", "Test_Time", "Current", "Voltage")
_SAID: Final = {
    "channel": "Channel_Index",
    "item": "Item_ID",
    "test_name": "Test_Name",
    "schedule": "Schedule_File_Name",
    "mass_g": "MASS",
    "nominal_capacity_ah": "Capacity",
    "cycler": "Serial_Number",
    "software": "Software_Version",
}
"""What `TESTS` says of a test, by the keys of the metadata; its Creator and Comments are persons' or may name some."""


@dataclass(frozen=True)
class ArbinResReader:
    """Reads Arbin's .res files, which are Access databases; see `producer.readers.base.Reader`."""

    name: str = "arbin-res"
    suffixes: tuple[str, ...] = (".res",)

    def recognises(self, sample: FileSample) -> bool:
        """Tell whether a file is an Access database, by its first bytes."""
        return sample.head[4:].startswith(JET)

    def read(self, path: Path, options: ReadOptions) -> Workbook:
        """Read all tests of a file, each sorted by Data_Point.

        Raises:
            BadWorkbookError: it is no Access database or none of Arbin's, is damaged, or a value cannot be taken; or
                what reads Access databases is not installed.
            UnreadableWorkbookError: its disk does not give it.
        """
        with open_database(path, options.name) as database:
            readings = database.table(READINGS)
            said = database.table(TESTS, is_text=True)
            sensors = database.table(SENSORS)
        if readings is None or not set(_NEEDED) <= readings.keys():
            raise BadWorkbookError(
                options.name, f"is an Access database without Arbin's {READINGS}; it holds no readings that are known"
            )
        if not len(readings["Test_ID"]):
            raise BadWorkbookError(options.name, "holds no readings", sheet=READINGS)
        for title in _NEEDED[:2]:
            if np.isnan(readings[title]).any():
                raise BadWorkbookError(
                    options.name, "a cell is empty; every reading needs it", sheet=READINGS, column=title
                )
        order = np.lexsort((readings["Data_Point"], readings["Test_ID"]))
        readings = {title: values[order] for title, values in readings.items()}
        ids, first = np.unique(readings["Test_ID"], return_index=True)
        tests = [
            self._test(options, int(test), part, said or {}, sensors or {})
            for test, part in zip(ids, _parts(readings, first), strict=True)
        ]
        cells = _cells(options, tests)
        tests = [_of_cell(test, cell, options) for test, cell in zip(tests, cells, strict=True)]
        tests.sort(key=lambda test: (test.started_at, test.cell_id))
        return Workbook(options.name, options.cell_id or cell_id_of(options.name), tuple(tests))

    def _test(self, options: ReadOptions, number: int, readings: Columns, said: Columns, sensors: Columns) -> Test:
        points = readings["Data_Point"]
        repeats = np.flatnonzero(np.diff(points) == 0)
        if len(repeats):
            problem = f"test {number} has reading {points[repeats[0]]:.0f} twice; the file is damaged, copy it again"
            raise BadWorkbookError(options.name, problem, sheet=READINGS)
        found = columns_of(readings, NAMES)
        columns = {title: pa.chunked_array([pa.array(readings[title])]) for title in readings}
        table = Table(options.name, columns, READINGS, rows=points)
        record = record_of(table, found, dates=options.dates)
        record.counters_of = AS_READ  # as in workbooks, which other software of Arbin makes of this file
        record.extra |= _temperature(sensors, number, points)
        metadata = _said_of(said, number)
        cell_id = options.cell_id or cell_id_of(options.name)
        return as_test(
            record,
            cell_id,
            options.name,
            self.name,
            metadata=metadata,
            channel=metadata.get("channel", f"test {number}"),
        )


READER: Final = ArbinResReader()


def _parts(readings: Columns, first: npt.NDArray[np.intp]) -> list[Columns]:
    """The readings of each test, of those that are sorted by test."""
    ends = [*first[1:], len(readings["Test_ID"])]
    return [
        {title: values[start:end] for title, values in readings.items()} for start, end in zip(first, ends, strict=True)
    ]


def _temperature(sensors: Columns, test: int, points: npt.NDArray[np.int64]) -> dict[str, pa.Array]:
    """The temperature that the first sensor of a test measured at its readings, null at those without; or nothing."""
    if not {"Test_ID", "Data_Point", "Auxiliary_Index", "Data_Type", "X"} <= sensors.keys():
        return {}
    chosen = (sensors["Test_ID"] == test) & (sensors["Data_Type"] == TEMPERATURE)
    if not chosen.any():
        return {}
    chosen &= sensors["Auxiliary_Index"] == sensors["Auxiliary_Index"][chosen].min()
    place = np.searchsorted(points, sensors["Data_Point"][chosen]).clip(max=len(points) - 1)
    known = points[place] == sensors["Data_Point"][chosen]
    values = np.full(len(points), np.nan)
    values[place[known]] = sensors["X"][chosen][known]
    return {"temperature(c)": pa.array(values, pa.float64(), mask=np.isnan(values))}


def _said_of(said: Columns, test: int) -> dict[str, str]:
    """What the file says of a test; zeros stand where nobody has given a mass or a capacity."""
    rows = [row for row, number in enumerate(said.get("Test_ID", [])) if str(number) == str(test)]
    if not rows:
        return {}
    values = {key: str(said[title][rows[0]] or "") for key, title in _SAID.items() if title in said}
    for key in ("mass_g", "nominal_capacity_ah"):
        if values.get(key, "") in {"", "0.0", "0"}:
            values.pop(key, None)
    if values.get("cycler"):
        values["cycler"] = f"Arbin {values['cycler']}"
    if "schedule" in values:  # in a folder that is named after a person
        values["schedule"] = PureWindowsPath(values["schedule"]).name
    return {key: value for key, value in values.items() if value}


def _cells(options: ReadOptions, tests: list[Test]) -> list[str]:
    """The cell of each test: that of its channel where channels ran at the same time, or where the user names it."""
    cell_id, channels = options.cell_id or cell_id_of(options.name), [test.channel for test in tests]
    several = run_together(channels, [span_of(test.readings) for test in tests])
    cells = [cell_of_channel(channel, cell_id, options.channel_cells, several=several) for channel in channels]
    named = options.channel_cells
    if named and options.cell_id is None and not set(cells) & set(named.values()):
        wanted, present = " or ".join(named), ", ".join(dict.fromkeys(channels))
        raise BadWorkbookError(
            options.name,
            f"has no channel {wanted}, which --cell names, only {present}; name one of these, or the cell alone",
        )
    return cells


def _of_cell(test: Test, cell_id: str, options: ReadOptions) -> Test:
    """A test as one of a cell."""
    channel = "" if cell_id in options.channel_cells.values() else test.channel
    if cell_id == test.cell_id:
        return replace(test, channel=channel)
    at = test.readings.schema.get_field_index("cell_id")
    cells = repeated(cell_id, test.readings.num_rows)
    readings = test.readings.set_column(at, test.readings.schema.field(at), cells)
    return replace(test, cell_id=cell_id, channel=channel, readings=readings)
