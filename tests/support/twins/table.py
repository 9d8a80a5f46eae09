"""The simulated cell as tables of no known format, each with the mapping file that says what its columns are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import openpyxl
from support.twins.cell import in_one, net, restarted

from producer.readers.mapped import READER as TABLE
from producer.readers.mapping_file import MappingFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from support.twins.cell import TwinCell

    from producer.readers.base import ReadOptions, Workbook
    from producer.readers.sample import FileSample

MAPPING: Final = """\
columns:
  Zeit: {quantity: test_time, unit: min}
  "I / mA": current
  Spannung: {quantity: voltage, unit: mV}
  Zyklus: cycle
  Schritt: step
  Q+: {quantity: charge_capacity, unit: mAh}
  Q-: {quantity: discharge_capacity, unit: mAh}
  Datum: date_time
  Temp: temperature
sign: discharge positive
counters: step
time: {dates: dmy, zone: Europe/Berlin}
"""
"""What `columns_of` writes."""


def columns_of(cell: TwinCell) -> dict[str, list[object]]:
    """Columns under German titles: min, mA, mV, mAh; discharge positive; counters of steps; d.m.y dates."""
    dates = [f"{one:%d.%m.%Y %H:%M:%S}" for one in cell.date_time.astype("datetime64[s]").tolist()]
    return {
        "Nr": cell.data_point.tolist(),
        "Zeit": (cell.test_time / 60).tolist(),
        "I / mA": (-1e3 * cell.current).tolist(),
        "Spannung": (1e3 * cell.voltage).tolist(),
        "Zyklus": cell.cycle.tolist(),
        "Schritt": cell.step.tolist(),
        "Q+": (1e3 * restarted(cell.charge_capacity, cell.step_run)).tolist(),
        "Q-": (1e3 * restarted(cell.discharge_capacity, cell.step_run)).tolist(),
        "Datum": dates,
        "Temp": cell.temperature.tolist(),
    }


def short_columns(cell: TwinCell, counter: str) -> dict[str, list[object]]:
    """Test time, an unsigned current with a state, voltage, and one counter for both directions: `net` or `both`."""
    one = (
        net(cell.charge_capacity, cell.discharge_capacity)
        if counter == "net"
        else in_one(cell.charge_capacity, cell.discharge_capacity, cell.direction)
    )
    return {
        "t": cell.test_time.tolist(),
        "i": np.abs(cell.current).tolist(),
        "u": cell.voltage.tolist(),
        "what": [{1: "L", -1: "E", 0: "P"}[int(way)] for way in cell.direction],
        "q": one.tolist(),
        "n": cell.cycle.tolist(),
    }


SHORT_MAPPING: Final = """\
columns: {{t: {{quantity: test_time, unit: s}}, i: current, u: voltage, what: state, q: capacity, n: cycle}}
sign: unsigned
states: {{charge: [L], discharge: [E], rest: P}}
counters: {counter}
"""


def write_text(
    path: Path, columns: Mapping[str, Sequence[object]], *, delimiter: str = ",", before: str = "", decimal: str = "."
) -> Path:
    """Write columns as text below some lines."""

    def shown(cell: object) -> str:
        return str(cell).replace(".", decimal) if isinstance(cell, float) else str(cell)

    rows = [delimiter.join(map(shown, row)) for row in zip(*columns.values(), strict=True)]
    rows.insert(0, delimiter.join(columns))
    path.write_text(before + "\n".join(rows) + "\n")
    return path


def write_workbook(
    path: Path, columns: Mapping[str, Sequence[object]], *, before: int = 0, sheet: str = "Daten"
) -> Path:
    """Write columns as the second sheet of a workbook, below some rows."""
    book = openpyxl.Workbook(write_only=True)
    book.create_sheet("Notizen").append(["nothing"])
    table = book.create_sheet(sheet)
    for number in range(before):
        table.append([f"line {number}"])
    table.append(list(columns))
    for row in zip(*columns.values(), strict=True):
        table.append(list(row))
    book.save(path)
    return path


@dataclass(frozen=True)
class WithMapping:
    """The reader of tables with a mapping at hand, for the conformance kit, which gives none."""

    name: str = "table"
    suffixes: tuple[str, ...] = ()

    def recognises(self, sample: FileSample) -> bool:
        """What the reader of tables says, but for the text that is written here, which the kit wants to be claimed."""
        return TABLE.recognises(sample) or sample.head.startswith(b"Nr,Zeit,")

    def read(self, path: Path, options: ReadOptions) -> Workbook:
        """Read by the mapping of this module."""
        return TABLE.read(path, replace(options, mapping=MappingFile("mapping.yaml", MAPPING)))


READER: Final = WithMapping()
