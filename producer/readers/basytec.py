"""The reader of Basytec's text exports: lines that begin with ~, then columns between tabs, semicolons or blanks.

The start of the test is the only date of most exports. Texts are in Latin-1, or what became of it.
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
from producer.readers.record import CHARGE, DISCHARGE, REST, record_of
from producer.readers.tables.starts import DATED_BY_START, clock_since, start_of
from producer.readers.tables.texts import Text, delimiter_of, read_table, titles_in
from producer.readers.tables.titles import WRITTEN, Column, base_and_unit

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from producer.readers.base import ReadOptions
    from producer.readers.record import Record
    from producer.readers.sample import FileSample
    from producer.readers.tables.table import Table
    from producer.readers.tables.titles import Names

NAMES: Final = {
    "time": ("test_time", WRITTEN),
    "dataset": ("data_point", ""),
    "tstep": ("step_time", WRITTEN),
    "line": ("step", ""),
    "command": ("state", ""),
    "u": ("voltage", WRITTEN),
    "i": ("current", WRITTEN),
    "ahcyccharge": ("charge_capacity", "Ah"),
    "ahcyccharge0": ("charge_capacity", "Ah"),
    "ahcycdischarge": ("discharge_capacity", "Ah"),
    "ahcycdischarge0": ("discharge_capacity", "Ah"),
    "ah": ("capacity", "Ah"),
    "whcyccharge": ("charge_energy", "Wh"),
    "whcyccharge0": ("charge_energy", "Wh"),
    "whcycdischarge": ("discharge_energy", "Wh"),
    "whcycdischarge0": ("discharge_energy", "Wh"),
    "wh": ("energy", "Wh"),
    "cyccount": ("cycle", ""),
    "datetime": ("date_time", ""),
    "t1": ("temperature", "C"),
}
"""`Ah` and `Wh` are net; counters of cycles come before them."""

STATES: Final = {"charge": CHARGE, "discharge": DISCHARGE, "pause": REST}

_HEADER: Final = r"^~?Time\s*\[(s|sec|min|h|h+:m[^\]]*)\][\t; ]"
_DATE_BLANK: Final = re.compile(rb"(\d{4}|\.\d\d) (\d\d:\d\d)")
_BLANKS: Final = re.compile(rb"(?<=[^ \r\n]) +(?=[^ \r\n])| +(?=[\r\n])|(?<=\n) +")
_STATED: Final = {
    "name of test": "test_name",
    "testplan": "schedule",
    "testchannel": "channel",
    "battery": "battery",
    "start of test": "started_at",
}
"""What lines of the preamble state, by what stands before the colon; names of operators are none of it."""


@dataclass(frozen=True)
class BasytecReader:
    """Reads Basytec's text exports; see `producer.readers.base.Reader`."""

    name: str = "basytec"
    suffixes: tuple[str, ...] = ()

    def recognises(self, sample: FileSample) -> bool:
        """Tell whether a file is surely of this format: by its first line, or the line with its titles."""
        text = sample.text
        pattern = rf"\A~?(Resultfile from )?Basytec Battery|{_HEADER}.*\bDataSet\b"
        return text is not None and re.search(pattern, text, re.MULTILINE | re.IGNORECASE) is not None

    def read(self, path: Path, options: ReadOptions) -> Workbook:
        """Read a file whole.

        Raises:
            BadWorkbookError: it has no line with the titles, lacks a column, or a cell of it cannot be taken.
            UnreadableWorkbookError: its disk does not give it.
        """
        text = Text.of(path, options.name)
        header = text.require(
            _HEADER, "has no line with the titles of the columns, such as ~Time[s]; export it with them"
        )
        text = _with_tabs(text, header)
        table, found = read_table(
            text, header, _names(text.head[header]), needed=("current", "voltage", "test_time"), also=("Date", "Time")
        )
        table, found = _dated(table, found)
        record = record_of(table, found, states=STATES, dates=options.dates, usual_dates="dmy")
        record.net = True
        if record.date_time is None:
            _date_by_start(record, _start(text, header))
        cell = options.cell_id or cell_id_of(options.name)
        test = as_test(record, cell, options.name, self.name, metadata=_metadata(text.head[:header]))
        return Workbook(options.name, cell, (test,))


READER: Final = BasytecReader()


def _with_tabs(text: Text, header: int) -> Text:
    """The text with tabs between its columns, where blanks stand there; a date keeps its time of day."""
    line = text.head[header]
    if "\t" in line or ";" in line:
        return text
    start = sum(len(one.encode()) + 1 for one in text.head[:header])  # or less, where lines end with two bytes
    content = _DATE_BLANK.sub(rb"\1T\2", text.content[start:])
    content = _BLANKS.sub(b"\t", content)
    head = tuple("\t".join(one.split()) for one in text.head[header:])
    return replace(text, utf8=text.content[:start] + content, head=text.head[:header] + head)


def _names(header: str) -> Names:
    """The names of the columns, without those of a unit per mass, such as Wh[Wh/kg]."""
    split = [base_and_unit(title) for title in titles_in(header, delimiter_of(header))]
    per_mass = {base for base, unit in split if unit and "/" in unit}
    return {base: name for base, name in NAMES.items() if base not in per_mass}


def _dated(table: Table, found: dict[str, Column]) -> tuple[Table, dict[str, Column]]:
    """The table with one clock, where it has a column of dates and one of times of day."""
    if not {"Date", "Time"} <= table.columns.keys() or found["test_time"].title == "Time":
        return table, found
    clock = pc.binary_join_element_wise(table.texts("Date"), table.texts("Time"), " ")
    return replace(table, columns={**table.columns, "Date": pa.chunked_array([clock])}), {
        **found,
        "date_time": Column("Date", None),
    }


def _date_by_start(record: Record, start: datetime | None) -> None:
    if start is not None and record.test_time is not None:
        record.date_time = clock_since(start, record.test_time)
        record.assumed.append(DATED_BY_START)


def _start(text: Text, header: int) -> datetime | None:
    """When the test began, as the preamble states it.

    Raises:
        BadWorkbookError: what it states is no date.
    """
    for line, content in enumerate(text.head[:header]):
        name, _, value = content.lstrip("~").partition(":")
        if name.strip().casefold() == "start of test" and value.strip():
            start = start_of(value, "dmy")
            if start is None:
                raise text.error(f"{value.strip()!r} is no date such as 31.12.2024 23:59:59; fix it", line)
            return start
    return None


def _metadata(preamble: tuple[str, ...]) -> dict[str, str]:
    """What lines such as `~Battery: cell` state."""
    stated = {}
    for line in preamble:
        name, _, value = line.lstrip("~").partition(":")
        key = _STATED.get(name.strip().casefold())
        if key:
            stated[key] = value.strip()
    return stated
