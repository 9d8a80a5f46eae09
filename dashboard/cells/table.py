"""The table that a visitor edits: all values as texts, and what has become of them in words and values.

Every cell of the table is a text, as in a CSV file, so that whatever is typed arrives and is either taken or refused in
words. Rows stand in the order of `Sheet.cells`; a visitor may add rows below these. The functions are pure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from kernel.base.errors import BatteryError
from kernel.contract.cell_metadata import COLUMNS, changed, parse_value, require_cell_id, value_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kernel.contract.cell_metadata import Value

    Told = Mapping[str, Mapping[str, Value]]
    Change = Mapping[str, Mapping[str, Value | None]]

CELL: Final = "cell_id"
ELSEWHERE: Final = "elsewhere"
"""The column that says what is known of a cell from elsewhere; nobody edits it."""


FIRST: Final = (
    "group", "nominal_capacity_ah", "mass_g", "area_cm2", "chemistry", "format", "protocol", "temperature_c", "tags",
    "notes",
)  # fmt: skip
"""The columns that a lab fills in first; the others with a meaning come behind the free ones."""


@dataclass(frozen=True)
class Edit:
    """A text that differs from what is known: in which row (from 0), of which cell, in which column."""

    row: int
    cell_id: str
    column: str
    text: str


@dataclass(frozen=True)
class Fault:
    """What cannot be taken: where, and why; `column` is None where it is about the whole row."""

    row: int
    cell_id: str
    column: str | None
    why: str


@dataclass(frozen=True)
class Reading:
    """What an edited table says: the changes that are sound, by cell and column, and what cannot be taken."""

    changes: Change
    faults: tuple[Fault, ...]

    @property
    def count(self) -> int:
        """How many values change."""
        return sum(len(change) for change in self.changes.values())


@dataclass(frozen=True)
class Conflict:
    """A value that another has changed since it was read here, and that is changed here too."""

    cell_id: str
    column: str
    read: Value | None
    now: Value | None
    mine: Value | None


def columns_of(told: Told, named: Iterable[str] = ()) -> list[str]:
    """The columns of the table: those with a meaning, those that are told of any cell, and those that are named.

    What is told of few cells, such as limits, comes last.

    >>> columns_of({"A1": {"lot": "7"}})[8:12]
    ['tags', 'notes', 'lot', 'charge_limit_v']
    """
    present = {name for metadata in told.values() for name in metadata} | set(named)
    return [*FIRST, *sorted(present - COLUMNS.keys()), *(name for name in COLUMNS if name not in FIRST)]


def text_table(
    told: Told, cells: Sequence[str], columns: Sequence[str], elsewhere: Mapping[str, str] | None = None
) -> pa.Table:
    """What is told of cells as texts, a row a cell; null where nothing is.

    Args:
        told: what is told, by cell and column.
        cells: the cells, in the order of the rows.
        columns: the columns, in their order.
        elsewhere: what is known of each cell from elsewhere, in words.
    """
    table: dict[str, pa.Array] = {CELL: pa.array(cells, pa.string())}
    if elsewhere is not None:
        table[ELSEWHERE] = pa.array([elsewhere.get(cell) for cell in cells], pa.string())
    of_cells = [told.get(cell, {}) for cell in cells]
    for name in columns:
        table[name] = pa.array(
            [None if (value := known.get(name)) is None else value_text(value) for known in of_cells], pa.string()
        )
    return pa.table(table)


def edits_of(before: pa.Table, edited: pa.Table) -> list[Edit]:
    """The texts that differ, row by row; rows that were added hold all of their texts.

    Args:
        before: as `text_table` makes it.
        edited: the same with texts that a visitor changed, and rows added below.
    """
    ids = [_clean(cell) for cell in edited[CELL].to_pylist()]
    stays = before.num_rows
    known = before[CELL].to_pylist()
    edits = []
    for name in before.column_names:
        if name == ELSEWHERE:
            continue
        old, new = (_filled(table, name, edited.num_rows) for table in (before, edited))
        for row in pc.indices_nonzero(pc.not_equal(old, new)).to_pylist():
            if name == CELL and row >= stays:
                continue
            edits.append(Edit(row, known[row] if row < stays else ids[row], name, new[row].as_py()))
    return sorted(edits, key=lambda edit: edit.row)


def read_edits(told: Told, cells: Sequence[str], edits: Sequence[Edit]) -> Reading:
    """Read what was edited: sound changes by cell and column, and what cannot be taken.

    A text that says the same as what is known, such as 45.0 of 45, is no change.

    Args:
        told: what is told of cells now.
        cells: those of the table, in the order of its rows; edits in later rows are of cells that are added.
        edits: as `edits_of` finds them.
    """
    changes: dict[str, dict[str, Value | None]] = {}
    faults: list[Fault] = []
    rows: dict[str, int] = {}
    added = _ids_of_rows(edits, len(cells))
    twice = Counter(added.values())
    known = set(cells)
    for row, cell_id in added.items():
        if why := _why_no_row(cell_id, known, twice[cell_id]):
            faults.append(Fault(row, cell_id, CELL, why))
    refused = {fault.row for fault in faults}
    for edit in edits:
        if edit.column == CELL:
            faults.append(
                Fault(edit.row, edit.cell_id, CELL, f"the name of a cell stays as it is; write {edit.cell_id} again")
            )
            continue
        try:
            value = parse_value(edit.column, edit.text)
        except BatteryError as error:
            faults.append(Fault(edit.row, edit.cell_id, edit.column, _without_name(edit.column, error)))
            continue
        if edit.row not in refused and value != told.get(edit.cell_id, {}).get(edit.column):
            changes.setdefault(edit.cell_id, {})[edit.column] = value
            rows[edit.cell_id] = edit.row
    for cell_id, change in changes.items():
        try:
            changed(told.get(cell_id, {}), change)
        except BatteryError as error:
            faults.append(Fault(rows[cell_id], cell_id, None, str(error)))
    return Reading(changes, tuple(sorted(faults, key=lambda fault: fault.row)))


def put(table: pa.Table, edits: Iterable[Edit]) -> pa.Table:
    """A table with texts put into it, by cell and column; those of cells that it lacks become rows below.

    A row that names no cell stays a row of its own.
    """
    texts = {name: table[name].to_pylist() for name in table.column_names}
    place: dict[str | int, int] = {cell: row for row, cell in enumerate(texts[CELL]) if cell}
    for edit in edits:
        key = edit.cell_id or edit.row
        if key not in place:
            place[key] = len(texts[CELL])
            for column in texts.values():
                column.append(None)
            texts[CELL][-1] = edit.cell_id or None
        if edit.column in texts:
            texts[edit.column][place[key]] = edit.text or None
    return pa.table({name: pa.array(column, pa.string()) for name, column in texts.items()})


def edits_to(changes: Change) -> list[Edit]:
    """Changes as texts, so that they can be put into a table; the rows are counted from 0."""
    return [
        Edit(row, cell_id, name, "" if value is None else value_text(value))
        for row, (cell_id, change) in enumerate(changes.items())
        for name, value in change.items()
    ]


def conflicts_of(read: Told, now: Told, changes: Change) -> list[Conflict]:
    """The values that others have changed since they were read, and that these changes would write over.

    Args:
        read: what was told when the table was read.
        now: what is told now.
        changes: what is to be changed, by cell and column.
    """
    return [
        Conflict(cell_id, name, then, other, mine)
        for cell_id, change in changes.items()
        for name, mine in change.items()
        if (then := read.get(cell_id, {}).get(name)) != (other := now.get(cell_id, {}).get(name)) and other != mine
    ]


def _ids_of_rows(edits: Sequence[Edit], stays: int) -> dict[int, str]:
    """The cells of the rows that were added."""
    return {edit.row: edit.cell_id for edit in edits if edit.row >= stays}


def _why_no_row(cell_id: str, known: set[str], count: int) -> str | None:
    if not cell_id:
        return "the row has values but no cell; write its name into the first column"
    if cell_id in known:
        return "the cell has a row already; write its values there"
    if count > 1:
        return "the cell is there twice; put its values into one row"
    try:
        require_cell_id(cell_id)
    except BatteryError as error:
        return str(error)
    return None


def _filled(table: pa.Table, name: str, count: int) -> pa.Array:
    """A column of texts, with "" for nulls and for rows that the table lacks."""
    texts = pc.fill_null(table[name].cast(pa.string()), "") if name in table.column_names else pa.array([], pa.string())
    texts = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    missing = count - len(texts)
    return pa.concat_arrays([texts, pa.array([""] * missing, pa.string())]) if missing > 0 else texts


def _clean(text: str | None) -> str:
    return (text or "").strip()


def _without_name(column: str, error: BatteryError) -> str:
    """An error without the column that it begins with, which is said beside it."""
    return str(error).removeprefix(f"{column}: ")
