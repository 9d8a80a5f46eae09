"""What the broker delivers of one partition: its messages, a poll at a time, its end, and its faults."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from kernel.base.errors import BatteryError
from kernel.edges.consumer import POLL_MESSAGES, POLL_ROWS, oldest, open_consumer, passed, poll_of
from kernel.edges.kafka import TRANSIENT
from kernel.edges.offsets import missing, report

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka import Message as KafkaMessage

    from kernel.base.settings import Settings
    from kernel.contract.poll import Poll
    from kernel.edges.kafka import Topic
    from kernel.edges.offsets import Passed, Stretch

_log = structlog.get_logger()

CLOSE_SECONDS: Final = 1.5
"""How long the end of a run may wait for the consumer group to take the last position, s."""


class PartitionConsumer:
    """The consumer of one partition.

    Attributes:
        end: the offset where the partition ended at the last poll; None while more may follow.
        has_news: whether the last poll brought messages or the end.
        has_expired: whether the log no longer has the offset to read next; `start_at_oldest` reads on.
    """

    def __init__(self, settings: Settings, topic: Topic, partition: int, on_disturbance: Callable[[], None]) -> None:
        """Make the consumer; it reads nothing before `start`.

        Args:
            settings: where the broker is.
            topic: the log.
            partition: which of its partitions.
            on_disturbance: called during a poll when the connection to the broker breaks.
        """
        self._topic = topic
        self._partition = partition
        self._on_disturbance = on_disturbance
        self._rows_per_message = 1
        self.end: int | None = None
        self.has_news = False
        self.has_expired = False
        self._consumer = open_consumer(settings, self._report_disturbance)

    def start(self, offset: int, leader_epoch: int | None) -> None:
        """Read from an offset on; where the log of that leader ended before it, the broker continues from that end."""
        epoch = -1 if leader_epoch is None else leader_epoch
        self._consumer.assign([TopicPartition(self._topic.name, self._partition, offset, leader_epoch=epoch)])

    def start_at_oldest(self) -> None:
        """Read from the oldest message on."""
        self.has_expired = False
        self._consumer.assign([oldest(self._consumer, self._topic.name, self._partition)])

    def poll(self, wait_seconds: float) -> Poll:
        """The next messages; none when none came in time. Notes where the partition ends, or that the offset is gone.

        Raises:
            BatteryError: the broker refuses for good.
        """
        received: list[KafkaMessage] = []
        self.has_news = False
        most = max(1, min(POLL_MESSAGES, POLL_ROWS // self._rows_per_message))
        for message in self._consumer.consume(most, timeout=wait_seconds):
            fault = message.error()
            if fault is None:
                received.append(message)
                self.has_news, self.end = True, None
            elif fault.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                self.has_news, self.end = True, message.offset()
            else:
                self._take_fault(fault)
        poll = poll_of(self._topic.topic_id, self._partition, received)
        if poll:
            self._rows_per_message = max(1, int(poll.weights.mean()))
        return poll

    def received(self) -> TopicPartition:
        """Up to where the partition was received, with the leader epoch there; a negative offset before that."""
        return passed(self._consumer, self._topic.name, self._partition)

    def fetched_end(self) -> int | None:
        """Where the log ended when the broker was last asked for messages; None before. Asks no broker."""
        place = TopicPartition(self._topic.name, self._partition)
        end = -1
        with suppress(KafkaException):  # the client has heard nothing of the partition yet
            _low, end = self._consumer.get_watermark_offsets(place, cached=True)
        return end if end >= 0 else None  # negative before the first fetch

    def missing(self, due: int) -> Stretch | None:
        """The offsets from `due` on that the log no longer has and that may have held messages; None for none.

        Raises:
            NoBrokerError: the broker does not answer.
        """
        return missing(self._consumer, self._topic, self._partition, due)

    def report(self, passed_over: Passed) -> None:
        """Tell the consumer group up to where the partition has been read."""
        try:
            report(self._consumer, self._topic, self._partition, passed_over)
        except KafkaException as error:  # only tools that show the lag need it
            _log.warning("could not tell the consumer group", partition=self._partition, error=str(error))

    def close(self) -> None:
        """Leave the broker. A group without a coordinator, for instance while its broker is down, is not waited for."""
        closing = threading.Thread(target=self._consumer.close, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)

    def _take_fault(self, fault: KafkaError) -> None:
        if fault.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            self.has_expired, self.end = True, None
        elif fault.code() in TRANSIENT or fault.retriable():
            _log.warning("the broker does not answer, waiting for it", partition=self._partition, error=fault.str())
        else:
            raise BatteryError(f"topic {self._topic.name}, partition {self._partition}: {fault.str()}")

    def _report_disturbance(self, fault: KafkaError) -> None:
        self._on_disturbance()
        _log.warning("the connection to the broker broke", partition=self._partition, error=fault.str())
