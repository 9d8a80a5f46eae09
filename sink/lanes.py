"""The committing sink: what has been cleaned lands before its epoch closes.

Bytewax awaits a partitioned sink's snapshot at every epoch close and stores the epoch only afterwards, so nothing
that is buffered here outlives its epoch.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from battery.cleaned import Cleaned, State
from battery.errors import with_last_words
from battery.faults import Point, fault_point

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from battery.pulse import Pulse
    from sink.commit import Landing


class Lane(StatefulSinkPartition[Cleaned[State], None]):
    """One writer of commits, with its own sequence; the cells of a lane never change during a run."""

    def __init__(self, landing: Landing, lane: int, next_seq: int, max_rows: int, pulse: Pulse | None = None) -> None:
        self._landing = landing
        self._pulse = pulse
        self._lane = lane
        self._seq = next_seq
        self._max_rows = max_rows
        self._buffer: list[Cleaned[State]] = []
        self._rows = 0

    @with_last_words
    def write_batch(self, items: list[Cleaned[State]]) -> None:
        """Buffer, and commit early when COMMIT_MAX_ROWS have gathered."""
        for item in items:
            self._buffer.append(item)
            self._rows += item.landed.num_rows + item.quarantined.num_rows
            if self._rows >= self._max_rows:
                self._commit()

    @with_last_words
    def snapshot(self) -> None:
        """Commit the rest; what the lane knows is in the warehouse, so Bytewax keeps nothing."""
        self._commit()
        if self._pulse is not None:
            self._pulse.beat(self._lane)
        fault_point(Point.SNAPSHOT)

    def _commit(self) -> None:
        if self._buffer:
            self._landing.commit(self._lane, self._seq, self._buffer)
            self._seq += 1
            self._buffer, self._rows = [], 0


class LandingSink(FixedPartitionedSink[Cleaned[State], None]):
    """Lands cleaned results through a fixed number of lanes, chosen by cell."""

    def __init__(
        self, open_landing: Callable[[], tuple[Landing, Mapping[int, int]]], lanes: int, max_rows: int, pulse: Pulse
    ) -> None:
        self._open_landing = open_landing
        self._pulse = pulse
        self._lanes = lanes
        self._max_rows = max_rows

    def list_parts(self) -> list[str]:
        """One part a lane."""
        return [f"lane-{lane:02d}" for lane in range(self._lanes)]

    def part_fn(self, item_key: str) -> int:
        """The lane of a cell."""
        return zlib.crc32(item_key.encode())

    @with_last_words
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> Lane:  # noqa: ARG002
        """Build a lane; where it continues is the warehouse's to say."""
        lane = int(for_part.removeprefix("lane-"))
        landing, next_seq = self._open_landing()
        return Lane(landing, lane, next_seq.get(lane, 1), self._max_rows, self._pulse)
