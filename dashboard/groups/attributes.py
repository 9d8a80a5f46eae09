"""What is known of each cell, by which cells are filtered, coloured, split into panels and compared.

These are the columns of `battery_cells`, the lab's own columns in it, what files state, and a few figures over a cell's
cycles. A column that is empty throughout is none.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from dashboard.words.codes import stated_words, words_of
from dashboard.words.labels import Label, label_of
from dashboard.words.rules import METHODS
from dashboard.words.tables import PERCENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Value = str | float | tuple[str, ...]


class Kind(StrEnum):
    """What the values of an attribute are: a text of each cell, a number, or several tags."""

    TEXT = "text"
    NUMBER = "number"
    TAGS = "tags"


@dataclass(frozen=True)
class Attribute:
    """What is known of cells under one name.

    Attributes:
        key: its column, or for the lab's own columns and what files state its place there, such as `lab.electrolyte`.
        label: what it is called, with its unit.
        kind: of its values.
        values: of the cells of which it is known, by their id; shares are in percent, codes in words.
        name: what choices call it, which no other attribute is called.
        missing: what is said of cells without it.
    """

    key: str
    label: Label
    kind: Kind
    values: Mapping[str, Value]
    name: str = ""
    missing: str = ""

    @property
    def unknown(self) -> str:
        """What cells are called of which it is not known."""
        return UNKNOWN_WORDS.get(self.key, f"{self.label.words} unknown")

    def number(self, cell: str) -> float:
        """Its value of a cell; NaN where it is not known, or no number."""
        value = self.values.get(cell)
        return value if isinstance(value, float) else math.nan

    def text(self, cell: str) -> str | None:
        """Its value of a cell as a text, with its unit; None where it is not known."""
        value = self.values.get(cell)
        if value is None:
            return None
        if isinstance(value, float):
            return f"{value:.6g} {self.label.unit}".strip()
        return ", ".join(value) if isinstance(value, tuple) else value


FIRST: Final = (
    "cell_group", "chemistry", "cell_format", "protocol", "temperature_c", "tags", "nominal_capacity_ah", "mass_g",
    "area_cm2",
)  # fmt: skip
"""Columns in which a lab describes its cells: they are offered first, then the lab's own."""

NOT_OFFERED: Final = frozenset({"cell_id", "metadata", "stated", "eol_alternatives"})
"""Columns that tell each cell from all others, or hold several."""

LAB_COLUMN: Final = "the lab's column"
"""What a column of the lab's own is called where its name alone would mean another."""

RESERVED: Final = frozenset({"cell", "none"})
"""What choices offer besides attributes."""

FIGURES: Final[Mapping[str, Label]] = {
    "coulombic_efficiency_median": Label("median coulombic efficiency", PERCENT, 2),
    "energy_efficiency_median": Label("median energy efficiency", PERCENT, 2),
    "resistance_growth": Label("resistance growth", PERCENT, 1),
    "temperature_median_c": Label("median temperature of the cycles", "°C", 1),
}
"""Figures over a cell's cycles, by the columns of `dashboard.groups.figures_of_cells`."""

WORDS: Final[Mapping[str, Label]] = {
    "latest_soh": Label("state of health", PERCENT, 1),
    "eol_cycle": Label("cycle life", "cycles", 0),
    "knee_cycle": Label("knee", "cycle", 0),
    "latest_internal_resistance_ohm": Label("internal resistance", "Ω"),
    "temperature_c": Label("temperature", "°C"),
    "first_at": Label("month of the first reading"),
    "last_at": Label("month of the last reading"),
}
"""What columns are called where they stand by themselves."""

MISSING: Final[Mapping[str, str]] = {
    "eol_cycle": "without an end of life yet",
    "knee_cycle": "without a knee",
    "projected_eol_cycle": "without a projected end of life",
}
"""What a cell is that has no value in a column that says when something happened."""

UNKNOWN_WORDS: Final[Mapping[str, str]] = {"cell_group": "no group", "tags": "no tags"}
"""What a cell has that lacks what it need not have."""

