"""The names that senders have for the columns of a reading: the contract's own, and those of the Battery Data Format.

`producer/readers/bdf.py` says what the versions of the Battery Data Format (BDF) call each quantity, and
`dbt_project/models/marts/bdf_timeseries.sql` is the way back. The contract's own names may be of any case, which lets
those of an Arbin export pass, too. A name that says another unit has its numbers converted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kernel.contract.reading import READING
from producer.readers.bdf import best_names
from producer.readers.tables.titles import TitleError, base_and_unit, base_of, columns_of
from producer.readers.units import SAME, Unit, unit_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLUMNS: Final[Mapping[str, str]] = {
    "data_point": "data_point",
    "test_time": "test_time(s)",
    "date_time": "date_time",
    "step_time": "step_time(s)",
    "step": "step_index",
    "cycle": "cycle_index",
    "current": "current(a)",
    "voltage": "voltage(v)",
    "charge_capacity": "charge_capacity(ah)",
    "discharge_capacity": "discharge_capacity(ah)",
    "charge_energy": "charge_energy(wh)",
    "discharge_energy": "discharge_energy(wh)",
    "internal_resistance": "internal_resistance(ohm)",
    "temperature": "temperature(c)",
    "cell": "cell_id",
    "test": "test_id",
}
"""The column of the contract for each quantity of BDF that has one as it is. A net capacity, or one that counts both
directions, has none."""

EXAMPLES: Final[Mapping[str, str]] = {
    "data_point": "Record Index / 1",
    "test_time(s)": "Test Time / s",
    "step_index": "Step Count / 1",
    "cycle_index": "Cycle Count / 1",
    "current(a)": "Current / A",
    "voltage(v)": "Voltage / V",
}
"""The label in BDF to tell somebody whose readings lack a column."""

_CONTRACT: Final = frozenset(READING.names)
_UNIX_TIME: Final = "unixtime"


class UnknownUnitError(Exception):
    """A name says a unit that is not known; says which name, and what to do."""


@dataclass(frozen=True)
class Plan:
    """What to make of readings that come with certain names.

    `columns` is what these are called, in their order; `units` has the places of numbers that are in another unit than
    the contract's, and that unit. `unix_time` is the place of seconds since 1970 that stand for `date_time`, if any.
    `ignored` are the names that give no column: they are not known, or another name has given that column.
    """

    columns: tuple[str, ...]
    units: tuple[tuple[int, Unit], ...]
    unix_time: int | None
    ignored: tuple[str, ...]


def plan(names: Sequence[str]) -> Plan:
    """Find the columns that names stand for; a name that gives none is kept as it is.

    Raises:
        UnknownUnitError: a name says a unit that is not known.

    >>> plan(("cell_id", "Voltage / V", "unix_time_second", "mood"))
    Plan(columns=('cell_id', 'voltage(v)', 'date_time', 'mood'), units=(), unix_time=2, ignored=('mood',))
    """
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        if name.lower() in _CONTRACT and (name.lower() not in places or name in _CONTRACT):
            places[name.lower()] = place
    others = [name for name in names if name.lower() not in _CONTRACT]
    try:
        found = columns_of(others, best_names(others))
    except TitleError as error:
        raise UnknownUnitError(f"{error.title!r} {error}") from None
    units: dict[int, Unit] = {}
    for quantity, column in found.items():
        name = COLUMNS.get(quantity, "")
        if name and name not in places:
            places[name] = names.index(column.title)
            units[places[name]] = column.unit or SAME
    clock = places.get("date_time")
    unix = clock if clock is not None and base_of(names[clock]).startswith(_UNIX_TIME) else None
    if unix is not None:
        units[unix] = _unit_of_clock(names[unix])
    taken = {place: column for column, place in places.items()}
    return Plan(
        tuple(taken.get(place, name) for place, name in enumerate(names)),
        tuple((place, unit) for place, unit in units.items() if unit != SAME),
        unix,
        tuple(name for place, name in enumerate(names) if place not in taken),
    )


def _unit_of_clock(name: str) -> Unit:
    """In which unit a name says that it counts since 1970: seconds where it says none."""
    base, unit = base_and_unit(name)
    return unit_of("s", unit or base.removeprefix(_UNIX_TIME).replace("millisecond", "ms") or "s") or SAME
