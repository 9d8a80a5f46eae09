"""Cells in classes by an attribute, each class with an ink of its own that no filter changes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from plotly.colors import sample_colorscale

from dashboard.colours import Ink, deal_inks
from dashboard.figures.panels import SCALE
from dashboard.figures.style import MUTED
from dashboard.groups.attributes import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from dashboard.groups.attributes import Attribute

MOST_NUMBERS: Final = 8
"""Different numbers up to which each is a class; more are put into quarters of the cells."""

QUARTERS: Final = (0.25, 0.5, 0.75)

FEWEST_DIGITS: Final = 3
MOST_DIGITS: Final = 12

ALL: Final = "all cells"
"""The class of cells that are in no others."""


@dataclass(frozen=True)
class Classes:
    """Cells in classes.

    Attributes:
        of: the class of each cell of the publication, by its id.
        order: the classes in the order in which they are drawn, that of unknown values last.
        inks: of each class.
    """

    of: Mapping[str, str]
    order: tuple[str, ...]
    inks: Mapping[str, Ink]

    def among(self, cells: Iterable[str]) -> dict[str, list[str]]:
        """Some cells by their classes, in the order of the classes; those without a cell are left out."""
        found: dict[str, list[str]] = {name: [] for name in self.order}
        for cell in cells:
            found[self.of[cell]].append(cell)
        return {name: members for name, members in found.items() if members}

    def foremost(self, cells: Iterable[str], most: int) -> Classes:
        """The classes with the most of some cells in their inks, all others as one muted class."""
        members = self.among(cells)
        if len(members) <= most:
            return self
        kept = set(sorted(members, key=lambda name: -len(members[name]))[:most])
        rest = f"{len(members) - most} more"
        of = {cell: name if name in kept else rest for cell, name in self.of.items()}
        order = (*(name for name in self.order if name in kept), rest)
        return Classes(of, order, {**{name: self.inks[name] for name in kept}, rest: Ink(MUTED)})


def one_class(cells: Iterable[str], ink: Ink) -> Classes:
    """All cells as one class."""
    return Classes(dict.fromkeys(cells, ALL), (ALL,), {ALL: ink})


def classes_of(attribute: Attribute, cells: Iterable[str]) -> Classes:
    """Cells in classes by an attribute: by each text, each combination of tags, each number, or quarters of numbers.

    Args:
        attribute: of the cells.
        cells: ids of all cells of the publication: a class has its ink whichever of them are drawn.
    """
    ids = list(cells)
    of = _numbers(attribute, ids) if attribute.kind is Kind.NUMBER else {}
    order = list(dict.fromkeys(of[cell] for cell in sorted(of, key=attribute.number)))
    if attribute.kind is Kind.NUMBER:
        places = [place / max(1, len(order) - 1) for place in range(len(order))]
        colours = sample_colorscale(list(SCALE), places, colortype="rgb") if order else []
        inks = {name: Ink(_hexadecimal(colour)) for name, colour in zip(order, colours, strict=True)}
    else:
        of = {cell: text for cell in ids if (text := attribute.text(cell)) is not None}
        order = sorted(set(of.values()), key=_natural)
        inks = deal_inks(order)
    absent = [cell for cell in ids if cell not in of]
    if absent:
        unknown = attribute.unknown
        of |= dict.fromkeys(absent, unknown)
        order = [*(name for name in order if name != unknown), unknown]
        inks = inks | {unknown: Ink(MUTED)}
    return Classes(of, tuple(order), inks)


def _numbers(attribute: Attribute, cells: Iterable[str]) -> dict[str, str]:
    """The class of each cell of which a number is known."""
    known = {cell: attribute.number(cell) for cell in cells if cell in attribute.values}
    if not known:
        return {}
    values = np.array(list(known.values()))
    unit = f" {attribute.label.unit}" if attribute.label.unit else ""
    if len(np.unique(values)) <= MOST_NUMBERS:
        shown = _short(np.unique(values))
        names = dict(zip(np.unique(values).tolist(), shown, strict=True))
        return {cell: names[value] + unit for cell, value in known.items()}
    edges = np.quantile(values, QUARTERS)
    least = values.min()
    edges = np.unique(np.where(edges > least, edges, values[values > least].min()))  # below the least there is nothing
    texts = _short(edges)
    edges = np.array([float(text) for text in texts])  # as it is written, so that the words are true
    between = [f"{low} to {high}{unit}" for low, high in pairwise(texts)]
    names_of = [f"below {texts[0]}{unit}", *between, f"{texts[-1]}{unit} or more"]
    place = np.searchsorted(edges, values, side="right")
    return {cell: names_of[int(at)] for cell, at in zip(known, place, strict=True)}


def _short(numbers: npt.NDArray[np.float64]) -> list[str]:
    """Different numbers with as few digits as tell them apart."""
    for digits in range(FEWEST_DIGITS, MOST_DIGITS):
        texts = [f"{number:.{digits}g}" if abs(number) < 10**digits else f"{number:.0f}" for number in numbers.tolist()]
        if len(set(texts)) == len(texts):
            return texts
    return [repr(number) for number in numbers.tolist()]


def _natural(text: str) -> list[tuple[int, float, str]]:
    """An order in which 2C comes before 10C."""
    return [(0, float(part), "") if part.isdigit() else (1, 0.0, part) for part in re.split(r"([0-9]+)", text) if part]


def _hexadecimal(colour: str) -> str:
    """#rrggbb of plotly's rgb(r, g, b)."""
    return "#" + "".join(f"{round(float(part)):02X}" for part in re.findall(r"[0-9.]+", colour)[:3])
