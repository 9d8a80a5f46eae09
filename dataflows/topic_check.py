"""Whether the topic is still the log that a run reads, with the partitions that it had when the run began.

A topic may be deleted and created again under a running worker, and nothing in a message tells its log. Partitions may
be added, which Bytewax cannot take up while it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.base.errors import BatteryError, StartAgainError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.edges.kafka import Topic, TopicWatch


class GrownTopicError(StartAgainError):
    """The topic has more partitions than when the run began; it reads them when it starts again."""


class TopicCheck:
    """Asks what the topic is now, with or without waiting for the answer; all partitions of a process share one.

    Args:
        topic: the log that this run reads.
        find: asks the broker what the topic is now, and waits for the answer.
        watch: asks the same without waiting.
    """

    def __init__(self, topic: Topic, find: Callable[[], Topic], watch: TopicWatch) -> None:
        self._topic = topic
        self._find = find
        self._watch = watch
        self._grown: Topic | None = None

    def require_same(self) -> None:
        """Ask and wait for the answer. What was read until now is of this log if nothing is raised.

        Raises:
            NoBrokerError: nobody answers.
            BatteryError: the topic was recreated.
        """
        self._judge(self._find())

    def look(self) -> None:
        """Ask without waiting; `require_unchanged` takes the answer."""
        self._watch.look()

    def require_unchanged(self) -> None:
        """Check the answers that have come so far.

        Raises:
            GrownTopicError: the topic has more partitions now.
            BatteryError: the topic was recreated.
        """
        topic = self._watch.seen()
        if topic is not None:
            self._judge(topic)
        if self._grown is not None:
            raise GrownTopicError(
                f"topic {self._topic.name} has {len(self._grown.partitions)} partitions now, and had "
                f"{len(self._topic.partitions)} when this run began, which reads the new ones when it starts again"
            )

    def _judge(self, topic: Topic) -> None:
        if topic.topic_id != self._topic.topic_id:
            raise BatteryError(
                f"topic {self._topic.name} was recreated under the running worker; start the worker again to read the "
                "new log from its start"
            )
        if len(topic.partitions) > len(self._topic.partitions):
            self._grown = topic
