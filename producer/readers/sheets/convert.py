"""Converting sheets: from cells to the columns of the contract, with what is to be said of them.

Which sheets are one test, and of which cell, is not known here (`channels.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from kernel.contract.reading import READING
from producer.readers.base import FILE_COLUMNS, BadWorkbookError, UndatedWorkbookError
from producer.readers.names import exported_on
from producer.readers.sheets.agreement import COUNTED, denied_prefix, unit_doubts
from producer.readers.sheets.book import NEEDED, NUMBERED
from producer.readers.sheets.cells import BadCellError, Cell, column_of, numbers_in
from producer.readers.sheets.clock import Clues, OpenDatesError, clocks_of, require_clock, require_days_as_days
from producer.readers.sheets.duration import is_duration, seconds_of
from producer.readers.sheets.epoch import counts_from_1904
from producer.readers.sheets.header import DURATIONS, TEMPERATURE, Header, HeaderError, read_header
from producer.readers.trace import Span, span_of
from producer.readers.units import SAME

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence
    from pathlib import Path

    from producer.readers.sheets.book import Sheet
    from producer.readers.units import Unit


@dataclass(frozen=True)
class Columns:
    """The converted columns of one sheet, or of several that one test fills, by their name in the contract.

    `notes` are lines for the user, `order` is the one that the dates were found to be in, where that was a question;
    `assumed` are lines on what was taken for granted of the readings, which stay with the test.
    """

    sheet: str
    arrays: dict[str, pa.ChunkedArray]
    notes: tuple[str, ...] = ()
    order: str | None = None
    assumed: tuple[str, ...] = ()

    def span(self) -> Span:
        """How the sheet begins and ends."""
        return span_of(pa.Table.from_arrays(list(self.arrays.values()), names=list(self.arrays)))


def joined(sheets: Sequence[Columns]) -> Columns:
    """The sheets that one test fills, end to end."""
    arrays = {
        column: pa.chunked_array([chunk for sheet in sheets for chunk in sheet.arrays[column].chunks])
        for column in sheets[0].arrays
    }
    return Columns(sheets[0].sheet, arrays)


@dataclass(frozen=True)
class Book:
    """What converting needs to know of a workbook: its name, its path, and the order of its dates if it is given."""

    name: str
    path: Path
    dates: str | None

    @cached_property
    def since_1904(self) -> bool:
        """Whether its numbers of days count from 1904."""
        return counts_from_1904(self.path)


def read_sheets(book: Book, sheets: Iterable[Sheet]) -> list[Columns]:
    """Convert sheets in their order; readings that have no number are numbered on where a test goes on.

    One program wrote all sheets, so one whose dates may be in several orders is read in the order of the others.

    Raises:
        BadWorkbookError: a sheet, or a single cell of it, cannot be taken.
    """
    results: list[Columns | tuple[Sheet, BadWorkbookError]] = []
    for sheet in sheets:
        previous = next((columns for columns in reversed(results) if isinstance(columns, Columns)), None)
        try:
            results.append(_read_sheet(book, sheet, previous))
        except UndatedWorkbookError as error:
            results.append((sheet, error))
    orders = {columns.order for columns in results if isinstance(columns, Columns) and columns.order}
    read: list[Columns] = []
    for columns in results:
        if isinstance(columns, Columns):
            read.append(columns)
        elif len(orders) == 1:
            read.append(_read_sheet(replace(book, dates=next(iter(orders))), columns[0], read[-1] if read else None))
        else:
            raise columns[1]
    return read


def _read_sheet(book: Book, sheet: Sheet, previous: Columns | None) -> Columns:
    try:
        header = _with_sensor(sheet, read_header(sheet.header))
    except HeaderError as error:
        raise BadWorkbookError(book.name, str(error), sheet=sheet.name, column=error.column) from None
    places = header.places
    _require_columns(book.name, sheet, places)
    rows: Sequence[int] = range(sheet.row_count)
    needed = sheet.column(places[NUMBERED if NUMBERED in places else "test_time(s)"].index)
    if "" in needed:  # every reading needs this cell, so only a row without it may be one without any
        rows = [row for row in rows if needed[row] != "" or any(cell != "" for cell in sheet.row(row))]
    if not rows:
        raise BadWorkbookError(book.name, "has a header but no readings", sheet=sheet.name)
    arrays, order = _converted(book, sheet, header, rows)
    if not any(stamp.is_valid for stamp in arrays["date_time"]):
        raise BadWorkbookError(book.name, "is empty; the test cannot be named", sheet=sheet.name, column="Date_Time")
    notes = [f"sheet {sheet.name}: {note}" for note in header.notes]
    assumed = []
    if denied_prefix(arrays, places) is not None:
        titles = ", ".join(places[name].title for name in COUNTED)
        plain = {name: replace(places[name], unit=SAME) for name in COUNTED}
        arrays, order = _converted(book, sheet, replace(header, places={**places, **plain}), rows)
        assumed.append(
            f"{titles} are taken as A and Ah, since Wh and V agree with that: with the prefix, "
            "the energies would belong to another current; if the energies are wrong, fix their unit in the header"
        )
    notes += [f"sheet {sheet.name}: {doubt}" for doubt in unit_doubts(arrays)]
    if sheet.is_hidden:
        notes.append(f"sheet {sheet.name}: is hidden, and was read")
    if NUMBERED not in places:
        arrays[NUMBERED] = _numbers(arrays["test_time(s)"], previous)
        assumed.append("the file has no Data_Point; readings were numbered in their order")
    notes += [f"sheet {sheet.name}: {line}" for line in assumed]
    return Columns(sheet.name, arrays, tuple(notes), order, tuple(assumed))


def _with_sensor(sheet: Sheet, header: Header) -> Header:
    """A header whose temperature is that of the first sensor that has measured any, or the first of all."""
    if not header.spares:
        return header
    sensors = (header.places[TEMPERATURE], *header.spares)
    chosen = next((place for place in sensors if any(cell != "" for cell in sheet.column(place.index))), sensors[0])
    others = [place.title for place in sensors if place is not chosen]
    note = f"columns {', '.join(others)} are passed over, as one temperature is kept, that of {chosen.title}"
    return Header({**header.places, TEMPERATURE: chosen}, (*header.notes, note))


def _converted(
    book: Book, sheet: Sheet, header: Header, rows: Sequence[int]
) -> tuple[dict[str, pa.ChunkedArray], str | None]:
    """The columns of the contract, those that the sheet does not have empty, and the order that its dates are in."""
    arrays: dict[str, pa.ChunkedArray] = {}
    order = None
    for field in READING:
        if field.name in FILE_COLUMNS:
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


def _seconds(book: Book, cells: Sequence[Cell], unit: Unit | None) -> tuple[Sequence[Cell], Unit]:
    """Numbers of a time column with their unit; durations, if it holds any, as seconds."""
    if unit is not None and set(map(type, cells)) <= {float, int}:
        return cells, unit
    if unit is None or any(is_duration(cell) for cell in cells):
        dates = any(isinstance(cell, date) for cell in cells)
        return [
            "" if second is None else second for second in seconds_of(cells, since_1904=dates and book.since_1904)
        ], SAME
    return cells, unit


def _numbers(times: pa.ChunkedArray, previous: Columns | None) -> pa.ChunkedArray:
    """Numbers for readings that have none: from 1, or on from the previous sheet where the test goes on."""
    goes_on = previous is not None and times[0].as_py() >= previous.arrays["test_time(s)"][-1].as_py()
    first = previous.arrays[NUMBERED][-1].as_py() + 1 if previous is not None and goes_on else 1
    return pa.chunked_array([pa.array(range(first, first + len(times)), pa.int64())])


def _require_columns(file: str, sheet: Sheet, places: Container[str]) -> None:
    for name in NEEDED:
        if name not in places and name != NUMBERED:
            shown = ", ".join(str(cell) for cell in sheet.header if str(cell)) or "nothing"
            raise BadWorkbookError(
                file, f"is missing; the header has {shown}; export all columns", sheet=sheet.name, column=name
            )
