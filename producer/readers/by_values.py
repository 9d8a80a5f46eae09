"""What the values of columns tell that their titles leave open: units, and whether a time is a date.

A cell's voltage lies within a decade, so its size tells V from mV. That of a current does not: cells span nine decades.
But its integral over time is what the capacity gains, which tells the unit of one by that of the other
(`producer/readers/by_charge.py`), and dates tell the unit of a time. What none of them tells stays a guess.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from producer.readers.by_charge import by_charge, factor, first_of, unit_at
from producer.readers.guesses import Guess
from producer.readers.mapping import DURATION
from producer.readers.tables.titles import TIMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.readers.look import Look
    from producer.readers.seen import Floats, Seen

PACK_V, MILLIVOLTS, MICROVOLTS = 10.0, 100.0, 1e5
"""Voltages by their median: from the first on they are no single cell's in V, from the others on rather mV and uV."""

KELVIN: Final = 200.0
"""A median temperature above this is one in K."""

UNIX: Final = {"seconds": (1.2e9, 2.2e9), "milliseconds": (1.2e12, 2.2e12)}
"""Times by their median that are dates, of the years 2008 to 2039, and no times of a test."""

_SMALLEST_DATE: Final = 20_000.0
"""Numbers below this are no dates: as days since 1900 they would be of the year 1954."""

_SECONDS: Final = {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}
_FEWEST: Final = 3
_NEAR_DATES: Final = 0.05
_ROUND: Final = 0.02
_SHORTEST_S, _LONGEST_S = 0.5, 900.0
"""Between readings, in s, most cyclers let pass so much; with another unit, times are rather in that."""


def weigh(look: Look, guesses: Sequence[Guess | None]) -> list[Guess | None]:
    """The guesses of the columns of a table, with what their values tell.

    Args:
        look: the beginning of the table, with what was seen of its values.
        guesses: what each column may be by its title, and by a row of units.
    """
    if len(look.seen) != len(guesses):
        return list(guesses)
    found = [_of_kind(guess, seen) for guess, seen in zip(guesses, look.seen, strict=True)]
    _find_a_time(look, found)
    found = [_by_size(guess, seen) for guess, seen in zip(found, look.seen, strict=True)]
    _tell_times_by_dates(look, found)
    by_charge(look, found)
    for place, (guess, seen) in enumerate(zip(found, look.seen, strict=True)):
        if guess is not None and guess.is_open and guess.quantity in TIMES and not seen.has_durations:
            found[place] = _by_spacing(guess, seen.numbers)
    return found


def _find_a_time(look: Look, found: list[Guess | None]) -> None:
    """Take a column that nobody knows for the time where no other is, and its values are dates or durations."""
    if any(guess is not None and guess.quantity in {*TIMES, "date_time"} for guess in found):
        return
    for quantity, unit, what in (("date_time", "", "dates"), ("test_time", DURATION, "durations")):
        for place, seen in enumerate(look.seen):
            if found[place] is None and (seen.clock is not None if not unit else seen.has_durations):
                found[place] = Guess(quantity, unit, (f"nobody calls a column so, but its values are {what}",))
                return


def _of_kind(guess: Guess | None, seen: Seen) -> Guess | None:
    """A time that is a date, and a date that is a time."""
    if guess is not None and guess.quantity in TIMES:
        guess = guess.with_unit(DURATION) if seen.has_durations and seen.clock is None else guess
        return _test_time(_date_of_time(guess, seen), seen)
    if guess is None or guess.quantity != "date_time" or seen.clock is not None:
        return guess
    sizes = seen.sizes
    if seen.has_durations:
        return replace(guess, quantity="test_time", doubts=("its values have no day: are they times of a day?",))
    if len(sizes) and float(np.median(sizes)) < _SMALLEST_DATE:
        return replace(guess, quantity="test_time", unit="s", is_open=True)
    return guess


def _date_of_time(guess: Guess, seen: Seen) -> Guess:
    middle = float(np.median(seen.sizes)) if len(seen.sizes) else 0.0
    counts = next((what for what, (low, high) in UNIX.items() if low <= middle <= high), None)
    said = f"its values count Unix {counts}, so they are dates in UTC" if guess.is_open and counts else ""
    if seen.clock is not None:
        said = "its values are dates"
    if not said:
        return guess
    return replace(guess, quantity="date_time", unit="", doubts=(), is_open=False, said=said)


