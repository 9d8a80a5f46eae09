"""A lane's threads: the flow goes on while a commit lands, but never far, and nothing lands behind one that failed."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pytest
from support.builders import arrow, reading
from support.landed import clean_cell, state_of

import sink.lanes
from dataflows.fold.state import CellState
from dataflows.health import Pulse
from dataflows.metrics import Metrics
from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from sink.early import EarlyCommits
from sink.lanes import LandingSink, Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dataflows.fold.states import CellStates
    from kernel.contract.results import Cleaned
    from sink.commit import Landing

SECONDS = 20
"""After which a thread that should have gone on has not."""


@dataclass
class Gate:
    """A landing that lands when it is let, and notes what has landed, and what was gathered."""

    is_open: threading.Event = field(default_factory=threading.Event)
    landed: list[int] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)
    fails_at: int | None = None

    def draft(self, _lane: int, seq: int) -> Gathered:
        return Gathered(self, seq)

    def land(self, stored: Gathered, states: Callable[[], int]) -> None:
        assert self.is_open.wait(SECONDS)
        if stored.seq == self.fails_at:
            raise BatteryError("the warehouse failed")
        assert states() == stored.rows
        self.landed.append(stored.seq)


@dataclass
class Gathered:
    gate: Gate
    seq: int
    rows: int = 0

    def add(self, result: Cleaned[CellStates]) -> None:
        self.rows += result.landed.num_rows

    def store(self) -> Gathered:
        self.gate.stored.append(self.rows)
        return self

    def states(self) -> int:
        return self.rows

    @property
    def staged(self) -> dict[str, pa.Table]:
        refused = {"reason": ["duplicate", "not_finite", "duplicate"], "row_count": [4, 1, 2]}
        return {"staged_landed": pa.table({"row": range(self.rows)}), "staged_quarantined": pa.table(refused)}

    @property
    def commit(self) -> SimpleNamespace:
        return SimpleNamespace(objects=[SimpleNamespace(size=4000)])


@pytest.fixture
def gate() -> Iterator[Gate]:
    found = Gate()
    yield found
    found.is_open.set()


def lane_of(gate: Gate, max_rows: int, metrics: Metrics | None = None) -> Lane:
    return Lane(cast("Landing", gate), 0, 1, max_rows, on_commit=metrics.committed if metrics else None)


def results(count: int) -> list[Cleaned[CellStates]]:
    """Of two readings each."""
    found, state = [], CellState()
    for number in range(count):
        cleaned = clean_cell(state, [arrow([reading(2 * number + 1), reading(2 * number + 2)], offset=number)])
        assert cleaned is not None
        found.append(cleaned)
        state = state_of(cleaned)
    return found


def aside(work: Any, *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread


def test_the_flow_goes_on_while_a_commit_lands(gate: Gate) -> None:
    lane = lane_of(gate, max_rows=4)
    lane.write_batch(results(3))  # the first commit is due after two of them
    assert gate.landed == []
    gate.is_open.set()
    lane.snapshot()
    assert (gate.landed, gate.stored) == ([1, 2], [4, 2])
    lane.close()


def test_a_commit_of_readings_that_come_back_is_judged_when_the_one_before_has_landed(gate: Gate) -> None:
    (first,) = results(1)
    again = clean_cell(state_of(first), [arrow([reading(1), reading(2)], offset=1)])
    assert again is not None
    lane = lane_of(gate, max_rows=2)
    lane.write_batch([first])
    thread = aside(lane.write_batch, [again])
    thread.join(0.3)
    assert gate.stored == [2]
    gate.is_open.set()
    thread.join(SECONDS)
    lane.snapshot()
    assert (gate.stored, gate.landed) == ([2, 0], [1, 2])
    lane.close()


def test_a_commit_is_due_when_its_rows_take_much_however_few_they_are(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink.lanes, "LEAST_BYTES", 1)
    monkeypatch.setattr(sink.lanes, "ROW_BYTES", 1)
    lane = lane_of(gate, max_rows=100)
    gate.is_open.set()
    lane.write_batch(results(3))
    lane.snapshot()
    assert gate.stored == [2, 2, 2]
    lane.close()


def test_a_slow_warehouse_holds_up_the_flow_when_another_commit_is_due(gate: Gate) -> None:
    lane = lane_of(gate, max_rows=2)
    first, second = results(2)
    lane.write_batch([first])
    thread = aside(lane.write_batch, [second])
    thread.join(0.3)
    assert thread.is_alive()
    gate.is_open.set()
    thread.join(SECONDS)
    assert not thread.is_alive()
    lane.snapshot()
    assert gate.landed == [1, 2]
    lane.close()


def test_an_epoch_closes_when_all_has_landed(gate: Gate) -> None:
    lane = lane_of(gate, max_rows=100)
    lane.write_batch(results(1))
    thread = aside(lane.snapshot)
    thread.join(0.3)
    assert thread.is_alive()
    gate.is_open.set()
    thread.join(SECONDS)
    assert gate.landed == [1]
    lane.close()


def test_nothing_lands_behind_a_commit_that_failed(gate: Gate) -> None:
    gate.fails_at = 1
    gate.is_open.set()
    lane = lane_of(gate, max_rows=2)
    first, second = results(2)
    lane.write_batch([first])
    with pytest.raises(BatteryError, match="the warehouse failed"):
        lane.write_batch([second])
    with pytest.raises(BatteryError, match="the warehouse failed"):
        lane.snapshot()
    assert gate.landed == []
    lane.close()


def test_a_result_that_cannot_be_encoded_ends_the_run(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise BatteryError("cannot be encoded")

    monkeypatch.setattr(Gathered, "add", broken)
    gate.is_open.set()
    lane = lane_of(gate, max_rows=100)
    lane.write_batch(results(1))
    with pytest.raises(BatteryError, match="cannot be encoded"):
        lane.snapshot()
    assert gate.landed == []
    lane.close()


@pytest.fixture
def metrics() -> Metrics:
    settings = Settings(_env_file=None)
    return Metrics(settings, Pulse(settings))


def told(metrics: Metrics) -> tuple[float | None, ...]:
    """Rows landed, duplicates, commits, bytes stored."""
    value = metrics.registry.get_sample_value
    return (
        value("battery_rows_landed_total"),
        value("battery_rows_quarantined_total", {"reason": "duplicate"}),
        value("battery_commit_duration_seconds_count"),
        value("battery_object_bytes_sum"),
    )


def test_rows_are_counted_when_their_transaction_has_happened(gate: Gate, metrics: Metrics) -> None:
    lane = lane_of(gate, max_rows=2, metrics=metrics)
    lane.write_batch(results(1))
    assert told(metrics) == (0, 0, 0, 0)
    gate.is_open.set()
    lane.snapshot()
    assert told(metrics) == (2, 6, 1, 4000)
    lane.close()


def test_rows_of_a_commit_that_failed_are_not_counted(gate: Gate, metrics: Metrics) -> None:
    gate.fails_at = 1
    gate.is_open.set()
    lane = lane_of(gate, max_rows=2, metrics=metrics)
    lane.write_batch(results(1))
    with pytest.raises(BatteryError):
        lane.snapshot()
    assert told(metrics) == (0, 0, 0, 0)
    lane.close()


class Quiet:
    """Says when nothing more waits to be read."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def early_lane(gate: Gate, quiet: Quiet, monkeypatch: pytest.MonkeyPatch) -> Lane:
    """A lane that commits early only when the test has it look."""
    monkeypatch.setattr(sink.lanes, "LOOK_SECONDS", SECONDS)
    return Lane(cast("Landing", gate), 0, 1, 100, early=EarlyCommits(10, quiet))


