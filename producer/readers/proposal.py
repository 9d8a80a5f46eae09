"""A mapping file for a table of no known format, proposed from the titles of its columns and from their values."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from producer.readers.by_values import weigh
from producer.readers.guesses import Guess, guess, has_unit
from producer.readers.mapping import STATES
from producer.readers.record import COUNTED
from producer.readers.seen import is_number
from producer.readers.tables.texts import DELIMITERS
from producer.readers.tables.titles import TIMES
from producer.readers.unit_rows import unit_in
from producer.readers.usual_states import USUAL_STATES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from producer.readers.look import Look

NEEDED: Final = ("test_time", "current", "voltage")
_OPEN_DATE: Final = re.compile(r"^\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}\b")
_WITHOUT: Final = {"current": ": there are no capacities and no cycles without one"}
_STILL: Final = 0.05
"""A counter that moves in fewer of its readings than this, and is not 0, hardly counts."""


def propose(look: Look, name: str) -> str:
    """The text of a mapping file for a table, with a comment where it is unsure.

    Args:
        look: the beginning of the table.
        name: the file's name.
    """
    look, units = _without_units(look)
    lines = [f"# How to read {name}. Check every line; docs/guides/your-data.md says what each key means.", "columns:"]
    by_title = [
        _with_unit(guess(title), units[place] if place < len(units) else "") for place, title in enumerate(look.titles)
    ]
    guesses = _without_open_choice(weigh(look, by_title))
    held: dict[str, str] = {}
    for title, found in sorted(zip(look.titles, guesses, strict=True), key=lambda one: _doubts(one[1])):
        if found is not None:
            held.setdefault(found.quantity, title)
    unknown: list[str] = []
    for place, (title, found) in enumerate(zip(look.titles, guesses, strict=True)):
        values = look.values(place)
        shown = f"such as {', '.join(values[:2])}" if values else ""
        if found is None:
            unknown.append(f"  # {_quoted(title)}: ?  # {shown}".rstrip(" #"))
        elif found.quantity in COUNTED and _is_label(look, place):
            unknown.append(f"  # {_quoted(title)}: {found.quantity}  # {values[0]} in each row, so it hardly counts")
            held = {quantity: of for quantity, of in held.items() if of != title}
        elif held.get(found.quantity) != title or title in look.titles[:place]:
            other = held.get(found.quantity, "another column")
            unknown.append(f"  # {_quoted(title)}: {found.quantity}  # {other} is that already")
        else:
            lines.append(_line(title, found, values))
    lines += unknown
    missing = [
        one for one in NEEDED if one not in held and not (one == "test_time" and held.keys() & {*TIMES, "date_time"})
    ]
    lines += [f"  # ?: {one}  # which column is it? it is needed{_WITHOUT.get(one, '')}" for one in missing]
    lines += _places(look, has_units=bool(units))
    lines += _rest(look, held)
    return "\n".join(map(_printable, lines)) + "\n"


def _printable(line: str) -> str:
    """A line with escapes, as YAML reads them in quotes, for what YAML takes nowhere, such as a bell."""
    return "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in line)


def _places(look: Look, *, has_units: bool) -> list[str]:
    """Where the table lies in the file, as far as it is not the usual place."""
    lines = []
    if look.header_row > 1:
        lines.append(f"header_row: {look.header_row}")
    if has_units:
        lines.append(f"data_row: {look.header_row + 2}")
    if look.delimiter not in {None, *DELIMITERS}:
        lines.append(f"delimiter: {_quoted(str(look.delimiter))}")
    if look.sheet is not None:
        lines.append(f"sheet: {_quoted(look.sheet)}{_others(look.other_sheets)}")
    return lines


def _doubts(found: Guess | None) -> int:
    return len(found.doubts) if found else 0


def _others(sheets: Sequence[str]) -> str:
    """A comment on the other sheets with a table, of which a mapping reads one."""
    if not sheets:
        return ""
    have = "has a table too; export it as a file of its own" if len(sheets) == 1 else "have tables too; export each"
    return f"  # a mapping reads one sheet; {', '.join(sheets)} {have}"


def _without_open_choice(guesses: Sequence[Guess | None]) -> list[Guess | None]:
    """The guesses, a charge no longer taken for the charge of either direction where another column is of discharge."""
    held = {found.quantity for found in guesses if found is not None}
    if "discharge_capacity" not in held:
        return list(guesses)
    return [
        replace(found, doubts=tuple(doubt for doubt in found.doubts if doubt != "may be capacity"))
        if found is not None and found.quantity == "charge_capacity"
        else found
        for found in guesses
    ]


def _without_units(look: Look) -> tuple[Look, tuple[str, ...]]:
    """The table without the row of units below its titles, and the cells of that row, if there is one.

    It has no number, and the row below it has some; half of what it says of columns is a unit of what they may be.
    """
    if len(look.rows) < 2 or any(is_number(cell) for cell in look.rows[0]):  # noqa: PLR2004  # units and a reading
        return look, ()
    if not any(is_number(cell) for cell in look.rows[1]):
        return look, ()
    pairs = [(guess(title), cell) for title, cell in zip(look.titles, look.rows[0], strict=False)]
    told = [has_unit(found, cell) for found, cell in pairs if found is not None and cell.strip()]
    return (replace(look, rows=look.rows[1:]), look.rows[0]) if told and 2 * sum(told) >= len(told) else (look, ())


def _with_unit(found: Guess | None, cell: str) -> Guess | None:
    if found is None or not cell.strip() or not has_unit(found, cell):
        return found
    return found.with_unit(unit_in(cell))


def _is_label(look: Look, place: int) -> bool:
    """Whether a counter hardly moves and is not 0, as where each row has the capacity of its cycle."""
    values = look.values(place)
    if len(values) < 2 or len(set(values)) > 1 or not values[0].strip("0.,"):  # noqa: PLR2004  # what is compared
        return False
    numbers = look.seen[place].numbers if look.seen else None
    return numbers is None or len(numbers) < 2 or float((numbers[1:] != numbers[:-1]).mean()) < _STILL  # noqa: PLR2004


def _line(title: str, found: Guess, values: Sequence[str]) -> str:
    unit, doubts = found.unit, list(found.doubts)
    if found.quantity in TIMES and any(":" in value for value in values):
        unit, doubts = "duration", [doubt for doubt in doubts if "unit" not in doubt]
    what = f"{{quantity: {found.quantity}, unit: {unit}}}" if unit else found.quantity
    note = f"  # unsure: {'; '.join(doubts)}; such as {', '.join(values[:2])}" if doubts else ""
    return f"  {_quoted(title)}: {what}{note or (f'  # {found.said}' if found.said else '')}"


def _rest(look: Look, held: Mapping[str, str]) -> list[str]:
    """What the columns alone do not say, as lines to fill in where the data does not tell it either."""
    lines = []
    if "state" in held:
        lines.append("# sign: unsigned  # if the current is above 0 in both directions; the state then has the sign")
        lines.append(_states(look, look.titles.index(held["state"])))
    else:
        lines.append("# sign: discharge positive  # or charge positive; without it counters and voltages tell")
    counted = {"charge_capacity", "discharge_capacity", "capacity"} & held.keys()
    if "capacity" in counted:
        lines.append("# counters: net  # if Capacity falls while discharging; both, if it rises in both directions")
    elif counted:
        lines.append("# counters: step  # or cycle, or test: what they count from; without it the data tells")
    if "date_time" in held:
        dates = look.values(look.titles.index(held["date_time"]))
        if any(_OPEN_DATE.match(value) for value in dates):
            lines.append("# time: {dates: dmy}  # or mdy: which number is the day, where the file does not show it")
        else:
            lines.append("# time: {zone: Europe/Berlin}  # the time zone of the dates, which is kept")
    return [*lines, *_computed(held)]


def _states(look: Look, place: int) -> str:
    """The states of a column, sorted as far as they are known; in YAML, to be used where some are not."""
    texts = (look.seen[place].texts if look.seen else ()) or tuple(sorted(set(look.values(place))))
    by_way: dict[int | None, list[str]] = {}
    for text in texts:
        by_way.setdefault(USUAL_STATES.get(text.casefold()), []).append(text)
    sorted_in = ", ".join(f"{name}: {_listed(by_way.get(way, []))}" for name, way in STATES.items())
    unknown = by_way.get(None, [])
    note = f"  # sort them in: {', '.join(unknown[:8])}" if unknown else "  # as they are known"
    return f"# states: {{{sorted_in}}}{note}"


def _listed(texts: Sequence[str]) -> str:
    return f"[{', '.join(map(_quoted, texts))}]"


def _computed(held: Mapping[str, str]) -> list[str]:
    """What will be computed since no column has it, each as a comment."""
    if not {"current", "voltage"} <= held.keys():
        return []
    lines = []
    if not {"charge_capacity", "discharge_capacity", "capacity"} & held.keys():
        lines.append(
            "# No column counts a capacity: capacities will be integrals of the current over time, flagged "
            "COUNTER_INTEGRATED."
        )
    if "cycle" not in held:
        lines.append("# No column counts cycles: one will begin where a charge follows a discharge.")
    if "date_time" not in held:
        lines.append("# No column has dates: the test will be named after 1970-01-01.")
    return lines


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
