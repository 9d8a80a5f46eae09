"""A cycler's workbook as Arrow tables: one table a test, judged whole before anybody sees a row of it.

Arbin exports differ in detail from lab to lab; what is certain is the header. This module knows sheets, headers
and cells, and nothing of topics.
"""

from __future__ import annotations

import dataclasses
import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from errno import ENOMEM
from functools import cached_property
from itertools import chain
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetVisibleEnum

from kernel.base.errors import BatteryError
from kernel.base.plain import one_line
from kernel.contract.reading import COUNTERS, READING
from producer.readers.formats import NDAX, TEXT, UNKNOWN, format_in, sheets_format
from producer.readers.sheets.agreement import COUNTED, denied_prefix, unit_doubts
from producer.readers.sheets.cells import BadCellError, Cell, column_of, numbers_in, repeated
from producer.readers.sheets.channels import cell_of_channel, channels_of, run_together, tests_of
from producer.readers.sheets.clock import Clues, OpenDatesError, clocks_of, require_clock, require_days_as_days
from producer.readers.sheets.duration import is_duration, seconds_of
from producer.readers.sheets.epoch import counts_from_1904
from producer.readers.sheets.header import CELL_COLUMNS, DURATIONS, SAME, HeaderError, contract_name, read_header
from producer.readers.trace import Span, span_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from producer.readers.formats import Format
    from producer.readers.sheets.header import Header, Unit

NEEDED: Final = (
    *(field.name for field in READING if not field.nullable and field.name not in CELL_COLUMNS),
    "date_time",
    *COUNTERS,
)
"""Columns without which a sheet cannot be read: the contract's required ones, the clock that names the test, and
the counters that capacities are computed from."""

NUMBERED: Final = "data_point"
"""The column that is made where a sheet has none: some software numbers no readings."""

_ZIP: Final = b"PK\x03\x04"
_OLE: Final = b"\xd0\xcf\x11\xe0"
_EXPORT_DATE: Final = re.compile(r"_(?P<month>\d{1,2})_(?P<day>\d{1,2})_(?P<year>\d{2}|\d{4})$")
_WORKBOOK_PART: Final = re.compile(r"_Wb_\d+$", re.IGNORECASE)
_COPY: Final = re.compile(r"( \(\d+\)|( -)? copy( \d+)?)$", re.IGNORECASE)
_COPY_OF: Final = re.compile(r"^copy( \(\d+\))? of ", re.IGNORECASE)
_CHANNEL: Final = re.compile(r"^channel", re.IGNORECASE)
_NO_DATA: Final = re.compile(r"^(info|statistics)", re.IGNORECASE)


class BadWorkbookError(BatteryError):
    """A workbook that cannot be taken; says which file, sheet, column and row, and what to do."""

    def __init__(
        self, file: str, problem: str, *, sheet: str | None = None, column: str | None = None, row: int | None = None
    ) -> None:
        places = [file]
        places += [f"sheet {sheet}"] if sheet is not None else []
        places += [f"column {column}"] if column is not None else []
        places += [f"row {row}"] if row is not None else []
        super().__init__(one_line(f"{', '.join(places)}: {problem}"))


class UnreadableWorkbookError(BadWorkbookError):
    """A workbook that its disk does not give; the same content may be fine another time."""


class UndatedWorkbookError(BadWorkbookError):
    """A workbook that does not say in which order its dates are; a person may, or another name of the file."""


@dataclass(frozen=True)
class Test:
    """One cycler test: readings in the order of the sheet, with the columns and types of `READING`.

    `test_id` is the first Date_Time, ISO 8601; `started_at` the same as a wall clock time without zone. Only who knows
    the other tests of the cell can tell whether the id is free (`producer/identity.py`). `channel` is the one that its
    sheet names; empty where whoever publishes it says whose readings those are.
    """

    __test__ = False  # no test case, whatever pytest thinks

    cell_id: str
    test_id: str
    started_at: datetime
    readings: pa.Table
    channel: str = dataclasses.field(default="", compare=False)


@dataclass(frozen=True)
class Workbook:
    """A workbook's tests, by their start; `cell_id` is what the file calls its cell, or whoever publishes it.

    The channels of a workbook may be several cells; the cell of each test is its own. `notes` say what a person may
    want to know of how it was read, each a line that begins with the sheet.
    """

    name: str
    cell_id: str
    tests: tuple[Test, ...]
    notes: tuple[str, ...] = ()

    @property
    def row_count(self) -> int:
        """Readings of all tests."""
        return sum(test.readings.num_rows for test in self.tests)


