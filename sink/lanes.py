"""The committing sink of the flow: what has been cleaned lands before its Bytewax epoch closes.

Bytewax waits for the snapshot of a partitioned sink at the end of every epoch, and stores the epoch only afterwards.
Nothing that is buffered here therefore stays longer than its epoch. A lane commits earlier when it has many rows, or
when nothing more waits to be read (`sink.early`); a commit may end anywhere between two results.
"""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Protocol

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from kernel.base.errors import record_errors
from kernel.base.faults import Point, fault_point
from kernel.base.settings import MOST_LANES
from kernel.contract.results import Cleaned, States
from kernel.contract.weight import ROW_BYTES
from sink.commit import rows_by_reason
from sink.early import LOOK_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Future

    import pyarrow as pa

    from sink.commit import Landing
    from sink.draft import Draft, Stored
    from sink.early import EarlyCommits


class OnCommit(Protocol):
    """Counts commits: it is called once for each commit, after its transaction."""

    def __call__(self, landed: int, quarantined: Mapping[str, int], objects: Iterable[int], seconds: float, /) -> None:
        """Take the landed rows, the quarantined rows by reason, the bytes of each object, and the time in s."""


LEAST_BYTES: Final = 64 * 1024**2
"""A commit may hold this many bytes even if COMMIT_MAX_ROWS is small."""


