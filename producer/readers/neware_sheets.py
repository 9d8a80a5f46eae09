"""Neware's workbooks: sheets of records, which channel each is of, and what else the workbook states.

BTS writes a sheet `Detail_u_c_n` for each channel and begins another where one is full; BTSDA writes a sheet `record`
beside sheets of what the test is about.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from producer.readers.base import BadWorkbookError
from producer.readers.neware_layers import read_layers, record_of_layers
from producer.readers.neware_meaning import mend
from producer.readers.neware_names import (
    NAMES,
    NEEDED,
    STATES,
    head_of_layers,
    mended,
    names_records,
    require_times,
    stated_quantity,
    untold,
)
from producer.readers.record import Record, record_of
from producer.readers.sheets.book import Sheet, read_cells
from producer.readers.sheets.channels import cell_of_channel
from producer.readers.tables.texts import HEAD_LINES, Text
from producer.readers.tables.titles import base_and_unit
from producer.readers.tables.workbooks import sheet_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from producer.readers.base import ReadOptions
    from producer.readers.sheets.parsed import ParsedSheets

_DETAIL: Final = re.compile(r"^\s*(?:detail|record)[_ ](\d+)[_-](\d+)[_-](\d+)", re.IGNORECASE)
_NO_RECORDS: Final = re.compile(r"^(cycle_|statis|step|log|curve|detail(vol|temp)|idle)", re.IGNORECASE)
_STATED: Final = re.compile(r"^(unit|test|info)", re.IGNORECASE)
_LABELS: Final[Mapping[str, tuple[str, str]]] = {
    "barcode": ("barcode", ""),
    "channel": ("channel", ""),
    "channelno": ("channel", ""),
    "pn": ("item", ""),
    "testname": ("test_name", ""),
    "processname": ("schedule", ""),
    "stepname": ("schedule", ""),
    "stepfile": ("schedule", ""),
    "devicetype": ("cycler", ""),
    "unittype": ("cycler", ""),
    "activematerial": ("mass_g", "mg"),
    "activemass": ("mass_g", "mg"),
    "nominalcapacity": ("nominal_capacity_ah", "mAh"),
}
"""Labels beside which a workbook states something: the key of the metadata, and the unit where the label has none."""


@dataclass
class Channel:
    """The records of one channel, whose name is empty where the workbook gives it none."""

    name: str
    record: Record
    last_point: int


def read_channels(sheets: ParsedSheets, options: ReadOptions) -> tuple[list[Channel], dict[str, str]]:
    """The channels of a workbook, in its order, and what it states of them.

    Raises:
        BadWorkbookError: it has no sheet of records, or a cell of one cannot be taken.
        UndatedWorkbookError: the order of its dates is open.
    """
    channels: list[Channel] = []
    stated: dict[str, str] = {}
    for name in sheets.names:
        if not _NO_RECORDS.match(name):
            _take_sheet(_sheet(sheets, name), channels, stated, options)  # its cells go before those of the next come
    if not channels:
        raise BadWorkbookError(
            options.name,
            f"has no sheet of Neware's records (Detail_… or record), only {', '.join(sheets.names)}; export "
            "the records",
        )
    return channels, stated


def _sheet(sheets: ParsedSheets, name: str) -> Sheet:
    sheet = read_cells(sheets, name)
    return replace(sheet, header=[mended(str(cell)) for cell in sheet.header])


def _take_sheet(sheet: Sheet, channels: list[Channel], stated: dict[str, str], options: ReadOptions) -> None:
    """Take what a sheet holds: records, or what the workbook states."""
    if names_records(sheet.header):
        _take(channels, sheet, options)
    elif (text := _layers_in(sheet, options.name)) is not None:
        record = record_of_layers(read_layers(text, 0), options)
        channels.append(Channel("", record, _points(record)[1]))
    elif _STATED.match(sheet.name):
        stated |= _stated_in(sheet)


def cells_of(channels: Sequence[Channel], cell_id: str, options: ReadOptions) -> list[str]:
    """The cell of each channel.

    Raises:
        BadWorkbookError: none of the channels that the user names is there.
    """
    named, several = options.channel_cells, len({channel.name for channel in channels}) > 1
    cells = [cell_of_channel(channel.name, cell_id, named, several=several) for channel in channels]
    if named and options.cell_id is None and not set(cells) & set(named.values()):
        wanted, present = " or ".join(named), ", ".join(channel.name for channel in channels) or "one without a name"
        raise BadWorkbookError(
            options.name,
            f"has no channel {wanted}, which --cell names, only {present}; name one of these, or the cell alone",
        )
    return cells


def _layers_in(sheet: Sheet, name: str) -> Text | None:
    """A sheet of cycles, steps and records in layers as the text that it would be; None where it is none."""
    rows = [_line(sheet.header), *(_line(sheet.row(index)) for index in range(min(2, sheet.row_count)))]
    if head_of_layers(rows) != 0:
        return None
    rows += [_line(sheet.row(index)) for index in range(2, sheet.row_count)]
    return Text(name, "\n".join(rows).encode(), tuple(rows[:HEAD_LINES]))


def _line(cells: Sequence[object]) -> str:
    return "\t".join(_written(cell) for cell in cells)


def _written(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return " ".join(str(cell).split())


def _take(channels: list[Channel], sheet: Sheet, options: ReadOptions) -> None:
    """Take the records of a sheet, for a channel of its own or for the one that they continue."""
    table, found = sheet_table(sheet, NAMES, options.name, needed=NEEDED)
    require_times(table, found)
    record = record_of(table, found, states=STATES, dates=options.dates, usual_dates="mdy")
    mend(record, untold(table.texts(found["state"].title)) if "state" in found else None)
    match = _DETAIL.match(sheet.name)
    name = "-".join(match.groups()) if match else ""
    first, last = _points(record)
    for channel in channels:
        same_unit = channel.name.rpartition("-")[0] == name.rpartition("-")[0]
        goes_on = first == channel.last_point + 1 or (channel.name == name and first > channel.last_point)
        if same_unit and goes_on and first > 1:
            channel.record, channel.last_point = joined(channel.record, record), last
            return
    channels.append(Channel(name, record, last))


def _points(record: Record) -> tuple[int, int]:
    if record.data_point is None:
        return 1, len(record)
    return int(record.data_point[0]), int(record.data_point[-1])


def joined(one: Record, two: Record) -> Record:
    """The records of two sheets, of which the second continues the first; what only one of them has is left out."""
    record = Record(np.concatenate((one.current, two.current)), np.concatenate((one.voltage, two.voltage)))
    for name in ("test_time", "step_time", "data_point", "step", "cycle", "direction"):
        first, second = getattr(one, name), getattr(two, name)
        if first is not None and second is not None:
            setattr(record, name, np.concatenate((first, second)))
    if one.date_time is not None and two.date_time is not None:
        record.date_time = pa.concat_arrays([one.date_time, two.date_time])
    record.counters = {
        name: np.concatenate((values, two.counters[name]))
        for name, values in one.counters.items()
        if name in two.counters
    }
    record.extra = {
        name: pa.concat_arrays([values, two.extra[name]]) for name, values in one.extra.items() if name in two.extra
    }
    record.assumed = list(dict.fromkeys([*one.assumed, *two.assumed]))
    return record


def _stated_in(sheet: Sheet) -> dict[str, str]:
    """What a sheet states: beside each label that is known, or below it."""
    rows = [list(sheet.header), *(list(sheet.row(index)) for index in range(sheet.row_count))]
    found: dict[str, str] = {}
    for number, row in enumerate(rows):
        for place, cell in enumerate(row):
            base, unit = base_and_unit(str(cell).strip().removesuffix(":"))
            if base not in _LABELS:
                continue
            key, usual = _LABELS[base]
            beside = next((str(other).strip() for other in row[place + 1 :] if str(other).strip()), "")
            if not beside or base_and_unit(beside.removesuffix(":"))[0] in _LABELS:
                beside = str(rows[number + 1][place]).strip() if number + 1 < len(rows) else ""
            value = stated_quantity(key, beside, unit or usual)
            if value:
                found.setdefault(key, value)
    return found