def test_a_lane_commits_before_its_epoch_closes_once_nothing_more_waits(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = Quiet()
    lane = early_lane(gate, quiet, monkeypatch)
    gate.is_open.set()
    first, second, third = results(3)
    lane.write_batch([first, second])
    lane.commit_early()
    assert gate.stored == [], "more may come"
    quiet.seconds = 1
    lane.commit_early()
    lane.write_batch([third])
    lane.commit_early()
    assert gate.stored == [4], "two rows are not worth a commit of their own"
    lane.snapshot()
    assert (gate.landed, gate.stored) == ([1, 2], [4, 2])
    lane.close()
    lane.commit_early()


def test_a_lane_commits_nothing_early_while_a_commit_lands_or_after_one_that_failed(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sink.early.LEAST_SHARE", 0)
    monkeypatch.setattr("sink.early.LEAST_ROWS", 1)
    quiet = Quiet()
    quiet.seconds = 1
    lane = early_lane(gate, quiet, monkeypatch)
    gate.fails_at = 1
    first, second = results(2)
    lane.write_batch([first])
    lane.commit_early()
    lane.write_batch([second])
    lane.commit_early()  # it does not wait for the one that lands
    gate.is_open.set()
    with pytest.raises(BatteryError, match="the warehouse failed"):
        lane.snapshot()
    lane.commit_early()
    assert gate.landed == []
    lane.close()


def test_a_lane_looks_by_itself_whether_to_commit_early(gate: Gate) -> None:
    quiet = Quiet()
    quiet.seconds = 1
    lane = Lane(cast("Landing", gate), 0, 1, 100, early=EarlyCommits(10, quiet))
    lane.write_batch(results(1))
    gate.is_open.set()
    deadline = time.monotonic() + SECONDS
    while not gate.landed:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    lane.close()


def sink_of(lanes: int, here: set[int]) -> LandingSink:
    return LandingSink(lambda: pytest.fail("nothing lands"), lanes, 10, here.__contains__)


def test_a_group_lands_through_a_lane_of_the_process_that_cleans_it() -> None:
    sink = sink_of(4, {0, 2})
    assert [sink.lane_of(str(group)) for group in range(4)] == ["0", "2", "0", "2"]
    assert [sink_of(3, set()).lane_of(str(group)) for group in range(4)] == ["0", "1", "2", "0"]


def test_a_group_lands_through_the_same_lane_for_a_whole_run() -> None:
    here: set[int] = set()
    sink = sink_of(2, here)
    assert sink.lane_of("1") == "1"
    here.add(0)
    assert (sink.lane_of("1"), sink.lane_of("3")) == ("1", "0")


def test_states_are_written_out_while_the_rows_of_their_commit_land(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing = threading.Event()

    def land(gate: Gate, _: Gathered, states: Callable[[], int]) -> None:
        landing.set()
        gate.landed.append(states())

    def states(gathered: Gathered) -> int:
        assert landing.wait(SECONDS)
        return gathered.rows

    monkeypatch.setattr(Gate, "land", land)
    monkeypatch.setattr(Gathered, "states", states)
    lane = lane_of(gate, max_rows=100)
    lane.write_batch(results(1))
    lane.snapshot()
    assert gate.landed == [2]
    lane.close()