class Lane(StatefulSinkPartition[Cleaned[States], None]):
    """One sequence of commits; the cells of a lane never change during a run.

    One thread encodes and stores a commit while its results gather; another lands it while the next one gathers. Both
    spend most of their time outside the interpreter, so the flow goes on reading and cleaning meanwhile. A lane holds
    two commits at most: a slow warehouse slows the flow down and fills no memory. If a commit fails, the next call
    raises its error, and no later commit lands.
    """

    def __init__(
        self,
        landing: Landing,
        lane: int,
        next_seq: int,
        max_rows: int,
        on_commit: OnCommit | None = None,
        early: EarlyCommits | None = None,
    ) -> None:
        self._landing = landing
        self._on_commit = on_commit
        self._early = early
        self._lane = lane
        self._seq = next_seq
        self._max_rows = max_rows
        self._max_bytes = max(LEAST_BYTES, 2 * ROW_BYTES * max_rows)
        self._draft: Draft | None = None
        self._rows = self._bytes = 0
        self._has_repeats = False
        self._gathered: list[Future[None]] = []
        self._landed: Future[None] | None = None
        self._storer = ThreadPoolExecutor(1, thread_name_prefix=f"store-{lane}")
        self._lander = ThreadPoolExecutor(1, thread_name_prefix=f"land-{lane}")
        self._committed_at = -math.inf
        self._one_at_a_time = threading.Lock()
        self._closed = threading.Event()
        if early is not None:
            threading.Thread(target=self._look, name=f"early-{lane}", daemon=True).start()

    @record_errors
    def write_batch(self, items: Sequence[Cleaned[States]]) -> None:
        """Gather results; commit early after COMMIT_MAX_ROWS, or after twice the bytes that so many rows usually take.

        Raises:
            BatteryError: an earlier commit has failed.
        """
        for item in items:
            with self._one_at_a_time:
                self._gather(item)

    @record_errors
    def snapshot(self) -> None:
        """Commit the rest, and wait until all has landed. There is no state to keep: the warehouse has all of it.

        Raises:
            BatteryError: a commit has failed.
        """
        with self._one_at_a_time:
            if self._draft is not None:
                self._commit(self._draft)
            self._wait()
        fault_point(Point.SNAPSHOT)

    def commit_early(self) -> None:
        """Commit what has gathered if that is due before the epoch closes; an earlier commit must have landed."""
        with self._one_at_a_time:
            has_landed = self._landed is None or (self._landed.done() and self._landed.exception() is None)
            if self._early is None or self._draft is None or not has_landed or self._closed.is_set():
                return
            if self._early.is_due(self._rows, time.monotonic() - self._committed_at):
                self._commit(self._draft)

    def close(self) -> None:
        """End the threads."""
        self._closed.set()
        with self._one_at_a_time:  # nothing is committed any more
            self._storer.shutdown()
            self._lander.shutdown()

    def _look(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            self.commit_early()

    def _gather(self, item: Cleaned[States]) -> None:
        if self._draft is None:
            self._draft = self._landing.draft(self._lane, self._seq)
        self._gathered.append(self._storer.submit(self._draft.add, item))
        for rows in (item.landed, item.quarantined, item.repeated):
            self._rows += rows.num_rows
            self._bytes += rows.nbytes
        self._has_repeats |= item.repeated.num_rows > 0
        if self._rows >= self._max_rows or self._bytes >= self._max_bytes:
            self._commit(self._draft)

    def _commit(self, draft: Draft) -> None:
        self._committed_at = began = time.monotonic()
        earlier = self._landed if self._has_repeats else None
        stored = self._storer.submit(_store, draft, self._gathered, earlier)
        states = self._storer.submit(draft.states)
        self._wait()
        self._landed = self._lander.submit(lambda: self._land(stored.result(), states.result, began))
        self._seq += 1
        self._draft, self._rows, self._bytes, self._gathered, self._has_repeats = None, 0, 0, [], False

    def _land(self, stored: Stored, states: Callable[[], pa.Table], began: float) -> None:
        self._landing.land(stored, states)
        if self._on_commit is not None:  # after the transaction, so that the counts agree with the warehouse
            self._on_commit(
                stored.staged["staged_landed"].num_rows,
                rows_by_reason(stored.staged["staged_quarantined"]),
                [committed.size for committed in stored.commit.objects],
                time.monotonic() - began,
            )

    def _wait(self) -> None:
        """Wait for the earlier commit; if it has failed, raise its error, so that no later one lands."""
        if self._landed is not None:
            self._landed.result()


def _store(draft: Draft, gathered: list[Future[None]], earlier: Future[None] | None) -> Stored:
    for result in gathered:
        result.result()  # raises the error of its encoding
    if earlier is not None:
        earlier.result()  # the repeated readings may have landed with it
    return draft.store()


class UnusedLane(StatefulSinkPartition[Cleaned[States], None]):
    """A lane that this run does not have, and another one had or may have."""

    def write_batch(self, items: Sequence[Cleaned[States]]) -> None:
        """Refuse results: none belong here.

        Raises:
            AssertionError: always.
        """
        raise AssertionError(f"{len(items)} results came to a lane that this run does not have")

    def snapshot(self) -> None:
        """There is nothing to commit, and no state."""


class LandingSink(FixedPartitionedSink[Cleaned[States], None]):
    """Lands cleaned results, keyed by their lane, in a fixed number of lanes.

    `is_near` says whether a lane belongs to this process.
    """

    def __init__(
        self,
        open_landing: Callable[[], tuple[Landing, Mapping[int, int]]],
        lanes: int,
        max_rows: int,
        is_near: Callable[[int], bool],
        on_commit: OnCommit | None = None,
        early: EarlyCommits | None = None,
    ) -> None:
        self._open_landing = open_landing
        self._on_commit = on_commit
        self._early = early
        self._lanes = lanes
        self._max_rows = max_rows
        self._is_near = is_near
        self._lane_of: dict[str, int] = {}

    def lane_of(self, group: str) -> str:
        """The lane of a group of cells during this run: one of this process, if it has any.

        Cleaned results are a dozen times as large as their messages, so they should stay in this process.
        """
        if group not in self._lane_of:
            lanes = list(filter(self._is_near, range(self._lanes))) or range(self._lanes)
            self._lane_of[group] = lanes[int(group) % len(lanes)]
        return str(self._lane_of[group])

    def list_parts(self) -> list[str]:
        """One part for each lane that any run may have: Bytewax resumes from no store that names further ones."""
        return [f"lane-{lane:02d}" for lane in range(MOST_LANES)]

    def part_fn(self, item_key: str) -> int:
        """Items are keyed by their lane."""
        return int(item_key)

    @record_errors
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> Lane | UnusedLane:  # noqa: ARG002
        """Build a lane, which continues after its last commit in the warehouse."""
        lane = int(for_part.removeprefix("lane-"))
        if lane >= self._lanes:
            return UnusedLane()
        landing, next_seq = self._open_landing()
        return Lane(landing, lane, next_seq.get(lane, 1), self._max_rows, self._on_commit, self._early)
