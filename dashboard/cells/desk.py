"""What a visitor has before them: what was told when the page was read, and the table with what they have changed.

It stays with the session, so that what was not saved is still there when they come back from another page. The editor
is given a table and answers with the same one changed; a new table, such as one with another column, is another editor.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from dashboard.cells.table import (
    columns_of,
    conflicts_of,
    edits_of,
    edits_to,
    put,
    read_edits,
    text_table,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dashboard.cells.table import Change, Conflict, Edit, Reading, Told


@dataclass
class Desk:
    """A table of cells under a visitor's hands.

    Attributes:
        told: what was told when it was read.
        cells: the cells of its rows, in their order.
        columns: its columns with values.
        elsewhere: what is known of the cells from elsewhere, in words.
        table: what the editor begins with.
        edited: what the editor has answered.
        generation: counts the editors, which begin anew with each table.
        conflicts: what others have changed while it was changed here; nobody has decided on it yet.
        said: what was done last, in words, and whether that went well.
    """

    told: Told
    cells: Sequence[str]
    columns: list[str]
    elsewhere: Mapping[str, str]
    table: pa.Table
    edited: pa.Table
    generation: int = 0
    conflicts: list[Conflict] = field(default_factory=list)
    said: tuple[str, bool] | None = None

    @property
    def edits(self) -> list[Edit]:
        """The texts that differ from what was told."""
        return edits_of(text_table(self.told, self.cells, self.columns), self.edited)

    def read(self) -> Reading:
        """What the texts say."""
        return read_edits(self.told, self.cells, self.edits)

    def add_column(self, name: str) -> None:
        """Add an empty column."""
        self.columns = columns_of(self.told, [*self.columns, name])
        place = self.edited.column_names.index(self.columns[self.columns.index(name) + 1])
        self._begin(self.edited.add_column(place, name, pa.nulls(self.edited.num_rows, pa.string())))

    def put(self, changes: Change) -> None:
        """Put changes into the table, as if the visitor had typed them; columns and cells that it lacks are added."""
        for name in sorted({name for change in changes.values() for name in change}):
            if name not in self.columns:
                self.add_column(name)
        self._begin(put(self.edited, edits_to(changes)))

    def reread(self, told: Told, cells: Sequence[str], elsewhere: Mapping[str, str]) -> None:
        """Begin with what is told now, and keep what was changed, but for what others have changed as well."""
        edits, changes = self.edits, self.read().changes
        self.conflicts += [one for one in conflicts_of(self.told, told, changes) if one not in self.conflicts]
        theirs = {(one.cell_id, one.column) for one in self.conflicts}
        mine = [edit for edit in edits if (edit.cell_id, edit.column) not in theirs]
        self.told, self.cells, self.elsewhere = told, cells, elsewhere
        self.columns = columns_of(told, self.columns)
        self._begin(put(text_table(told, cells, self.columns, elsewhere), mine))

    def forget(self) -> None:
        """Drop what was changed and not saved."""
        self.conflicts = []
        self.columns = columns_of(self.told)
        self._begin(text_table(self.told, self.cells, self.columns, self.elsewhere))

    def begin_again(self) -> None:
        """Have another editor begin with what was changed."""
        self._begin(self.edited)

    def _begin(self, table: pa.Table) -> None:
        self.table = self.edited = table
        self.generation += 1


def desk_of(told: Told, cells: Iterable[str], elsewhere: Mapping[str, str], generation: int = 0) -> Desk:
    """A table of what is told, with nothing changed."""
    rows, columns = list(cells), columns_of(told)
    table = text_table(told, rows, columns, elsewhere)
    return Desk(told, rows, columns, elsewhere, table, table, generation)