def _test_time(guess: Guess, seen: Seen) -> Guess:
    """A time that never begins again is that of the test, whoever calls that of a step so."""
    time = seen.numbers[np.isfinite(seen.numbers)]
    if guess.quantity != "test_time" or len(time) < _FEWEST or (np.diff(time) < 0).any():
        return guess
    return replace(guess, doubts=tuple(doubt for doubt in guess.doubts if doubt != "may be step_time"))


def _by_size(guess: Guess | None, seen: Seen) -> Guess | None:
    """A voltage or a temperature whose unit its size tells."""
    sizes = seen.sizes
    if guess is None or not guess.is_open or not len(sizes) or guess.quantity not in {"voltage", "temperature"}:
        return guess
    middle, shown = float(np.median(sizes)), _range(seen.numbers)
    if guess.quantity == "temperature":
        return guess.with_unit("K", f"the title has no unit; K by its values, {shown}") if middle > KELVIN else guess
    if PACK_V < middle < MILLIVOLTS:
        return guess.with_doubt(f"the title has no unit, and {shown} V is more than one cell has: is it a pack?", "V")
    unit = "V" if middle <= PACK_V else "mV" if middle < MICROVOLTS else "uV"
    pack = "; write V if it is a pack" if unit == "mV" else ""
    return guess.with_unit(unit, f"the title has no unit; {unit} by its values, {shown}{pack}")


def _range(numbers: Floats) -> str:
    present = numbers[np.isfinite(numbers)]
    return f"{present.min():.4g} to {present.max():.4g}"


def _tell_times_by_dates(look: Look, found: list[Guess | None]) -> None:
    """Compare the times of the test and of its steps with the dates, if there are any."""
    dated = first_of(found, "date_time")
    clock = None if dated is None else look.seen[dated].clock
    for quantity in TIMES:
        place = first_of(found, quantity)
        guess = None if place is None else found[place]
        if clock is None or place is None or guess is None or look.seen[place].has_durations:
            continue
        unit = _unit_by_clock(look.seen[place].numbers, clock)
        stated = unit_at(look, found, place)
        if unit is not None and guess.is_open:
            found[place] = guess.with_unit(unit, f"the title has no unit; {unit} by the dates")
        elif unit is not None and factor(quantity, stated) != _SECONDS[unit]:
            found[place] = guess.with_doubt(f"the unit is {stated} by the title, and {unit} by the dates", unit)


def _unit_by_clock(time: Floats, clock: Floats) -> str | None:
    """The unit in which times pass as the dates do; None where none fits, as where the clock has whole minutes."""
    present = np.isfinite(time) & np.isfinite(clock)
    passed, by_clock = np.diff(time[present]), np.diff(clock[present])
    moves = passed > 0
    if not (moves & (by_clock > 0)).any():
        return None
    both = moves & (by_clock > 0)
    middle = float(np.median(by_clock[both] / passed[both]))
    whole = float(by_clock[moves].clip(min=0.0).sum() / passed[moves].sum())
    return next(
        (
            unit
            for unit, seconds in _SECONDS.items()
            if min(abs(middle / seconds - 1), abs(whole / seconds - 1)) < _NEAR_DATES
        ),
        None,
    )


def _by_spacing(guess: Guess, time: Floats) -> Guess:
    """A time of which only the spacing of the readings tells anything: a cycler logs every few seconds or minutes."""
    passed = np.diff(time[np.isfinite(time)])
    passed = passed[passed > 0]
    if not len(passed):
        return guess
    middle = float(np.median(passed))
    if middle > _LONGEST_S and middle * 1e-3 >= _SHORTEST_S:
        unit = "ms"
    elif middle < _SHORTEST_S:
        unit = next((one for one in ("min", "h") if _is_round(middle * _SECONDS[one])), "s")
    else:
        return guess.with_doubt(f"the title has no unit; s is a guess: readings are {middle:.4g} s apart then", "s")
    apart = middle * _SECONDS[unit]
    return guess.with_doubt(f"the title has no unit; {unit} is a guess: readings are {apart:.4g} s apart then", unit)


def _is_round(seconds: float) -> bool:
    """Whether a cycler logs every so many seconds."""
    return round(seconds) >= 1 and abs(seconds / round(seconds) - 1) < _ROUND
