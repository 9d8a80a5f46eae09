"""Giving messages to the broker, and knowing when it has them.

A request's messages are queued together, so that those of two requests do not mix, and each is waited for until the
broker has acknowledged it. Nothing more is taken while messages that somebody has given up waiting for are still on
their way: whoever was told so sends them again, and each time would be one more copy in the queue.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
from confluent_kafka import KafkaError, KafkaException

from kernel.contract.message import headers
from kernel.contract.reading import JSON
from kernel.edges.kafka import TRANSIENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from confluent_kafka import Message as KafkaMessage
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient

    from producer.gateway.bodies import Outgoing

HELD_BYTES: Final = 48 * 1024**2
"""Most bytes that are held, of bodies and of messages without an acknowledgement; librdkafka's queue takes 64 MiB."""

PROBE_SECONDS: Final = 4.0
"""How long the broker may take to say that it is there, s; of several, one that has just ended may be asked first."""

PAUSE_SECONDS: Final = 0.1

_log = structlog.get_logger()


class BehindError(Exception):
    """The broker is behind: there is no room for more, or it has not acknowledged in time.

    `seconds` is after how long it is worth trying again.
    """

    def __init__(self, message: str, seconds: int = 5) -> None:
        super().__init__(message)
        self.seconds = seconds


class UnreachableError(Exception):
    """The broker cannot be reached, or does not take what it is given; `seconds` as of `BehindError`."""

    seconds: Final = 5


@dataclass
class Sending:
    """The messages of a request: how many are open, and a future that is done when none is."""

    open: int
    done: Future[None] = field(default_factory=Future)
    error: KafkaError | None = None
    given_up: bool = False


class Delivery:
    """Gives messages to the broker, from any thread.

    Args:
        producer: the client.
        admin: another one, to ask whether the broker is there: a broker answers the requests of a connection one after
            the other, so behind messages that wait for an acknowledgement no question is answered.
        topic: where the messages go.
        held_bytes: most bytes to hold.
    """

    def __init__(self, producer: Producer, admin: AdminClient, topic: str, held_bytes: int = HELD_BYTES) -> None:
        self._producer = producer
        self._admin = admin
        self._topic = topic
        self._room = held_bytes
        self._overdue = 0
        self._unreachable = False
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._polling = threading.Thread(target=self._poll, name="delivery", daemon=True)
        self._polling.start()

    def hold(self, size: int) -> None:
        """Take room for so many bytes, until `release`.

        Raises:
            BehindError: there is no room for them.
            UnreachableError: earlier messages are still on their way to a broker that did not answer.
        """
        with self._lock:
            self._require_room(size)
            self._room -= size

    def release(self, size: int) -> None:
        """Give room back."""
        with self._lock:
            self._room += size

    def send(self, messages: Sequence[Outgoing], source_file: str, *, late: bool = False) -> Sending:
        """Queue messages in their order.

        Args:
            messages: of a request.
            source_file: where the readings say that they come from.
            late: whether they belong before, or between, readings that were sent earlier.

        Raises:
            BehindError: there is no room for them; the broker may get some of them all the same.
            UnreachableError: earlier messages are still on their way to a broker that did not answer.
        """
        sending = Sending(len(messages))
        pairs = headers(JSON, source_file, late=late)
        with self._lock:
            self._require_room(sum(len(message.value) for message in messages))
            for number, message in enumerate(messages):
                try:
                    self._producer.produce(
                        self._topic,
                        value=message.value,
                        key=message.cell_id.encode(),
                        headers=pairs,
                        on_delivery=partial(self._take, sending, len(message.value)),
                    )
                except BufferError:
                    sending.open = number
                    self._give_up(sending)
                    raise BehindError("the queue to the broker is full", 1) from None
                self._room -= len(message.value)
        return sending

    def give_up(self, sending: Sending) -> None:
        """Wait no longer for messages; until they have come to an end, no others are taken.

        Nothing happens where they have come to an end by now.

        Raises:
            BehindError: the broker is there, and is behind.
            UnreachableError: it is not there.
        """
        with self._lock:
            self._give_up(sending)
            if not sending.given_up:
                return
        self.probe()
        raise BehindError("the broker has not acknowledged in time")

    def probe(self) -> None:
        """See that the broker is there, and has the topic.

        Raises:
            UnreachableError: it is not, or has not.
        """
        deadline = time.monotonic() + PROBE_SECONDS
        while (error := self._asked(deadline)) is not None and error.code() in TRANSIENT:
            if time.monotonic() >= deadline:
                break
            time.sleep(PAUSE_SECONDS)
        with self._lock:
            self._unreachable = error is not None
        if error is not None:
            raise UnreachableError(_reason(error))

    def flush(self, seconds: float) -> int:
        """Wait until the broker has all, or so long; how many messages it has not."""
        left: int = self._producer.flush(seconds)
        self._stop.set()
        self._polling.join()
        return left

    def _asked(self, deadline: float) -> KafkaError | None:
        """What is wrong with the topic, as one of the brokers says; None where nothing is."""
        seconds = max(PAUSE_SECONDS, deadline - time.monotonic())
        try:
            topic = self._admin.list_topics(self._topic, timeout=seconds).topics[self._topic]
        except KafkaException as failure:
            refusal: KafkaError = failure.args[0]
            return refusal
        return topic.error

    def _require_room(self, size: int) -> None:
        if self._overdue:
            if self._unreachable:
                raise UnreachableError("the broker does not answer, and earlier readings wait for it")
            raise BehindError("the broker has not acknowledged earlier readings yet")
        if size > self._room:
            raise BehindError("too many readings wait for the broker", 1)

    def _give_up(self, sending: Sending) -> None:
        if sending.open and not sending.given_up:
            sending.given_up = True
            self._overdue += 1
            if self._overdue == 1:
                _log.warning("the broker is behind, taking no more readings until it has those that wait")

    def _take(self, sending: Sending, size: int, error: KafkaError | None, _message: KafkaMessage) -> None:
        with self._lock:
            self._room += size
            sending.open -= 1
            sending.error = sending.error or error
            if sending.open:
                return
            if sending.given_up:
                self._overdue -= 1
                if not self._overdue:
                    _log.info("nothing waits for the broker any more, taking readings again")
        if sending.error is None:
            sending.done.set_result(None)
        else:
            sending.done.set_exception(UnreachableError(_reason(sending.error)))

    def _poll(self) -> None:
        while not self._stop.is_set():
            self._producer.poll(PAUSE_SECONDS)


def _reason(error: KafkaError) -> str:
    if error.code() in TRANSIENT or error.code() == KafkaError._MSG_TIMED_OUT:  # noqa: SLF001
        return "the broker does not answer"
    return f"the broker does not take readings: {error.str()}"
