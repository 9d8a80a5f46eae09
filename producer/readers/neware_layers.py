"""Neware's layered texts: lines of cycles, of their steps and of their records, told by empty cells at their start.

Three headers come first, one for each kind of line. A line of a step begins with one empty cell, a line of a record
with two. The first step of a cycle may stand on the line of its cycle, after the last of the cycle's cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from producer.readers.base import BadWorkbookError
from producer.readers.neware_meaning import mend
from producer.readers.neware_names import NAMES, NEEDED, STATES, mended, quantity_of, require_times
from producer.readers.record import record_of
from producer.readers.tables.texts import Text, cells_in, delimiter_of, read_table, titles_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from producer.readers.base import ReadOptions
    from producer.readers.record import Record
    from producer.readers.tables.table import Table
    from producer.readers.tables.titles import Column

    Integers = npt.NDArray[np.int64]

_LINE_FEED: Final = ord("\n")
_BLOCK_BYTES: Final = 256 * 1024


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
        text: the file; its lines of cycles and steps are gone from its bytes afterwards, where these are no `bytes`.
        head: the index of the first header.

    Raises:
        BadWorkbookError: a line cannot be taken, or there is no record.
    """
    mark = delimiter_of(text.head[head])
    titles = titles_in(text.head[head + 2], mark)
    lines = _Lines.of(text, head + 3, mark)
    if not lines.is_record.any():
        raise text.error("has headers of cycles, steps and records, but no records", head)
    try:
        return _layers(text, head, mark, lines)
    except BadWorkbookError:
        _require_cells(text, lines, len(titles), mark)  # where that is what is wrong, it says it best
        raise


def _layers(text: Text, head: int, mark: str, lines: _Lines) -> Layers:
    cycle_titles = titles_in(text.head[head].rstrip(mark), mark)  # sheets, and some texts, fill it up with empty cells
    step_titles = titles_in(text.head[head + 1], mark)
    places = _places(
        text,
        lines.layers(mark),
        len(cycle_titles),
        _place(text, step_titles, "step", head + 1),
        next((place for place, title in enumerate(step_titles) if quantity_of(title) == "state"), len(step_titles)),
    )
    before = np.cumsum(~lines.is_record)[lines.is_record]
    step = np.asarray(places.step, np.int64)[before]
    if (orphans := step < 0).any():
        line = int(lines.numbers[lines.is_record][np.argmax(orphans)])
        raise text.error("is a record before any step; export the file again", line)
    first = (line for line in text.head[head + 3 :] if line.startswith(mark * 2))
    records = Text(text.name, lines.records(), (*text.head[: head + 2], mended(text.head[head + 2]), *first))
    numbers = lines.numbers[lines.is_record] + 1
    table, found = read_table(records, head + 2, NAMES, needed=NEEDED, delimiter=mark, lines=numbers)
    require_times(table, found)
    if len(table) != len(before):
        raise text.error("has records that are no single lines; export the file again", head)
    ways = np.asarray(places.way)[before]
    return Layers(
        table,
        found,
        np.asarray(places.cycle, np.int64)[before],
        step,
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

    content: memoryview
    begins: Integers
    ends: Integers
    numbers: Integers
    is_record: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, text: Text, skipped: int, mark: str) -> _Lines:
        content = memoryview(text.utf8).cast("B")
        letters = np.frombuffer(content, np.uint8)
        ends = _places_of(letters, _LINE_FEED) + 1
        if not len(ends) or ends[-1] < len(content):  # the last line may have no end
            ends = np.append(ends, len(content))
        begins, ends = ends[skipped - 1 : -1], ends[skipped:]
        numbers = np.arange(skipped, skipped + len(begins))
        first, second = letters[begins], letters[np.minimum(begins + 1, len(letters) - 1)]
        empty = (first == ord("\r")) | (first == _LINE_FEED)
        is_record = (first == ord(mark)) & (second == ord(mark))
        if empty.any():
            begins, ends, numbers, is_record = (one[~empty] for one in (begins, ends, numbers, is_record))
        return cls(content, begins, ends, numbers, is_record)

    def layers(self, mark: str) -> Iterator[tuple[list[str], int]]:
        """The cells of each line of a cycle or step, and its index in the file."""
        at = np.flatnonzero(~self.is_record)
        places = zip(self.begins[at].tolist(), self.ends[at].tolist(), strict=True)
        lines = b"".join(self.content[begin:end] for begin, end in places).decode("utf-8", "replace").split("\n")
        for line, number in zip(lines, self.numbers[at].tolist(), strict=False):  # nothing stands behind the last end
            line = line.rstrip("\r")  # noqa: PLW2901
            yield (cells_in(line, mark) if '"' in line else line.split(mark)), number

    def records(self) -> pa.Buffer:
        """The content with empty lines in place of those of cycles and steps, which `layers` has no more then.

        The headers stay. A copy is made of content that cannot be written to, as a copy costs what reading does.
        """
        letters = np.frombuffer(self.content, np.uint8)
        if not letters.flags.writeable:
            letters = letters.copy()
        turns = np.flatnonzero(np.diff(~self.is_record, prepend=False, append=False))
        for first, last in zip(self.begins[turns[::2]].tolist(), self.ends[turns[1::2] - 1].tolist(), strict=True):
            letters[first:last] = _LINE_FEED
        return pa.py_buffer(letters)


