"""The error for a cell that has not been published."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_NAMED: Final = 5
"""How many similar cells the error names."""


class UnknownCellError(BatteryError):
    """There is no such cell; the message names those that are most similar."""


def unknown_cell(cell: str, published: Sequence[str]) -> UnknownCellError:
    """The error, from the ids of the cells that have been published.

    >>> print(unknown_cell("CS2-37", ["CS2_35", "CS2_37", "CX2_16"]))
    no cell CS2-37 has been published; there are CS2_37, CS2_35, CX2_16
    """
    similar = get_close_matches(cell, published, n=MOST_NAMED, cutoff=0.0)
    more = len(published) - len(similar)
    listed = ", ".join(similar) + (f" and {more} more" if more else "")
    return UnknownCellError(f"no cell {cell} has been published; there are {listed or 'none yet'}")
