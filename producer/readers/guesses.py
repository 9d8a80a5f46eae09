"""What a column of a table of no known format may be, by its title: what all readers, and people, call columns."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

from producer.readers.common_names import COMMON
from producer.readers.mapping import MAPPED
from producer.readers.registry import registered_readers
from producer.readers.tables.titles import QUANTITIES, WRITTEN, base_and_unit, base_of
from producer.readers.unit_rows import unit_in
from producer.readers.units import unit_of

if TYPE_CHECKING:
    from collections.abc import Iterator

UNITS_OF_CONTRACT: Final = {"s": "s", "a": "A", "v": "V", "ah": "Ah", "wh": "Wh", "ohm": "Ohm", "c": "C", "v/s": "V/s"}
_UNIT_WORD: Final = re.compile(r"^(?P<base>.+?)[_\s]+(in[_\s]+)?(?P<unit>[^\W\d_]+)$")


@dataclass(frozen=True)
class Guess:
    """What a column may be.

    Attributes:
        quantity: what it holds.
        unit: the unit, where the title writes none that is known.
        doubts: what is unsure about it.
        is_open: whether nothing but habit tells the unit.
        said: what its values told, which is not unsure.
    """

    quantity: str
    unit: str = ""
    doubts: tuple[str, ...] = ()
    is_open: bool = field(default=False, repr=False)
    said: str = field(default="", repr=False)

    def with_unit(self, unit: str, said: str = "") -> Guess:
        """The same with a unit that is told, and by what."""
        return replace(self, unit=unit, doubts=self.other_doubts, is_open=False, said=said)

    def with_doubt(self, doubt: str, unit: str | None = None) -> Guess:
        """The same with another doubt about its unit, and the unit that it most likely has."""
        return replace(self, unit=self.unit if unit is None else unit, doubts=(*self.other_doubts, doubt))

    @property
    def other_doubts(self) -> tuple[str, ...]:
        """Those that are not of its unit."""
        return tuple(doubt for doubt in self.doubts if "unit" not in doubt)


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
    return found.with_unit(match["unit"])


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
    return Guess(chosen, unit, (*doubts, f"the title has no unit; {unit} is a guess"), is_open=True)


def has_unit(found: Guess, cell: str) -> bool:
    """Whether a cell of a row of units names one of the quantity."""
    kind = QUANTITIES[found.quantity]
    return kind is not None and unit_of(kind, unit_in(cell)) is not None