def cell_id_of(name: str) -> str:
    """The cell that a file name speaks of: without ending, export date, part of a test and marks of a copy.

    `CS2_35_8_17_10.xlsx` is CS2_35, `CS2_35_8_17_10 (1).xlsx` and `Copy of CS2_35.XLSX` are too, and
    `SPLIT_Channel_1_Wb_2.xlsx` is SPLIT_Channel_1.
    """
    stem = _original(name)
    return _WORKBOOK_PART.sub("", _EXPORT_DATE.sub("", _WORKBOOK_PART.sub("", stem))) or stem


def exported_on(name: str) -> tuple[int, int, int]:
    """The export date in a file name as year, month and day; zeros when there is none.

    It orders exports of one test. It says nothing about when a test began.
    """
    found = _EXPORT_DATE.search(_WORKBOOK_PART.sub("", _original(name)))
    return (int(found["year"]) % 100, int(found["month"]), int(found["day"])) if found else (0, 0, 0)


def _original(name: str) -> str:
    """A file name without its ending and without what desktops and browsers add to a copy of it."""
    stem = PurePath(name).stem
    while (bare := _COPY_OF.sub("", _COPY.sub("", stem))) and bare != stem:
        stem = bare
    return stem


def read_workbook(
    path: Path,
    *,
    name: str | None = None,
    cell_id: str | None = None,
    dates: str | None = None,
    channel_cells: Mapping[str, str] | None = None,
) -> Workbook:
    """Read every channel sheet of an .xlsx or .xls workbook.

    A bad file may take all memory, or end this process: one from outside is read in a child (`producer/spool.py`).

    Args:
        path: where it lies.
        name: what to call it in messages and as `source_file`; the path's base name by default.
        cell_id: whose readings these are; read off the name by default. Where several channels ran at the same time,
            their cells are this and the channel, as in `CELL_1-002`.
        dates: in which order dates of three numbers are, a key of `ORDERS`; by default the column decides.
        channel_cells: whose readings those of a channel are, by channel.

    Raises:
        BadWorkbookError: it is no workbook, has no readings, or a single cell of it cannot be taken; or it has none of
            the channels that `channel_cells` names, and no `cell_id` is given.
    """
    name = name or path.name
    with _sound(path, name) as start, _by_name_or_content(path, start) as book:
        sheets = _read_sheets(_Book(name, path, dates), _channels(name, book))
    tests = []
    for cell, channel, columns in _by_cell(name, sheets, cell_id, channel_cells or {}):
        test_id = columns.started_at.isoformat()
        is_named = cell in (channel_cells or {}).values()
        readings = columns.table(cell, test_id, name)
        tests.append(Test(cell, test_id, columns.started_at, readings, "" if is_named else channel))
    tests.sort(key=lambda test: (test.started_at, test.cell_id))
    notes = tuple(one_line(note) for columns in sheets for note in columns.notes)
    return Workbook(name, cell_id or cell_id_of(name), tuple(tests), notes)


@contextmanager
def _sound(path: Path, name: str) -> Iterator[bytes]:
    """Lend the first bytes of a file that can be opened; whatever the reader stumbles over becomes one line."""
    start = b""
    try:
        if path.stat().st_size == 0:
            raise BadWorkbookError(name, "the file is empty; export or copy it again")
        with path.open("rb") as file:
            start = file.read(8)
        yield start
    except OSError as error:
        if error.errno == ENOMEM:
            raise MemoryError from None
        raise UnreadableWorkbookError(name, f"cannot be read: {error.strerror or error}") from None
    except CalamineError as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        if (
            isinstance(error, PasswordError)
            or "Cannot find Workbook stream" in said
            or "password required" in said.lower()
        ):
            raise BadWorkbookError(name, "is protected by a password; save it without one") from None
        kind = _other_format(path, start)
        if kind is not None:
            raise BadWorkbookError(name, str(kind)) from None
        what = "is truncated or damaged" if start.startswith((_ZIP, _OLE)) else "is not a workbook"
        raise BadWorkbookError(name, f"{what} ({said}); export or copy it again") from None


