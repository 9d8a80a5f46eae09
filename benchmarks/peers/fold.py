"""The fold of one cell, one reading at a time, in plain Python.

It knows no broker and no files. What it remembers of a cell can be stored as a value that JSON can hold, and
restored from it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Self

from benchmarks.peers.follow import Test
from benchmarks.peers.limits import fault_of
from benchmarks.peers.sums import Cycle, Window
from benchmarks.peers.tables import QUARANTINE, READINGS
from kernel.contract.reading import Reason

if TYPE_CHECKING:
    from benchmarks.peers.tables import Item, Row

WINDOW_US: Final = 600_000_000
"""Width of a window of event time, in microseconds."""


class Cell:
    """All that is known of a cell: its tests, and the window and the cycle that it is in."""

    __slots__ = ("cell_id", "cycle", "offset", "refusals", "tests", "window")

    def __init__(self, cell_id: str) -> None:
        self.cell_id = cell_id
        self.tests: dict[str, Test] = {}
        self.window: Window | None = None
        self.cycle: Cycle | None = None
        self.offset = -1
        self.refusals = 0  # duplicates apart

    def remembered(self) -> Row:
        """Everything that is remembered of the cell, as JSON can hold it; lists are shared with the cell."""
        return {
            "tests": {test_id: test.remembered() for test_id, test in self.tests.items()},
            "window": self.window and self.window.remembered(),
            "cycle": self.cycle and self.cycle.remembered(),
            "offset": self.offset,
            "refusals": self.refusals,
        }

    @classmethod
    def from_remembered(cls, cell_id: str, remembered: Row | None) -> Self:
        """A cell from what was remembered of it, or a new one; the lists are shared."""
        cell = cls(cell_id)
        if remembered is not None:
            cell.tests = {test_id: Test.from_remembered(found) for test_id, found in remembered["tests"].items()}
            cell.window = remembered["window"] and Window.from_remembered(remembered["window"])
            cell.cycle = remembered["cycle"] and Cycle.from_remembered(remembered["cycle"])
            cell.offset = remembered["offset"]
            cell.refusals = remembered["refusals"]
        return cell

    def take(self, row: Row) -> list[Item]:
        """Accept a reading or refuse it; a window or cycle that the cell leaves is final."""
        fault = self._fault_of(row)
        if fault is not None:
            self.refusals += fault[0] is not Reason.DUPLICATE
            return [_refused(row, *fault)]
        test_id, cycle_index, clock, offset = row["test_id"], row["cycle_index"], row["date_time"], row["kafka_offset"]
        gained = self.tests[test_id].follow(row)
        items = [(READINGS, row)]
        self.offset = offset
        if clock is not None:
            start = clock // WINDOW_US * WINDOW_US
            window = self.window
            if window is None or window.start != start:
                if window is not None:
                    items.append(window.item(self.cell_id, offset, is_final=True))
                self.window = window = Window(start)
            window.add(row, gained)
        cycle = self.cycle
        if cycle is None or cycle.index != cycle_index or cycle.test_id != test_id:
            if cycle is not None:
                items.append(cycle.item(self.cell_id, offset, is_final=True))
            self.cycle = cycle = Cycle(test_id, cycle_index)
        cycle.add(row, gained)
        return items

    def _fault_of(self, row: Row) -> tuple[Reason, str] | None:
        fault = fault_of(row)
        if fault is not None:
            return fault
        test = self.tests.get(row["test_id"])
        if test is None:
            test = self.tests[row["test_id"]] = Test()
        return test.admit(row, self.refusals)

    def so_far(self) -> list[Item]:
        """What was added to the open window and cycle since the last call; both continue from zero."""
        items = []
        if self.window is not None and self.window.count:
            items.append(self.window.item(self.cell_id, self.offset, is_final=False))
            self.window = Window(self.window.start)
        if self.cycle is not None and self.cycle.count:
            items.append(self.cycle.item(self.cell_id, self.offset, is_final=False))
            self.cycle = Cycle(self.cycle.test_id, self.cycle.index)
        return items


def _refused(row: Row, reason: Reason, detail: str) -> Item:
    return QUARANTINE, {
        "partition": row["kafka_partition"],
        "offset": row["kafka_offset"],
        "row": row["kafka_row"],
        "cell_id": row["cell_id"],
        "source_file": row["source_file"],
        "reason": reason.value,
        "detail": detail,
        "payload": None if reason is Reason.DUPLICATE else json.dumps(row),
    }
