"""What a visitor chooses of groups: what is drawn, the colours, the panels and the filters, kept in the address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import streamlit as st

from dashboard.address import choose_one
from dashboard.figures.means import BANDS, SD
from dashboard.groups.attributes import Attribute, Kind, attributes_of
from dashboard.groups.figures_of_cells import figures_of_cells
from dashboard.groups.filters import choose_filters, filter_count, matching

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from dashboard.groups.filters import Condition
    from dashboard.view import Published

EACH, MEANS, OF_CELLS = "each", "means", "measures"
DRAWN: Final = {EACH: "each cell", MEANS: "means of groups", OF_CELLS: "two measures"}
"""What a page draws of its cells."""

CELL: Final = "cell"
"""Each cell has a colour of its own."""

NONE: Final = "none"
"""No panels."""

FIRST_X: Final = ("initial capacity", "complete cycles")
FIRST_Y: Final = ("cycle life", "state of health", "latest capacity")
"""Measures that are drawn against one another at first, the first of either that is there."""


@dataclass(frozen=True)
class GroupChoice:
    """What a visitor has chosen of groups.

    Attributes:
        colour: what gives the colours; None where each cell has its own.
        panels: what each panel has in common; None where there are none.
        conditions: the filters.
        band: of `BANDS`.
    """

    colour: Attribute | None
    panels: Attribute | None
    conditions: tuple[Condition, ...]
    band: str

    def matching(self, cells: Sequence[str]) -> list[str]:
        """The cells for which all filters hold, in their order."""
        return matching(cells, self.conditions)

    @property
    def filtered_by(self) -> str:
        """The filters in words; "" where there are none."""
        return "; ".join(map(str, self.conditions))


def attributes_here(published: Published) -> dict[str, Attribute]:
    """What is known of the cells of a publication, by name; computed once for each."""
    return _attributes(published.seen.value.name, published.table("battery_cells"), published.table("battery_cycles"))


@st.cache_resource(max_entries=4, show_spinner="reading the figures")
def _attributes(publication: str, _cells: pa.Table, _cycles: pa.Table) -> dict[str, Attribute]:  # noqa: ARG001  # the cache's key
    return attributes_of(_cells, figures_of_cells(_cycles))


def choose_colour(attributes: Mapping[str, Attribute], first: str = CELL) -> Attribute | None:
    """Let the visitor choose what gives the colours; None where each cell has its own."""
    return attributes.get(choose_one("Colour by", [CELL, *attributes], "colour", first))


def choose_measures(attributes: Mapping[str, Attribute]) -> tuple[Attribute, Attribute]:
    """Let the visitor choose the two measures that are drawn against one another."""
    numbers = {name: one for name, one in attributes.items() if one.kind is Kind.NUMBER}

    def first(names: Sequence[str]) -> str:
        return next((name for name in names if name in numbers), next(iter(numbers)))

    x = choose_one("Along x", list(numbers), "x", first(FIRST_X))
    return numbers[x], numbers[choose_one("Along y", list(numbers), "y", first(FIRST_Y))]


def choose_groups(
    attributes: Mapping[str, Attribute], cells: Sequence[str], colour: Attribute | None, *, with_band: bool
) -> GroupChoice:
    """Let the visitor choose filters and panels, behind a button that says how many filters there are.

    Args:
        attributes: of the cells.
        cells: ids of all cells of the publication.
        colour: what the visitor has chosen for the colours.
        with_band: whether means are drawn.

    Raises:
        NotAmongError: the address asks for what is not there.
    """
    count = filter_count()
    with st.popover(
        f"Filter and panels{f' ({count})' if count else ''}",
        icon=":material/filter_alt:",
        key="groups",
        width="content",
    ):
        conditions = choose_filters(attributes, cells)
        panels = attributes.get(choose_one("Panels by", [NONE, *attributes], "panels", NONE))
        band = choose_one("Band around means", list(BANDS), "band", SD, BANDS.__getitem__) if with_band else SD
    return GroupChoice(colour, panels, tuple(conditions), band)
