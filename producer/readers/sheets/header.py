"""A sheet's first row: which column of the contract each cell names, and in which unit its numbers are.

Names are compared without case, blanks and underscores, since software of different years writes `Test_Time(s)`,
`Test Time (s)` and `TEST_TIME(S)` for the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kernel.contract.reading import READING
from producer.readers.base import FILE_COLUMNS
from producer.readers.units import SAME, UNITS, Unit, names_of, unit_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


DURATIONS: Final = ("test_time(s)", "step_time(s)")
"""Columns whose cells may be durations, such as 26:03:04, instead of numbers."""


TEMPERATURE: Final = "temperature(c)"
"""The column that several sensors may be named for."""


class HeaderError(Exception):
    """A header that cannot be read; `column` is as the sheet writes it, and the message is what is wrong."""

    def __init__(self, column: str, problem: str) -> None:
        super().__init__(problem)
        self.column = column


_DURATION_UNITS: Final = frozenset(
    {"h:m:s", "h:min:s", "h:min:s.ms", "hh:mm:ss", "h:mm:ss", "hh:mm:ss.ms", "d hh:mm:ss"}
)
_NAME: Final = re.compile(r"^(?P<base>.*?)(?:[(\[](?P<unit>[^()\[\]]*)[)\]])?(?P<number>[\s_]*\d*)$", re.DOTALL)
_TEMPERATURE: Final = re.compile(r"^(aux)?temperature\d*$")


@dataclass(frozen=True)
class Place:
    """Where a column stands in a sheet, how the sheet writes its name, and the unit of its numbers.

    `unit` is None where no unit is named and the cells themselves have to say it, as durations do.
    """

    index: int
    title: str
    unit: Unit | None


@dataclass(frozen=True)
class Header:
    """The columns of the contract that a first row names, and notes for the user on columns that are passed over.

    `spares` are further columns of temperatures: a logger's first sensors may be connected to nothing.
    """

    places: dict[str, Place]
    notes: tuple[str, ...] = ()
    spares: tuple[Place, ...] = ()


@dataclass(frozen=True)
class _Column:
    """A column as the contract has it: `unit` is a key of `UNITS`, None where it has none."""

    name: str
    unit: str | None


def _columns() -> Iterator[tuple[str, _Column]]:
    for name in READING.names:
        if name not in FILE_COLUMNS:
            base, _, unit = name.partition("(")
            yield _base(base), _Column(name, unit.rstrip(")") or None)


def _base(text: str) -> str:
    return re.sub(r"[\s_]+", "", text).casefold()


_COLUMNS: Final = dict(_columns())


def contract_name(title: object) -> str | None:
    """The column of the contract that a cell of a header names, in whatever unit; None if it names none."""
    named = _named(str(title))
    return None if named is None else named[0].name


def read_header(cells: Sequence[object]) -> Header:
    """Find the columns of the contract in a sheet's first row; of two that name the same, the first counts.

    Raises:
        HeaderError: a column's unit is not known, or is not named.
    """
    places: dict[str, Place] = {}
    notes: list[str] = []
    spares: list[Place] = []
    problems: dict[str, HeaderError] = {}
    for index, cell in enumerate(cells):
        title = " ".join(str(cell).split())
        named = _named(title)
        if named is None:
            continue
        column, written = named
        try:
            place = Place(index, title, _unit(title, column, written))
        except HeaderError as error:
            problems.setdefault(column.name, error)
            continue
        if column.name in places and column.name == TEMPERATURE and place.unit is not None:
            spares.append(place)
        elif column.name in places:
            notes.append(f"column {title} is passed over, as {places[column.name].title} stands before it")
        elif place.unit is not None or column.name in DURATIONS:
            places[column.name] = place
    for name, problem in problems.items():
        if name not in places:
            raise problem
    return Header(places, tuple(notes), tuple(spares))


def _named(title: str) -> tuple[_Column, str | None] | None:
    """The column that a cell names, and the unit behind the name, if any is written."""
    match = _NAME.match(title.strip())
    if match is None:
        return None
    base = _base(match["base"] if match["unit"] is not None else title)
    if _TEMPERATURE.match(base):
        base = "temperature"
    elif match["unit"] is not None and match["number"].strip():
        return None  # Voltage(V)_2 is another sensor's
    column = _COLUMNS.get(base)
    return None if column is None else (column, match["unit"])


def _unit(title: str, column: _Column, written: str | None) -> Unit | None:
    """The unit of a column's numbers; None where none is written.

    Raises:
        HeaderError: it is not known; or none is written, and every reading needs the value.
    """
    if column.unit is None:
        return SAME
    if written is None or not written.strip():
        if column.name in DURATIONS or column.name not in _WITH_UNIT:
            return None
        raise HeaderError(
            title, f"names no unit; name the column {_shown(column)}, or in another unit: {_list(column)}"
        )
    if column.name in DURATIONS and re.sub(r"\s+", " ", written.strip().casefold()) in _DURATION_UNITS:
        return None
    unit = unit_of(column.unit, written)
    if unit is not None:
        return unit
    raise HeaderError(
        title, f"has the unit {written.strip()!r}, which is not known here; convert it to one of {_list(column)}"
    )


_WITH_UNIT: Final = frozenset(field.name for field in READING if "(" in field.name and not field.nullable) | {
    "charge_capacity(ah)",
    "discharge_capacity(ah)",
    "charge_energy(wh)",
    "discharge_energy(wh)",
}
"""Columns that a sheet must have, with a unit; others without one are passed over."""


def _shown(column: _Column) -> str:
    base = "_".join(part.capitalize() for part in column.name.partition("(")[0].split("_"))
    return f"{base}({next(iter(UNITS[column.unit or '']))})"


def _list(column: _Column) -> str:
    return names_of(column.unit or "")
