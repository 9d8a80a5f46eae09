"""Rows of units, which some software writes between the titles of a table and its readings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.readers.mapping import folded, is_duration_unit
from producer.readers.seen import is_value
from producer.readers.tables.titles import QUANTITIES
from producer.readers.units import unit_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.readers.mapping import Mapping


def unit_in(cell: str) -> str:
    """The unit that a cell of a row of units names.

    >>> unit_in("V vs. Ref."), unit_in("(s)")
    ('V', 's')
    """
    return cell.strip().strip("()[]<>").partition(" vs")[0].strip()


def units_below(mapping: Mapping, titles: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """The units, by title, that a row below the titles names; none where it is no row of units.

    Such a row has no value in the columns of the mapping, and names a unit in half of those that are measured. A cell
    of it that names none costs no other its unit.
    """
    by_name = {folded(title): cell.strip() for title, cell in zip(titles, cells, strict=False)}
    named = [
        (folded(one.title), QUANTITIES[one.quantity], by_name.get(folded(one.title), "")) for one in mapping.columns
    ]
    if any(is_value(cell) for *_, cell in named):
        return {}
    measured = [(title, kind, unit_in(cell)) for title, kind, cell in named if cell and kind not in {None, "count"}]
    told = {title: unit for title, kind, unit in measured if kind is not None and _is_known(kind, unit)}
    if not told or 2 * len(told) < len(measured):
        return {}
    return {title: told[folded(title)] for title in titles if folded(title) in told}


def _is_known(kind: str, unit: str) -> bool:
    return unit_of(kind, unit) is not None or (kind == "s" and is_duration_unit(unit))
