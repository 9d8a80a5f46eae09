"""Neware's layered texts: lines of cycles, of their steps and of their records, told by empty cells at their start.

Three headers come first, one for each kind of line. A line of a step begins with one empty cell, a line of a record
with two. The first step of a cycle may stand on the line of its cycle, after the last of the cycle's cells.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from producer.readers.neware_meaning import mend
from producer.readers.neware_names import NAMES, NEEDED, STATES, mended, quantity_of, require_times
from producer.readers.record import record_of
from producer.readers.tables.texts import Text, delimiter_of, read_table, titles_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from producer.readers.base import ReadOptions
    from producer.readers.record import Record
    from producer.readers.tables.table import Table
    from producer.readers.tables.titles import Column

    Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Layers:
    """The records of a layered text, n of them, and the cycle and step of each.

    Attributes:
        table: the records.
        found: the column of each quantity in it.
        cycle: shape (n,).
        step: numbers of the steps, shape (n,).
        direction: what each step's type says, CHARGE, DISCHARGE or REST, shape (n,).
        is_told: whether it says anything, shape (n,).
    """

    table: Table
    found: dict[str, Column]
    cycle: Integers
    step: Integers
    direction: Integers
    is_told: npt.NDArray[np.bool_]


def read_layers(text: Text, head: int) -> Layers:
    """Read a layered text.

    Args:
        text: the file.
        head: the index of the first header.

    Raises:
        BadWorkbookError: a line cannot be taken, or there is no record.
    """
    mark = delimiter_of(text.head[head])
    cycle_titles = titles_in(text.head[head].rstrip(mark), mark)  # sheets, and some texts, fill it up with empty cells
    step_titles, titles = (titles_in(text.head[head + layer], mark) for layer in (1, 2))
    lines = _Lines.of(text.content, head + 3, mark)
    if not lines.is_record.any():
        raise text.error("has headers of cycles, steps and records, but no records", head)
    _require_cells(text, lines, len(titles), mark)
    places = _Places(text, len(cycle_titles), _place(text, step_titles, "step", head + 1), mark)
    state = next((place for place, title in enumerate(step_titles) if quantity_of(title) == "state"), None)
    for number in np.flatnonzero(~lines.is_record):
        places.take(lines.text(int(number)), int(lines.numbers[number]), state)
    before = np.cumsum(~lines.is_record)[lines.is_record]
    if (orphans := np.asarray(places.step)[before] < 0).any():
        line = int(lines.numbers[lines.is_record][np.argmax(orphans)])
        raise text.error("is a record before any step; export the file again", line)
    header = mended(text.head[head + 2])
    content = header.encode() + b"\n" + lines.records()
    block = Text(text.name, content, tuple(content[:65_536].decode("utf-8", "replace").split("\n")))
    table, found = read_table(block, 0, NAMES, needed=NEEDED, delimiter=mark)
    require_times(table, found)
    ways = np.asarray(places.way)[before]
    return Layers(
        replace(table, rows=lines.numbers[lines.is_record] + 1),
        found,
        np.asarray(places.cycle, np.int64)[before],
        np.asarray(places.step, np.int64)[before],
        np.where(np.isnan(ways), 0, ways).astype(np.int64),
        ~np.isnan(ways),
    )


def record_of_layers(layers: Layers, options: ReadOptions) -> Record:
    """The record that layers make.

    Raises:
        BadWorkbookError: a cell cannot be taken.
        UndatedWorkbookError: the order of dates is open.
    """
    record = record_of(layers.table, layers.found, dates=options.dates, usual_dates="mdy")
    record.cycle, record.step = layers.cycle, layers.step
    record.direction = layers.direction if layers.is_told.any() else None
    mend(record, ~layers.is_told)
    return record


@dataclass(frozen=True)
class _Lines:
    """Where the lines below the headers begin and end (bytes), their indices in the file, and which are records."""

    content: bytes
    mark: bytes
    begins: Integers
    ends: Integers
    numbers: Integers
    is_record: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, content: bytes, skipped: int, mark: str) -> _Lines:
        letters = np.frombuffer(content, np.uint8)
        breaks = np.flatnonzero(letters == ord("\n"))
        begins = np.concatenate(([0], breaks + 1))[skipped:]
        ends = np.append(breaks + 1, len(content))[skipped:]
        numbers = np.arange(skipped, skipped + len(begins))
        inside = begins < len(content)
        begins, ends, numbers = begins[inside], ends[inside], numbers[inside]
        filled = ~np.isin(letters[begins], (ord("\r"), ord("\n")))
        begins, ends, numbers = begins[filled], ends[filled], numbers[filled]
        second = letters[np.minimum(begins + 1, len(letters) - 1)]
        is_record = (letters[begins] == ord(mark)) & (second == ord(mark))
        return cls(content, mark.encode(), begins, ends, numbers, is_record)

    def text(self, index: int) -> str:
        """One line."""
        return self.content[self.begins[index] : self.ends[index]].decode("utf-8", "replace").rstrip("\r\n")

    def records(self) -> bytes:
        """The lines of records, one after the other."""
        turns = np.flatnonzero(np.diff(self.is_record, prepend=False, append=False))
        runs = zip(turns[::2].tolist(), turns[1::2].tolist(), strict=True)
        return b"".join(self.content[self.begins[first] : self.ends[last - 1]] for first, last in runs)


class _Places:
    """The cycle, step and direction from each line of a cycle or step on; -1 and NaN where there is none yet."""

    def __init__(self, text: Text, cycle_cells: int, step_place: int, mark: str) -> None:
        self.cycle, self.step, self.way = [-1], [-1], [np.nan]
        self._text, self._cycle_cells, self._step_place, self._mark = text, cycle_cells, step_place, mark

    def take(self, line: str, number: int, state_place: int | None) -> None:
        """Take one line, whose index in the file is `number`."""
        cells = next(csv.reader([line], delimiter=self._mark), [])
        cycle, step, way = self.cycle[-1], self.step[-1], self.way[-1]
        if cells and cells[0].strip():
            cycle, step, way = self._whole(cells[0], number, "cycle"), -1, np.nan
            rest = cells[self._cycle_cells :]
            cells = ["", *rest] if any(cell.strip() for cell in rest) else []
        if cells:
            step = self._whole(cells[self._step_place] if self._step_place < len(cells) else "", number, "step")
            state = cells[state_place] if state_place is not None and state_place < len(cells) else ""
            way = STATES.get(state.strip().casefold(), np.nan)
        self.cycle.append(cycle)
        self.step.append(step)
        self.way.append(way)

    def _whole(self, cell: str, number: int, what: str) -> int:
        try:
            return int(cell)
        except ValueError:
            raise self._text.error(f"{cell!r} is no number of a {what}; export the file again", number) from None


def _place(text: Text, titles: Sequence[str], quantity: str, line: int) -> int:
    for index, title in enumerate(titles):
        if quantity_of(title) == quantity:
            return index
    raise text.error(f"has no column for {quantity} in the header of steps; export the file again", line)


def _require_cells(text: Text, lines: _Lines, cells: int, mark: str) -> None:
    """Have all records as many cells as their header.

    Raises:
        BadWorkbookError: one has not.
    """
    marks = np.flatnonzero(np.frombuffer(text.content, np.uint8) == ord(mark))
    begins, ends = lines.begins[lines.is_record], lines.ends[lines.is_record]
    counts = np.searchsorted(marks, ends) - np.searchsorted(marks, begins) + 1
    wrong = counts != cells
    if wrong.any():
        at = int(np.argmax(wrong))
        problem = f"has {counts[at]} cells, and the header of records has {cells}; export or copy it again"
        raise text.error(problem, int(lines.numbers[lines.is_record][at]))
