"""What a watch keeps between publications, so that a file that arrives waits for no process and no connection."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from confluent_kafka import Producer

    from producer.spool import Readers


@dataclass
class Kept:
    """Processes that read files, and a client of the broker.

    The client is kept for one log and one limit of its messages; one that has failed is not used again.
    """

    readers: Readers
    _client: tuple[tuple[str, int], Producer] | None = field(default=None, repr=False)

    @contextmanager
    def producer(self, topic_id: str, limit: int, make: Callable[[], Producer]) -> Iterator[Producer]:
        """The client for a log; a new one where none is kept for it."""
        kept, self._client = self._client, None
        producer = kept[1] if kept is not None and kept[0] == (topic_id, limit) else make()
        yield producer
        self._client = (topic_id, limit), producer  # only where nothing has failed
