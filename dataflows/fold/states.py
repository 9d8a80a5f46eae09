"""The states of many cells, a column an array: what the fold reads and leaves, however many cells it takes.

Nearly every cell has come over one partition of one log, in one test or in one after the other. What else it remembers
stands beside the columns. `dataflows.fold.state.CellState` is the state of one cell, and what is stored of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from dataflows.fold.state import CellState, Hole, Tail
from dataflows.fold.tails import NO_CLOCK, Tails

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]
    Texts = npt.NDArray[Any]


class Rest(msgspec.Struct, frozen=True):
    """What a cell remembers beside its columns: its other logs, its other tests, and the holes of the one it is in."""

    offsets: dict[str, dict[int, int]]
    tests: dict[str, Tail]
    holes: tuple[Hole, ...]


_ENCODE: Final = msgspec.json.Encoder().encode

_CACHED: Final = 1_000
"""States that are written out at a time: as many as a processor's cache holds, with all that becomes of them."""


@dataclass(frozen=True, eq=False)
class CellStates(Mapping[str, CellState]):
    """The states of c cells; as a mapping, each as an object of its own.

    Columns have shape (c,). `offset` is the last one folded of the `partition` of the log `topic_id` that the cell came
    over last; None and -1 stand for none. `test_id` is the test that it is in, None for none, and `tails` where that
    stands. `window` and `refusals` are as in `CellState`, with `NO_CLOCK` for no window. `rest` is by place, of those
    cells that have more.
    """

    cell_ids: list[str]
    topic_id: Texts
    partition: npt.NDArray[np.int32]
    offset: Integers
    test_id: Texts
    window: Integers
    refusals: Integers
    tails: Tails
    rest: dict[int, Rest]

    @classmethod
    def of(cls, states: Mapping[str, CellState]) -> CellStates:
        """Make columns of states."""
        found = list(states.values())
        logs = [_latest_log(state) for state in found]
        tails = [None if state.test_id is None else state.tests[state.test_id] for state in found]
        rest = {}
        for place, (state, (topic_id, partition, _), tail) in enumerate(zip(found, logs, tails, strict=True)):
            others = {topic: dict(last) for topic, last in state.offsets.items()}
            if topic_id is not None:
                del others[topic_id][partition]
            one = Rest(
                {topic: last for topic, last in others.items() if last},
                {test_id: known for test_id, known in state.tests.items() if test_id != state.test_id},
                tail.holes if tail else (),
            )
            if one.offsets or one.tests or one.holes:
                rest[place] = one
        return cls(
            list(states),
            np.array([topic_id for topic_id, _, _ in logs], dtype=np.object_),
            np.array([partition for _, partition, _ in logs], dtype=np.int32),
            np.array([offset for _, _, offset in logs], dtype=np.int64),
            np.array([state.test_id for state in found], dtype=np.object_),
            np.array([NO_CLOCK if state.window is None else state.window for state in found], dtype=np.int64),
            np.array([state.refusals for state in found], dtype=np.int64),
            Tails.of(tails),
            rest,
        )

    def __len__(self) -> int:
        return len(self.cell_ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self.cell_ids)

    def __getitem__(self, cell_id: str) -> CellState:
        try:
            place = self.cell_ids.index(cell_id)
        except ValueError:
            raise KeyError(cell_id) from None
        return self.objects(np.array([place]))[0]

    def objects(self, places: Integers) -> list[CellState]:
        """Some of the states, each as an object of its own."""
        found = []
        for place, topic_id, partition, offset, test_id, window, refusals, stands in zip(
            places.tolist(),
            *(column[places].tolist() for column in self.columns),
            self.tails.take(places).objects(),
            strict=True,
        ):
            rest = self.rest.get(place)
            offsets: dict[str, dict[int, int]] = {}
            tests: dict[str, Tail] = {}
            tail = stands
            if rest is not None:
                offsets, tests = {topic: dict(last) for topic, last in rest.offsets.items()}, dict(rest.tests)
                tail = msgspec.structs.replace(stands, holes=rest.holes)
            if topic_id is not None:
                # At the end stands what the cell came over last.
                offsets[topic_id] = offsets.pop(topic_id, {}) | {partition: offset}
            if test_id is not None:
                tests[test_id] = tail
            found.append(CellState(offsets, tests, test_id, None if window == NO_CLOCK else window, refusals))
        return found

    def texts(self, places: Integers) -> list[bytes]:
        """Some of the states as `CellState.to_json` writes them."""
        found = []
        for start in range(0, len(places), _CACHED):
            found += self.take(places[start : start + _CACHED])._texts()  # noqa: SLF001  # they are our own
        return found

    def _texts(self) -> list[bytes]:
        columns = zip(*(column.tolist() for column in self.columns), self.tails.rows(), strict=True)
        texts = [
            _ENCODE(
                {
                    "offsets": {} if topic_id is None else {topic_id: {partition: offset}},
                    "tests": {} if test_id is None else {test_id: tail},
                    "test_id": test_id,
                    "window": None if window == NO_CLOCK else window,
                    "refusals": refusals,
                }
            )
            for topic_id, partition, offset, test_id, window, refusals, tail in columns
        ]
        others = np.array(sorted(self.rest), dtype=np.int64)
        for place, state in zip(others.tolist(), self.objects(others), strict=True):
            texts[place] = state.to_json()
        return texts

    def folded(self, topic_id: str, partition: int) -> Integers:
        """The last offset of a log's partition that each state contains, -1 for none."""
        found = np.where((self.topic_id == topic_id) & (self.partition == partition), self.offset, -1)
        for place, rest in self.rest.items():
            found[place] = max(int(found[place]), rest.offsets.get(topic_id, {}).get(partition, -1))
        return found

    def came_over(self, topic_id: str) -> Flags:
        """Which cells have come over a log."""
        found: Flags = self.topic_id == topic_id
        for place, rest in self.rest.items():
            found[place] |= topic_id in rest.offsets
        return found

    def tail(self, place: int, test_id: str) -> Tail | None:
        """Where a test of a cell stands, None where it begins."""
        if self.test_id[place] == test_id:
            return self.objects(np.array([place]))[0].tests[test_id]
        rest = self.rest.get(place)
        return rest.tests.get(test_id) if rest else None

    def take(self, places: Integers) -> CellStates:
        """Some of the states."""
        rest = {}
        if self.rest:
            rest = {place: self.rest[of] for place, of in enumerate(places.tolist()) if of in self.rest}
        return CellStates(
            [self.cell_ids[place] for place in places.tolist()],
            self.topic_id[places],
            self.partition[places],
            self.offset[places],
            self.test_id[places],
            self.window[places],
            self.refusals[places],
            self.tails.take(places),
            rest,
        )

    def put(self, places: Integers, states: CellStates) -> None:
        """Replace some of the states; the cell ids stay."""
        for column, values in zip(self.columns, states.columns, strict=True):
            column[places] = values
        self.tails.put(places, states.tails)
        if self.rest or states.rest:
            for place, at in enumerate(places.tolist()):
                if place in states.rest:
                    self.rest[at] = states.rest[place]
                else:
                    self.rest.pop(at, None)

    @property
    def columns(self) -> tuple[npt.NDArray[Any], ...]:
        """The columns with one value for each cell, without the tails."""
        return self.topic_id, self.partition, self.offset, self.test_id, self.window, self.refusals


