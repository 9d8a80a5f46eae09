"""The committing sink: what has been cleaned lands before its epoch closes.

Bytewax awaits a partitioned sink's snapshot at every epoch close and stores the epoch only afterwards, so nothing
that is buffered here outlives its epoch.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Protocol

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from kernel.base.errors import record_errors
from kernel.base.faults import Point, fault_point
from kernel.contract.results import Cleaned, States
from kernel.contract.weight import ROW_BYTES
from sink.commit import rows_by_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future

    import pyarrow as pa

    from sink.commit import Landing
    from sink.draft import Draft, Stored


class OnCommit(Protocol):
    """Whoever counts commits: called once a commit, after its transaction has happened."""

    def __call__(self, landed: int, quarantined: Mapping[str, int], objects: Iterable[int], seconds: float, /) -> None:
        """Take rows landed, rows refused by reason, sizes of objects in bytes, and how long it took, in s."""


LEAST_BYTES: Final = 64 * 1024**2
"""A commit may hold so many bytes in any case, however few rows it may have."""


class Lane(StatefulSinkPartition[Cleaned[States], None]):
    """One writer of commits, with its own sequence; the cells of a lane never change during a run.

    A commit is encoded and stored by one thread while its results gather, and lands by another while the next one
    gathers: what both do needs no interpreter, so the flow goes on reading and cleaning. Two commits are held at most,
    so a slow warehouse slows the flow and fills no memory. One that fails is told to the flow, and none lands after it.
    """

    def __init__(
        self,
        landing: Landing,
        lane: int,
        next_seq: int,
        max_rows: int,
        on_commit: OnCommit | None = None,
    ) -> None:
        self._landing = landing
        self._on_commit = on_commit
        self._lane = lane
        self._seq = next_seq
        self._max_rows = max_rows
        self._max_bytes = max(LEAST_BYTES, 2 * ROW_BYTES * max_rows)
        self._draft: Draft | None = None
        self._rows = self._bytes = 0
        self._comes_back = False
        self._gathered: list[Future[None]] = []
        self._landed: Future[None] | None = None
        self._storer = ThreadPoolExecutor(1, thread_name_prefix=f"store-{lane}")
        self._lander = ThreadPoolExecutor(1, thread_name_prefix=f"land-{lane}")

    @record_errors
    def write_batch(self, items: list[Cleaned[States]]) -> None:
        """Gather, and commit early when COMMIT_MAX_ROWS have come, or what so many would take twice over.

        Raises:
            BatteryError: a commit before has failed.
        """
        for item in items:
            if self._draft is None:
                self._draft = self._landing.draft(self._lane, self._seq)
            self._gathered.append(self._storer.submit(self._draft.add, item))
            for rows in (item.landed, item.quarantined, item.repeated):
                self._rows += rows.num_rows
                self._bytes += rows.nbytes
            self._comes_back |= item.repeated.num_rows > 0
            if self._rows >= self._max_rows or self._bytes >= self._max_bytes:
                self._commit(self._draft)

    @record_errors
    def snapshot(self) -> None:
        """Commit the rest, and wait until all has landed. The warehouse has what the lane knows: nothing is kept.

        Raises:
            BatteryError: a commit has failed.
        """
        if self._draft is not None:
            self._commit(self._draft)
        self._wait()
        fault_point(Point.SNAPSHOT)

    def close(self) -> None:
        """End the threads."""
        self._storer.shutdown()
        self._lander.shutdown()

    def _commit(self, draft: Draft) -> None:
        began = time.monotonic()
        before = self._landed if self._comes_back else None
        stored = self._storer.submit(_stored, draft, self._gathered, before)
        states = self._storer.submit(draft.states)
        self._wait()
        self._landed = self._lander.submit(lambda: self._land(stored.result(), states.result, began))
        self._seq += 1
        self._draft, self._rows, self._bytes, self._gathered, self._comes_back = None, 0, 0, [], False

    def _land(self, stored: Stored, states: Callable[[], pa.Table], began: float) -> None:
        self._landing.land(stored, states)
        if self._on_commit is not None:  # only now: what counts it says what the warehouse says
            self._on_commit(
                stored.staged["staged_landed"].num_rows,
                rows_by_reason(stored.staged["staged_quarantined"]),
                [found.size for found in stored.commit.objects],
                time.monotonic() - began,
            )

    def _wait(self) -> None:
        """Wait for the commit before; where it has failed, nothing behind it may land."""
        if self._landed is not None:
            self._landed.result()


def _stored(draft: Draft, gathered: list[Future[None]], before: Future[None] | None) -> Stored:
    for result in gathered:
        result.result()  # raises what encoding it has raised
    if before is not None:
        before.result()  # it may hold what comes back now
    return draft.store()


class LandingSink(FixedPartitionedSink[Cleaned[States], None]):
    """Lands cleaned results, keyed by their lane, through a fixed number of lanes; `is_near` tells which are here."""

    def __init__(
        self,
        open_landing: Callable[[], tuple[Landing, Mapping[int, int]]],
        lanes: int,
        max_rows: int,
        is_near: Callable[[int], bool],
        on_commit: OnCommit | None = None,
    ) -> None:
        self._open_landing = open_landing
        self._on_commit = on_commit
        self._lanes = lanes
        self._max_rows = max_rows
        self._is_near = is_near
        self._lane_of: dict[str, int] = {}

    def lane_of(self, group: str) -> str:
        """The lane that a group of cells lands through during this run: one of this process, if it has any.

        What has been cleaned is a dozen times as large as the messages it was read from, and is best not sent to
        another process.
        """
        if group not in self._lane_of:
            lanes = list(filter(self._is_near, range(self._lanes))) or range(self._lanes)
            self._lane_of[group] = lanes[int(group) % len(lanes)]
        return str(self._lane_of[group])

    def list_parts(self) -> list[str]:
        """One part a lane."""
        return [f"lane-{lane:02d}" for lane in range(self._lanes)]

    def part_fn(self, item_key: str) -> int:
        """Items are keyed by their lane."""
        return int(item_key)

    @record_errors
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> Lane:  # noqa: ARG002
        """Build a lane; where it continues is the warehouse's to say."""
        lane = int(for_part.removeprefix("lane-"))
        landing, next_seq = self._open_landing()
        return Lane(landing, lane, next_seq.get(lane, 1), self._max_rows, self._on_commit)
