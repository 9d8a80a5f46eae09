"""A message on which the fold raises costs that message, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.builders import arrow, as_json, message, reading
from support.delivered import together
from support.landed import WINDOW_SECONDS

import dataflows.forward
import kernel.contract.batch
import kernel.contract.message
from dataflows.fold.clean import clean
from dataflows.fold.states import GroupStates
from dataflows.forward import fold
from kernel.base.errors import BatteryError
from kernel.contract.batch import decode_poll
from kernel.contract.poll import Poll
from kernel.contract.reading import JSON

if TYPE_CHECKING:
    from kernel.contract.batch import Batch

POISONOUS = 13


def strict(cells: GroupStates, batch: Batch, window_seconds: int, ranges: Any) -> Any:
    """The fold, as it would be with a fault that nobody knows of."""
    if POISONOUS in batch.readings.column("data_point").to_pylist():
        raise OverflowError(f"cannot fold {POISONOUS}\nat all")
    return clean(cells, batch, window_seconds, ranges)


def test_a_message_that_the_fold_raises_on_is_quarantined_and_the_others_land(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataflows.forward, "clean", strict)
    batch = together(
        [
            arrow([reading(1), reading(2)], offset=0),
            arrow([reading(POISONOUS - 1), reading(POISONOUS)], offset=1),
            arrow([reading(14)], offset=2),
        ]
    )
    results = list(fold(GroupStates(), batch, WINDOW_SECONDS))
    landed = [point for result in results for point in result.landed.column("data_point").to_pylist()]
    assert landed == [1, 2, 14]
    (refused,) = [row for result in results for row in result.quarantined.to_pylist()]
    assert (refused["offset"], refused["row_count"], refused["reason"]) == (1, 2, "undecodable")
    assert refused["detail"] == "reading it raised OverflowError: cannot fold 13"
    assert '"data_point": 12' in refused["payload"]
    assert sum(span.rows for result in results for span in result.spans) == 5


def test_messages_that_are_folded_one_by_one_leave_what_they_leave_together(monkeypatch: pytest.MonkeyPatch) -> None:
    log = [arrow([reading(point), reading(point + 1)], offset=point) for point in range(1, 20, 2)]
    together_cells, one_by_one = GroupStates(), GroupStates()
    (whole,) = fold(together_cells, together(log), WINDOW_SECONDS)
    calls = []

    def fails_at_first(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise MemoryError
        return clean(*arguments)

    monkeypatch.setattr(dataflows.forward, "clean", fails_at_first)
    results = list(fold(one_by_one, together(log), WINDOW_SECONDS))
    assert len(results) == len(log)
    assert [row for result in results for row in result.landed.to_pylist()] == whole.landed.to_pylist()
    assert dict(one_by_one.of(whole.states.cell_ids)) == dict(whole.states)


def test_an_error_that_is_for_a_person_is_no_fault_of_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise BatteryError("the disk is full")

    monkeypatch.setattr(dataflows.forward, "clean", fails)
    with pytest.raises(BatteryError, match="the disk is full"):
        list(fold(GroupStates(), together([arrow([reading(1)])]), WINDOW_SECONDS))


@pytest.mark.parametrize("place", ["read_json", "reject_foreign_cells"])
def test_a_message_whose_reading_raises_is_undecodable(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def fails(*_: Any) -> Any:
        raise ZeroDivisionError("nobody has thought of this")

    monkeypatch.setattr(kernel.contract.message, place, fails)
    poll = Poll.of(
        [
            message(as_json(reading(1)), encoding=JSON, offset=0),
            message(as_json([reading(2), reading(3)]), encoding=JSON, offset=1),
            message(as_json(reading(4)), encoding=JSON, offset=2),
        ]
    )
    (found,) = decode_poll(poll, 1_000)
    assert found.readings.column("data_point").to_pylist() == [1, 4]
    ((at, fault),) = found.faults
    assert (found.offset[at], fault.reason) == (1, "undecodable")
    assert fault.detail == "reading it raised ZeroDivisionError: nobody has thought of this"


def test_what_cannot_be_read_in_one_pass_is_read_message_by_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise MemoryError

    poll = Poll.of([message(as_json(reading(point)), encoding=JSON, offset=point) for point in (1, 2, 3)])
    monkeypatch.setattr(kernel.contract.batch, "decode_uniform_json", fails)
    (found,) = decode_poll(poll, 1_000)
    assert (found.readings.column("data_point").to_pylist(), found.faults) == ([1, 2, 3], [])
