"""Where a partition continues, and how far a group of cells had come: what the recovery store keeps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from kernel.edges.offsets import Passed, Stretch

Snapshot = tuple[str, int | None, int | None, int | None, int | None]
"""The fields of a position, in their order, as the recovery store keeps them: plain values that need no class."""


@dataclass(frozen=True)
class Position:
    """Where a partition continues.

    >>> start = Position("AaIrMDGyfbCVVRnuIo/+9g", 6)
    >>> start.read(last=8, leader_epoch=2).next_offset
    9

    Args:
        topic_id: the log.
        next_offset: the next offset to read; None for the first message of the log.
        leader_epoch: the leader epoch of the last offset read, where the broker tells. A message that was read under a
            leader which no longer counts may have been replaced by another one.
        after: the offset after the last message read. It is `next_offset`, unless offsets without a message followed.
        empty_from: no offset from here to `next_offset` held a message. It is after `after` where messages were lost
            and the loss was accepted.
    """

    topic_id: str
    next_offset: int | None
    leader_epoch: int | None = None
    after: int | None = None
    empty_from: int | None = None

    @classmethod
    def of(cls, snapshot: Snapshot | Position) -> Position:
        """The position that a recovery store holds; earlier versions stored the object itself."""
        return snapshot.complete() if isinstance(snapshot, Position) else cls(*snapshot)

    @property
    def snapshot(self) -> Snapshot:
        """The plain values for the recovery store."""
        return self.topic_id, self.next_offset, self.leader_epoch, self.after, self.empty_from

    def read(self, last: int, leader_epoch: int | None) -> Position:
        """The position after the message at offset `last` was read."""
        return replace(self, next_offset=last + 1, leader_epoch=leader_epoch, after=last + 1, empty_from=last + 1)

    def passed(self, offset: int, leader_epoch: int | None) -> Position:
        """The position at a later offset, with no message in between."""
        return replace(self, next_offset=offset, leader_epoch=leader_epoch)

    def begun(self, first: int) -> Position:
        """The position at the offset where reading begins, before any message has come."""
        return replace(self, next_offset=first, after=first, empty_from=first)

    def given_up(self, oldest: int, landed: int) -> Position:
        """The position at the oldest offset of the log, when messages after offset `landed` may have been lost."""
        after = landed + 1 if self.after is None else self.after
        return replace(self, next_offset=oldest, leader_epoch=None, after=after, empty_from=oldest)

    def complete(self) -> Position:
        """Fill in the fields that positions of earlier versions lack: those stand right after the last message read."""
        if self.after is not None:
            return self
        return replace(self, after=self.next_offset, empty_from=self.next_offset)

    @property
    def must_have_landed(self) -> int:
        """The warehouse must hold all messages before this offset; otherwise reading on would lose some."""
        return self.after or 0

    @property
    def passed_over(self) -> Passed | None:
        """The offsets without a message just before the next offset; None where nothing has been read."""
        if self.next_offset is None or self.after is None or self.empty_from is None:
            return None
        return Passed(self.after, Stretch(self.empty_from, self.next_offset))


class Landed(NamedTuple):
    """The last message of a group of cells that had landed when an epoch closed.

    Reading goes on after it, so the warehouse must hold it. The commits of a group are of one lane, where they follow
    each other: a warehouse that holds its last one holds all of them.

    Args:
        cell_id: the cell of the message.
        topic_id: its log.
        partition: its partition.
        offset: its offset.
    """

    cell_id: str
    topic_id: str
    partition: int
    offset: int


OLDER_COPY: Final = (
    "bring that warehouse back, or rebuild it with `battery replay --from-beginning`, then start again; to go on with "
    "an older copy, move RECOVERY_DIR away: the worker reads the log from its start and passes over what has landed"
)
"""What to do where the recovery store is ahead of the warehouse."""
