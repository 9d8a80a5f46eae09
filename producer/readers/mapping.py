"""What a mapping file says: the columns of a table, their units, and what sign, times and counters mean.

    columns:
      Zeit: {quantity: test_time, unit: min}
      "I / mA": current
      U: {quantity: voltage, unit: V}
      Kapazitaet: {quantity: capacity, unit: mAh}
      Zelle: cell
    sign: discharge positive
    counters: both
    time: {dates: dmy, zone: Europe/Berlin}

Every error names the line and the key. docs/guides/your-data.md lists all keys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import yaml

from producer.readers.record import CHARGE, DISCHARGE, REST
from producer.readers.tables.titles import QUANTITIES, TIMES, Column, TitleError, base_and_unit
from producer.readers.units import SAME, names_of, unit_of

if TYPE_CHECKING:
    from collections.abc import Mapping as Pairs
    from collections.abc import Sequence

    from producer.readers.mapping_file import MappingFile
    from producer.readers.units import Unit

    Units = Pairs[str, str]

SIGNS: Final = ("charge positive", "discharge positive", "unsigned")
COUNTERS: Final = ("test", "cycle", "step", "net", "both")
ORDERS: Final = ("dmy", "mdy", "ymd")
MAPPED: Final = tuple(one for one in QUANTITIES if one not in {"net_capacity", "moved", "half_cycle", "is_fc_data"})
"""What a column may hold; a net capacity is `capacity` with counters of the kind `net`."""

STATES: Final = {"charge": CHARGE, "discharge": DISCHARGE, "rest": REST}
DURATION: Final = "duration"
_DURATION_UNIT: Final = re.compile(r"(d+[ -])?h+:m(m|in)?:s", re.IGNORECASE)
KEYS: Final = (
    "columns", "sign", "states", "counters", "time", "cell", "header_row", "data_row", "delimiter", "sheet",
)  # fmt: skip


class MappingError(Exception):
    """A mapping that cannot be used; the message names its file, the line, the key, and what to do."""


@dataclass(frozen=True)
class MappedColumn:
    """A column by its title: the quantity that it holds, its unit where the mapping says it, and where that stands."""

    title: str
    quantity: str
    unit: str | None
    line: int


@dataclass(frozen=True)
class Mapping:
    """How to read a table.

    Attributes:
        file: the name of the mapping file.
        columns: what the columns are.
        sign: one of `SIGNS`; None where the data has to tell.
        states: texts of the column `state`, in lower case, and what they say.
        counters: one of `COUNTERS`; None where the data has to tell.
        dates: the order of dates.
        zone: the time zone of the dates, which is kept and changes nothing.
        cell: the cell, where neither a column nor the user names one.
        header_row: the row of the titles, from 1; None for the first that has those of `columns`.
        data_row: the first row of readings; None for the one below the titles.
        delimiter: what stands between cells of a text.
        sheet: the sheet of a workbook; None for the first that has the columns.
    """

    file: str
    columns: tuple[MappedColumn, ...]
    sign: str | None = None
    states: dict[str, int] = field(default_factory=dict)
    counters: str | None = None
    dates: str | None = None
    zone: str = ""
    cell: str | None = None
    header_row: int | None = None
    data_row: int | None = None
    delimiter: str | None = None
    sheet: str | None = None

    def find(self, titles: Sequence[str], units: Units | None = None) -> dict[str, Column]:
        """The column of each quantity among the titles of a table.

        Args:
            titles: as the file writes them.
            units: by title, of a row of units below; they count where neither the mapping nor the title says one.

        Raises:
            TitleError: a column of the mapping is not there, or its unit is not known.
        """
        by_name = {folded(title): title for title in reversed(titles)}
        found: dict[str, Column] = {}
        for column in self.columns:
            title = by_name.get(folded(column.title))
            if title is None:
                shown = ", ".join(titles[:20])
                raise TitleError(
                    column.title,
                    f"is not there, and {self.file}, line {column.line}, names it; the columns are {shown}",
                )
            found[column.quantity] = Column(title, self._unit(title, column, (units or {}).get(title)))
        return found

    def _unit(self, title: str, column: MappedColumn, below: str | None) -> Unit | None:
        kind = QUANTITIES[column.quantity]
        if kind is None or column.unit == DURATION:
            return None
        written = column.unit
        if written is None:
            _, written = base_and_unit(title)
            if not written or (unit_of(kind, written) is None and not is_duration_unit(written)):
                written = below
            if column.quantity in TIMES and is_duration_unit(written or ""):
                return None
            if written is None:
                if column.quantity not in TIMES:
                    return SAME
                raise TitleError(
                    title,
                    f"names no unit, and {self.file}, line {column.line}, names none either; write there {{quantity: "
                    f"{column.quantity}, unit: s}}, or min, h or duration",
                )
        unit = unit_of(kind, written)
        if unit is None:  # it was checked when the mapping was read
            raise TitleError(title, f"has the unit {written!r}, which is not one of {names_of(kind)}")
        return unit

    def fits(self, titles: Sequence[str]) -> bool:
        """Whether a table has all columns of the mapping."""
        present = {folded(title) for title in titles}
        return all(folded(column.title) in present for column in self.columns)


def is_duration_unit(written: str) -> bool:
    """Whether what stands for the unit of a time says that its cells are durations.

    >>> is_duration_unit("hh:mm:ss"), is_duration_unit("h")
    (True, False)
    """
    return _DURATION_UNIT.match(written.strip()) is not None


def folded(title: str) -> str:
    """A title as those of a mapping and of a table are compared: in any case, and with any blanks."""
    return " ".join(title.split()).casefold()


def mapping_of(file: MappingFile) -> Mapping:
    """Read the text of a mapping file.

    Raises:
        MappingError: it is no YAML, has an unknown key, or a value that cannot be taken.
    """
    try:
        root = yaml.compose(file.text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise MappingError(f"{file.name}{line}: is no YAML ({problem}); fix the line") from None
    except (RecursionError, ValueError) as error:
        raise MappingError(f"{file.name}: is no YAML ({type(error).__name__}); write it as the docs show") from None
    return _Reader(file.name).mapping(root)


class _Reader:
    """Reads the nodes of a mapping file, each with its line."""

    def __init__(self, name: str) -> None:
        self._name = name

    def mapping(self, root: yaml.Node | None) -> Mapping:
        if isinstance(root, yaml.ScalarNode) and " " in root.value:
            raise MappingError(f"{self._name}: {root.value}")
        parts = self._pairs(root, "")
        for key, (node, _) in parts.items():
            if key not in KEYS:
                raise self._error(node, key, f"is not known; the keys are {', '.join(KEYS)}")
        if "columns" not in parts:
            raise MappingError(f"{self._name}: has no key columns; say there which column holds which quantity")
        columns = self._columns(parts["columns"][1])
        time = self._pairs(parts["time"][1], "time") if "time" in parts else {}
        columns = self._with_unit_of_times(columns, time)

        def choice(key: str, choices: Sequence[str], of: dict[str, Any] = parts, prefix: str = "") -> str | None:
            return self._choice(of[key][1], prefix + key, choices) if key in of else None

        def number(key: str) -> int | None:
            return self._number(parts[key][1], key) if key in parts else None

        def text(key: str, of: dict[str, Any] = parts, prefix: str = "") -> str | None:
            return self._text(of[key][1], prefix + key) if key in of else None

        mapping = Mapping(
            self._name,
            tuple(columns),
            choice("sign", SIGNS),
            self._states(parts["states"][1]) if "states" in parts else {},
            choice("counters", COUNTERS),
            choice("dates", ORDERS, time, "time."),
            text("zone", time, "time.") or "",
            text("cell"),
            number("header_row"),
            number("data_row"),
            self._delimiter(parts["delimiter"][1]) if "delimiter" in parts else None,
            text("sheet"),
        )
        self._require(mapping, {key: node for key, (node, _) in parts.items()})
        return mapping

    def _with_unit_of_times(
        self, columns: list[MappedColumn], time: dict[str, tuple[yaml.Node, yaml.Node]]
    ) -> list[MappedColumn]:
        """The columns, those of times with the unit that `time` says where they say none."""
        for key, (node, _) in time.items():
            if key not in {"unit", "dates", "zone"}:
                raise self._error(node, f"time.{key}", "is not known; the keys are unit, dates, zone")
        if "unit" not in time:
            return columns
        unit = self._unit(time["unit"][1], "time.unit", "test_time")
        return [replace(one, unit=unit) if one.quantity in TIMES and one.unit is None else one for one in columns]

    def _require(self, mapping: Mapping, keys: dict[str, yaml.Node]) -> None:
        """Check what only the whole can tell."""
        held = {one.quantity for one in mapping.columns}
        for quantity in ("current", "voltage"):
            if quantity not in held:
                raise self._error(keys["columns"], "columns", f"names no column for {quantity}; add it")
        if not held & {"test_time", "step_time", "date_time"}:
            raise self._error(
                keys["columns"], "columns", "names no column for test_time, step_time or date_time; add one of them"
            )
        if mapping.sign == "unsigned" and "state" not in held:
            raise self._error(
                keys["sign"], "sign", "is unsigned, so a column for state has to say what charges; add it to columns"
            )
        if mapping.states and "state" not in held:
            raise self._error(keys["states"], "states", "needs a column for state; add it to columns")
        if mapping.counters in {"net", "both"} and "capacity" not in held:
            raise self._error(
                keys["counters"], "counters", f"is {mapping.counters}, which needs a column for capacity; add it"
            )
        first, data = mapping.header_row, mapping.data_row
        if first is not None and data is not None and data <= first:
            raise self._error(keys["data_row"], "data_row", f"{data} is not below the header_row {first}")

    def _columns(self, node: yaml.Node) -> list[MappedColumn]:
        columns: list[MappedColumn] = []
        for title, (key, value) in self._pairs(node, "columns").items():
            place = f"columns.{title}"
            unit = None
            if isinstance(value, yaml.MappingNode):
                parts = self._pairs(value, place)
                for name, (part, _) in parts.items():
                    if name not in {"quantity", "unit"}:
                        raise self._error(part, f"{place}.{name}", "is not known; the keys are quantity, unit")
                if "quantity" not in parts:
                    raise self._error(key, place, "names no quantity; write {quantity: current, unit: mA}")
                quantity = self._choice(parts["quantity"][1], f"{place}.quantity", MAPPED)
                if "unit" in parts:
                    unit = self._unit(parts["unit"][1], f"{place}.unit", quantity)
            else:
                quantity = self._choice(value, place, MAPPED)
            if any(one.quantity == quantity for one in columns):
                raise self._error(key, place, f"is a second column for {quantity}; leave one of them out")
            columns.append(MappedColumn(title, quantity, unit, key.start_mark.line + 1))
        if not columns:
            raise self._error(node, "columns", "names no column; say which column holds which quantity")
        return columns

    def _states(self, node: yaml.Node) -> dict[str, int]:
        states: dict[str, int] = {}
        for name, (key, value) in self._pairs(node, "states").items():
            if name not in STATES:
                raise self._error(key, f"states.{name}", f"is not known; the keys are {', '.join(STATES)}")
            texts = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for text in texts:
                states[self._text(text, f"states.{name}").casefold()] = STATES[name]
        return states

    def _pairs(self, node: yaml.Node | None, place: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            if node is None or not place:
                raise MappingError(f"{self._name}: has no keys; it needs columns, as the docs show")
            raise self._error(node, place, "has no keys of its own; indent them below it")
        pairs: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            name = self._text(key, place or "a key")
            if name in pairs:
                raise self._error(key, f"{place}.{name}" if place else name, "is there twice; leave one out")
            pairs[name] = key, value
        return pairs

    def _text(self, node: yaml.Node, place: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
            raise self._error(node, place, "is no text; write one, in quotes where it has a colon")
        return str(node.value).strip()

    def _choice(self, node: yaml.Node, place: str, choices: Sequence[str]) -> str:
        text = " ".join(self._text(node, place).split())
        if text not in choices:
            raise self._error(node, place, f"{text!r} is not one of {', '.join(choices)}")
        return text

    def _number(self, node: yaml.Node, place: str) -> int:
        text = self._text(node, place)
        if not text.isascii() or not text.isdigit() or not 0 < int(text) < 10_000:  # noqa: PLR2004  # not so many lines before a table
            raise self._error(node, place, f"{text!r} is no number of a row; the first is 1")
        return int(text)

    def _unit(self, node: yaml.Node, place: str, quantity: str) -> str:
        text, kind = self._text(node, place), QUANTITIES[quantity]
        if kind is None:
            raise self._error(node, place, f"is a unit, and {quantity} has none; leave it out")
        if text == DURATION and quantity in TIMES:
            return text
        if unit_of(kind, text) is None:
            also = f", {DURATION}" if quantity in TIMES else ""
            raise self._error(node, place, f"{text!r} is not one of {names_of(kind)}{also}")
        return text

    def _delimiter(self, node: yaml.Node) -> str:
        text = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
        text = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";"}.get(text, text)
        if len(text) != 1:
            raise self._error(node, "delimiter", f"{text!r} is no single letter; write tab, comma or ';'")
        return text

    def _error(self, node: yaml.Node, key: str, problem: str) -> MappingError:
        return MappingError(f"{self._name}, line {node.start_mark.line + 1}, {key}: {problem}")
