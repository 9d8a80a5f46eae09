"""A mapping file for a table of no known format, proposed from what all readers, and people, call their columns."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

from producer.readers.mapping import MAPPED
from producer.readers.record import COUNTED
from producer.readers.registry import registered_readers
from producer.readers.tables.titles import QUANTITIES, TIMES, WRITTEN, base_and_unit, base_of
from producer.readers.units import unit_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COMMON: Final = {
    "data_point": ("index", "nr", "no", "number", "point", "row", "record", "datapoint", "#", "id"),
    "test_time": (
        "t", "time", "zeit", "elapsed", "elapsed time", "total time", "run time", "testzeit", "seconds",
        "program duration", "programmdauer", "time in test",
    ),
    "step_time": ("schrittzeit", "time in step", "relative time", "step duration", "schrittdauer"),
    "date_time": (
        "date", "datum", "timestamp", "clock", "absolute time", "real time", "zeitstempel", "utc",
        "system time", "sys time", "uts", "unix", "unix time", "unix timestamp", "epoch", "datenum", "datenum d",
        "date stamp",
    ),
    "step": ("step", "schritt", "step number", "line", "ns"),
    "cycle": ("cycle", "zyklus", "cycle number", "cyc", "n cycle"),
    "current": (
        "i", "current", "strom", "amps", "ampere", "current in A", "control current",
        "current measured", "measured current", "battery current", "cell current", "im", "we1current",
    ),
    "voltage": (
        "u", "v", "e", "voltage", "spannung", "ewe", "ecell", "potential", "volts", "voltage in V",
        "voltage measured", "measured voltage", "terminal voltage", "battery voltage", "cell voltage", "vf",
        "working electrode", "we1potential",
    ),
    "charge_capacity": (
        "qc", "q+", "q charge", "charge capacity", "ladekapazitaet", "ladekapazität", "charge q", "charge",
        "ahcha", "ah cha", "ahlad", "ah charge", "charge ah",
    ),
    "discharge_capacity": (
        "qd", "q-", "q discharge", "discharge capacity", "entladekapazitaet", "entladekapazität", "discharge q",
        "discharge", "ahdch", "ah dch", "ahela", "ah discharge", "discharge ah",
    ),
    "charge_energy": ("ec", "charge energy", "energy charge", "whcha", "whlad", "wh charge"),
    "discharge_energy": ("ed", "discharge energy", "energy discharge", "whdch", "whela", "wh discharge"),
    "capacity": (
        "q", "capacity", "kapazitaet", "kapazität", "ah", "ahaccu", "ah accu", "amp hours", "ampere hours",
        "cumulative charge",
    ),
    "energy": ("energy", "energie", "wh", "whaccu", "wh accu", "watt hours", "cumulative energy"),
    "state": ("state", "status", "mode", "step mode", "step type", "zustand", "command", "md"),
    "temperature": ("temperature", "temperatur", "temp", "t cell", "cell temperature", "temperature measured", "t1"),
    "internal_resistance": ("ir", "dcir", "resistance", "internal resistance", "innenwiderstand"),
    "cell": ("cell", "cell id", "cell name", "zelle", "battery", "battery id", "barcode", "sample", "serial"),
    "channel": ("channel", "channel id", "channel index", "kanal", "ch", "slot"),
}  # fmt: skip
"""What people and scripts call columns, where no cycler's software has named them."""

NEEDED: Final = ("test_time", "current", "voltage")
UNITS_OF_CONTRACT: Final = {"s": "s", "a": "A", "v": "V", "ah": "Ah", "wh": "Wh", "ohm": "Ohm", "c": "C", "v/s": "V/s"}
_NUMBER: Final = re.compile(r"^-?[\d.,]+([eE][+-]?\d+)?$")
_UNIT_WORD: Final = re.compile(r"^(?P<base>.+?)[_\s]+(in[_\s]+)?(?P<unit>[^\W\d_]+)$")
_OPEN_DATE: Final = re.compile(r"^\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}\b")


@dataclass(frozen=True)
class Look:
    """The beginning of a table: the titles with their row, from 1, and the first rows below, each cell as text.

    `sheet` is that of a workbook, `delimiter` that of a text.
    """

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    header_row: int = 1
    sheet: str | None = None
    delimiter: str | None = None

    def values(self, place: int) -> list[str]:
        """The first values of a column."""
        return [row[place] for row in self.rows if place < len(row)]


