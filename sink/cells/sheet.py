"""What a lab knows of its cells as a CSV file: a line a cell; what is written is read back unchanged.

Spreadsheets write such files, too, each in its own way: with semicolons or tabs, with decimal commas, with `sep=;`
above all, with columns at the end that are empty. A text that a spreadsheet would compute is written with an apostrophe
in front, which is taken away where such a text is read.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kernel.base.errors import BatteryError
from kernel.base.spreadsheet import guarded, unguarded
from kernel.contract.cell_metadata import column_name, in_order, parse_value, require_cell_id, value_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kernel.contract.cell_metadata import Value


CELL: Final = "cell_id"
"""The column that names the cell."""

_SEPARATOR_LINE: Final = re.compile(r"sep=[^\r\n]?(?=\r|\n|$)", re.IGNORECASE)
"""A first line by which some spreadsheets are told what parts the columns."""

_WORDS: Final = {"unexpected end of data": "a quotation mark is opened and not closed"}
"""What the reader of CSV says, in words that help."""


@dataclass(frozen=True)
class Sheet:
    """What a file says of cells, by cell and column; None where a cell of the sheet is empty."""

    columns: tuple[str, ...]
    cells: Mapping[str, Mapping[str, Value | None]]

    @property
    def empty_count(self) -> int:
        """How many cells of the sheet are empty."""
        return sum(value is None for row in self.cells.values() for value in row.values())

    def changes(self, *, clear: bool) -> dict[str, dict[str, Value | None]]:
        """What to change by the file: with `clear` an empty cell takes a value away, else it leaves it."""
        return {
            cell: {name: value for name, value in row.items() if clear or value is not None}
            for cell, row in self.cells.items()
        }


def to_csv(known: Mapping[str, Mapping[str, Value]]) -> str:
    r"""The CSV text: all cells, with a column for everything that is known of any of them.

    >>> to_csv({"A1": {"group": "fast", "mass_g": 45.5}, "B2": {"lot": "007"}})
    'cell_id,group,mass_g,lot\nA1,fast,45.5,\nB2,,,007\n'
    """
    columns = in_order(name for metadata in known.values() for name in metadata)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([CELL, *columns])
    for cell_id, metadata in known.items():
        texts = (_written(metadata[name]) if name in metadata else "" for name in columns)
        writer.writerow([guarded(cell_id), *texts])
    return out.getvalue()


def _written(value: Value) -> str:
    return value_text(value) if isinstance(value, float) else guarded(value_text(value))


def read_csv(path: Path) -> Sheet:
    """Read such a file; semicolons or tabs may part the columns, and numbers then may have a decimal comma.

    Raises:
        BatteryError: it cannot be read, or says something that cannot be; names the line and the column.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BatteryError(f"{path} cannot be read: {error.strerror}") from None
    return parse_csv(content, str(path))


def parse_csv(content: bytes, path: str) -> Sheet:
    """Read what such a file holds.

    Args:
        content: of the file.
        path: what the file is called in errors.

    Raises:
        BatteryError: it says something that cannot be; names the line and the column.
    """
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise BatteryError(f"{path} is not UTF-8 text; save it as CSV UTF-8") from None
    text = _SEPARATOR_LINE.sub("", text, count=1) if _SEPARATOR_LINE.match(text) else text
    first = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next((row for row in rows if any(text.strip() for text in row)), [])
        columns = _columns(f"{path}, line {max(1, rows.line_num)}", _without_empty_end(header, 0))
        cells: dict[str, dict[str, Value | None]] = {}
        for row in rows:
            if not any(text.strip() for text in row):
                continue
            where = f"{path}, line {rows.line_num}"
            fields = _without_empty_end(row, len(columns))
            if len(fields) != len(columns):
                raise BatteryError(f"{where}: {len(row)} fields, but the header has {len(columns)}")
            cell_id, values = _row(where, columns, fields, decimal_comma=delimiter != ",")
            if cell_id in cells:
                raise BatteryError(f"{where}: cell {cell_id} is there twice")
            cells[cell_id] = values
    except csv.Error as error:
        raise BatteryError(f"{path}, line {rows.line_num}: {_WORDS.get(str(error), str(error))}") from None
    if not cells:
        raise BatteryError(f"{path} names no cell: below its header there is no line")
    return Sheet(tuple(name for name in columns if name != CELL), cells)


def _without_empty_end(row: list[str], least: int) -> list[str]:
    """A row without empty fields at its end, as spreadsheets write them; with `least` fields at least."""
    end = len(row)
    while end > least and not row[end - 1].strip():
        end -= 1
    return row[:end]


def _columns(where: str, header: list[str]) -> list[str]:
    """The columns that a header names, the cell's among them."""
    columns = []
    for title in header:
        try:
            columns.append(CELL if title.strip().lower() == CELL else column_name(title))
        except BatteryError as error:
            raise BatteryError(f"{where}: {error}") from None
    if CELL not in columns:
        raise BatteryError(f"{where}: no column {CELL}; a line says of which cell it is by its id")
    if twice := next((name for name in columns if columns.count(name) > 1), None):
        raise BatteryError(f"{where}: the column {twice} is there twice")
    return columns


def _row(where: str, columns: list[str], row: list[str], *, decimal_comma: bool) -> tuple[str, dict[str, Value | None]]:
    """The cell of a row, and its values."""
    texts = dict(zip(columns, row, strict=True))
    try:
        cell_id = require_cell_id(unguarded(texts.pop(CELL).strip()))
        return cell_id, {
            name: parse_value(name, unguarded(text.strip()), decimal_comma=decimal_comma)
            for name, text in texts.items()
        }
    except BatteryError as error:
        raise BatteryError(f"{where}: {error}") from None