def _other_format(path: Path, start: bytes) -> Format | None:
    """What a file is that is called a workbook and is none; None where it may be a damaged one, or nobody knows."""
    try:
        kind = format_in(path)
    except OSError:  # it is gone, or its disk: what has been said of it still holds
        return None
    if start.startswith((_ZIP, _OLE)):
        return kind if kind == NDAX else None
    return None if kind in {TEXT, UNKNOWN} else kind


def _by_name_or_content(path: Path, start: bytes) -> CalamineWorkbook:
    """Labs rename .xlsx to .xls and back; calamine believes the name of a path, but looks into a stream."""
    suffix = path.suffix.lower()
    if suffix in {".xlsx", ".xls"} and str(path).isprintable():  # it takes a path as text, and some have none
        try:
            return CalamineWorkbook.from_path(str(path))
        except PasswordError:
            raise
        except CalamineError:
            if start.startswith(_ZIP) == (suffix == ".xlsx"):
                raise
    with path.open("rb") as file:
        return CalamineWorkbook.from_filelike(file)


@dataclass(frozen=True)
class _Sheet:
    """The cells of one sheet, row by row: its header, then all others end to end.

    A list for each row would be as many objects for the garbage collector to go through, again and again.
    """

    name: str
    header: Sequence[Cell]
    cells: Sequence[Cell]
    is_hidden: bool = False

    @property
    def row_count(self) -> int:
        """Rows below the header."""
        return len(self.cells) // max(1, len(self.header))

    def column(self, index: int) -> Sequence[Cell]:
        """The cells below one of the header."""
        return self.cells[index :: len(self.header)]

    def row(self, index: int) -> Sequence[Cell]:
        """The cells of one row, the first below the header being number 0."""
        return self.cells[index * len(self.header) :][: len(self.header)]


def _read_cells(book: CalamineWorkbook, name: str) -> _Sheet:
    rows = book.get_sheet_by_name(name).iter_rows()
    header = next(rows, [])
    is_hidden = any(
        sheet.name == name and sheet.visible is not SheetVisibleEnum.Visible for sheet in book.sheets_metadata
    )
    return _Sheet(name, header, list(chain.from_iterable(rows)), is_hidden)


def _channels(name: str, book: CalamineWorkbook) -> Iterator[_Sheet]:
    """The sheets that hold readings, with their cells: by their name, or else by their header.

    Charts and empty sheets beside them are passed over, unless there is nothing else. A sheet that is named like a
    channel and holds numbers without a header is no such thing: half of a test must not be missing.

    Raises:
        BadWorkbookError: there is no such sheet, or one has no header.
    """
    named = [sheet for sheet in book.sheet_names if _CHANNEL.match(sheet)]
    headless, found = [], 0
    for candidate in named or [sheet for sheet in book.sheet_names if not _NO_DATA.match(sheet)]:
        sheet = _read_cells(book, candidate)
        columns = {contract_name(cell) for cell in sheet.header} - {None}
        if columns if named else _is_channel(columns):
            found += 1
            yield sheet
        elif any(isinstance(cell, float) for cell in chain(sheet.header, sheet.cells)):
            headless.append(candidate)
    if named and (headless or not found):
        raise BadWorkbookError(
            name,
            f"has none of the columns of a channel in its first row; it needs {NEEDED[1]} and others",
            sheet=(headless or named)[0],
        )
    if not found:
        maker = sheets_format((sheet, _read_cells(book, sheet).header) for sheet in book.sheet_names)
        if maker is not None:
            raise BadWorkbookError(name, str(maker))
        raise BadWorkbookError(
            name, f"has no channel sheet (Channel_…), only {', '.join(book.sheet_names)}; export the raw channel data"
        )


def _is_channel(columns: AbstractSet[str | None]) -> bool:
    """Whether a sheet that is not named like a channel has the columns of one; statistics have no step."""
    return columns >= {NUMBERED, "voltage(v)"} or columns >= {*NEEDED} - {NUMBERED}


@dataclass(frozen=True)
class _Columns:
    """The converted columns of one sheet, or of several that one test fills."""

    sheet: str
    started_at: datetime
    arrays: dict[str, pa.ChunkedArray]
    notes: tuple[str, ...] = ()
    order: str | None = None

    def span(self) -> Span:
        """How the sheet begins and ends."""
        return span_of(pa.Table.from_arrays(list(self.arrays.values()), names=list(self.arrays)))

    def table(self, cell_id: str, test_id: str, source_file: str) -> pa.Table:
        rows = len(self.arrays["data_point"])
        named = {"cell_id": cell_id, "test_id": test_id, "source_file": source_file}
        columns = [
            repeated(named[field.name], rows) if field.name in named else self.arrays[field.name] for field in READING
        ]
        return pa.Table.from_arrays(columns, schema=READING)