class GroupStates:
    """The states of all cells of a group, as far as their messages have been folded."""

    def __init__(self) -> None:
        self._place_of: dict[str, int] = {}
        self._states = _NEW.take(np.zeros(_LEAST, dtype=np.int64))

    def __contains__(self, cell_id: str) -> bool:
        return cell_id in self._place_of

    def of(self, cell_ids: Sequence[str]) -> CellStates:
        """A copy of the states of some cells; those of new cells are empty."""
        # The first place is that of no cell, and empty.
        places = np.array([self._place_of.get(cell_id, 0) for cell_id in cell_ids], dtype=np.int64)
        found = self._states.take(places)
        found.cell_ids[:] = cell_ids
        return found

    def update(self, states: Mapping[str, CellState]) -> None:
        """Replace the states of some cells, or add them."""
        if not isinstance(states, CellStates):
            states = CellStates.of(states)
        places = np.array(
            [self._place_of.setdefault(cell_id, len(self._place_of) + 1) for cell_id in states.cell_ids], dtype=np.int64
        )
        held, needed = len(self._states), len(self._place_of) + 1
        if needed > held:
            room = np.arange(max(needed, held + held // 2))
            self._states = self._states.take(np.where(room < held, room, 0))
        self._states.put(places, states)


def _latest_log(state: CellState) -> tuple[str | None, int, int]:
    """The log, partition and offset that come last in a state: those that the cell came over last."""
    for topic_id, found in reversed(state.offsets.items()):
        for partition, offset in reversed(found.items()):
            return topic_id, partition, offset
    return None, -1, -1


_LEAST: Final = 16
"""Cells that there is room for at first."""

_NEW: Final = CellStates.of({"": CellState()})
