"""The reader of PEC's text exports: .csv with a preamble, and one table of the cells of a test.

Currents, voltages and counters are in thousandths; energies are called capacities, and only their unit tells them.
Counters begin again with each cycle, of which the first is number 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from producer.readers.base import Workbook
from producer.readers.make import as_test
from producer.readers.names import cell_id_of
from producer.readers.record import record_of
from producer.readers.tables.parts import Part, cells_of, split
from producer.readers.tables.texts import Text, delimiter_of, read_table, titles_in
from producer.readers.tables.titles import WRITTEN, Column, base_and_unit

if TYPE_CHECKING:
    from pathlib import Path

    from producer.readers.base import ReadOptions, Test
    from producer.readers.record import Record
    from producer.readers.sample import FileSample
    from producer.readers.tables.table import Table
    from producer.readers.tables.titles import Names

NAMES: Final = {
    "step": ("step", ""),
    "cycle": ("cycle", ""),
    "totaltime": ("test_time", WRITTEN),
    "steptime": ("step_time", WRITTEN),
    "realtime": ("date_time", ""),
    "voltage": ("voltage", WRITTEN),
    "current": ("current", WRITTEN),
    "chargecapacity": ("charge_capacity", WRITTEN),
    "dischargecapacity": ("discharge_capacity", WRITTEN),
    **{f"chargecapacity/{unit}": ("charge_energy", WRITTEN) for unit in ("mwh", "wh", "uwh", "kwh")},
    **{f"dischargecapacity/{unit}": ("discharge_energy", WRITTEN) for unit in ("mwh", "wh", "uwh", "kwh")},
    "chargeenergy": ("charge_energy", WRITTEN),
    "dischargeenergy": ("discharge_energy", WRITTEN),
    "internalresistance1": ("internal_resistance", WRITTEN),
}
TEMPERATURES: Final = ("cellsurfacetemperature", "celltemperature", "ambienttemperature", "stationtemperature")
"""What temperatures are called, the nearest to the cell first."""

CELL: Final = "Cell ID"
PLACE: Final = ("Rack", "Shelf", "Position")
TEST: Final = ("Test", "Cell")
LABELS: Final = (*TEST, *PLACE, CELL)

_HEADER: Final = r'^"?Test"?[,;\t]"?Cell"?[,;\t]"?Rack"?[,;\t]"?Shelf"?[,;\t]"?Position\b'
_CHANNEL, _TEST = "the columns Rack, Shelf and Position", "the columns Test and Cell"
_SEAM: Final = "-"
_STATED: Final = {"testregimename": "schedule", "starttime": "started_at", "station": "cycler"}


@dataclass(frozen=True)
class PecReader:
    """Reads PEC's text exports; see `producer.readers.base.Reader`."""

    name: str = "pec"
    suffixes: tuple[str, ...] = ()

    def recognises(self, sample: FileSample) -> bool:
        """Tell whether a file is surely of this format: by the line with its titles, or what stands before it."""
        text = sample.text
        return text is not None and re.search(f"{_HEADER}|^#RESULTS CHECK", text, re.MULTILINE) is not None

    def read(self, path: Path, options: ReadOptions) -> Workbook:
        """Read every cell of a file.

        Raises:
            BadWorkbookError: it has no line with the titles, lacks a column, or a cell of it cannot be taken.
            UnreadableWorkbookError: its disk does not give it.
            UndatedWorkbookError: its dates may be in several orders.
        """
        text = Text.of(path, options.name)
        header = text.require(
            _HEADER, "has no line that begins with Test, Cell, Rack, Shelf, Position; export it with all columns"
        )
        table, found = read_table(
            text, header, _names(text, header), needed=("current", "voltage", "test_time"), also=LABELS
        )
        parts = _parts(table, found)
        stated = _stated(text.head[:header])
        tests = [
            _test(part, found, cell, options, stated)
            for part, cell in zip(parts, cells_of(parts, options), strict=True)
        ]
        tests.sort(key=lambda test: (test.started_at, test.cell_id))
        return Workbook(options.name, options.cell_id or cell_id_of(options.name), tuple(tests))


READER: Final = PecReader()


def _names(text: Text, header: int) -> Names:
    """The names of the columns, with that of the temperature nearest to the cell that has values."""
    delimiter = delimiter_of(text.head[header])
    bases = [base_and_unit(title)[0] for title in titles_in(text.head[header], delimiter)]
    rows = [line.split(delimiter) for line in text.head[header + 1 :]]
    there = [base for base in TEMPERATURES if base in bases]
    filled = [base for base in there if any("".join(row[bases.index(base) :][:1]).strip(' "') for row in rows)]
    return {**NAMES, **dict.fromkeys((filled or there)[:1], ("temperature", "C"))}


def _parts(table: Table, found: dict[str, Column]) -> list[Part]:
    """The rows of each cell, place and test, which most files have one of."""
    columns, labels = dict(table.columns), dict(found)
    present = [title for title in LABELS if title in columns]
    if all(pc.all(pc.equal(columns[title], columns[title][0])).as_py() for title in present):
        first = {title: columns[title][0].as_py().strip() for title in present}
        place, test = (_SEAM.join(first[one] for one in of if one in first) for of in (PLACE, TEST))
        return [Part(table, first.get(CELL, ""), place, test)]
    for quantity, title, of in (("channel", _CHANNEL, PLACE), ("test", _TEST, TEST)):
        texts = [table.texts(one) for one in of if one in columns]
        if texts:
            columns[title] = pa.chunked_array([pc.binary_join_element_wise(*texts, _SEAM)])
            labels[quantity] = Column(title, None)
    if CELL in columns and pc.all(pc.not_equal(table.texts(CELL), "")).as_py():
        labels["cell"] = Column(CELL, None)
    return split(replace(table, columns=columns), labels)


def _test(part: Part, found: dict[str, Column], cell: str, options: ReadOptions, stated: dict[str, str]) -> Test:
    record = record_of(part.table, found, dates=options.dates, usual_dates="mdy")
    _drop_zeros(record, "internal_resistance(ohm)")
    labels = {title: part.table.text(title, 0) for title in LABELS if title in part.table.columns}
    metadata = {
        **stated,
        "channel": part.channel,
        "test_name": labels.get("Test", ""),
        **{title.lower(): labels.get(title, "") for title in PLACE},
    }
    return as_test(record, cell, options.name, READER.name, metadata=metadata, channel=part.channel)


def _drop_zeros(record: Record, name: str) -> None:
    """Leave a column empty where it holds 0, which stands for readings without a measurement."""
    if name in record.extra:
        values = record.extra[name]
        record.extra[name] = pc.if_else(pc.equal(values, 0.0), pa.scalar(None, pa.float64()), values)


def _stated(preamble: tuple[str, ...]) -> dict[str, str]:
    """What lines such as `Start Time:,02/22/2019 16:23:26` state."""
    stated = {}
    for line in preamble:
        name, _, value = (cell.strip(' "') for cell in re.sub(r"[;\t]", ",", line).partition(","))
        key = _STATED.get(base_and_unit(name.rstrip(":"))[0])
        if key and value:
            stated[key] = value.rstrip(",").strip(' "')
    return stated
