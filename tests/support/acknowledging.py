"""A producer whose broker acknowledges what a test lets it, when the test lets it."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, KafkaException


class Acknowledging:
    """Stands for librdkafka's producer, and for the client that asks about the topic.

    `sent` has what was produced, `error` is what the broker answers, None for an acknowledgement, and it answers while
    `open` is set. `room` is how many messages the queue takes. `away` is why the broker does not answer a question.
    """

    def __init__(self, *, answers: bool = True) -> None:
        self.sent: list[dict[str, Any]] = []
        self.error: KafkaError | None = None
        self.away: KafkaError | None = None
        self.room = 10**6
        self.open = threading.Event()
        self._waiting: list[dict[str, Any]] = []
        if answers:
            self.open.set()

    def produce(self, topic: str, **message: Any) -> None:
        if len(self._waiting) >= self.room:
            raise BufferError("queue full")
        self.sent.append({"topic": topic, **message})
        self._waiting.append(message)

    def poll(self, seconds: float) -> int:
        if not self.open.wait(seconds):
            return 0
        count = len(self._waiting)
        for _ in range(count):
            self._waiting.pop(0)["on_delivery"](self.error, None)
        if not count:
            threading.Event().wait(0.001)
        return count

    def list_topics(self, topic: str, timeout: float) -> Any:  # noqa: ARG002  # librdkafka's signature
        if self.away is not None:
            raise KafkaException(self.away)
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None)})

    def flush(self, seconds: float) -> int:
        self.poll(seconds)
        return len(self._waiting)