@cache
def known_names() -> Mapping[str, Counter[tuple[str, str]]]:
    """For each base of a title what readers hold it for: the quantity and its unit, and how many do."""
    known: dict[str, Counter[tuple[str, str]]] = {}
    for quantity, names in COMMON.items():
        for name in names:
            known.setdefault(_key(name), Counter())[quantity, ""] += 1
    for table in _tables():
        for base, (quantity, unit) in table.items():
            if quantity in MAPPED:
                known.setdefault(base, Counter())[quantity, "" if unit == WRITTEN else unit] += 1
    return known


def _tables() -> Iterator[Mapping[str, tuple[str, str]]]:
    """The names of columns of every reader: what is called `NAMES` in its module, or in one that it takes them from."""
    seen: set[int] = set()
    for registered in registered_readers():
        module = sys.modules.get(registered.module) or import_module(registered.module)
        for name, value in vars(module).items():
            if name.endswith("NAMES") and isinstance(value, Mapping) and id(value) not in seen and _is_names(value):
                seen.add(id(value))
                yield value


def _is_names(value: Mapping[object, object]) -> bool:
    return bool(value) and all(
        isinstance(base, str) and isinstance(what, tuple) and len(what) == 2 and what[0] in QUANTITIES  # noqa: PLR2004  # quantity and unit
        for base, what in value.items()
    )


def _key(name: str) -> str:
    """A name as those of titles are compared; signs count where they are all that tells charge from discharge."""
    return base_of(name.replace("+", " plus ").replace("-", " minus ") if len(name) <= 2 else name)  # noqa: PLR2004  # `q+`, `q-`


@dataclass(frozen=True)
class Guess:
    """What a column may be: a quantity, the unit where the title writes none, and what is unsure about it."""

    quantity: str
    unit: str = ""
    doubts: tuple[str, ...] = ()


def guess(title: str) -> Guess | None:
    """What a column is by its title; None where nobody calls one so.

    >>> guess("Spannung [mV]"), guess("mood")
    (Guess(quantity='voltage', unit='', doubts=()), None)
    >>> guess("Current_mA")
    Guess(quantity='current', unit='mA', doubts=())
    """
    found = _by_name(title)
    return found if found is not None and not found.doubts else _by_unit_word(title) or found


def _by_unit_word(title: str) -> Guess | None:
    """What a title is that ends with a unit without any sign, as `Time_sec` does."""
    match = _UNIT_WORD.match(title.strip())
    found = None if match is None else _by_name(match["base"])
    if match is None or found is None:
        return None
    kind = QUANTITIES[found.quantity]
    if kind is None or kind == "count" or unit_of(kind, match["unit"]) is None:
        return None
    doubts = tuple(doubt for doubt in found.doubts if "unit" not in doubt)
    return Guess(found.quantity, match["unit"], doubts)


def _by_name(title: str) -> Guess | None:
    base, written = base_and_unit(title)
    known = known_names()
    votes = known.get(_key(title)) or known.get(f"{base}/{(written or '').casefold()}") or known.get(base)
    if votes is None:
        votes, written = known.get(base_of(title)), None
    if not votes:
        return None
    by_quantity: Counter[str] = Counter()
    for (quantity, _), count in votes.items():
        by_quantity[quantity] += count
    order = list(QUANTITIES)
    quantities = sorted(by_quantity, key=lambda one: (-by_quantity[one], order.index(one)))
    chosen, doubts = quantities[0], []
    if len(quantities) > 1:
        doubts.append(f"may be {' or '.join(quantities[1:])}")
    kind = QUANTITIES[chosen]
    if kind is None or kind == "count" or (written and unit_of(kind, written) is not None):
        return Guess(chosen, "", tuple(doubts))
    if written:
        doubts.append(f"{written} is not a known unit")
    units = Counter({unit: count for (quantity, unit), count in votes.items() if quantity == chosen and unit})
    unit = units.most_common(1)[0][0] if units else UNITS_OF_CONTRACT.get(kind, "")
    return Guess(chosen, unit, (*doubts, f"the title has no unit; {unit} is a guess"))


