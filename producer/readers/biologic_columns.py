"""The columns of BioLogic's files, the same in .mpt and .mpr: what they are called and what they mean.

Charge is positive. `(Q-Qo)` is net since the technique began. `Q charge/discharge` has a sign and restarts with each
half cycle. `Q charge` and the energies do so in some exports and not in others. `dq` is what flowed since the reading
before, and often all there is of the current. `Ns` is the step of the technique.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from producer.readers.meaning.counters import SECONDS_PER_HOUR, accumulate, begins, kind_of
from producer.readers.meaning.sign import NO_CURRENT
from producer.readers.record import record_of
from producer.readers.tables.titles import WRITTEN, Column, base_and_unit
from producer.readers.units import SAME

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from producer.readers.record import Record
    from producer.readers.tables.table import Table
    from producer.readers.tables.titles import Names

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Bools = npt.NDArray[np.bool_]

NAMES: Final[Names] = {
    "time": ("test_time", WRITTEN),
    "steptime": ("step_time", WRITTEN),
    "ns": ("step", ""),
    "cyclenumber": ("cycle", ""),
    "halfcycle": ("half_cycle", ""),
    "i": ("current", WRITTEN),
    "dq": ("moved", WRITTEN),
    "qqo": ("net_capacity", WRITTEN),
    "qchargedischarge": ("capacity", WRITTEN),
    "qcharge": ("charge_capacity", WRITTEN),
    "qdischarge": ("discharge_capacity", WRITTEN),
    "energy": ("energy", WRITTEN),
    "energycharge": ("charge_energy", WRITTEN),
    "energydischarge": ("discharge_energy", WRITTEN),
    "temperature": ("temperature", WRITTEN),
    "rdc": ("internal_resistance", WRITTEN),
}

SPECTRUM: Final = "freq/Hz"
"""The frequencies of impedance spectra; a Modulo Bat with spectra among its steps has 0 there in the others."""

SMALL_HALF: Final = 0.01
"""The share of the largest half cycle up to which another one, such as a pulse, begins no cycle."""

_NOISE: Final = 1e-6
_AGREE: Final = 0.5
_PAIR: Final = ("charge_capacity", "discharge_capacity")
_ENERGIES: Final = ("charge_energy", "discharge_energy")
_CURRENT: Final = "current"
_BOTH_ELECTRODES: Final = "eweece"
_VOLTAGES: Final = ("ecell", _BOTH_ELECTRODES, "ewe")
"""Voltages by what they are called; that of the cell comes before that of one electrode."""


def names_among(titles: Iterable[str]) -> Names:
    """`NAMES`, and the voltage by the name that is nearest to that of the cell among some titles.

    Where that is one electrode against the other, `Energy charge` is of one of them alone, and is not taken.
    """
    bases = {base_and_unit(title)[0] for title in titles}
    voltage = next((name for name in _VOLTAGES if name in bases), _VOLTAGES[-1])
    names = {**NAMES, voltage: ("voltage", WRITTEN)}
    if voltage == _BOTH_ELECTRODES:
        of_one = ("energy", "energycharge", "energydischarge")
        names = {name: quantity for name, quantity in names.items() if name not in of_one}
        names |= {"energywececharge": (_ENERGIES[0], WRITTEN), "energywecedischarge": (_ENERGIES[1], WRITTEN)}
    return names


def spectrum_among(titles: Iterable[str]) -> str | None:
    """The title of the frequencies of impedance spectra, if there are any."""
    return next((title for title in titles if title.strip().casefold() == SPECTRUM.casefold()), None)


def said_of_spectra(frequencies: Floats) -> str | None:
    """A line on how many readings are of spectra, by frequencies in Hz or 0, shape (n,); None for all or none."""
    count = int((frequencies > 0).sum())
    if count in {0, len(frequencies)}:
        return None
    return f"readings of impedance spectra ({count} of {len(frequencies)}) were read for current and voltage alone"


def biologic_record(table: Table, found: dict[str, Column], *, is_rest: bool = False) -> Record:
    """The record of a BioLogic table, with counters of the test.

    Args:
        table: the columns that `NAMES` claim, n >= 1 rows.
        found: the column of each quantity, at least those of a time and of the voltage.
        is_rest: whether the technique lets no current flow, so that a file without any is complete.

    Raises:
        BadWorkbookError: neither current nor charge is there, or a cell cannot be taken.
    """
    columns = {
        name: table.numbers(column.title, column.unit)
        for name, column in found.items()
        if name in {"moved", "net_capacity", "capacity", *_PAIR, "energy", *_ENERGIES}
    }
    columns = {name: _filled(values) for name, values in columns.items() if not np.isnan(values).all()}
    time = table.seconds(found["test_time"].title, found["test_time"].unit) if "test_time" in found else None
    half = table.whole_numbers(found["half_cycle"].title) if "half_cycle" in found else None
    assumed: list[str] = []
    if "current" not in found:
        current, said = _derived_current(table, columns, time, half, is_rest=is_rest)
        assumed.append(said)
        table = replace(table, columns={**table.columns, _CURRENT: pa.chunked_array([current])})
        found = {**found, "current": Column(_CURRENT, SAME)}
    plain = {name: column for name, column in found.items() if name not in {*columns, "half_cycle"}}
    record = record_of(table, plain)
    record.assumed += assumed
    record.direction = _directions(record.current)
    _take_capacities(record, columns, half)
    _take_energies(record, columns, half)
    if record.cycle is None and half is not None:
        record.cycle = _cycles(half, record.counters)
        record.assumed.append("the file has no cycles; two half cycles make one, without those of pulses")
    if record.step is not None and _turns_within(record):
        record.step = None
        record.assumed.append("Ns goes on where the direction changes, so it tells no steps")
    return record


def _derived_current(
    table: Table, columns: dict[str, Floats], time: Floats | None, half: Integers | None, *, is_rest: bool
) -> tuple[Floats, str]:
    """The current, A, shape (n,), of what flowed between readings, and a line on it.

    Raises:
        BadWorkbookError: nothing tells what flowed.
    """
    moved, net = columns.get("moved"), columns.get("net_capacity")
    change = None if net is None else np.diff(net, prepend=net[0])
    flowed, source = (change, "(Q-Qo)") if moved is None else (moved, "dq")
    if moved is not None and change is not None:
        flows = moved != 0
        agree = np.abs(moved - change) <= _NOISE * np.abs(moved).max(initial=0.0)
        if flows.any() and agree[flows].mean() < _AGREE:  # readings were left out of the file, and dq is of one alone
            flowed, source = change, "(Q-Qo)"
    if flowed is not None and time is not None:
        said = f"the file has no current; it is what flowed since the reading before, by {source}"
        return _rate(flowed, time, half), said
    if is_rest:
        return np.zeros(len(table)), "the technique lets no current flow, so the current is 0"
    raise table.error(
        None, "has no column for the current, and no time with dq or (Q-Qo) to compute it from; export it with <I>/mA"
    )


def _rate(flowed: Floats, time: Floats, half: Integers | None) -> Floats:
    """Ah since the reading before over the time since then, A; a reading at the same time has what the next one has."""
    hours = np.diff(time, prepend=time[0]) / SECONDS_PER_HOUR
    known = hours > 0
    rate = np.zeros(len(flowed))
    rate[known] = flowed[known] / hours[known]
    at = np.flatnonzero(~known[:-1] & known[1:] & ~begins(half, len(flowed))[1:])
    rate[at] = rate[at + 1]
    return rate


def _take_capacities(record: Record, columns: dict[str, Floats], half: Integers | None) -> None:
    """Counters of the test, of the first of the columns that counted anything."""
    counted = {name: values for name, values in columns.items() if np.ptp(values) > 0}
    if "capacity" in counted or "net_capacity" in counted:
        net = counted.get("net_capacity")
        if "capacity" in counted:
            gains = _signed_gains(counted["capacity"], half, net)
            said = "Q charge/discharge has a sign and begins again with each half cycle"
        else:
            gains = np.diff(counted["net_capacity"], prepend=counted["net_capacity"][0])
            said = "(Q-Qo) counts charge up and discharge down"
        record.assumed.append(f"{said}; it was split into two counters of the test")
    elif all(name in columns for name in _PAIR) and not counted.keys().isdisjoint(_PAIR):
        record.counters |= _of_the_test({name: np.abs(columns[name]) for name in _PAIR}, record, half)
        return
    elif "moved" in counted:
        gains = counted["moved"]
        record.assumed.append("capacities are sums of dq")
    elif not record.current.any() and not columns.keys().isdisjoint({"capacity", "net_capacity", "moved", *_PAIR}):
        gains = np.zeros(len(record))
    else:
        return
    record.counters |= dict(zip(_PAIR, _split(gains, gains), strict=True))


def _split(gains: Floats, ways: Floats | Integers) -> tuple[Floats, Floats]:
    """Counters of what was gained in charge and in discharge."""
    gains = np.abs(gains)
    return np.cumsum(np.where(ways > 0, gains, 0.0)), np.cumsum(np.where(ways < 0, gains, 0.0))


def _signed_gains(values: Floats, half: Integers | None, net: Floats | None) -> Floats:
    """What flowed at each reading, Ah, shape (n,), by a counter with a sign that begins again with each half cycle.

    Within a half cycle a net counter is the better witness where this one leaps.
    """
    gains = np.diff(values, prepend=0.0)
    starts = _restarts(values) if half is None else begins(half, len(values))
    gains[starts] = values[starts]
    if net is not None:
        other = np.diff(net, prepend=net[0])
        leaps = ~starts & (np.abs(gains) > np.abs(other) + _NOISE * np.abs(values).max(initial=0.0))
        gains[leaps] = other[leaps]
    return gains


def _take_energies(record: Record, columns: dict[str, Floats], half: Integers | None) -> None:
    """Counters of energy; none where the file has none that counted, so that they are computed."""
    counted = {name for name, values in columns.items() if np.ptp(values) > 0}
    if all(name in columns for name in _ENERGIES) and not counted.isdisjoint(_ENERGIES):
        record.counters |= _of_the_test({name: np.abs(columns[name]) for name in _ENERGIES}, record, half)
    elif "energy" in counted:
        values = np.abs(columns["energy"])
        gains = np.diff(values, prepend=0.0)
        restarts = _restarts(values)
        if restarts.any() and half is not None:  # where it never falls it counts the test
            restarts |= begins(half, len(values))
        gains[restarts] = values[restarts]
        record.counters |= dict(zip(_ENERGIES, _split(gains, _last(_directions(record.current))), strict=True))
        record.assumed.append("|Energy| counts both directions in one; it was shared out by the current")
    elif not record.current.any() and not columns.keys().isdisjoint({"energy", *_ENERGIES}):
        record.counters |= dict.fromkeys(_ENERGIES, np.zeros(len(record)))


def _of_the_test(pair: dict[str, Floats], record: Record, half: Integers | None) -> dict[str, Floats]:
    """A pair of counters that begin again with half cycles or cycles, as counters of the test."""
    size = len(record)
    halves, cycles = begins(half, size), begins(record.cycle, size)
    kinds = {kind_of(values, halves | cycles, cycles) for values in pair.values()}
    kind = next(one for one in ("irregular", "step", "cycle", "test") if one in kinds)
    if kind in {"step", "cycle"}:
        what = "half cycle" if kind == "step" else "cycle"
        record.assumed.append(f"counters begin again with each {what}; they were added up over the test")
    return {name: accumulate(values, kind, halves | cycles, cycles) for name, values in pair.items()}


def _cycles(half: Integers, counters: dict[str, Floats]) -> Integers:
    """Numbers of cycles from 0, as EC-Lab counts them, shape (n,): two half cycles each, small ones left out."""
    starts = np.flatnonzero(begins(half, len(half)))
    charge, discharge = (
        np.diff(counters[name], prepend=0.0) if name in counters else np.zeros(len(half)) for name in _PAIR
    )
    charge[0] = discharge[0] = 0.0  # what a cut file has before its first reading is of no half cycle
    net = np.add.reduceat(charge - discharge, starts)
    ways = _last(np.where(np.abs(net) > SMALL_HALF * np.abs(net).max(initial=0.0), np.sign(net), 0).astype(np.int64))
    turns = np.cumsum(np.concatenate(([False], (ways[1:] != ways[:-1]) & (ways[:-1] != 0))))
    return np.repeat(turns // 2, np.diff(np.append(starts, len(half))))


def _turns_within(record: Record) -> bool:
    """Whether charge and discharge follow one another within a run of one step number."""
    way = _last(_directions(record.current))
    turned = (way[1:] != way[:-1]) & (way[:-1] != 0)
    return bool((turned & ~begins(record.step, len(record))[1:] & ~begins(record.cycle, len(record))[1:]).any())


def _directions(current: Floats) -> Integers:
    """What BioLogic's signs say, shape (n,): charge is positive."""
    flows = np.abs(current) > NO_CURRENT * np.abs(current).max(initial=0.0)
    return np.where(flows, np.sign(current), 0).astype(np.int64)


def _last(direction: Integers) -> Integers:
    """The direction in which charge last moved, 0 before it first did, shape (n,)."""
    at = np.maximum.accumulate(np.where(direction == 0, -1, np.arange(len(direction))))
    return np.where(at >= 0, direction[at], 0)


def _restarts(values: Floats) -> Bools:
    """Where a counter with a sign turns it, or comes nearer to 0, shape (n,)."""
    found = np.zeros(len(values), np.bool_)
    size = np.abs(values)
    found[1:] = (np.diff(size) < -_NOISE * size.max(initial=0.0)) | (np.sign(values[1:]) * np.sign(values[:-1]) < 0)
    return found


def _filled(values: Floats) -> Floats:
    """Values with that before in place of each that is missing; zero before the first."""
    at = np.maximum.accumulate(np.where(np.isnan(values), -1, np.arange(len(values))))
    return np.where(at >= 0, values[at], 0.0)
