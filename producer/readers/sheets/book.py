"""Opening a workbook: from a file to the cells of the sheets that hold readings, or one line that says what is wrong.

Names of columns are all that this module knows of readings; their values are converted in `convert.py`.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ENOMEM
from itertools import chain
from typing import TYPE_CHECKING, Final

from python_calamine import CalamineError, CalamineWorkbook, PasswordError

from kernel.contract.reading import COUNTERS, READING
from producer.readers.base import FILE_COLUMNS, BadWorkbookError, FileSample, UnreadableWorkbookError
from producer.readers.formats import NDAX, TEXT, UNKNOWN, recognise
from producer.readers.sheets.header import contract_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from producer.readers.formats import Format
    from producer.readers.sheets.cells import Cell
    from producer.readers.sheets.parsed import ParsedSheets

ZIP: Final = b"PK\x03\x04"
OLE: Final = b"\xd0\xcf\x11\xe0"
"""How an .xlsx and an .xls file begin."""

NEEDED: Final = (
    *(field.name for field in READING if not field.nullable and field.name not in FILE_COLUMNS),
    "date_time",
    *COUNTERS,
)
"""Columns without which a sheet cannot be read: the contract's required ones, the clock that names the test, and
the counters that capacities are computed from."""

NUMBERED: Final = "data_point"
"""The column that is made where a sheet has none: some software numbers no readings."""

_LITTLE_BYTES: Final = 4 * 1024**2
"""What a process that is not short of memory can still get."""

_CHANNEL: Final = re.compile(r"^channel", re.IGNORECASE)
_NO_DATA: Final = re.compile(r"^(info|statistics)", re.IGNORECASE)


@dataclass(frozen=True)
class Sheet:
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
        width = len(self.header)
        return self.cells[index * width : (index + 1) * width]


@contextmanager
def open_book(path: Path, name: str) -> Iterator[CalamineWorkbook]:
    """Lend an .xlsx or .xls workbook; what goes wrong while it is read becomes one line.

    Raises:
        BadWorkbookError: it is empty, damaged, protected, or no workbook.
        UnreadableWorkbookError: its disk does not give it.
        MemoryError: there is too little memory.
    """
    start = b""
    try:
        with path.open("rb") as file:
            start = file.read(8)
        _require_content(start, name)
        with _by_name_or_content(path, start) as book:
            yield book
    except OSError as error:
        if error.errno == ENOMEM:
            raise MemoryError from None
        raise UnreadableWorkbookError(name, f"cannot be read: {error.strerror or error}") from None
    except CalamineError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if (
            isinstance(error, PasswordError)
            or "Cannot find Workbook stream" in reason
            or "password required" in reason.lower()
        ):
            raise BadWorkbookError(name, "is protected by a password; save it without one") from None
        kind = _other_format(path, start)
        if kind is not None:
            raise BadWorkbookError(name, str(kind)) from None
        problem = "is truncated or damaged" if start.startswith((ZIP, OLE)) else "is not a workbook"
        raise BadWorkbookError(name, f"{problem} ({reason}); export or copy it again") from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # what Rust code raises over content that it did not expect
            raise
        _require_memory()
        reason = (str(error).splitlines() or [""])[0]
        raise BadWorkbookError(name, f"is truncated or damaged ({reason}); export or copy it again") from None


def _require_memory() -> None:
    """Tell whether what Rust code did not expect was that it got no memory: then there is hardly any now.

    Raises:
        MemoryError: there is not.
    """
    bytearray(_LITTLE_BYTES)


def _require_content(start: bytes, name: str) -> None:
    if not start:
        raise BadWorkbookError(name, "the file is empty; export or copy it again")


def _other_format(path: Path, start: bytes) -> Format | None:
    """The format of a file that is only named like a workbook; None where it may be a damaged one, or is unknown."""
    try:
        kind = recognise(FileSample.of(path))
    except OSError:  # the file, or its disk, is gone: the error that was met before stands
        return None
    if start.startswith((ZIP, OLE)):
        return kind if kind == NDAX else None
    return None if kind in {TEXT, UNKNOWN} else kind


def _by_name_or_content(path: Path, start: bytes) -> CalamineWorkbook:
    """Labs rename .xlsx to .xls and back; calamine trusts the ending of a path, but looks into a stream."""
    suffix = path.suffix.lower()
    if suffix in {".xlsx", ".xls"} and str(path).isprintable():  # calamine takes a path as text, and some have none
        try:
            return CalamineWorkbook.from_path(str(path))
        except PasswordError:
            raise
        except CalamineError:
            if start.startswith(ZIP) == (suffix == ".xlsx"):
                raise
    with path.open("rb") as file:
        return CalamineWorkbook.from_filelike(file)


def channel_sheets(name: str, sheets: ParsedSheets) -> Iterator[Sheet]:
    """The sheets that hold readings, with their cells: by their name, or else by their header.

    Charts and empty sheets beside them are passed over, unless there is nothing else. A sheet that is named like a
    channel and holds numbers without a header is an error: half of a test must not be missing.

    Raises:
        BadWorkbookError: there is no such sheet, or one has no header.
    """
    named = [sheet for sheet in sheets.names if _CHANNEL.match(sheet)]
    headless, count = [], 0
    for candidate in named or [sheet for sheet in sheets.names if not _NO_DATA.match(sheet)]:
        sheet = read_cells(sheets, candidate)
        columns = {contract_name(cell) for cell in sheet.header} - {None}
        if columns if named else _is_channel(columns):
            count += 1
            yield sheet
        elif any(isinstance(cell, float) for cell in chain(sheet.header, sheet.cells)):
            headless.append(candidate)
    if named and (headless or not count):
        raise BadWorkbookError(
            name,
            f"has none of the columns of a channel in its first row; it needs {NEEDED[1]} and others",
            sheet=(headless or named)[0],
        )
    if not count:
        raise BadWorkbookError(
            name, f"has no channel sheet (Channel_…), only {', '.join(sheets.names)}; export the raw channel data"
        )


def names_channels(sheets: Iterable[str]) -> bool:
    """Whether a sheet is named like a channel's."""
    return any(_CHANNEL.match(sheet) for sheet in sheets)


def holds_channel(name: str, header: Sequence[Cell]) -> bool:
    """Whether a sheet holds readings of a channel by the columns of its first row, whatever its name."""
    return not _NO_DATA.match(name) and _is_channel({contract_name(cell) for cell in header} - {None})


def read_cells(sheets: ParsedSheets, name: str) -> Sheet:
    """A sheet whose first row is its header.

    Raises:
        CalamineError: it is damaged.
    """
    rows = sheets.rows(name)
    header = next(rows, [])
    return Sheet(name, header, list(chain.from_iterable(rows)), sheets.is_hidden(name))


def _is_channel(columns: AbstractSet[str | None]) -> bool:
    """Whether a sheet that is not named like a channel has the columns of one; statistics have no step."""
    return columns >= {NUMBERED, "voltage(v)"} or columns >= {*NEEDED} - {NUMBERED}
