"""Titles of columns: which quantity each names, and in which unit its numbers are.

Software of different makers and years writes `Test_Time(s)`, `Test Time / s`, `TestTime[Sec]` for the same. A title is
taken apart into a base and a unit; the base is compared without case and without all but letters from a to z, Chinese
characters, digits and `#`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from producer.readers.units import SAME, Unit, names_of, unit_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

QUANTITIES: Final[Mapping[str, str | None]] = {
    "data_point": "count",
    "test_time": "s",
    "step_time": "s",
    "date_time": None,
    "step": "count",
    "cycle": "count",
    "current": "a",
    "voltage": "v",
    "charge_capacity": "ah",
    "discharge_capacity": "ah",
    "charge_energy": "wh",
    "discharge_energy": "wh",
    "capacity": "ah",
    "energy": "wh",
    "net_capacity": "ah",
    "moved": "ah",
    "half_cycle": "count",
    "state": None,
    "dvdt": "v/s",
    "internal_resistance": "ohm",
    "ac_impedance": "ohm",
    "aci_phase_angle": "deg",
    "temperature": "c",
    "is_fc_data": "count",
    "channel": None,
    "cell": None,
    "test": None,
}
"""What a column may hold, and the kind of its unit (a key of `producer.readers.units.UNITS`), None for texts.

`capacity` and `energy` count both directions in one column; `net_capacity` falls while discharging; `moved` is what
flowed since the reading before; `half_cycle` counts turns of the direction; `state` says what was done; `step` and
`cycle` count;
`cell`, `channel` and `test` say which of several a reading belongs to."""

TIMES: Final = ("test_time", "step_time")
"""Quantities whose cells may be durations such as 26:03:04 instead of numbers."""

WRITTEN: Final = "written"
"""The unit of a `Names` entry whose title has to write it."""

Names: TypeAlias = "Mapping[str, tuple[str, str]]"
"""What a format calls its columns: the base of a title to a quantity and the unit where the title writes none, which is
`WRITTEN` where it must, and empty where the quantity has no unit or its cells are durations. A base with a slash and a
unit behind it, in lower case, comes before the base alone: some call capacity and energy the same."""

Finder: TypeAlias = "Callable[[list[str]], dict[str, Column]]"
"""In place of `Names`, what finds the column of each quantity among all titles of a table; it raises TitleError."""

_UNIT_AT_END: Final = re.compile(r"^(?P<base>.*?)\s*[(\[](?P<unit>[^()\[\]]*)[)\]]\s*(?P<number>[_\s]*\d*)$", re.DOTALL)
_NO_NAME: Final = re.compile(r"[^a-z0-9#\u4e00-\u9fff]+")
_DURATION: Final = re.compile(r"(^|\s)h+:m(m|in)?:s", re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """A column of a table: its title as the file writes it, and the unit of its numbers.

    `unit` is None where its cells are texts, or durations.
    """

    title: str
    unit: Unit | None


class TitleError(Exception):
    """A title that cannot be taken; `title` is as the file writes it, and the message is what is wrong."""

    def __init__(self, title: str, problem: str) -> None:
        super().__init__(problem)
        self.title = title


def base_and_unit(title: str) -> tuple[str, str | None]:
    """The base of a title, as names are compared, and the unit that it writes; None where it writes none.

    >>> base_and_unit("Test_Time (s)"), base_and_unit("<Ewe/V>"), base_and_unit("Aux_Temperature_1 (C)")
    (('testtime', 's'), ('ewe', 'V'), ('auxtemperature1', 'C'))
    >>> base_and_unit("Voltage#V"), base_and_unit("Rec#")
    (('voltage', 'V'), ('rec#', None))
    """
    title = " ".join(title.split())
    match = _UNIT_AT_END.match(title)
    if match is not None:
        return base_of(match["base"] + match["number"]), match["unit"].strip()
    base, mark, unit = title.rpartition("#")
    if base and unit.strip() and not unit.strip().isdigit():
        return base_of(base), unit.strip()
    base, mark, unit = title.rpartition("/")
    return (base_of(base), unit.strip(" >")) if mark else (base_of(title), None)


def base_of(text: str) -> str:
    """A name as names are compared.

    >>> base_of("Cyc-Count"), base_of("Rec#"), base_of("电流 1")
    ('cyccount', 'rec#', '电流1')
    """
    return _NO_NAME.sub("", text.casefold())


def columns_of(titles: Iterable[str], names: Names | Finder) -> dict[str, Column]:
    """The column of each quantity; of two titles that name the same, the first counts.

    Args:
        titles: as the file writes them.
        names: what the format calls its columns; or a function that finds them among the titles.

    Raises:
        TitleError: a title writes a unit that is not known, or writes none and has to.
    """
    if callable(names):
        return names([*titles])
    found: dict[str, Column] = {}
    for title in titles:
        base, written = base_and_unit(title)
        name = names.get(f"{base}/{(written or '').casefold()}") or names.get(base)
        if name is None and written is not None:  # a slash may belong to the name, as in `Q charge/discharge`
            base, written = base_of(title), None
            name = names.get(base)
        if name is not None and name[0] not in found:
            found[name[0]] = Column(title, _unit(title, name, written))
    return found


def _unit(title: str, name: tuple[str, str], written: str | None) -> Unit | None:
    quantity, default = name
    kind = QUANTITIES[quantity]
    if kind is None:
        return None
    if written is None or not written:
        if default == WRITTEN:
            raise TitleError(title, f"names no unit; name it, as in {title} ({names_of(kind).partition(',')[0]})")
        if not default:
            return None if quantity in TIMES else SAME
        written = default
    if quantity in TIMES and _DURATION.search(written):
        return None
    unit = unit_of(kind, written)
    if unit is None and kind == "count":
        return SAME
    if unit is None:
        raise TitleError(
            title, f"has the unit {written!r}, which is not known here; convert it to one of {names_of(kind)}"
        )
    return unit
