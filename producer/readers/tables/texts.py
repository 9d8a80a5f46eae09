"""Texts of readings: from bytes to lines, and from the lines below a header to a table.

A text may be UTF-8, UTF-16, GB 18030 or Latin-1, with or without a byte order mark; cells stand between commas,
semicolons or tabs, and decimals behind a point or a comma. Columns that no name claims are not converted at all.
"""

from __future__ import annotations

import csv as lines_of
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from pyarrow import csv

from producer.readers.base import BadWorkbookError
from producer.readers.tables.encodings import first_lines, read_utf8
from producer.readers.tables.table import NO_NUMBER, Table
from producer.readers.tables.titles import QUANTITIES, TitleError, columns_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from producer.readers.tables.encodings import Content
    from producer.readers.tables.titles import Column, Finder, Names

    Integers = npt.NDArray[np.int64]

HEAD_LINES: Final = 400
"""So many lines at the start may be preamble before the header."""

BLOCK_BYTES: Final = 2 * 1024**2
"""So much of a text is converted at a time: blocks beyond the caches of a processor cost more than a longer list."""

_ISO: Final = re.compile(r"[12]\d{3}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,6})?")
"""Dates that Arrow reads by itself."""

DELIMITERS: Final = ("\t", ";", ",")
_THOUSANDS: Final = r"^\s*-?\d{1,3}(\.\d{3})+(,\d*)?\s*$"
"""Numbers with points between thousands, where decimals stand behind a comma."""

_DECIMAL_COMMA: Final = re.compile(r"(^|[\t; ])-?\d+,\d+(?:[eE][-+]?\d+)?(?=$|[\t; ])")


@dataclass(frozen=True)
class Text:
    """A text file in memory: `utf8` are its bytes, without a mark, and `name` is what to call the file."""

    name: str
    utf8: Content = field(repr=False)
    head: tuple[str, ...] = field(repr=False)
    """Its first `HEAD_LINES` lines, without their ends."""

    @classmethod
    def of(cls, path: Path, name: str) -> Text:
        """Read a text file whole.

        Raises:
            BadWorkbookError: it is empty, or no text.
            UnreadableWorkbookError: the disk fails to read it.
            MemoryError: it is larger than memory.
        """
        content = read_utf8(path, name)
        return cls(name, content, first_lines(content, HEAD_LINES))

    @property
    def content(self) -> bytes:
        """All bytes, a copy of them where they are in memory of Arrow."""
        return self.utf8 if isinstance(self.utf8, bytes) else self.utf8.to_pybytes()

    def has_below(self, line: int, letter: bytes) -> bool:
        """Whether a letter of ASCII stands in a line of `head`, of which its index is given, or anywhere below it."""
        view = memoryview(self.utf8).cast("B")
        start = max(0, bytes(view[:BLOCK_BYTES]).find(self.head[line].encode()))
        return any(letter in bytes(view[at : at + BLOCK_BYTES]) for at in range(start, len(view), BLOCK_BYTES))

    def find(self, pattern: str) -> int | None:
        """The index of the first line of `head` that a regular expression matches, in any case; None for none."""
        wanted = re.compile(pattern, re.IGNORECASE)
        return next((index for index, line in enumerate(self.head) if wanted.search(line)), None)

    def require(self, pattern: str, problem: str) -> int:
        """The same, where a file without such a line cannot be taken.

        Raises:
            BadWorkbookError: there is none; `problem` says what is missing, and what to do.
        """
        found = self.find(pattern)
        if found is None:
            raise self.error(problem)
        return found

    def error(self, problem: str, line: int | None = None) -> BadWorkbookError:
        """What is wrong with the file, or with the line of an index."""
        return BadWorkbookError(self.name, problem, row=None if line is None else line + 1)


def titles_in(line: str, delimiter: str) -> list[str]:
    """The titles of a header line; one that comes again, or is empty, gets its place behind it.

    >>> titles_in('A,"B, c",A,', ",")
    ['A', 'B, c', 'A_3', '_4']
    """
    titles: list[str] = []
    for place, cell in enumerate(cells_in(line, delimiter), 1):
        title = " ".join(cell.split())
        titles.append(title if title and title not in titles else f"{title}_{place}")
    return titles


def cells_in(line: str, delimiter: str) -> list[str]:
    """The cells of one line; quotes around some may hold delimiters."""
    try:
        return next(lines_of.reader([line], delimiter=delimiter), [])
    except lines_of.Error:  # a cell of more than 128 KiB
        return line.split(delimiter)


def delimiter_of(line: str) -> str:
    """What stands between the cells of a line: the first of `DELIMITERS` that is there."""
    return next((mark for mark in DELIMITERS if mark in line), ",")


