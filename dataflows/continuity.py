"""Whether what a partition brings continues what was read of it: the same log, without a gap, nothing written over.

A topic may be deleted and created again under a running reader, and a message does not tell which log it is from. So
the log's id is asked for again whenever the connection broke, and before an epoch with messages closes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from kernel.base.errors import BatteryError
from kernel.edges.kafka import NoBrokerError

if TYPE_CHECKING:
    from dataflows.polling import PartitionConsumer
    from dataflows.position import Position
    from dataflows.topic_check import TopicCheck
    from kernel.edges.kafka import Topic

_log = structlog.get_logger()


class Continuity:
    """What must hold of one partition for reading to go on.

    Args:
        topic: the log.
        partition: which of its partitions.
        check: asks for the log's id.
        start: where reading begins; with no offset, the log must reach back to the first message that has not landed.
        landed: the last offset that has landed.
        accept_loss: go on without messages that were lost before they landed.
    """

    def __init__(
        self, topic: Topic, partition: int, check: TopicCheck, start: Position, landed: int, *, accept_loss: bool
    ) -> None:
        self._partition = partition
        self._name = f"topic {topic.name}, partition {partition}"
        self._check = check
        self._landed = landed
        self._accept_loss = accept_loss
        self._is_doubtful = False
        self._due = None if start.next_offset is not None else landed + 1

    @property
    def is_gap_possible(self) -> bool:
        """Whether the log may have lost messages before the next one that it delivers."""
        return self._due is not None

    def doubt(self) -> None:
        """Ask for the log's id before any more of it is handed on."""
        self._is_doubtful = True

    def doubt_offsets(self, position: Position) -> None:
        """Look for lost messages: the log no longer has the next offset.

        Whether anything is lost depends on what has landed, and on the log being the same.
        """
        self._is_doubtful = True
        self._due = max(position.next_offset or 0, self._landed + 1)

    def is_same_log(self) -> bool:
        """Whether what was received is of the log that this run reads: asks where there is doubt.

        Returns:
            False while no broker answers: what was received must be held until one does.

        Raises:
            BatteryError: the topic was recreated.
        """
        if self._is_doubtful:
            try:
                self._check.require_same()
            except NoBrokerError as error:
                _log.warning("holding messages until the broker says what log they are from", error=str(error))
                return False
            self._is_doubtful = False
        return True

    def require_same_log(self) -> None:
        """Ask for the log's id before an epoch closes.

        Where no broker answers the epoch may close, since its messages came before the connection broke. The id is
        asked for again when more comes.

        Raises:
            BatteryError: the topic was recreated.
        """
        try:
            self._check.require_same()
        except NoBrokerError:
            self._is_doubtful = True
        else:
            self._is_doubtful = False

    def require_not_overwritten(self, position: Position, first: int) -> None:
        """Refuse a message before the next offset: the log has lost what was read, and holds other messages there.

        Args:
            position: where the partition continues.
            first: the offset of the message that has come.

        Raises:
            BatteryError: it is before the next offset.
        """
        due = position.next_offset
        if due is not None and first < due:
            raise BatteryError(
                f"{self._name}: offsets {first} to {due - 1} had been "
                "read and hold other messages now (a broker that did not have them became the partition's leader?); "
                "build the tables from what the log holds with `battery replay --from-beginning`, remove "
                "RECOVERY_DIR, and start again"
            )

    def require_no_gap(self, position: Position, first: int, consumer: PartitionConsumer) -> Position:
        """The log must still hold the first message that has not landed, where it may have lost some.

        Args:
            position: where the partition continues.
            first: the offset of the next message, or of the log's end where there is none.
            consumer: asks where the log begins.

        Returns:
            Where the partition continues now: behind the lost messages where that is accepted.

        Raises:
            BatteryError: messages are lost that have not landed, or no broker answers.
        """
        if self._due is None:
            return position
        due, self._due = self._due, None
        gone = consumer.missing(due) if first > due else None
        if gone is None:  # the offsets between `due` and `first` hold no message
            return position
        end = min(first, gone.end)
        if gone.first == 0 and position.next_offset is None:
            _log.warning("the log no longer holds its first messages", partition=self._partition, oldest=gone.end)
        else:
            self._decide_on_loss(f"offsets {gone.first} to {end - 1} are")
        return position.given_up(end, self._landed)

    def _decide_on_loss(self, lost: str) -> None:
        """Only a person can decide to go on without messages that never landed."""
        loss = f"{self._name}: {lost} gone (retention?) and had not landed"
        if not self._accept_loss:
            raise BatteryError(
                f"{loss}; publish the files again with `battery produce --again`, then run once with "
                "ACCEPT_LOST_OFFSETS=true to go on from the oldest message"
            )
        _log.warning("going on without messages that never landed", lost=loss)
