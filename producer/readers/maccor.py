"""The reader of Maccor's text exports: the lines below the header that begins with Rec#.

Older software writes `Rec# Cyc# Step Test (Sec) ... Amp-hr Amps Volts State`, newer `Rec Cycle P Cycle C ... MD`. Times
are in s, min or h, or durations such as 2d 02:52:51; counters are those of the step, in either direction; the current
has a sign in some exports and none in others. A letter says what was done: C charge, D discharge, R rest. Others, such
as S (suspended), P (paused) and O (the test is over), say no direction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from producer.readers.base import Workbook
from producer.readers.make import as_test
from producer.readers.meaning.sign import NO_CURRENT
from producer.readers.names import cell_id_of
from producer.readers.record import CHARGE, COLDEST, DISCHARGE, HOTTEST, REST, record_of
from producer.readers.tables.daytimes import DATED_BY_DAY, clock_of_days, times_of_day
from producer.readers.tables.starts import DATED_BY_START, clock_since
from producer.readers.tables.table import Table
from producer.readers.tables.texts import Text, delimiter_of, read_table, titles_in
from producer.readers.tables.titles import Column, base_and_unit
from producer.readers.units import UNITS, unit_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from producer.readers.base import ReadOptions, Test
    from producer.readers.record import Record
    from producer.readers.sample import FileSample
    from producer.readers.units import Unit

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

NAMES: Final = {
    **dict.fromkeys(("rec#", "rec", "recnum"), ("data_point", "")),
    **dict.fromkeys(("cyc#", "cyclep", "cyclenumproc", "cyclec", "cycle"), ("cycle", "")),
    **dict.fromkeys(("step", "step#", "stepnum"), ("step", "")),
    **dict.fromkeys(("testtime", "test"), ("test_time", "")),
    **dict.fromkeys(("steptime", *(f"step/{unit.casefold()}" for unit in UNITS["s"])), ("step_time", "")),
    **dict.fromkeys(("dpttime", "dptdatetime"), ("date_time", "")),
    **dict.fromkeys(("amphr", "capacity", "cap"), ("capacity", "Ah")),
    **dict.fromkeys(("watthr", "energy", "ener"), ("energy", "Wh")),
    **dict.fromkeys(("amps", "current"), ("current", "A")),
    **dict.fromkeys(("volts", "voltage"), ("voltage", "V")),
    "mamphr": ("capacity", "mAh"),
    "mwatthr": ("energy", "mWh"),
    "mamps": ("current", "mA"),
    "mvolts": ("voltage", "mV"),
    **dict.fromkeys(("state", "md", "mainmode"), ("state", "")),
    **dict.fromkeys(("acimp", "acz"), ("ac_impedance", "Ohm")),
    "dcir": ("internal_resistance", "Ohm"),
}
COUNTED_CYCLES: Final = "Cycle C"
"""The column of cycles that newer software counts over the test, beside those of the procedure."""

STATES: Final = {"c": CHARGE, "d": DISCHARGE, "r": REST}

HEADER: Final = r'^\s*"?(Rec(#|Num)?|Cyc#"?\s*[\t,;]\s*"?Step)"?\s*[\t,;](?=.*volt)(?=.*(amp|curr))'
PREAMBLE_LINES: Final = 60
"""Within so many lines the header is looked for, where a file is to be recognised."""

CLOCK_AGREES: Final = 0.05
"""The share by which times may differ from the clock in the unit that it tells; from 1 s and 1 min it is far more."""

_THOUSANDS: Final = re.compile(rb"(?<=[\t\n])-?\d{1,3}(?:,\d{3})+(?=[.\t\r\n])")
_POINT: Final = re.compile(rb"(?<=[\t\n])-?(?:\d+|\d{1,3}(?:,\d{3})+)\.\d+(?=[\t\r\n])")
_COMMA: Final = re.compile(rb"(?<=\d),(?=\d{3}(?!\d))")
_LEAST_CLOCK_SECONDS: Final = 60.0
_OPTIONAL: Final = re.compile(r"|(VAR|FLG|Aux|GlobFlag)\W*\d*.*|Units?|N/?A", re.IGNORECASE)
_AUX: Final = re.compile(r"aux#?\d+|temp\d*|temperature[a-z]*\d*")
_STATED: Final = {"filename": "test_name", "procedure": "schedule", "comment/barcode": "barcode", "barcode": "barcode"}
_PAIR: Final = re.compile(
    r"(?:^|\t|\s{2}|\s(?=Procedure:))\s*([A-Za-z][A-Za-z'/ ]*):[ ]*\t?([^\t]*?)(?=\t|\s+Procedure:|$)"
)
_DATED: Final = r"\d[-/.]\d+[-/.]\d|[A-Za-z]{3}|\d{5}"
"""What a cell has that is a date; a time of day, or a count of something else in its column, has none of it."""

_NAMED_MONTH: Final = re.compile(r"(?P<day>\d{1,2})[- ](?P<month>[A-Za-z]{3})[a-z]*[- ,]")
_NUMBERS: Final = re.compile(r"(?P<one>\d{1,2})[-/.](?P<other>\d{1,2})[-/.]")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_BARCODE: Final = re.compile(r"[\w.-]{1,64}")


@dataclass(frozen=True)
class MaccorReader:
    """Reads Maccor's text exports; see `producer.readers.base.Reader`.

    It has no suffix: exports end in the number of their channel, such as .022, or in .txt or .csv as many texts do.
    """

    name: str = "maccor"
    suffixes: tuple[str, ...] = ()

    def recognises(self, sample: FileSample) -> bool:
        """Tell whether a file is surely of this format, by the line with its titles."""
        lines = (sample.text or "").split("\n")[:PREAMBLE_LINES]
        return any(re.match(HEADER, line, re.IGNORECASE) for line in lines)

    def read(self, path: Path, options: ReadOptions) -> Workbook:
        """Read a file whole.

        Raises:
            BadWorkbookError: it has no line with the titles, lacks a column, or a cell of it cannot be taken.
            UnreadableWorkbookError: its disk does not give it.
            UndatedWorkbookError: its dates may be in several orders.
        """
        text = Text.of(path, options.name)
        header = text.require(
            HEADER,
            "has no line of titles that begins with Rec# or Cyc#, as Maccor's text exports have; export it as text "
            "with Maccor's software",
        )
        cell_id = options.cell_id or cell_id_of(options.name)
        test = _test(_without_thousands(text, header), header, cell_id, options)
        return Workbook(options.name, cell_id, (test,))


READER: Final = MaccorReader()


def _test(text: Text, header: int, cell_id: str, options: ReadOptions) -> Test:
    skip = _lines_before_rows(text, header)
    text = _with_even_titles(text, header, skip)
    sensor, others = _sensor(text, header, skip)
    names = NAMES if sensor is None else NAMES | {base_and_unit(sensor)[0]: ("temperature", "C")}
    table, found = read_table(text, header, names, needed=("current", "voltage"), skip=skip, also=(COUNTED_CYCLES,))
    found = _with_cycles(table, found)
    if not {"test_time", "step_time"} & found.keys():
        raise text.error("has no column for the time of the test or of the step; export it with one of them", header)
    clock = found["date_time"].title if "date_time" in found else None
    first_clock = "" if clock is None else table.text(clock, 0)
    is_dated = _has_date(table, clock, first_clock)
    dated = found if is_dated else {name: column for name, column in found.items() if name != "date_time"}
    dated = {name: _timed(table, name, column, dated, options) for name, column in dated.items()}
    dates = options.dates or _order_by_header(text.head[:header], first_clock)
    record = record_of(table, dated, states=STATES, dates=dates, usual_dates="mdy")
    if not is_dated:
        _date_by_header(
            record, text.head[:header], options, None if clock is None else times_of_day(table.texts(clock))
        )
    if record.direction is not None:
        _say_untold(record, record.direction, table, found["state"].title)
    for name in ("ac_impedance(ohm)", "internal_resistance(ohm)"):
        if name in record.extra:  # 0 where it was not measured
            values = record.extra[name].to_numpy(zero_copy_only=False)
            record.extra[name] = pa.array(values, pa.float64(), mask=np.isnan(values) | (values == 0))
    if others:
        record.assumed.append(f"the temperature is that of {sensor}, the first of {others + 1} sensors with a value")
    return as_test(record, cell_id, text.name, READER.name, metadata=_metadata(text.head[:header]))


def _has_date(table: Table, clock: str | None, first: str) -> bool:
    """Whether a cell of the column of the clock has a date, whose first cell is asked first."""
    if clock is None or re.search(_DATED, first):
        return clock is not None
    return bool(pc.any(pc.match_substring_regex(table.texts(clock), _DATED)).as_py())


def _with_even_titles(text: Text, header: int, skip: int) -> Text:
    """The text with as many titles as its rows have cells, where they differ at the end, as MIMS writes them.

    Titles of cells that no row has are left out if they are of what rows may lack, such as VAR15.
    """
    delimiter = delimiter_of(text.head[header])
    titles = text.head[header].split(delimiter)
    lines = [text.head[header], *(line for line in text.head[header + 1 + skip : -1] if line.strip())]
    counts = {line.count(delimiter) + 1 for line in lines[1:]}
    if len(counts) != 1 or any('"' in line for line in lines):
        return text
    (count,) = counts
    if any(not _OPTIONAL.fullmatch(title.strip()) for title in titles[count:]):
        return text
    titles = [*titles[:count], *[""] * (count - len(titles))]
    return replace(text, head=(*text.head[:header], delimiter.join(titles), *text.head[header + 1 :]))


def _with_cycles(table: Table, found: dict[str, Column]) -> dict[str, Column]:
    """The columns with the cycles that were counted, if any were."""
    if "cycle" not in found or COUNTED_CYCLES not in table.columns or len(table.columns[COUNTED_CYCLES].unique()) < 2:  # noqa: PLR2004  # all are the same
        return found
    return {**found, "cycle": Column(COUNTED_CYCLES, found["cycle"].unit)}


def _without_thousands(text: Text, header: int) -> Text:
    """The text without the commas of 1,234.5, which would be taken for decimal commas.

    They are that where other numbers have a point, and no cell stands between commas.
    """
    if delimiter_of(text.head[header]) == "," or not text.has_below(header, b","):
        return text
    content = text.content
    start = max(0, content.find(text.head[header][:16].strip().encode()))
    if _THOUSANDS.search(content, start) is None or _POINT.search(content, start) is None:
        return text
    head = tuple(re.sub(_COMMA.pattern.decode(), "", line) for line in text.head)
    return replace(text, utf8=_COMMA.sub(b"", content), head=head)


def _lines_before_rows(text: Text, header: int) -> int:
    """How many lines, such as one of units, stand between the titles and the first row."""
    for skip, line in enumerate(text.head[header + 1 : header + 6]):
        if re.match(r'\s*"?\d', line):
            return skip
    return 0


def _sensor(text: Text, header: int, skip: int) -> tuple[str | None, int]:
    """The title of the first temperature that has a value in the first lines, and how many others have one.

    A column `Aux #1` has its unit in the cells of the next column; only those of C are temperatures.
    """
    delimiter = delimiter_of(text.head[header])
    titles = titles_in(text.head[header], delimiter)
    rows = [line.split(delimiter) for line in text.head[header + 1 + skip :]]
    sensors = []
    for at, title in enumerate(titles):
        base, written = base_and_unit(title)
        if not _AUX.fullmatch(base):
            continue
        units = {written or ("C" if base.startswith("temp") else "")}
        if at + 1 < len(titles) and titles[at + 1].casefold().startswith("unit"):
            units = {row[at + 1].strip() for row in rows if len(row) > at + 1}
        is_temperature = bool(units) and all(unit and unit_of("c", unit) is not None for unit in units)
        if is_temperature and any(_is_warm(row[at]) for row in rows if len(row) > at):
            sensors.append(title)
    return (sensors[0], len(sensors) - 1) if sensors else (None, 0)


def _is_warm(cell: str) -> bool:
    try:
        return COLDEST <= float(cell.replace(",", ".")) <= HOTTEST
    except ValueError:
        return False


def _timed(table: Table, name: str, column: Column, found: dict[str, Column], options: ReadOptions) -> Column:
    """The column with the unit of its times, where they are numbers and the title writes none: the clock tells it.

    Raises:
        BadWorkbookError: the clock does not tell it.
    """
    if name not in {"test_time", "step_time"} or column.unit is not None:
        return column
    if ":" in table.text(column.title, 0):
        return column
    numbers = table.numbers(found["test_time"].title if "test_time" in found else column.title, required=True)
    unit = _unit_by_clock(table, numbers, found, options)
    if unit is None:
        raise table.error(
            column.title, f"names no unit of time, and no clock tells it; name it, as in {column.title} (Sec)"
        )
    return Column(column.title, unit)


def _unit_by_clock(table: Table, numbers: Floats, found: dict[str, Column], options: ReadOptions) -> Unit | None:
    if "date_time" not in found or "test_time" not in found:
        return None
    stamps, _ = table.stamps(found["date_time"].title, np.arange(len(table), dtype=np.float64), options.dates, "mdy")
    seconds = stamps.cast(pa.int64()).to_numpy(zero_copy_only=False) / 1e6
    span, passed = seconds[-1] - seconds[0], numbers[-1] - numbers[0]
    if not (span >= _LEAST_CLOCK_SECONDS and passed > 0):
        return None
    for written, scale in (("s", 1.0), ("min", 60.0), ("h", 3600.0)):
        if abs(span - scale * passed) <= CLOCK_AGREES * span:
            return unit_of("s", written)
    return None


def _say_untold(record: Record, direction: Integers, table: Table, state: str) -> None:
    """Say which states tell no direction while a current flows, where no current has a sign that tells it."""
    flows = np.abs(record.current) > NO_CURRENT * np.abs(record.current).max(initial=0.0)
    silent = flows & (direction == REST)
    if not silent.any():
        return
    states = table.texts(state).filter(pa.array(silent)).unique().to_pylist()
    letters = ", ".join(sorted(letter for letter in states if letter.upper() != "R"))
    if letters:
        record.assumed.append(f"the state {letters} says no direction, and no current has a sign; it goes on as before")


def _stated(head: Sequence[str]) -> dict[str, str]:
    """What the lines above the titles state, by the name before each colon, in lower case."""
    pairs = [pair for line in head for pair in _PAIR.findall(line.replace('"', ""))]
    return {name.strip().casefold(): value.strip(" ,") for name, value in pairs if not value.strip().endswith(":")}


def _metadata(head: Sequence[str]) -> dict[str, str]:
    """What the preamble states of the test; of paths the name alone, and no comment that may name a person."""
    found: dict[str, str] = {}
    stated = _stated(head)
    for theirs, ours in _STATED.items():
        value = stated.get(theirs, "")
        value = PureWindowsPath(value).name if "\\" in value else value
        if ours == "barcode" and not _BARCODE.fullmatch(value):
            continue
        found[ours] = found.get(ours) or value
    return {**found, "cycler": "Maccor"}


def _order_by_header(head: Sequence[str], first: str) -> str | None:
    """Whether the day or the month stands first, where the date of the test names the month of the first reading's."""
    named, numbers = _NAMED_MONTH.search(_stated(head).get("date of test", "")), _NUMBERS.match(first)
    if named is None or numbers is None or named["month"].casefold() not in _MONTHS:
        return None
    day_and_month = (int(named["day"]), _MONTHS.index(named["month"].casefold()) + 1)
    one, other = int(numbers["one"]), int(numbers["other"])
    if one == other or day_and_month not in {(one, other), (other, one)}:
        return None
    return "dmy" if (one, other) == day_and_month else "mdy"


def _date_by_header(record: Record, head: Sequence[str], options: ReadOptions, times: Floats | None) -> None:
    """Make the clock of the date of the test, where no reading has one; the readings may have times of day."""
    date = _stated(head).get("date of test", "")
    if not date or record.test_time is None:
        return
    column = pa.chunked_array([[date]])
    row = next((number for number, line in enumerate(head, 1) if date in line), 1)
    stamps, assumed = Table(options.name, {"Date of Test": column}, first_row=row).stamps(
        "Date of Test", record.test_time[:1], options.dates, "mdy"
    )
    started = stamps[0].as_py()
    if started is not None:
        by_day = None if times is None else clock_of_days(started.date(), times, record.test_time)
        record.date_time = clock_since(started, record.test_time) if by_day is None else by_day
        record.assumed += [DATED_BY_START if by_day is None else DATED_BY_DAY, *([assumed] if assumed else [])]
