"""The reader of Novonix's text exports: blocks [Summary] and [Protocol], then [Data] with a table.

Times are in hours. Capacity and energy are net: they rise with charge and fall with discharge.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from producer.readers.base import Workbook
from producer.readers.make import as_test
from producer.readers.meaning.counters import begins
from producer.readers.meaning.net import net_of_test
from producer.readers.names import cell_id_of
from producer.readers.record import record_of
from producer.readers.tables.starts import DATED_BY_START, clock_since, start_of
from producer.readers.tables.texts import Text, read_table
from producer.readers.tables.titles import WRITTEN

if TYPE_CHECKING:
    from pathlib import Path

    from producer.readers.base import ReadOptions
    from producer.readers.record import Record
    from producer.readers.sample import FileSample

NAMES: Final = {
    "dateandtime": ("date_time", ""),
    "cyclenumber": ("cycle", ""),
    "cycle": ("cycle", ""),
    "runtime": ("test_time", WRITTEN),
    "testtime": ("test_time", WRITTEN),
    "steptime": ("step_time", WRITTEN),
    "current": ("current", WRITTEN),
    "potential": ("voltage", WRITTEN),
    "voltage": ("voltage", WRITTEN),
    "capacity": ("capacity", WRITTEN),
    "energy": ("energy", WRITTEN),
    "temperature": ("temperature", "C"),
    "stepnumber": ("step", ""),
    "step": ("step", ""),
}

_BEGINS: Final = r"\A\s*\[Summary\]\s*\nNovonix\b|^\[Summary\](.*\n){0,60}?\[Data\]"
_DATA: Final = r"^\[Data\]"
_STATED: Final = {
    "channel": "channel",
    "cell": "cell",
    "cellid": "item",
    "serial number": "barcode",
    "description": "description",
    "protocol": "schedule",
    "mass (g)": "mass_g",
    "capacity (ah)": "nominal_capacity_ah",
    "area (cm2)": "area_cm2",
    "started": "started_at",
    "version": "version",
}
"""What lines of the summary state, by what stands before the colon."""

_RESTARTS: Final = {
    "step": "{} begins again with each step; it was added up over the test",
    "cycle": "{} begins again with each cycle; it was added up over the test",
}


@dataclass(frozen=True)
class NovonixReader:
    """Reads Novonix's text exports; see `producer.readers.base.Reader`."""

    name: str = "novonix"
    suffixes: tuple[str, ...] = ()

    def recognises(self, sample: FileSample) -> bool:
        """Tell whether a file is surely of this format: by the lines that begin its blocks."""
        text = sample.text
        return text is not None and re.search(_BEGINS, text, re.MULTILINE | re.IGNORECASE) is not None

    def read(self, path: Path, options: ReadOptions) -> Workbook:
        """Read a file whole.

        Raises:
            BadWorkbookError: it has no block [Data], lacks a column, or a cell of it cannot be taken.
            UnreadableWorkbookError: its disk does not give it.
            UndatedWorkbookError: its dates may be in several orders.
        """
        text = Text.of(path, options.name)
        data = text.find(_DATA)
        titles = (
            None
            if data is None
            else next((at for at in range(data + 1, len(text.head)) if text.head[at].strip()), None)
        )
        if data is None or titles is None:
            raise text.error("has no block [Data] with readings; export or copy it again", data)
        table, found = read_table(text, titles, NAMES, needed=("current", "voltage", "test_time"))
        record = record_of(table, found, dates=options.dates)
        metadata = _metadata(text.head[:data])
        _add_up(record)
        start = start_of(metadata.get("started_at", ""), "ymd")
        if record.date_time is None and record.test_time is not None and start is not None:
            record.date_time = clock_since(start, record.test_time)
            record.assumed.append(DATED_BY_START)
        cell = options.cell_id or cell_id_of(options.name)
        test = as_test(record, cell, options.name, self.name, metadata=metadata)
        return Workbook(options.name, cell, (test,))


READER: Final = NovonixReader()


def _add_up(record: Record) -> None:
    """Let net counters that begin again with steps or cycles count the whole test."""
    record.net, record.counters_of = True, "test"
    if record.test_time is None:
        return
    cycles = begins(record.cycle, len(record))
    steps = begins(record.step, len(record)) | cycles
    for name, rate in (("capacity", record.current), ("energy", record.current * record.voltage)):
        if name in record.counters:
            record.counters[name], kind = net_of_test(record.counters[name], rate, record.test_time, steps, cycles)
            record.assumed += [_RESTARTS[kind].format(name)] if kind in _RESTARTS else []


def _metadata(summary: tuple[str, ...]) -> dict[str, str]:
    """What lines such as `Mass (g): 1.000` state, up to the end of the summary."""
    stated = {}
    for line in summary:
        if line.strip() == "[End Summary]":
            break
        name, _, value = line.partition(":")
        key = _STATED.get(name.strip().casefold())
        if key:
            stated[key] = value.strip()
    return stated
