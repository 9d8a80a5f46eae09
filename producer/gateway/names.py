"""The names that senders have for the columns of a reading: the contract's own, and those of the Battery Data Format.

The Battery Data Format (BDF, https://battery-data-alliance.github.io/battery-data-format/) has for each quantity a
label, such as `Voltage / V`, and a machine name, such as `voltage_volt`. Some names have changed between its versions;
all are read. `dbt_project/models/marts/bdf_timeseries.sql` is the way back. Names may be of any case, which lets those
of an Arbin export pass, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kernel.contract.reading import READING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

UNIX_TIME: Final = ("unix_time_second", "unix time / s", "unix time")
"""Names of the wall clock as seconds since 1970 UTC, which is no time stamp of the contract yet."""

BDF: Final[Mapping[str, tuple[str, ...]]] = {
    "data_point": ("record_index", "record index / 1", "record index", "data point"),
    "test_time(s)": ("test_time_second", "test time / s", "test time"),
    "date_time": (*UNIX_TIME, "date_time_iso", "date time iso", "datetime"),
    "step_time(s)": ("step_time_second", "step time / s", "step time"),
    "step_index": ("step index / 1", "step index", "step_id", "step id", "step_count", "step count / 1", "step count"),
    "cycle_index": ("cycle_count", "cycle count / 1", "cycle count", "cycle index / 1", "cycle index"),
    "current(a)": ("current_ampere", "current / a", "current"),
    "voltage(v)": ("voltage_volt", "voltage / v", "voltage"),
    "charge_capacity(ah)": (
        "charging_capacity_ah", "charging_capacity_ampere_hour", "charging capacity / ah", "charging capacity",
        "cycle_charging_capacity_ah", "cycle charging capacity / ah",
    ),
    "discharge_capacity(ah)": (
        "discharging_capacity_ah", "discharging_capacity_ampere_hour", "discharging capacity / ah",
        "discharging capacity", "cycle_discharging_capacity_ah", "cycle discharging capacity / ah",
    ),
    "charge_energy(wh)": (
        "charging_energy_wh", "charging_energy_watt_hour", "charging energy / wh", "charging energy",
        "cycle_charging_energy_wh", "cycle charging energy / wh",
    ),
    "discharge_energy(wh)": (
        "discharging_energy_wh", "discharging_energy_watt_hour", "discharging energy / wh", "discharging energy",
        "cycle_discharging_energy_wh", "cycle discharging energy / wh",
    ),
    "internal_resistance(ohm)": ("internal_resistance_ohm", "internal resistance / ohm", "internal resistance"),
    "temperature(c)": (
        "surface_temperature_t1_celsius", "surface temperature t1 / degc", "temperature_t1_celsius",
        "temperature t1 / degc", "surface_temperature_celsius", "surface temperature / degc",
        "ambient_temperature_celsius", "ambient temperature / degc", "ambient temperature",
    ),
}  # fmt: skip
"""For each column of the contract its names in BDF, in small letters. The first that a reading has is taken: the step
of the schedule before the count of steps, the counter of the test before that of the cycle, the cell's own temperature
before that of the room."""

EXAMPLES: Final = {column: names[0] for column, names in BDF.items()} | {"step_index": "step_count"}
"""The name in BDF to tell somebody whose readings lack a column."""

_SLASH: Final = re.compile(r"\s*/\s*")
_SPACE: Final = re.compile(r"\s+")


@dataclass(frozen=True)
class Plan:
    """What the columns of a reading that came with certain names are called, in their order.

    `unix_time` is the place of seconds since 1970 that stand for `date_time`, if any. `ignored` are the names that give
    no column: they are not known, or another name has given that column.
    """

    columns: tuple[str, ...]
    unix_time: int | None
    ignored: tuple[str, ...]


def plan(names: Sequence[str]) -> Plan:
    """Find the columns that names stand for; a name that gives none is kept as it is.

    >>> plan(("cell_id", "Voltage / V", "unix_time_second", "mood"))
    Plan(columns=('cell_id', 'voltage(v)', 'date_time', 'mood'), unix_time=2, ignored=('mood',))
    """
    best: dict[str, tuple[int, int]] = {}
    for place, name in enumerate(names):
        column, rank = _KNOWN.get(folded(name), (None, 0))
        if column is not None:
            rank = -1 if name == column else rank
            best[column] = min(best.get(column, (rank, place)), (rank, place))
    taken = {place: column for column, (_, place) in best.items()}
    clock = best.get("date_time", (0, None))[1]
    return Plan(
        tuple(taken.get(place, name) for place, name in enumerate(names)),
        clock if clock is not None and folded(names[clock]) in UNIX_TIME else None,
        tuple(name for place, name in enumerate(names) if place not in taken),
    )


def folded(name: str) -> str:
    """A name in small letters, with one space where there are several and around a slash before a BDF unit."""
    name = _SPACE.sub(" ", name.strip().replace("°", "deg")).lower()
    return name if "(" in name else _SLASH.sub(" / ", name)  # `dv/dt(v/s)` is the contract's


_KNOWN: Final = {column: (column, 0) for column in READING.names} | {
    name: (column, rank) for column, names in BDF.items() for rank, name in enumerate(names, 1)
}