_NUMBER: Final = re.compile(r"[+-]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""A text that is a number; 007 is the name of something."""


def attributes_of(cells: pa.Table, figures: pa.Table | None = None) -> dict[str, Attribute]:
    """All attributes of some cells by their names, in the order in which they are offered.

    Args:
        cells: all rows of `battery_cells`, so that a choice among them does not depend on other choices.
        figures: of the same cells, with `cell_id` and columns of `FIGURES`.
    """
    ids = cells["cell_id"].to_pylist()
    columns = [name for name in cells.column_names if name not in NOT_OFFERED]
    found = [
        *_of_columns(cells, ids, [name for name in FIRST if name in columns]),
        *_of_texts("lab", ids, _objects(cells, "metadata")),
        *_of_columns(cells, ids, [name for name in columns if name not in FIRST]),
        *([] if figures is None else _of_columns(figures, figures["cell_id"].to_pylist(), FIGURES)),
        *_of_texts("stated", ids, _objects(cells, "stated")),
    ]
    named: dict[str, Attribute] = {}
    for attribute in found:
        name = next(name for name in _names(attribute) if name not in named and name not in RESERVED)
        named[name] = replace(attribute, name=name)
    return named


def _names(attribute: Attribute) -> Iterator[str]:
    """What an attribute may be called, the shortest first; what files state says so, since the lab may know better."""
    place = attribute.key.partition(".")[0]
    if place == "stated":
        yield f"{attribute.label}, as files state"
    else:
        yield attribute.label.words
        yield str(attribute.label)
        yield f"{attribute.label}, {LAB_COLUMN if place == 'lab' else 'column'}"
    yield attribute.key


def _of_columns(table: pa.Table, ids: list[str], columns: Iterable[str]) -> Iterator[Attribute]:
    for column in columns:
        if column not in table.column_names:
            continue
        label = WORDS.get(column) or FIGURES.get(column) or label_of(column)
        kind = _kind(table.schema.field(column).type)
        if kind is None:
            continue
        scale = 100.0 if label.unit == PERCENT else 1.0
        known = {
            cell: _value(column, value, scale)
            for cell, value in zip(ids, table[column].to_pylist(), strict=True)
            if value is not None and value != [] and value == value  # noqa: PLR0124  # NaN is no value
        }
        if known:
            yield Attribute(column, label, kind, known, missing=MISSING.get(column, f"without {label.words}"))


def _kind(of: pa.DataType) -> Kind | None:
    if pa.types.is_integer(of) or pa.types.is_floating(of) or pa.types.is_decimal(of):
        return Kind.NUMBER
    if pa.types.is_timestamp(of):
        return Kind.TEXT  # its month: cells that began together are a group
    if pa.types.is_list(of) and pa.types.is_string(of.value_type):
        return Kind.TAGS
    return Kind.TEXT if pa.types.is_string(of) or pa.types.is_large_string(of) else None


def _value(column: str, value: Any, scale: float) -> Value:  # noqa: ANN401  # what a cell of a table holds
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, datetime):
        return f"{value:%Y-%m}"
    if isinstance(value, str):
        return METHODS.get(value, value) if column == "knee_method" else words_of(column, value)
    return scale * float(value)


def _objects(cells: pa.Table, column: str) -> list[dict[str, Any]]:
    """A column of JSON objects; what is none is empty."""
    if column not in cells.column_names:
        return [{} for _ in range(cells.num_rows)]
    found = []
    for text in cells[column].to_pylist():
        try:
            read = json.loads(text or "{}")
        except ValueError:
            read = {}
        found.append(read if isinstance(read, dict) else {})
    return found


def _of_texts(place: str, ids: list[str], objects: list[dict[str, Any]]) -> Iterator[Attribute]:
    """Attributes from texts by key: numbers where every text is one."""
    for key in sorted({key for one in objects for key in one}):
        texts = {
            cell: str(one[key]).strip()
            for cell, one in zip(ids, objects, strict=True)
            if one.get(key) is not None and str(one[key]).strip()
        }
        if not texts:
            continue
        words = stated_words(key) if place == "stated" else key.replace("_", " ")
        label, known, kind = Label(words), dict[str, Value](texts), Kind.TEXT
        if all(_NUMBER.fullmatch(text) for text in texts.values()):
            numbers = {cell: float(text) for cell, text in texts.items()}
            if all(math.isfinite(number) for number in numbers.values()):
                known, kind = dict[str, Value](numbers), Kind.NUMBER
        yield Attribute(f"{place}.{key}", label, kind, known, missing=f"without {words}")