def _by_cell(
    name: str, sheets: Sequence[_Columns], cell_id: str | None, channel_cells: Mapping[str, str]
) -> list[tuple[str, str, _Columns]]:
    """The tests that some sheets fill, each with the cell that it is of and the channel that it ran in.

    Raises:
        BadWorkbookError: there is none of the channels that are named.
    """
    spans = [sheet.span() for sheet in sheets]
    channels = channels_of([sheet.sheet for sheet in sheets], spans)
    tests = tests_of(channels, spans)
    of_test = [channels[test[0]] for test in tests]
    several = run_together(of_test, [Span(spans[test[0]].first, spans[test[-1]].last) for test in tests])
    cells = [
        cell_of_channel(channel, cell_id or cell_id_of(name), channel_cells, several=several) for channel in of_test
    ]
    if channel_cells and cell_id is None and not set(cells) & set(channel_cells.values()):
        asked, found = " or ".join(channel_cells), ", ".join(dict.fromkeys(channels))
        raise BadWorkbookError(
            name, f"has no channel {asked}, which --cell names, only {found}; name one of these, or the cell alone"
        )
    return [
        (cell, channel, _joined([sheets[sheet] for sheet in test]))
        for cell, channel, test in zip(cells, of_test, tests, strict=True)
    ]


def _joined(sheets: Sequence[_Columns]) -> _Columns:
    """The sheets that one test fills, end to end."""
    arrays = {
        column: pa.chunked_array([chunk for sheet in sheets for chunk in sheet.arrays[column].chunks])
        for column in sheets[0].arrays
    }
    return _Columns(sheets[0].sheet, sheets[0].started_at, arrays)


@dataclass(frozen=True)
class _Book:
    """What is known of a workbook beside its sheets: its name, where it lies, and the order of its dates if given."""

    name: str
    path: Path
    dates: str | None

    @cached_property
    def since_1904(self) -> bool:
        return counts_from_1904(self.path)


def _read_sheets(book: _Book, sheets: Iterable[_Sheet]) -> list[_Columns]:
    """Convert sheets in their order; readings that have no number go on counting where a test goes on.

    One program wrote all of them, so a sheet whose dates are open is read in the order that the others show.
    """
    found: list[_Columns | tuple[_Sheet, BadWorkbookError]] = []
    for sheet in sheets:
        before = next((columns for columns in reversed(found) if isinstance(columns, _Columns)), None)
        try:
            found.append(_read_sheet(book, sheet, before))
        except UndatedWorkbookError as error:
            found.append((sheet, error))
    orders = {columns.order for columns in found if isinstance(columns, _Columns) and columns.order}
    read: list[_Columns] = []
    for columns in found:
        if isinstance(columns, _Columns):
            read.append(columns)
        elif len(orders) == 1:
            read.append(_read_sheet(replace(book, dates=next(iter(orders))), columns[0], read[-1] if read else None))
        else:
            raise columns[1]
    return read


def _read_sheet(book: _Book, sheet: _Sheet, before: _Columns | None) -> _Columns:
    try:
        header = read_header(sheet.header)
    except HeaderError as error:
        raise BadWorkbookError(book.name, str(error), sheet=sheet.name, column=error.column) from None
    place = header.places
    _require_columns(book.name, sheet, place)
    rows: Sequence[int] = range(sheet.row_count)
    holes = sheet.column(place[NUMBERED if NUMBERED in place else "test_time(s)"].index)
    if "" in holes:  # every reading needs this cell, so only a row without it may be one without any
        rows = [row for row in rows if holes[row] != "" or any(cell != "" for cell in sheet.row(row))]
    if not rows:
        raise BadWorkbookError(book.name, "has a header but no readings", sheet=sheet.name)
    arrays, order = _converted(book, sheet, header, rows)
    started_at = next((stamp.as_py() for stamp in arrays["date_time"] if stamp.is_valid), None)
    if started_at is None:
        raise BadWorkbookError(book.name, "is empty; the test cannot be named", sheet=sheet.name, column="Date_Time")
    notes = [f"sheet {sheet.name}: {note}" for note in header.notes]
    if denied_prefix(arrays, place) is not None:
        told = ", ".join(place[name].title for name in COUNTED)
        plain = {name: replace(place[name], unit=SAME) for name in COUNTED}
        arrays, order = _converted(book, sheet, replace(header, places={**place, **plain}), rows)
        notes.append(
            f"sheet {sheet.name}: {told} are taken as A and Ah, as Wh and V say: with the prefix, the energies would "
            "be those of another current; if it is the energies that are wrong, mend their unit in the header"
        )
    notes += [f"sheet {sheet.name}: {doubt}" for doubt in unit_doubts(arrays)]
    if sheet.is_hidden:
        notes.append(f"sheet {sheet.name}: is hidden, and was read")
    if NUMBERED not in place:
        arrays[NUMBERED] = _numbers(arrays["test_time(s)"], before)
        notes.append(f"sheet {sheet.name}: has no column Data_Point; its readings are numbered in their order")
    return _Columns(sheet.name, started_at, arrays, tuple(notes), order)


