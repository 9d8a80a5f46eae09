"""What is known of cells from elsewhere: from the lab's file of cells, the shipped one, and the files of readings.

What the lab tells of a cell wins over these, value by value. The file that `BATTERY_CELLS` names, and the shipped one
below it, describe cells by patterns; of these the model `battery_cell_metadata` takes one line for each cell, and so
does this, by the same comparison. What files of readings state is shown, and taken for little.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow as pa

from dashboard.words.labels import label_of
from dashboard.words.thresholds import PROJECT
from kernel.base.errors import BatteryError
from kernel.contract.about import SCHEDULE
from kernel.contract.cell_metadata import COLUMNS, in_order, value_text
from refresh.project import require_project

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from kernel.base.settings import Settings
    from kernel.contract.cell_metadata import Value

TOLD: Final = "told here"
OF_THE_LAB: Final = "BATTERY_CELLS"
SHIPPED: Final = "shipped cells.csv"
STATED: Final = "its files"

_COLUMN_OF: Final = {SCHEDULE: "protocol"}
"""Columns by what readers call them."""

_LINES: Final = """
    select cell_id, is_of_the_lab, line
    from cells inner join lines on cell_id glob cell_pattern
    qualify row_number() over (
        partition by cell_id order by is_of_the_lab desc, length(cell_pattern) desc, cell_pattern
    ) = 1
"""


@dataclass(frozen=True)
class Known:
    """A value that is known of a cell, as a person writes it, and the source of it."""

    column: str
    text: str
    source: str


@dataclass(frozen=True)
class Held:
    """The value of a column that holds for a cell, and what other sources say."""

    value: Known
    others: tuple[Known, ...]


def known_elsewhere(
    settings: Settings, cells: Sequence[str], stated: Mapping[str, str | None]
) -> dict[str, tuple[Known, ...]]:
    """What is known of cells from elsewhere, by cell, the source that holds first.

    Args:
        settings: where the lab's file is.
        cells: the cells.
        stated: what the files of cells state, as JSON objects (`battery_cells.stated`).

    Raises:
        BatteryError: BATTERY_CELLS cannot be read.
    """
    found: dict[str, list[Known]] = {cell: [] for cell in cells}
    for cell, source, line in _lines_of(settings, cells):
        found[cell] += [
            Known(column, text.strip(), source) for column, text in line.items() if column in COLUMNS and text
        ]
    for cell, text in stated.items():
        values: dict[str, Any] = json.loads(text or "{}")
        found.setdefault(cell, []).extend(
            Known(column, str(value), STATED)
            for column, value in ((_COLUMN_OF.get(name, name), value) for name, value in values.items())
            if column in COLUMNS and str(value)
        )
    return {cell: tuple(known) for cell, known in found.items()}


def _lines_of(settings: Settings, cells: Sequence[str]) -> Iterable[tuple[str, str, dict[str, str]]]:
    """Of each cell that a line describes the cell, the file that has it in words, and the line by column."""
    lines = _read(PROJECT / "seeds" / "cells.csv")
    shipped = len(lines)
    if settings.battery_cells is not None:
        require_project(settings)
        lines += _read(settings.battery_cells)
    table = pa.table(
        {
            "cell_pattern": pa.array([line.get("cell_pattern") or "" for line in lines], pa.string()),
            "is_of_the_lab": [number >= shipped for number in range(len(lines))],
            "line": range(len(lines)),
        }
    )
    with duckdb.connect() as connection:
        connection.register("cells", pa.table({"cell_id": pa.array(cells, pa.string())}))
        connection.register("lines", table)
        matched = connection.execute(_LINES).fetchall()
    for cell, is_of_the_lab, number in matched:
        line = dict(lines[number])
        yield cell, f"{OF_THE_LAB if is_of_the_lab else SHIPPED}, {line.pop('cell_pattern')}", line


def _read(path: Path) -> list[dict[str, str]]:
    """The lines of a file of cells.

    Raises:
        BatteryError: it cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [{name: text or "" for name, text in line.items() if name} for line in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BatteryError(f"{path} cannot be read: {error}") from None


def held(told: Mapping[str, Value], elsewhere: Sequence[Known]) -> list[Held]:
    """What holds of a cell, a column each in their order, with what other sources say of it.

    Args:
        told: what the lab has told of it.
        elsewhere: what is known of it from elsewhere, the source that holds first.
    """
    by_column: dict[str, list[Known]] = {name: [Known(name, value_text(value), TOLD)] for name, value in told.items()}
    for known in elsewhere:
        by_column.setdefault(known.column, []).append(known)
    return [Held(by_column[name][0], tuple(by_column[name][1:])) for name in in_order(by_column)]


def in_words(told: Mapping[str, Value], elsewhere: Sequence[Known], *, has_readings: bool) -> str:
    """What holds of a cell from elsewhere, in a line, source by source.

    >>> in_words({"mass_g": 1.0}, [Known("chemistry", "LCO", "BATTERY_CELLS, A*"), Known("mass_g", "2", STATED)],
    ...          has_readings=False)
    'chemistry LCO (BATTERY_CELLS, A*); no readings yet'
    """
    by_source: dict[str, list[str]] = {}
    for known in (one.value for one in held(told, elsewhere)):
        if known.source != TOLD:
            label = label_of(COLUMNS[known.column].table_name)
            by_source.setdefault(known.source, []).append(f"{label.words} {known.text} {label.unit}".strip())
    said = [f"{', '.join(values)} ({source})" for source, values in by_source.items()]
    return "; ".join([*said, *([] if has_readings else ["no readings yet"])])
