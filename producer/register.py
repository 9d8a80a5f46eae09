"""The register of the tests of each cell, in the object store: one object a test, `tests/cell=…/….json`.

It records which id a test has, what identifies it (`producer/readers/trace.py`), and which of its data points were
sent. An id is claimed by a conditional write, so that one of two producers gets it.
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
    RegisteredTest,
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
    from producer.send import QueuedTest

LOGS: Final = 4
"""How many logs the register keeps the sent data points of."""

_NAME_LETTERS: Final = 150
"""A longer id is stored under its checksum, since file systems allow 255 bytes."""


class Register:
    """The registered tests, cell by cell, as they were when the cell was first asked for."""

    def __init__(self, store: ObjectStore, topic_id: str) -> None:
        self._store = store
        self.topic_id = topic_id
        self._cells: dict[str, dict[str, RegisteredTest]] = {}
        self._split: dict[str, bool] = {}

    def tests_of(self, cell_id: str) -> list[RegisteredTest]:
        """The tests of a cell.

        Raises:
            BatteryError: the store cannot read them, or one is damaged.
        """
        if cell_id not in self._cells:
            tests = [_read(stored.key, self._store.get(stored.key)) for stored in self._store.list(_folder(cell_id))]
            self._cells[cell_id] = {test.test_id: test for test in tests}
        return list(self._cells[cell_id].values())

    def is_split(self, cell_id: str) -> bool:
        """Whether the channels of workbooks that name this cell are cells of their own.

        Raises:
            BatteryError: the store does not answer.
        """
        if cell_id not in self._split:
            self._split[cell_id] = any(True for _ in self._store.list(_split_key(cell_id)))
        return self._split[cell_id]

    def note_split(self, cell_id: str) -> None:
        """Note that channels of workbooks that name this cell ran at the same time.

        Raises:
            BatteryError: the store cannot write it.
        """
        if not self.is_split(cell_id):
            self._store.put(_split_key(cell_id), json.dumps({"cell_id": cell_id}).encode())
            self._split[cell_id] = True

    def claim(self, queued: QueuedTest) -> bool:
        """Claim the id of a new test; return False if another producer has just claimed it for its own test.

        Raises:
            BatteryError: the store cannot write it.
        """
        if queued.test_id is None or queued.test.trace is None:
            return True
        test = RegisteredTest(queued.cell_id, queued.test_id, queued.name, queued.test.trace, {})
        if not self._store.put_new(_key(test), _written(test)):
            self._cells.pop(test.cell_id, None)
            return False
        self._cells.setdefault(test.cell_id, {})[test.test_id] = test
        return True

    def note_sent(self, queued: QueuedTest) -> None:
        """Note that a test, or a part of it, was sent: what it measured, and its data points.

        Raises:
            BatteryError: the store cannot write it.
        """
        cell_id, test_id, trace = queued.cell_id, queued.test_id, queued.test.trace
        if test_id is None or trace is None:
            return
        registered = self._cells[cell_id][test_id]
        grown = replace(registered, trace=registered.trace.with_more(trace))
        stretches = [(span.first.data_point, span.last.data_point) for span in trace.spans]
        grown = with_sent(grown, self.topic_id, stretches, LOGS)
        if grown.sent != registered.sent or grown.trace.spans != registered.trace.spans:
            self._store.put(_key(grown), _written(grown))
            self._cells[cell_id][test_id] = grown


@dataclass(frozen=True)
class Identified:
    """Tests with their ids, and for each workbook that has none the reason, by its origin and checksum.

    `remarks` has a line for each new test that ran at the same time as another one of its cell.
    """

    tests: list[QueuedTest]
    conflicts: dict[tuple[str, str], str]
    remarks: list[str]


def identify_all(register: Register, tests: Sequence[QueuedTest]) -> Identified:
    """Find which test of its cell each one is, in the order of their starts; claim new ids if there is no conflict.

    Raises:
        BatteryError: the store does not give or take them.
    """
    while True:
        cells: dict[str, list[RegisteredTest]] = {}
        result, new, conflicts, remarks = [], [], {}, []
        for queued in sorted(tests):
            of_cell = cells.setdefault(queued.cell_id, register.tests_of(queued.cell_id))
            try:
                earlier = [*of_cell]
                identified, is_new = _identified(of_cell, queued, register.topic_id)
            except ConflictError as error:
                conflicts[queued.origin, queued.sha256] = str(error)
                continue
            result.append(identified)
            new += [identified] if is_new else []
            remarks += _remarks(earlier, identified, is_new=is_new)
        if conflicts or all(register.claim(queued) for queued in new):
            return Identified(result, conflicts, remarks)


def _remarks(earlier: Sequence[RegisteredTest], queued: QueuedTest, *, is_new: bool) -> list[str]:
    """What to tell the user of a test, or a part of one; `earlier` are the tests of its cell without it."""
    trace = queued.test.trace
    if trace is None:
        return []
    if is_new:
        other = at_the_same_time(earlier, trace)
        ask = "if it is another cell, produce it again with --cell"
        return [f"{queued.origin}: it ran at the same time as {_named(other)}; {ask}"] if other else []
    own = next(test for test in earlier if test.test_id == queued.test_id)
    joined = joined_test(earlier, own, trace)
    ask = "for whole cycles at the seam, produce all parts together with --cell and another name"
    both = "which are one test and have landed as two"
    return [f"{queued.origin}: it joins {_named(own)} and {_named(joined)}, {both}; {ask}"] if joined else []


def _named(test: RegisteredTest) -> str:
    return f"test {test.test_id} ({test.source_file}) of cell {test.cell_id}"


def _identified(of_cell: list[RegisteredTest], queued: QueuedTest, topic_id: str) -> tuple[QueuedTest, bool]:
    """A test with its id, and whether it is new; it is added to `of_cell`.

    Raises:
        ConflictError: it may be one of two tests.
    """
    trace = queued.test.trace
    if trace is None:  # without a trace there is nothing to compare
        return queued, False
    export = Export(queued.cell_id, queued.origin, queued.started_at, trace, queued.test.readings)
    same = identify(of_cell, export)
    if same is None:
        test_id = free_id(of_cell, export)
        of_cell.append(RegisteredTest(queued.cell_id, test_id, queued.name, trace, {}))
        return replace(queued, test_id=test_id), True
    of_cell[of_cell.index(same)] = replace(same, trace=same.trace.with_more(trace))
    first, last = trace.spans[0].first.data_point, trace.spans[-1].last.data_point
    late_until = late_until_point(same, topic_id, first, last)
    return replace(queued, test_id=same.test_id, late_until=late_until if late_until >= first else None), False


def _folder(cell_id: str) -> str:
    return f"tests/cell={_name(cell_id)}/"


def _split_key(cell_id: str) -> str:
    return f"channels/cell={_name(cell_id)}.json"


def _key(test: RegisteredTest) -> str:
    return f"{_folder(test.cell_id)}{_name(test.test_id)}.json"


def _name(text: str) -> str:
    name = quote(text, safe="")
    return name if len(name) <= _NAME_LETTERS else hashlib.sha256(text.encode()).hexdigest()


def _written(test: RegisteredTest) -> bytes:
    content = {
        "cell_id": test.cell_id,
        "test_id": test.test_id,
        "source_file": test.source_file,
        "sent": test.sent,
        **test.trace.to_text(),
    }
    return json.dumps(content, separators=(",", ":")).encode()


def _read(key: str, content: bytes) -> RegisteredTest:
    try:
        note: dict[str, Any] = json.loads(content)
        sent = {str(log): _stretches(stretches) for log, stretches in note["sent"].items()}
        trace = Trace.from_text(note)
        return RegisteredTest(str(note["cell_id"]), str(note["test_id"]), str(note["source_file"]), trace, sent)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, zlib.error) as error:
        raise BatteryError(
            f"OBJECT_STORE: {key} is damaged ({type(error).__name__}), and the test cannot be told from others; "
            "put it back from a backup, or remove it and produce its workbooks again"
        ) from None


def _stretches(pairs: Sequence[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((int(first), int(last)) for first, last in pairs)