def read_table(
    text: Text,
    header: int,
    names: Names | Finder,
    *,
    needed: Sequence[str],
    delimiter: str | None = None,
    skip: int = 0,
    also: Sequence[str] = (),
    lines: Integers | None = None,
) -> tuple[Table, dict[str, Column]]:
    """Read the rows below a header.

    Args:
        text: the file.
        header: the index of the line with the titles.
        names: what the format calls its columns.
        needed: quantities without which it holds no readings.
        delimiter: what stands between cells; told by the header where None.
        skip: lines between header and rows, such as one of units.
        also: titles of columns to take as texts besides, where they are there.
        lines: the number of the line of each row, from 1, shape (n,), where empty lines stand between them.

    Returns:
        The table of the columns that names claim, and for each quantity its column.

    Raises:
        BadWorkbookError: a needed column is missing, a row has too few or too many cells, or there is no row.
    """
    delimiter = delimiter or delimiter_of(text.head[header])
    titles = _evened(titles_in(text.head[header], delimiter), text.head[header + 1 + skip :], delimiter)
    try:
        found = columns_of(titles, names)
    except TitleError as error:
        raise BadWorkbookError(text.name, str(error), column=error.title, row=header + 1) from None
    missing = [one for one in needed if one not in found]
    if missing:
        raise text.error(
            f"has no column for {', '.join(one.replace('_', ' ') for one in missing)}, only {', '.join(titles[:20])}; "
            "export it with these columns",
            header,
        )
    sample = text.head[header + 1 + skip : header + 40 + skip]
    decimal = "," if delimiter != "," and any(_DECIMAL_COMMA.search(line) for line in sample) else "."
    types = _types(found, titles, sample, delimiter) | {title: pa.string() for title in also if title in titles}
    columns = _columns(text, header + 1 + skip, titles, types, delimiter, decimal, lines)
    if not len(next(iter(columns.values()))):
        raise text.error("has a header but no readings", header)
    return Table(text.name, columns, first_row=header + 2 + skip, rows=lines), found


def _types(
    found: dict[str, Column], titles: Sequence[str], sample: Sequence[str], delimiter: str
) -> dict[str, pa.DataType]:
    """What to read the columns of quantities as, by title: numbers, or texts where they hold none.

    Dates that begin with the year as ISO 8601 has it, by the first lines, are read as timestamps.
    """
    types = {
        column.title: pa.string() if QUANTITIES[quantity] is None or column.unit is None else pa.float64()
        for quantity, column in found.items()
    }
    if "date_time" in found:  # ticks of 1e-7 s have more digits than a double
        title = found["date_time"].title
        place = titles.index(title)
        cells = [cells[place] for line in sample if len(cells := cells_in(line, delimiter)) > place]
        is_iso = bool(cells) and all(map(_ISO.fullmatch, cells))
        types[title] = pa.timestamp("us") if is_iso else pa.string()
    return types


def _evened(titles: list[str], rows: Sequence[str], delimiter: str) -> list[str]:
    """The titles, as many as the first row has cells, where one of both ends with a delimiter and the other not."""
    first = next((row for row in rows if row.strip()), "")
    cells = cells_in(first, delimiter)
    if len(titles) == len(cells) + 1 and titles[-1] == f"_{len(titles)}":
        return titles[:-1]
    if len(cells) == len(titles) + 1 and not cells[-1].strip():
        return [*titles, f"_{len(cells)}"]
    return titles


def _columns(
    text: Text,
    skip_rows: int,
    titles: Sequence[str],
    types: dict[str, pa.DataType],
    delimiter: str,
    decimal: str,
    lines: Integers | None,
) -> dict[str, pa.ChunkedArray]:
    """The columns with types, all of them as texts where a cell is no number that should be one."""
    uneven: list[tuple[int | None, str]] = []

    def note(row: csv.InvalidRow) -> str:
        uneven.append((row.number, f"has {row.actual_columns} cells, and the header has {row.expected_columns}"))
        return "error"

    options = {
        "read_options": csv.ReadOptions(
            column_names=list(titles), skip_rows=skip_rows, use_threads=False, block_size=BLOCK_BYTES
        ),
        "parse_options": csv.ParseOptions(delimiter=delimiter, invalid_row_handler=note, newlines_in_values=False),
    }
    try:
        for attempt, missing in _attempts(types):
            try:
                table = csv.read_csv(
                    pa.BufferReader(text.utf8),
                    convert_options=csv.ConvertOptions(
                        column_types=attempt,
                        include_columns=list(types),
                        null_values=missing,
                        strings_can_be_null=False,
                        decimal_point=decimal,
                    ),
                    **options,
                )
                break
            except pa.ArrowInvalid as error:
                if uneven or "conversion error" not in str(error):
                    raise
        columns = {title: table.column(title) for title in types}
    except pa.ArrowInvalid as error:
        problem = uneven[0][1] if uneven else f"cannot be read as a table ({str(error).splitlines()[0]})"
        row = uneven[0][0] if uneven else None
        if row is not None and lines is not None:  # Arrow counts no empty lines
            row = int(lines[min(row - skip_rows, len(lines)) - 1])
        raise BadWorkbookError(text.name, f"{problem}; export or copy it again", row=row) from None
    if decimal == ",":
        columns = {title: _with_points(column, types[title]) for title, column in columns.items()}
    return columns


def _attempts(types: dict[str, pa.DataType]) -> Iterator[tuple[dict[str, pa.DataType], list[str]]]:
    """Types of columns and what stands for an empty cell, to be tried in turn: the quickest first, then all texts.

    A short list of what stands for an empty cell is quicker. A date that is none of ISO 8601 makes all of them texts.
    """
    with_texts = {title: pa.string() if pa.types.is_timestamp(kind) else kind for title, kind in types.items()}
    yield types, [""]
    if with_texts != types:
        yield with_texts, [""]
    yield with_texts, [*NO_NUMBER]
    yield dict.fromkeys(types, pa.string()), [""]


def _with_points(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    """Texts that should be numbers, with a point for their decimal comma."""
    if not pa.types.is_string(column.type) or not pa.types.is_floating(wanted):
        return column
    import pyarrow.compute as pc  # noqa: PLC0415  # a damaged file, or one with 1.234,5, alone comes here

    has_point = pc.match_substring(column, ".")
    if pc.all(pc.match_substring_regex(column.filter(has_point), _THOUSANDS)).as_py():
        column = pc.replace_substring(column, ".", "")
    return pc.replace_substring(column, ",", ".")
