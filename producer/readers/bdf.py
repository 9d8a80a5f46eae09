"""The reader of files of the Battery Data Format (BDF), as text and as Parquet.

BDF (https://battery-data-alliance.github.io/battery-data-format/) has for each quantity a label with its unit, such as
`Test Time / s`, and a machine name, such as `test_time_second`; earlier versions had other ones. Test time, voltage and
current are all that a file needs. `dbt_project/models/marts/bdf_timeseries.sql` writes it, and is read back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from producer.readers.base import Workbook
from producer.readers.make import as_test
from producer.readers.meaning.times import UNITS, true_unit
from producer.readers.names import cell_id_of
from producer.readers.record import CHARGE, DISCHARGE, REST, record_of
from producer.readers.tables.parquets import PARQUET, parquet_table, parquet_titles
from producer.readers.tables.parts import cells_of, split, without_empty
from producer.readers.tables.texts import Text, delimiter_of, read_table, titles_in
from producer.readers.tables.titles import QUANTITIES, base_and_unit, base_of
from producer.readers.zones import zone_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from producer.readers.base import ReadOptions, Test
    from producer.readers.record import Record
    from producer.readers.sample import FileSample
    from producer.readers.tables.parts import Part
    from producer.readers.tables.table import Table
    from producer.readers.tables.titles import Column, Names

NEEDED: Final = ("test_time", "voltage", "current")
STATES: Final = {"charge": CHARGE, "discharge": DISCHARGE, "rest": REST}

_HEAD: Final = (
    r"^(?=.*\btest_time_(second|millisecond|minute|hour)\b)(?=.*\b(milli)?volt)"
    r"|^(?=.*\bTest Time / \w)(?=.*\bVoltage / \w)"
)
_HEAD_LINES: Final = 50
_LABELS: Final = ("test_time_second", "test_time_millisecond", "Test Time / ")
_VOLTAGES: Final = ("voltage_volt", "voltage_millivolt", "Voltage / ")

BASES: Final[dict[str, tuple[str, ...]]] = {
    "data_point": ("record index", "record count", "data point"),
    "test_time": ("test time",),
    "date_time": ("unix time", "date time iso", "date time", "datetime"),
    "step_time": ("step time",),
    "step": ("step index", "step id", "step count", "step"),
    "cycle": ("cycle count", "cycle index", "cycle"),
    "current": ("current",),
    "voltage": ("voltage",),
    "charge_capacity": (
        "charging capacity", "charge capacity", "cycle charging capacity", "step charging capacity",
    ),
    "discharge_capacity": (
        "discharging capacity", "discharge capacity", "cycle discharging capacity", "step discharging capacity",
    ),
    "charge_energy": ("charging energy", "charge energy", "cycle charging energy", "step charging energy"),
    "discharge_energy": (
        "discharging energy", "discharge energy", "cycle discharging energy", "step discharging energy",
    ),
    "capacity": ("net capacity", "step capacity"),
    "energy": ("net energy", "step energy"),
    "state": ("step type",),
    "internal_resistance": ("internal resistance",),
    "temperature": (
        "surface temperature t1", "temperature t1", "surface temperature", "cell temperature", "ambient temperature",
    ),
    "cell": ("cell id",),
    "test": ("test id",),
}  # fmt: skip
"""What the versions of BDF call each quantity, without units. The first that a file has counts: the step of the
schedule before a count of steps, a counter of the test before that of the cycle, the cell's temperature before that of
the room."""

_UNIT_WORDS: Final[dict[str, dict[str, str]]] = {
    "s": {"second": "s", "seconds": "s", "millisecond": "ms", "minute": "min", "hour": "h"},
    "a": {"ampere": "A", "milliampere": "mA", "microampere": "uA", "kiloampere": "kA"},
    "v": {"volt": "V", "millivolt": "mV"},
    "ah": {"ah": "Ah", "ampere hour": "Ah", "mah": "mAh", "milliampere hour": "mAh"},
    "wh": {"wh": "Wh", "watt hour": "Wh", "mwh": "mWh", "milliwatt hour": "mWh"},
    "ohm": {"ohm": "Ohm", "milliohm": "mOhm"},
    "c": {"celsius": "C", "degree celsius": "C", "kelvin": "K"},
    "count": {"dimensionless": "", "unitless": ""},
}
"""How machine names write the units that labels have behind a slash."""


def _names() -> tuple[dict[str, tuple[str, str]], dict[str, int]]:
    """All names as `Names`, and the rank of each among those of its quantity."""
    names: dict[str, tuple[str, str]] = {}
    ranks: dict[str, int] = {}
    for quantity, bases in BASES.items():
        kind = QUANTITIES[quantity]
        for rank, base in enumerate(bases):
            words = {"": "", **_UNIT_WORDS.get(kind or "", {})}
            if quantity == "date_time":
                words |= _UNIT_WORDS["s"]
            for word, unit in words.items():
                default = {"test_time": "s", "step_time": "s"}.get(quantity, "") if not word else unit
                name = base_of(f"{base} {word}")
                names[name] = (quantity, default if kind is not None else "")
                ranks[name] = rank
    return names, ranks


NAMES, _RANKS = _names()


@dataclass(frozen=True)
class BdfReader:
    """Reads files of the Battery Data Format (BDF); see `producer.readers.base.Reader`."""

    name: str = "bdf"
    suffixes: tuple[str, ...] = ()

    def recognises(self, sample: FileSample) -> bool:
        """Tell whether a file is surely of this format: by a header line, or the column names at the end of Parquet."""
        if sample.head.startswith(PARQUET):
            return all(
                any(name.encode() in sample.tail for name in names) for names in (_LABELS, _VOLTAGES)
            ) and sample.tail.endswith(PARQUET)
        text = sample.text
        if text is None:
            return False
        return any(re.search(_HEAD, line, re.IGNORECASE) for line in text.split("\n", _HEAD_LINES)[:_HEAD_LINES])

    def read(self, path: Path, options: ReadOptions) -> Workbook:
        """Read a file whole.

        Raises:
            BadWorkbookError: it cannot be taken.
        """
        table, found = _table(path, options.name)
        found = without_empty(table, found, needed=NEEDED)
        parts = split(table, found)
        cells = cells_of(parts, options)
        tests = [_test(part, found, cell, options) for part, cell in zip(parts, cells, strict=True)]
        tests.sort(key=lambda test: (test.started_at, test.cell_id))
        return Workbook(options.name, options.cell_id or cell_id_of(options.name), tuple(tests))


READER: Final = BdfReader()


def _table(path: Path, name: str) -> tuple[Table, dict[str, Column]]:
    """The columns of the file that BDF names, as text or as Parquet by how it begins."""
    if _begins(path) == PARQUET:
        return parquet_table(path, name, best_names(parquet_titles(path, name)), needed=NEEDED)
    text = Text.of(path, name)
    header = text.require(
        _HEAD, "has no line with the columns of BDF, such as Test Time / s or test_time_second; export it with them"
    )
    return read_table(
        text, header, best_names(titles_in(text.head[header], delimiter_of(text.head[header]))), needed=NEEDED
    )


def _begins(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError:  # whoever reads it next says what is wrong
        return b""


def best_names(titles: Iterable[str]) -> Names:
    """Of the names of BDF those that a file has, for each quantity the best of them.

    >>> best_names(["step_count", "step_id", "ambient_temperature_celsius"])
    {'stepid': ('step', ''), 'ambienttemperaturecelsius': ('temperature', 'C')}
    """
    best: dict[str, str] = {}
    for title in titles:
        base, _ = base_and_unit(title)
        base = base if base in NAMES else base_of(title)
        if base in NAMES:
            quantity = NAMES[base][0]
            if quantity not in best or _RANKS[base] < _RANKS[best[quantity]]:
                best[quantity] = base
    return {base: NAMES[base] for base in best.values()}


def _test(part: Part, found: dict[str, Column], cell: str, options: ReadOptions) -> Test:
    table, turned = _whole_turns(part.table, found)
    record = record_of(table, found, states=STATES, dates=options.dates)
    record.assumed += turned
    _mend_times(record, found)
    record.net = "capacity" in found and base_of(found["capacity"].title).startswith("net")
    if all(name.startswith("cycle") for name in _bases(found, "charge_capacity", "discharge_capacity")):
        record.counters_of = "cycle"
    zone = ""
    if "date_time" in found and not part.test:
        zone = "UTC" if _is_unix(found["date_time"]) else zone_of(part.table.columns[found["date_time"].title])
    return as_test(record, cell, options.name, READER.name, metadata={"time_zone": zone}, channel=part.channel)


def _mend_times(record: Record, found: dict[str, Column]) -> None:
    """Take times as the clock shows them where a writer put ms, minutes or hours below a title that says seconds."""
    if record.date_time is None or record.test_time is None:
        return
    clock = pc.cast(record.date_time, pa.int64()).to_numpy(zero_copy_only=False).astype(np.float64) / 1e6
    for quantity in ("test_time", "step_time"):
        time = getattr(record, quantity)
        unit = None if time is None else true_unit(time, clock)
        if unit is not None:
            setattr(record, quantity, time * unit)
            record.assumed.append(f"{found[quantity].title} holds {UNITS[unit]} by the dates; it was converted to s")


def _is_unix(column: Column) -> bool:
    return base_of(column.title).startswith("unix")


def _bases(found: dict[str, Column], *quantities: str) -> list[str]:
    return [base_of(found[one].title) for one in quantities if one in found] or [""]


def _whole_turns(table: Table, found: dict[str, Column]) -> tuple[Table, list[str]]:
    """Counts as whole numbers where a writer took a count of one for one turn, and wrote it in radians: 2 pi."""
    said, columns = [], dict(table.columns)
    for quantity in ("cycle", "step", "data_point"):
        if quantity not in found:
            continue
        title = found[quantity].title
        values = table.numbers(title, required=True)
        turns = values / (2 * np.pi)
        whole = np.round(turns)
        if (values != np.floor(values)).any() and np.allclose(turns, whole, rtol=1e-12, atol=1e-9):
            columns[title] = pa.chunked_array([pa.array(whole)])
            said.append(f"{title} counts in multiples of 2 pi, as turns in radians; it was divided by 2 pi")
    return replace(table, columns=columns), said