def _places_of(letters: npt.NDArray[np.uint8], letter: int) -> Integers:
    """Where a letter stands, by blocks that stay in the caches of the processor."""
    starts = range(0, len(letters), _BLOCK_BYTES)
    return np.concatenate([at + np.flatnonzero(letters[at : at + _BLOCK_BYTES] == letter) for at in starts])


@dataclass(frozen=True)
class _Places:
    """The cycle, step and direction from each line of a cycle or step on; -1 and NaN where there is none yet."""

    cycle: list[int]
    step: list[int]
    way: list[float]


def _places(
    text: Text, lines: Iterator[tuple[list[str], int]], cycle_cells: int, step_place: int, state_place: int
) -> _Places:
    """What lines of cycles and steps say, each its cells and its index in the file."""
    cycle, step, way = -1, -1, np.nan
    found = _Places([cycle], [step], [way])
    ways: dict[str, float] = {}
    for cells, number in lines:
        if cells and cells[0].strip():
            cycle, step, way = _whole(text, cells[0], number, "cycle"), -1, np.nan
            rest = cells[cycle_cells:]
            cells = ["", *rest] if any(cell.strip() for cell in rest) else []  # noqa: PLW2901  # its first step
        if cells:
            step = _whole(text, cells[step_place] if step_place < len(cells) else "", number, "step")
            state = cells[state_place] if state_place < len(cells) else ""
            if state not in ways:
                ways[state] = STATES.get(state.strip().casefold(), np.nan)
            way = ways[state]
        found.cycle.append(cycle)
        found.step.append(step)
        found.way.append(way)
    return found


def _whole(text: Text, cell: str, number: int, what: str) -> int:
    try:
        return int(cell)
    except ValueError:
        raise text.error(f"{cell!r} is no number of a {what}; export the file again", number) from None


def _place(text: Text, titles: Sequence[str], quantity: str, line: int) -> int:
    for index, title in enumerate(titles):
        if quantity_of(title) == quantity:
            return index
    raise text.error(f"has no column for {quantity} in the header of steps; export the file again", line)


def _require_cells(text: Text, lines: _Lines, cells: int, mark: str) -> None:
    """Have all records as many cells as their header, or all of them one more that is empty.

    Raises:
        BadWorkbookError: one has not.
    """
    begins, ends = lines.begins[lines.is_record], lines.ends[lines.is_record]
    letters = np.frombuffer(lines.content, np.uint8)
    counts = _counts(letters, mark, begins, ends) + 1
    for at in np.flatnonzero(_counts(letters, '"', begins, ends)).tolist():
        line = bytes(lines.content[begins[at] : ends[at]]).decode("utf-8", "replace")
        counts[at] = len(cells_in(line, mark))
    most = int(np.argmax(np.bincount(counts)))
    has, expected = ("most have", most) if most == cells + 1 else ("the header of records has", cells)
    wrong = counts != expected
    if wrong.any():
        at = int(np.argmax(wrong))
        problem = f"has {counts[at]} cells, and {has} {expected}; export or copy it again"
        raise text.error(problem, int(lines.numbers[lines.is_record][at]))


def _counts(letters: npt.NDArray[np.uint8], letter: str, begins: Integers, ends: Integers) -> Integers:
    """How often a letter stands in each line."""
    at = _places_of(letters, ord(letter))
    return np.searchsorted(at, ends) - np.searchsorted(at, begins)
