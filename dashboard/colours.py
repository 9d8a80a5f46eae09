"""One ink for each cell, on every page: its colour and, beyond the colours that eyes tell apart, its dashes.

The cells of a publication are taken in the order in which their tests began, and dealt in rounds of as many cells as
there are colours: within a round no two share one, and each round has dashes of its own. A cell takes the colour that
the checksum of its id points to, or the next that is free in its round. So

- up to `len(COLOURS)` cells all have colours of their own, up to that times `len(DASHES)` all have inks of their own;
- cells that are added later, with tests that begin after those of all others, change no ink;
- a cell that is added before others changes only inks of cells that it meets at a colour, and where rounds are full.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dashboard.figures.style import COLOURS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

DASHES: Final = ("solid", "dash", "dot", "dashdot")
"""What the lines of each round of cells look like."""


@dataclass(frozen=True)
class Ink:
    """What a cell is drawn with: the colour of its lines and points, and the dashes of its lines."""

    colour: str
    dash: str = DASHES[0]


FIRST: Final = Ink(COLOURS[0])
"""For a cell that is drawn alone where the others are unknown."""


def inks_of(cells: pa.Table) -> dict[str, Ink]:
    """The ink of each cell of a publication.

    Args:
        cells: all rows of `battery_cells`, in any order.
    """
    begins = zip(cells["cell_id"].to_pylist(), cells["first_at"].to_pylist(), strict=True)
    # Cells of files without dates come last.
    return deal_inks(cell for _, _, cell in sorted((at is None, str(at), cell) for cell, at in begins))


def deal_inks(names: Iterable[str]) -> dict[str, Ink]:
    """An ink for each name, in rounds of colours; names that follow others do not change the inks of those."""
    inks: dict[str, Ink] = {}
    free: list[int] = []
    for number, name in enumerate(names):
        if not free:
            free = list(range(len(COLOURS)))
        wanted = zlib.crc32(name.encode()) % len(COLOURS)
        taken = min(free, key=lambda hue: (hue - wanted) % len(COLOURS))
        free.remove(taken)
        inks[name] = Ink(COLOURS[taken], DASHES[number // len(COLOURS) % len(DASHES)])
    return inks


def next_colours(ink: Ink, count: int) -> list[str]:
    """Colours for further series of a cell that is drawn alone: those that follow its own in the palette."""
    at = COLOURS.index(ink.colour) if ink.colour in COLOURS else -1
    return [COLOURS[(at + 1 + number) % len(COLOURS)] for number in range(count)]


def ink_of(inks: Mapping[str, Ink], cell: str) -> Ink:
    """The ink of a cell; the first for one that the publication does not have."""
    return inks.get(cell, FIRST)
