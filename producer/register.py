"""The register of the tests of each cell, in the object store: one object a test, `tests/cell=…/….json`.

It says which id a test has and what identifies it (`producer/trace.py`), and which of its data points went out. An id
is claimed by a conditional write, so of two producers at once one has it.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from kernel.base.errors import BatteryError
from producer.identity import (
    ConflictError,
    Export,
    KnownTest,
    at_the_same_time,
    free_id,
    identify,
    joined_test,
    late_until_point,
    with_sent,
)
from producer.readers.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.edges.objects import ObjectStore
    from producer.send import Waiting

LOGS: Final = 4
"""For so many logs is kept which data points went out to them."""

_NAME_LETTERS: Final = 150
"""An id that is longer is known by its checksum: file systems end at 255 bytes."""


class Register:
    """The tests that are known, cell by cell, as they were when the cell was first asked for."""

    def __init__(self, store: ObjectStore, topic_id: str) -> None:
        self._store = store
        self.topic_id = topic_id
        self._cells: dict[str, dict[str, KnownTest]] = {}
        self._split: dict[str, bool] = {}

    def tests_of(self, cell_id: str) -> list[KnownTest]:
        """The tests of a cell.

        Raises:
            BatteryError: the store does not give them, or one is damaged.
        """
        if cell_id not in self._cells:
            found = [_read(stored.key, self._store.get(stored.key)) for stored in self._store.list(_folder(cell_id))]
            self._cells[cell_id] = {test.test_id: test for test in found}
        return list(self._cells[cell_id].values())

    def is_split(self, cell_id: str) -> bool:
        """Whether the channels of workbooks that name this cell are cells of their own.

        Raises:
            BatteryError: the store does not say it.
        """
        if cell_id not in self._split:
            self._split[cell_id] = any(True for _ in self._store.list(_split_key(cell_id)))
        return self._split[cell_id]

    def note_split(self, cell_id: str) -> None:
        """Note that channels of workbooks that name this cell ran at the same time.

        Raises:
            BatteryError: the store does not take it.
        """
        if not self.is_split(cell_id):
            self._store.put(_split_key(cell_id), json.dumps({"cell_id": cell_id}).encode())
            self._split[cell_id] = True

    def claim(self, waiting: Waiting) -> bool:
        """Give a new test its id; False where another producer has just given it, whose test is known from then on.

        Raises:
            BatteryError: the store does not take it.
        """
        if waiting.test_id is None or waiting.test.trace is None:
            return True
        test = KnownTest(waiting.cell_id, waiting.test_id, waiting.name, waiting.test.trace, {})
        if not self._store.put_new(_key(test), _written(test)):
            self._cells.pop(test.cell_id, None)
            return False
        self._cells.setdefault(test.cell_id, {})[test.test_id] = test
        return True

    def note_sent(self, waiting: Waiting) -> None:
        """Note that a test, or a part of it, has gone out: what it measured, and its data points.

        Raises:
            BatteryError: the store does not take it.
        """
        cell_id, test_id, trace = waiting.cell_id, waiting.test_id, waiting.test.trace
        if test_id is None or trace is None:
            return
        known = self._cells[cell_id][test_id]
        grown = replace(known, trace=known.trace.with_more(trace))
        stretches = [(span.first.data_point, span.last.data_point) for span in trace.spans]
        grown = with_sent(grown, self.topic_id, stretches, LOGS)
        if grown.sent != known.sent or grown.trace.spans != known.trace.spans:
            self._store.put(_key(grown), _written(grown))
            self._cells[cell_id][test_id] = grown


@dataclass(frozen=True)
class Identified:
    """Tests with their ids, or why not: a line for each workbook, by its origin and checksum.

    `remarks` has a line for each new test that ran at the same time as another one of its cell.
    """

    tests: list[Waiting]
    conflicts: dict[tuple[str, str], str]
    remarks: list[str]


def identify_all(register: Register, tests: Sequence[Waiting]) -> Identified:
    """Tell which test of its cell each one is, by its start; claim the ids of new ones where there is no conflict.

    Raises:
        BatteryError: the store does not give or take them.
    """
    while True:
        known: dict[str, list[KnownTest]] = {}
        found, new, conflicts, remarks = [], [], {}, []
        for waiting in sorted(tests):
            of_cell = known.setdefault(waiting.cell_id, register.tests_of(waiting.cell_id))
            try:
                before = [*of_cell]
                identified, is_new = _identified(of_cell, waiting, register.topic_id)
            except ConflictError as error:
                conflicts[waiting.origin, waiting.sha256] = str(error)
                continue
            found.append(identified)
            new += [identified] if is_new else []
            remarks += _remarks(before, identified, is_new=is_new)
        if conflicts or all(register.claim(waiting) for waiting in new):
            return Identified(found, conflicts, remarks)


def _remarks(before: Sequence[KnownTest], found: Waiting, *, is_new: bool) -> list[str]:
    """What to say of a test, or a part of one, when `before` were the tests that were known of its cell."""
    trace = found.test.trace
    if trace is None:
        return []
    if is_new:
        beside = at_the_same_time(before, trace)
        ask = "if it is another cell, produce it again with --cell"
        return [f"{found.origin}: it ran at the same time as {_named(beside)}; {ask}"] if beside else []
    known = next(test for test in before if test.test_id == found.test_id)
    joined = joined_test(before, known, trace)
    ask = "for whole cycles at the seam, produce all parts together with --cell and another name"
    both = "which are one test and have landed as two"
    return [f"{found.origin}: it joins {_named(known)} and {_named(joined)}, {both}; {ask}"] if joined else []


def _named(test: KnownTest) -> str:
    return f"test {test.test_id} ({test.source_file}) of cell {test.cell_id}"


def _identified(of_cell: list[KnownTest], waiting: Waiting, topic_id: str) -> tuple[Waiting, bool]:
    """A test with its id, and whether it is new; what is known of the cell grows by it.

    Raises:
        ConflictError: that cannot be told.
    """
    trace = waiting.test.trace
    if trace is None:  # nothing is known of what it measured
        return waiting, False
    export = Export(waiting.cell_id, waiting.origin, waiting.started_at, trace, waiting.test.readings)
    known = identify(of_cell, export)
    if known is None:
        test_id = free_id(of_cell, export)
        of_cell.append(KnownTest(waiting.cell_id, test_id, waiting.name, trace, {}))
        return replace(waiting, test_id=test_id), True
    of_cell[of_cell.index(known)] = replace(known, trace=known.trace.with_more(trace))
    first, last = trace.spans[0].first.data_point, trace.spans[-1].last.data_point
    late_until = late_until_point(known, topic_id, first, last)
    return replace(waiting, test_id=known.test_id, late_until=late_until if late_until >= first else None), False


def _folder(cell_id: str) -> str:
    return f"tests/cell={_name(cell_id)}/"


def _split_key(cell_id: str) -> str:
    return f"channels/cell={_name(cell_id)}.json"


def _key(test: KnownTest) -> str:
    return f"{_folder(test.cell_id)}{_name(test.test_id)}.json"


def _name(text: str) -> str:
    name = quote(text, safe="")
    return name if len(name) <= _NAME_LETTERS else hashlib.sha256(text.encode()).hexdigest()


def _written(test: KnownTest) -> bytes:
    content = {
        "cell_id": test.cell_id,
        "test_id": test.test_id,
        "source_file": test.source_file,
        "sent": test.sent,
        **test.trace.to_text(),
    }
    return json.dumps(content, separators=(",", ":")).encode()


def _read(key: str, content: bytes) -> KnownTest:
    try:
        told: dict[str, Any] = json.loads(content)
        sent = {str(log): _stretches(stretches) for log, stretches in told["sent"].items()}
        trace = Trace.from_text(told)
        return KnownTest(str(told["cell_id"]), str(told["test_id"]), str(told["source_file"]), trace, sent)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, zlib.error) as error:
        raise BatteryError(
            f"OBJECT_STORE: {key} is damaged ({type(error).__name__}), and the test cannot be told from others; put it "
            "back from a backup, or remove it and produce its workbooks again"
        ) from None


def _stretches(told: Sequence[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((int(first), int(last)) for first, last in told)