def _converted(
    book: _Book, sheet: _Sheet, header: Header, rows: Sequence[int]
) -> tuple[dict[str, pa.ChunkedArray], str | None]:
    """The columns of the contract, those that the sheet does not have empty, and the order that its dates are in."""
    arrays: dict[str, pa.ChunkedArray] = {}
    order = None
    for field in READING:
        if field.name in CELL_COLUMNS:
            continue
        if field.name not in header.places:
            arrays[field.name] = pa.chunked_array([pa.nulls(len(rows), field.type)])
            continue
        place = header.places[field.name]
        cells = sheet.column(place.index)
        if len(rows) != len(cells):
            cells = [cells[row] for row in rows]
        try:
            if field.name in DURATIONS:
                cells, unit = _seconds(book, cells, place.unit)
                arrays[field.name] = pa.chunked_array([column_of(field, cells, unit)])
            elif field.name == "date_time" and set(map(type, cells)) != {datetime}:
                times = numbers_in(arrays["test_time(s)"])
                numbered = any(isinstance(cell, float | int | timedelta) for cell in cells)
                clues = Clues(times, numbered and book.since_1904, exported_on(book.name), book.dates)
                cells, order = clocks_of(cells, clues)
                arrays[field.name] = pa.chunked_array([column_of(field, cells)])
            else:
                arrays[field.name] = pa.chunked_array([column_of(field, cells, place.unit or SAME)])
            if field.name == "date_time":
                times = numbers_in(arrays["test_time(s)"])
                require_clock(arrays[field.name], times)
                if order is None:
                    require_days_as_days(arrays[field.name], times)
        except BadCellError as error:
            kind = UndatedWorkbookError if isinstance(error, OpenDatesError) else BadWorkbookError
            row = rows[error.index] + 2  # a sheet counts from 1, and its first row is the header
            raise kind(book.name, str(error), sheet=sheet.name, column=place.title, row=row) from None
    return arrays, order


def _seconds(book: _Book, cells: Sequence[Cell], unit: Unit | None) -> tuple[Sequence[Cell], Unit]:
    """Numbers of a time column with their unit; durations, if it holds any, as seconds."""
    if unit is not None and set(map(type, cells)) <= {float, int}:
        return cells, unit
    if unit is None or any(is_duration(cell) for cell in cells):
        dates = any(isinstance(cell, date) for cell in cells)
        return [
            "" if second is None else second for second in seconds_of(cells, since_1904=dates and book.since_1904)
        ], SAME
    return cells, unit


def _numbers(times: pa.ChunkedArray, before: _Columns | None) -> pa.ChunkedArray:
    """Numbers for readings that have none: from 1, or on from the sheet before where the test goes on."""
    goes_on = before is not None and times[0].as_py() >= before.arrays["test_time(s)"][-1].as_py()
    first = before.arrays[NUMBERED][-1].as_py() + 1 if before is not None and goes_on else 1
    return pa.chunked_array([pa.array(range(first, first + len(times)), pa.int64())])


def _require_columns(file: str, sheet: _Sheet, place: Container[str]) -> None:
    for name in NEEDED:
        if name not in place and name != NUMBERED:
            maker = sheets_format([(sheet.name, sheet.header)])
            if maker is not None:
                raise BadWorkbookError(file, str(maker), sheet=sheet.name)
            shown = ", ".join(str(cell) for cell in sheet.header if str(cell)) or "nothing"
            raise BadWorkbookError(
                file, f"is missing; the header has {shown}; export all columns", sheet=sheet.name, column=name
            )
