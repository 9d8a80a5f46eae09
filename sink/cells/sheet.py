"""What a lab knows of its cells as a CSV file: a line a cell; what is written is read back unchanged."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernel.base.errors import BatteryError
from kernel.contract.cell_metadata import column_name, in_order, parse_value, require_cell_id, value_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kernel.contract.cell_metadata import Value

CELL = "cell_id"
"""The column that names the cell."""


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
        writer.writerow([cell_id, *(value_text(metadata[name]) if name in metadata else "" for name in columns)])
    return out.getvalue()


def read_csv(path: Path) -> Sheet:
    """Read such a file; a semicolon may part the columns, and numbers then may have a decimal comma.

    Raises:
        BatteryError: it cannot be read, or says something that cannot be; names the line and the column.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BatteryError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BatteryError(f"{path} is not UTF-8 text; save it as CSV UTF-8") from None
    first = text.partition("\n")[0]
    semicolons = first.count(";") > first.count(",")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=";" if semicolons else ",", strict=True)
    try:
        header = next(rows, [])
        columns = _columns(path, header)
        cells: dict[str, dict[str, Value | None]] = {}
        for row in rows:
            if not any(text.strip() for text in row):
                continue
            where = f"{path}, line {rows.line_num}"
            if len(row) != len(header):
                raise BatteryError(f"{where}: {len(row)} fields, but the header has {len(header)}")
            cell_id, values = _row(where, columns, row, decimal_comma=semicolons)
            if cell_id in cells:
                raise BatteryError(f"{where}: cell {cell_id} is there twice")
            cells[cell_id] = values
    except csv.Error as error:
        raise BatteryError(f"{path}, line {rows.line_num}: {error}") from None
    return Sheet(tuple(name for name in columns if name != CELL), cells)


def _columns(path: Path, header: list[str]) -> list[str]:
    """The columns that a header names, the cell's among them."""
    columns = []
    for title in header:
        try:
            columns.append(CELL if title.strip().lower() == CELL else column_name(title))
        except BatteryError as error:
            raise BatteryError(f"{path}, line 1: {error}") from None
    if CELL not in columns:
        raise BatteryError(f"{path}, line 1: no column {CELL}; a line says of which cell it is by its id")
    if twice := next((name for name in columns if columns.count(name) > 1), None):
        raise BatteryError(f"{path}, line 1: the column {twice} is there twice")
    return columns


def _row(where: str, columns: list[str], row: list[str], *, decimal_comma: bool) -> tuple[str, dict[str, Value | None]]:
    """The cell of a row, and its values."""
    texts = dict(zip(columns, row, strict=True))
    try:
        cell_id = require_cell_id(texts.pop(CELL).strip())
        return cell_id, {name: parse_value(name, text, decimal_comma=decimal_comma) for name, text in texts.items()}
    except BatteryError as error:
        raise BatteryError(f"{where}: {error}") from None
