"""The states of many cells as columns are what they are one by one, and stay as they were handed out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import CELL, arrow, reading
from support.delivered import together
from support.generated import BAD, logs
from support.landed import WINDOW_SECONDS, clean_cell, fold, state_of
from support.profiles import examples

from dataflows.fold import states as module
from dataflows.fold.admit import Fold
from dataflows.fold.clean import clean
from dataflows.fold.state import CellState
from dataflows.fold.states import CellStates, GroupStates

if TYPE_CHECKING:
    from support.delivered import Delivery


@st.composite
def states(draw: st.DrawFn) -> dict[str, CellState]:
    """Of new cells, of cells that were in all kinds of tests, and of some that came over several logs."""
    found = {}
    for number in range(draw(st.integers(1, 5))):
        state = CellState() if draw(st.integers(0, 4)) == 0 else state_of(fold([draw(logs())])[-1])
        for topic_id, partition in draw(st.sets(st.tuples(st.sampled_from("pq"), st.integers(0, 2)), max_size=3)):
            before = state.offsets.get(topic_id, {})
            offsets = {**state.offsets, topic_id: {**before, partition: draw(st.integers(0, 9))}}
            state = CellState(offsets, state.tests, state.test_id, state.window, state.refusals)
        found[f"CELL_{number}"] = state
    return found


@given(states())
@examples(0.6)
def test_states_taken_apart_are_what_they_were(found: dict[str, CellState]) -> None:
    assert dict(CellStates.of(found)) == found


@given(states())
@examples(0.6)
def test_states_are_written_as_each_writes_itself(found: dict[str, CellState]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CACHED", 2)
        texts = CellStates.of(found).texts(np.arange(len(found)))
    assert texts == [state.to_json() for state in found.values()]


@given(states(), st.data())
@examples(0.4)
def test_states_are_replaced_cell_by_cell(found: dict[str, CellState], data: st.DataObject) -> None:
    cells = GroupStates()
    cells.update(found)
    before = cells.of([*found, "UNKNOWN"])
    newer = {
        cell_id: data.draw(st.sampled_from([CellState(), *found.values()]))
        for cell_id in data.draw(st.sets(st.sampled_from([*found, *(f"NEW_{number}" for number in range(40))])))
    }
    cells.update(newer)
    expected = found | newer
    assert dict(cells.of(list(expected))) == expected
    assert dict(before) == {**found, "UNKNOWN": CellState()}


def test_a_cell_without_a_clock_has_none_in_its_state() -> None:
    state = state_of(fold([[arrow([reading(1, date_time=None)])]])[-1])
    (tail,) = state.tests.values()
    assert (tail.date_time, state.window) == (None, None)
    assert b'"window":null' in state.to_json()


def test_a_cell_that_comes_over_another_partition_of_an_earlier_log_is_told() -> None:
    state = CellState()
    spread = []
    for offset, (topic_id, partition) in enumerate([("p", 0), ("q", 0), ("p", 1), ("p", 0)]):
        of: dict[str, Any] = {"offset": offset, "partition": partition, "topic_id": topic_id}
        cleaned = clean_cell(state, [arrow([reading(offset + 1)], **of)])
        assert cleaned is not None
        spread.append(list(cleaned.spread))
        state = state_of(cleaned)
    assert spread == [[], [], [CELL], []]


def test_cleaning_leaves_the_states_that_it_is_given() -> None:
    cells = GroupStates()
    cells.update({CELL: state_of(fold([[arrow([reading(1)])]])[-1])})
    before = dict(cells.of([CELL]))
    cleaned = clean(cells, together([arrow([reading(2), reading(3) | BAD, reading(5)], offset=1)]), WINDOW_SECONDS)
    assert cleaned is not None
    assert dict(cells.of([CELL])) == before != dict(cleaned.states)


@given(st.data())
@examples(0.6)
def test_cells_remember_how_far_they_came_over_every_log(data: st.DataObject) -> None:
    cells = GroupStates()
    expected: dict[str, dict[str, dict[int, int]]] = {}
    points: dict[str, int] = {}
    next_offset: dict[tuple[str, int], int] = {}
    for _ in range(data.draw(st.integers(1, 6))):
        topic_id = data.draw(st.sampled_from("pq"))
        poll: list[Delivery] = []
        for _ in range(data.draw(st.integers(1, 6))):
            cell_id, partition = data.draw(st.sampled_from("AB")), data.draw(st.sampled_from([0, 0, 1]))
            offset = next_offset[topic_id, partition] = next_offset.get((topic_id, partition), -1) + 1
            points[cell_id] = points.get(cell_id, 0) + 1
            of: dict[str, Any] = {"offset": offset, "partition": partition, "topic_id": topic_id}
            poll.append(arrow([reading(points[cell_id], cell_id=cell_id)], key=cell_id.encode(), **of))
            expected.setdefault(cell_id, {}).setdefault(topic_id, {})[partition] = offset
        cleaned = clean(cells, together(poll), WINDOW_SECONDS)
        assert cleaned is not None
        cells.update(cleaned.states)
        assert clean(cells, together(poll), WINDOW_SECONDS) is None
    assert {cell_id: state.offsets for cell_id, state in cells.of(list(expected)).items()} == expected


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ([reading(1)], reading(2)),
        ([reading(1), reading(2) | BAD, reading(3)], reading(4)),
        ([reading(1, test_id="A"), reading(1, test_id="B")], reading(2, test_id="B")),
        ([reading(1, test_id="A"), reading(1, test_id="B")], reading(2, test_id="A")),
        ([reading(1, test_id="A")], reading(1, test_id="B")),
        ([reading(1)], reading(1)),
    ],
    ids=["a test goes on", "long after a refusal", "after other tests", "an earlier test", "a new test", "once more"],
)
def test_cells_are_folded_side_by_side(
    before: list[dict[str, Any]], now: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = state_of(fold([[arrow(before)]])[-1])
    monkeypatch.setattr(Fold, "_alone", None)
    assert clean_cell(state, [arrow([now], offset=1)]) is not None


def test_a_cell_that_was_just_refused_a_reading_is_folded_by_itself() -> None:
    state = state_of(fold([[arrow([reading(1), reading(2) | BAD])]])[-1])
    after = state_of(fold([[arrow([reading(3)], offset=1)]], state)[-1])
    (tail,) = after.tests.values()
    assert [hole.after.data_point for hole in tail.holes] == [3]