def propose(look: Look, name: str) -> str:
    """The text of a mapping file for a table, with a comment where it is unsure.

    Args:
        look: the beginning of the table.
        name: the file's name.
    """
    look, units = _without_units(look)
    lines = [f"# How to read {name}. Check every line; docs/guides/your-data.md says what each key means.", "columns:"]
    guesses = [
        _with_unit(guess(title), units[place] if place < len(units) else "") for place, title in enumerate(look.titles)
    ]
    held: dict[str, str] = {}
    for title, found in sorted(
        zip(look.titles, guesses, strict=True), key=lambda one: len(one[1].doubts) if one[1] else 0
    ):
        if found is not None:
            held.setdefault(found.quantity, title)
    unknown = []
    for place, (title, found) in enumerate(zip(look.titles, guesses, strict=True)):
        values = look.values(place)
        shown = f"such as {', '.join(values[:2])}" if values else ""
        if found is None:
            unknown.append(f"  # {_quoted(title)}: ?  # {shown}".rstrip(" #"))
        elif found.quantity in COUNTED and _is_label(values):
            unknown.append(f"  # {_quoted(title)}: {found.quantity}  # {values[0]} in each row, so it hardly counts")
        elif held[found.quantity] != title:
            unknown.append(f"  # {_quoted(title)}: {found.quantity}  # {held[found.quantity]} is that already")
        else:
            lines.append(_line(title, found, values))
    lines += unknown
    missing = [
        one for one in NEEDED if one not in held and not (one == "test_time" and held.keys() & {*TIMES, "date_time"})
    ]
    lines += [f"  # ?: {one}  # which column is it? it is needed" for one in missing]
    if look.header_row > 1:
        lines.append(f"header_row: {look.header_row}")
    if units:
        lines.append(f"data_row: {look.header_row + 2}")
    if look.sheet is not None:
        lines.append(f"sheet: {_quoted(look.sheet)}")
    lines += _rest(look, held)
    return "\n".join(lines) + "\n"


def _without_units(look: Look) -> tuple[Look, tuple[str, ...]]:
    """The table without the row of units below its titles, and the cells of that row, if there is one.

    It has no number, and the row below it has some; half of what it says of columns is a unit of what they may be.
    """
    if len(look.rows) < 2 or any(_NUMBER.match(cell) for cell in look.rows[0]):  # noqa: PLR2004  # units and a reading
        return look, ()
    if not any(_NUMBER.match(cell) for cell in look.rows[1]):
        return look, ()
    pairs = [(guess(title), cell) for title, cell in zip(look.titles, look.rows[0], strict=False)]
    told = [_has_unit(found, cell) for found, cell in pairs if found is not None and cell.strip()]
    return (replace(look, rows=look.rows[1:]), look.rows[0]) if told and 2 * sum(told) >= len(told) else (look, ())


def _has_unit(found: Guess, cell: str) -> bool:
    kind = QUANTITIES[found.quantity]
    return kind is not None and unit_of(kind, _unit_in(cell)) is not None


def _unit_in(cell: str) -> str:
    """The unit that a cell of a row of units names: V of `V vs. Ref.`, s of `(s)`."""
    return cell.strip().strip("()[]").partition(" vs")[0].strip()


def _with_unit(found: Guess | None, cell: str) -> Guess | None:
    if found is None or not cell.strip() or not _has_unit(found, cell):
        return found
    return Guess(found.quantity, _unit_in(cell), tuple(doubt for doubt in found.doubts if "unit" not in doubt))


def _is_label(values: Sequence[str]) -> bool:
    """Whether the first values of a counter are all the same but 0, as where each row has the capacity of its cycle."""
    return len(values) > 1 and len(set(values)) == 1 and values[0].strip("0.,") != ""


def _line(title: str, found: Guess, values: Sequence[str]) -> str:
    unit, doubts = found.unit, list(found.doubts)
    if found.quantity in TIMES and any(":" in value for value in values):
        unit, doubts = "duration", [doubt for doubt in doubts if "unit" not in doubt]
    what = f"{{quantity: {found.quantity}, unit: {unit}}}" if unit else found.quantity
    note = f"  # unsure: {'; '.join(doubts)}; such as {', '.join(values[:2])}" if doubts else ""
    return f"  {_quoted(title)}: {what}{note}"


def _rest(look: Look, held: Mapping[str, str]) -> list[str]:
    """What the columns alone do not say, as lines to fill in where the data does not tell it either."""
    lines = []
    if "state" in held:
        values = sorted(set(look.values(look.titles.index(held["state"]))))
        lines.append("# sign: unsigned  # if the current is above 0 in both directions; the state then has the sign")
        lines.append(f"# states: {{charge: [], discharge: [], rest: []}}  # sort them: {', '.join(values[:8])}")
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
    return lines


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def looks_like_titles(cells: Sequence[str], below: Sequence[str]) -> bool:
    """Whether a row holds titles: three or more texts, with as many cells below them of which some are numbers."""
    filled = [cell for cell in cells if cell.strip()]
    texts = [cell for cell in filled if not _NUMBER.match(cell.strip())]
    numbers = [cell for cell in below if _NUMBER.match(cell.strip())]
    return len(filled) >= len(NEEDED) and len(texts) == len(filled) and len(below) >= len(filled) and len(numbers) > 1
