"""Whose a workbook is that has no sheet of a channel: a reader that knows its sheets, or else that of any table.

What is in the sheets of a workbook cannot be seen in its first and last bytes, so one reader opens them all and hands
on those that are not its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from producer.readers import landt, mapped, neware
from producer.readers.sheets.book import holds_channel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from producer.readers.sheets.cells import Cell
    from producer.readers.sheets.parsed import ParsedSheets, SheetReader

Heads: TypeAlias = "Iterable[tuple[str, Sequence[Cell]]]"
"""Each sheet's name and first row, in the order of the workbook; it can be gone through several times."""


class Claims(Protocol):
    """Tells whether a workbook is of one format, by its sheets; it stops at the first that tells."""

    def __call__(self, sheets: Heads, /) -> bool:
        """Tell whether the sheets are those of the format."""


@dataclass(frozen=True)
class Claimant:
    """A reader of workbooks, and how it knows them."""

    claims: Claims
    reader: SheetReader


CLAIMANTS: Final = (
    Claimant(neware.claims_sheets, neware.READER),
    Claimant(landt.claims_sheets, landt.READER),
)
"""Who is asked, in this order."""

OF_ANY_TABLE: Final[SheetReader] = mapped.READER
"""Who takes a workbook that nobody claims."""


@dataclass
class BookHeads:
    """The heads of an open workbook; a sheet is not read before somebody comes to it."""

    sheets: ParsedSheets
    _read: list[tuple[str, Sequence[Cell]]] = field(default_factory=list)

    def __iter__(self) -> Iterator[tuple[str, Sequence[Cell]]]:
        """Each sheet's name and first row."""
        for at, name in enumerate(self.sheets.names):
            if at == len(self._read):
                self._read.append((name, self.sheets.first_row(name)))
            yield self._read[at]


def other_reader(heads: Heads) -> SheetReader | None:
    """The reader that takes a workbook, none of whose sheets is named like a channel's, in place of Arbin's.

    None where a sheet holds readings of a channel all the same.
    """
    claimed = next((one.reader for one in CLAIMANTS if one.claims(heads)), None)
    if claimed is not None or any(holds_channel(name, header) for name, header in heads):
        return claimed
    return OF_ANY_TABLE
