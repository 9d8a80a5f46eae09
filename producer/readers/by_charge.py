"""The units of current, time and capacity by each other: the integral of the current is what the capacity gains.

The integral is sampled at the beginning of a table, and the counters of which it is compared may count anything. So it
need be right within a third alone: the units that are told apart are a thousand or sixty times each other.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from producer.readers.tables.titles import QUANTITIES, base_and_unit
from producer.readers.units import unit_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.readers.guesses import Guess
    from producer.readers.look import Look
    from producer.readers.seen import Floats

LARGE: Final = 50.0
"""A current or a capacity beyond this is rather one in mA or mAh; single cells seldom have more in A or Ah."""

NEAR: Final = 1.3
"""How far, as a factor, the integral of the sampled current may be from what the capacity gains."""

BETWEEN_V: Final = (0.3, 12.0)
"""Energy by capacity of a cell, in V."""

_OPEN: Final = {"a": ("A", "mA", "uA"), "s": ("s", "min", "h", "ms"), "ah": ("Ah", "mAh")}
"""The units that a column may have whose title has none, by the kind, the likelier ones first."""

_WRONG: Final = tuple(times**power for times in (1e3, 60.0, 3600.0, 1e6) for power in (1, -1))
"""By how much the integral is wrong where a title names the wrong unit; by any other factor readings are missing."""

_FEWEST: Final = 4
_RESET: Final = 0.5


def first_of(found: Sequence[Guess | None], quantity: str) -> int | None:
    """The column of a quantity: of several that with the fewest doubts, as it is proposed."""
    doubts = {place: len(one.doubts) for place, one in enumerate(found) if one is not None and one.quantity == quantity}
    return min(doubts, key=lambda place: doubts[place], default=None)


def unit_at(look: Look, found: Sequence[Guess | None], place: int) -> str:
    """The unit of a column: that of its guess, or else that in its title."""
    guess = found[place]
    return (guess.unit if guess is not None else "") or base_and_unit(look.titles[place])[1] or ""


def factor(quantity: str, unit: str) -> float:
    """What one of a unit is in that of the contract; 1 where it is unknown."""
    kind = QUANTITIES[quantity]
    known = None if kind is None else unit_of(kind, unit)
    return 1.0 if known is None else float(known.convert(np.array([1.0]))[0])


class Units(NamedTuple):
    """Units of a current, a time and a capacity; that of a clock is empty."""

    current: str
    time: str
    capacity: str

    def factor(self) -> float:
        """What the integral by the capacity is by these units where it is 1 by those of the contract."""
        time = factor("test_time", self.time) / 3600.0
        return factor("current", self.current) * time / factor("capacity", self.capacity)


def by_charge(look: Look, found: list[Guess | None]) -> None:
    """Tell the units that are open by the integral of the current, or say what is unsure about them.

    Args:
        look: the beginning of the table.
        found: what each column may be; it is changed.
    """
    current, counters = first_of(found, "current"), _counters(found)
    possible: list[Units] = []
    if current is not None and counters:
        possible = _possible(look, found, current, counters)
    _settle(look, found, "current", [] if current is None else [current], {one.current for one in possible})
    _settle(look, found, "capacity", counters, {one.capacity for one in possible})
    time = first_of(found, "test_time")
    units = {one.time for one in possible}
    if time is not None and (guess := found[time]) is not None and guess.is_open and len(units) == 1:
        found[time] = guess.with_unit(units.pop(), _SAID)
    _tell_energies(look, found, counters)


_SAID: Final = "the title has no unit; the capacity gains what the current moves then"


def _counters(found: Sequence[Guess | None]) -> list[int]:
    """The columns of the capacities of both directions, or of one, or that of either."""
    pair = [place for name in ("charge_capacity", "discharge_capacity") if (place := first_of(found, name)) is not None]
    single = first_of(found, "capacity")
    return pair or ([] if single is None else [single])


def _possible(look: Look, found: list[Guess | None], current: int, counters: list[int]) -> list[Units]:
    """The units by which the integral is what the capacity gains; a line of doubt where there are none."""
    timed = _time(look, found)
    if timed is None:
        return []
    time, times = timed
    gained = _gained_by_moved(look.seen[current].numbers, time, [look.seen[one].numbers for one in counters])
    if not gained:
        return []
    currents, capacities = _choices(look, found, current), _choices(look, found, counters[0])
    every = [Units(*one) for one in product(currents, times, capacities)]
    near = [one for one in every if any(_is_near(moved * one.factor() / gain, 1.0) for moved, gain in gained)]
    guess = found[current]
    if not near and guess is not None and len(every) == 1:
        ratios = [moved * every[0].factor() / gain for moved, gain in gained]
        wrong = next((one for one in _WRONG if any(_is_near(ratio, one) for ratio in ratios)), None)
        if wrong is not None:
            doubt = f"with its unit and that of the time it moves about {wrong:g} times what the capacity gains"
            found[current] = guess.with_doubt(doubt)
    return near


def _is_near(ratio: float, wanted: float) -> bool:
    return wanted / NEAR < ratio < wanted * NEAR


def _choices(look: Look, found: Sequence[Guess | None], place: int) -> tuple[str, ...]:
    guess = found[place]
    if guess is None or not guess.is_open:
        return (unit_at(look, found, place),)
    return _OPEN[QUANTITIES[guess.quantity] or ""]


def _time(look: Look, found: Sequence[Guess | None]) -> tuple[Floats, tuple[str, ...]] | None:
    """The time of each reading, shape (n,), and the units that it may have; None where there is none."""
    place = first_of(found, "test_time")
    if place is not None:
        seen = look.seen[place]
        return seen.numbers, ("s",) if seen.has_durations else _choices(look, found, place)
    dated = first_of(found, "date_time")
    clock = None if dated is None else look.seen[dated].clock
    return None if clock is None else (clock, ("s",))


def _gained_by_moved(current: Floats, time: Floats, counters: Sequence[Floats]) -> list[tuple[float, float]]:
    """What the current moved, in its unit and that of the time, and what counters gained meanwhile.

    For a counter of one direction, whose sign is not known, the current of either sign is one possibility.
    """
    present = np.isfinite(current) & np.isfinite(time)
    for counter in counters:
        present &= np.isfinite(counter)
    if present.sum() < _FEWEST:
        return []
    passed = np.diff(time[present]).clip(min=0.0)
    mean = (current[present][1:] + current[present][:-1]) / 2
    gain = sum(_gain(counter[present]) for counter in counters)
    parts = [np.abs(mean), mean.clip(min=0.0), (-mean).clip(min=0.0)]
    moved = [float((part * passed).sum()) for part in (parts if len(counters) == 1 else parts[:1])]
    return [(one, gain) for one in dict.fromkeys(moved) if one > 0 and gain > 0]


def _gain(counter: Floats) -> float:
    """What a counter went on by in either direction, without where it begins again."""
    change = np.diff(counter)
    begins_again = (change < 0) & (np.abs(counter[1:]) <= _RESET * np.abs(counter[:-1]))
    return float(np.abs(change[~begins_again]).sum())


def _settle(look: Look, found: list[Guess | None], what: str, places: Sequence[int], units: set[str]) -> None:
    """Give columns the unit that is told, or say that their size alone does not tell it."""
    for place in places:
        guess = found[place]
        if guess is None or not guess.is_open:
            continue
        if len(units) == 1:
            found[place] = guess.with_unit(next(iter(units)), _SAID)
            continue
        sizes = look.seen[place].sizes
        most = float(sizes.max()) if len(sizes) else 0.0
        plain, milli = ("A", "mA") if what == "current" else ("Ah", "mAh")
        likely = milli if most > LARGE or _in_milli(look, found) else plain
        doubt = f"the title has no unit; its size, up to {most:.4g}, does not tell {plain} from {milli}: check it"
        if units >= {plain, milli}:
            doubt += " (A goes with Ah here, mA with mAh)"
        found[place] = guess.with_doubt(doubt, likely)


def _in_milli(look: Look, found: Sequence[Guess | None]) -> bool:
    """Whether the file writes another of its quantities in thousandths, as who does so mostly does with all."""
    others = ("voltage", "current", "charge_capacity", "discharge_capacity", "capacity")
    places = (first_of(found, one) for one in others)
    units = [unit_at(look, found, place) for place in places if place is not None and not _is_open(found[place])]
    return any(unit.startswith("m") for unit in units)


def _is_open(guess: Guess | None) -> bool:
    return guess is None or guess.is_open


def _tell_energies(look: Look, found: list[Guess | None], counters: Sequence[int]) -> None:
    """Tell the unit of energies by that of the capacities: one by the other is a voltage."""
    if not counters or _is_open(found[counters[0]]):
        return
    capacity = factor("capacity", unit_at(look, found, counters[0]))
    moved = max(_gain(_finite(look.seen[place].numbers)) for place in counters) * capacity
    for name in ("charge_energy", "discharge_energy", "energy"):
        place = first_of(found, name)
        guess = None if place is None else found[place]
        if place is None or guess is None or not guess.is_open or moved <= 0:
            continue
        volts = _gain(_finite(look.seen[place].numbers)) / moved
        near = [unit for unit in ("Wh", "mWh") if BETWEEN_V[0] <= volts * factor("energy", unit) <= BETWEEN_V[1]]
        if len(near) == 1:
            said = "the title has no unit; energy by capacity is a cell's voltage then"
            found[place] = guess.with_unit(near[0], said)


def _finite(numbers: Floats) -> Floats:
    return np.asarray(numbers[np.isfinite(numbers)], np.float64)
