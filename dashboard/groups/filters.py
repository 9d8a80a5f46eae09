"""Filters of cells by any attribute, kept in the address of the page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import streamlit as st

from dashboard.address import BOUND, choose_many
from dashboard.groups.attributes import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dashboard.groups.attributes import Attribute

KEY: Final = "filter"
"""The query parameter with the names of the attributes that cells are filtered by; each has its own beside it."""

NAMED: Final = 3
"""Values that a line names at most."""


@dataclass(frozen=True)
class Condition:
    """What a visitor asks of one attribute: one of some texts, or a number in a range, the ends included.

    Attributes:
        attribute: of the cells.
        texts: those that are wanted, `Attribute.unknown` among them for cells of which it is not known; none is any.
        low: least number, or None.
        high: largest number, or None.
    """

    attribute: Attribute
    texts: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    @property
    def is_active(self) -> bool:
        """Whether it asks for anything."""
        return bool(self.texts) or self.low is not None or self.high is not None

    def holds(self, cell: str) -> bool:
        """Whether it is so for a cell; where a number is asked for, that of a cell has to be known."""
        attribute = self.attribute
        if attribute.kind is Kind.NUMBER:
            number = attribute.number(cell)
            low = -math.inf if self.low is None else self.low
            return not self.is_active or low <= number <= (math.inf if self.high is None else self.high)
        if not self.texts:
            return True
        value = attribute.values.get(cell)
        known = (attribute.unknown,) if value is None else value if isinstance(value, tuple) else (value,)
        return any(one in self.texts for one in known)

    def __str__(self) -> str:
        """What is asked for, in words."""
        words, unit = self.attribute.name, self.attribute.label.unit
        if self.texts:
            more = f" or {len(self.texts) - NAMED} more" if len(self.texts) > NAMED else ""
            return f"{words} {' or '.join(self.texts[:NAMED])}{more}"
        ends = [
            f"{word} {end:.6g}" for word, end in (("from", self.low), ("to", self.high)) if end is not None
        ]  # fmt: skip
        return " ".join([words, *ends, unit]).strip()


def matching(cells: Iterable[str], conditions: Sequence[Condition]) -> list[str]:
    """The cells for which all conditions hold, in their order."""
    return [cell for cell in cells if all(condition.holds(cell) for condition in conditions)]


def options_of(attribute: Attribute, cells: Iterable[str]) -> list[str]:
    """The texts that cells can be filtered by: all values, each tag, and that it is not known where that is so."""
    texts: set[str] = set()
    for value in attribute.values.values():
        texts.update(value if isinstance(value, tuple) else [str(value)])
    absent = any(cell not in attribute.values for cell in cells)
    return [*sorted(texts - {attribute.unknown}), *([attribute.unknown] if absent else [])]


def filter_count() -> int:
    """How many attributes the visitor filters by, before the boxes are drawn."""
    return len(st.session_state.get(KEY, st.query_params.get_all(KEY)))


def choose_filters(attributes: Mapping[str, Attribute], cells: Sequence[str]) -> list[Condition]:
    """Let the visitor choose attributes, and of each what is wanted; those that ask for something.

    An address may name what is wanted alone, such as `?chemistry=LFP`.

    Raises:
        NotAmongError: the address asks for what is not there.
    """
    asked = [one.name for one in attributes.values() if any(key in st.query_params for key in _keys(one))]
    chosen = choose_many("Filter by", list(attributes), KEY, asked)
    conditions = [_choose(attributes[name], cells) for name in chosen]
    return [condition for condition in conditions if condition.is_active]


def _choose(attribute: Attribute, cells: Sequence[str]) -> Condition:
    if attribute.kind is not Kind.NUMBER:
        return Condition(
            attribute, tuple(choose_many(str(attribute.label), options_of(attribute, cells), attribute.key, []))
        )
    numbers = [value for value in attribute.values.values() if isinstance(value, float)]
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        low, high = (
            st.number_input(
                f"{attribute.name} {word}{unit}", value=None, key=key, bind=BOUND, placeholder=f"{end:.6g}",
                format="%.6g", step=_step(numbers),
            )
            for word, key, end, unit in zip(
                ("from", "to"), _keys(attribute), (min(numbers), max(numbers)),
                (f" ({attribute.label.unit})" if attribute.label.unit else "",) * 2, strict=True,
            )
        )  # fmt: skip
    return Condition(attribute, low=low, high=high)


def _keys(attribute: Attribute) -> tuple[str, ...]:
    """The query parameters of an attribute."""
    return (f"{attribute.key}-from", f"{attribute.key}-to") if attribute.kind is Kind.NUMBER else (attribute.key,)


def _step(numbers: Sequence[float]) -> float:
    """By how much a press of + changes an end: a power of ten, about a twentieth of the range."""
    span = max(numbers) - min(numbers)
    return 10.0 ** math.floor(math.log10(span / 10)) if span > 0 else 1.0
