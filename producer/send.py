"""Tests to messages, and messages to the topic: in order, as fast as the broker takes them or as the cells lived them.

Nothing here knows of workbooks, stores or what was published before.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from kernel.base.errors import BatteryError
from kernel.base.progress import Progress
from kernel.contract.message import LIMITS, encode_arrow, encode_json, headers
from kernel.contract.reading import ARROW, JSON, READING
from kernel.edges.kafka import AROUND_BYTES, MESSAGE_BYTES
from producer.readers.base import repeated

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from datetime import datetime

    import pyarrow as pa
    from confluent_kafka import KafkaError, Producer
    from confluent_kafka import Message as KafkaMessage

    from kernel.contract.weight import Limits
    from producer.spool import SpooledTest

ENCODINGS: Final = {"arrow": ARROW, "json": JSON}
FLUSH_SECONDS: Final = 60.0
TICK_SECONDS: Final = 1.0
"""How much of real time one message of a paced replay covers."""

ENCODERS: Final = 2
"""Threads that encode tests while others are sent, of which each has one more to come."""


@dataclass(frozen=True, order=True)
class Waiting:
    """A test that waits for its turn; the order is that of its cell's life.

    `name` and `sha256` are those of its workbook, of whose tests it is number `place`; `origin` is how a user knows it.
    `test_id` is the id that it goes out with, by default the one that it was read with; readings up to the data point
    `late_until` belong before, or between, others of their test that went out earlier.
    """

    cell_id: str
    started_at: datetime
    exported_on: tuple[int, int, int]
    name: str
    place: int
    sha256: str = field(compare=False)
    test: SpooledTest = field(compare=False)
    origin: str = field(compare=False, default="")
    test_id: str | None = field(compare=False, default=None)
    late_until: int | None = field(compare=False, default=None)

    def readings(self) -> pa.Table:
        """The readings, with the cell and the id that their test has."""
        readings = self.test.readings()
        read = {"cell_id": self.test.cell_id or self.cell_id, "test_id": self.test.started_at.isoformat()}
        for name, value in (("cell_id", self.cell_id), ("test_id", self.test_id)):
            if value is not None and value != read[name]:
                column = READING.get_field_index(name)
                readings = readings.set_column(column, READING.field(column), repeated(value, readings.num_rows))
        return readings

    def parts(self) -> list[tuple[pa.Table, bool]]:
        """The readings in order, those that come late apart from the others, and whether they do."""
        readings = self.readings()
        if self.late_until is None:
            return [(readings, False)]
        above = readings.column("data_point").to_numpy() > self.late_until
        late = int(above.argmax()) if above.any() else len(above)
        parts = [(readings.slice(0, late), True), (readings.slice(late), False)]
        return [(part, is_late) for part, is_late in parts if part.num_rows]


@dataclass(frozen=True)
class Manner:
    """How to send: `encoding` is a key of `ENCODINGS`, `limit` the topic's largest message in bytes.

    `speed` replays readings at that many times real time (None: at once); `limits` are those of the worker.
    """

    topic: str
    limit: int
    encoding: str = "arrow"
    speed: float | None = None
    limits: Limits = LIMITS


@dataclass
class Sent:
    """What the broker was given."""

    rows: int = 0
    messages: int = 0


@dataclass
class Receipt:
    """What the broker has acknowledged of a workbook: how many of its rows are open, and where the others went.

    `last_offsets` has the last offset of each partition; None once the broker did not tell one.
    """

    cell_id: str
    sha256: str
    name: str
    open_rows: int = 0
    last_offsets: dict[int, int] | None = field(default_factory=dict)

    def take(self, rows: int, partition: int | None, offset: int | None) -> None:
        """Note that a message of so many rows was acknowledged."""
        self.open_rows -= rows
        if partition is None or offset is None or offset < 0:
            self.last_offsets = None
        elif self.last_offsets is not None:
            self.last_offsets[partition] = max(offset, self.last_offsets.get(partition, -1))


def send(
    producer: Producer,
    tests: Sequence[Waiting],
    manner: Manner,
    on_receipt: Callable[[Receipt], None] = lambda _: None,
) -> Sent:
    """Send tests in the order given, and wait until the broker has all of them.

    Args:
        producer: the client.
        tests: what to send.
        manner: how.
        on_receipt: called for each workbook as soon as all of its rows have been acknowledged.

    Raises:
        BatteryError: the broker refuses a message, or its limit is too small for a single reading; what was
            acknowledged until then stays.
    """
    sent = Sent()
    acknowledgements = _Acknowledgements(tests, manner.topic)
    messages = _messages(tests, manner)
    with (
        Progress("publishing", "rows", total=sum(waiting.test.rows for waiting in tests)) as progress,
        closing(messages),
    ):
        for waiting, rows, value, late in messages:
            on_delivery = acknowledgements.callback(waiting, rows)
            while True:
                try:
                    producer.produce(
                        manner.topic,
                        value=value,
                        key=waiting.cell_id,
                        headers=headers(ENCODINGS[manner.encoding], waiting.name, late=late),
                        on_delivery=on_delivery,
                    )
                    break
                except BufferError:  # librdkafka's queue is full: wait for the broker
                    producer.poll(0.1)
            producer.poll(0)
            acknowledgements.hand_out(on_receipt)
            sent.rows += rows
            sent.messages += 1
            progress.advance(rows)
    open_messages = producer.flush(FLUSH_SECONDS)
    acknowledgements.hand_out(on_receipt)
    if open_messages:
        raise BatteryError(f"topic {manner.topic}: the broker did not acknowledge within {FLUSH_SECONDS:.0f} s")
    return sent


class _Acknowledgements:
    """What the broker answers to the messages of some tests, by workbook."""

    def __init__(self, tests: Sequence[Waiting], topic: str) -> None:
        self._topic = topic
        self._receipts: dict[tuple[str, str], Receipt] = {}
        self._complete: list[Receipt] = []
        self._refusal: str | None = None
        for waiting in tests:
            key = (waiting.cell_id, waiting.sha256)
            self._receipts.setdefault(key, Receipt(*key, waiting.name)).open_rows += waiting.test.rows

    def callback(self, waiting: Waiting, rows: int) -> Callable[[KafkaError | None, KafkaMessage], None]:
        """What librdkafka calls when it knows what became of a message of so many rows."""
        return partial(self._take, self._receipts[waiting.cell_id, waiting.sha256], rows)

    def _take(self, receipt: Receipt, rows: int, error: KafkaError | None, message: KafkaMessage) -> None:
        if error is not None:
            self._refusal = self._refusal or error.str()
            return
        receipt.take(rows, message.partition(), message.offset())
        if not receipt.open_rows:
            self._complete.append(receipt)

    def hand_out(self, on_receipt: Callable[[Receipt], None]) -> None:
        """Hand out the receipts that are complete by now.

        Raises:
            BatteryError: the broker has refused a message.
        """
        while self._complete:
            on_receipt(self._complete.pop())
        if self._refusal is not None:
            raise BatteryError(f"topic {self._topic}: the broker did not take a message: {self._refusal}")


_Message = tuple[Waiting, int, bytes, bool]
"""Of a message its test, its number of rows, its value, and whether it comes late."""


def _messages(tests: Sequence[Waiting], manner: Manner) -> Generator[_Message]:
    """The messages to send in order; they keep to the topic's limit.

    Their size is settled before they are sent. One that the broker refuses later would leave a hole in its test, since
    those behind it have been taken by then.

    Raises:
        BatteryError: the limit is too small for a single reading.
    """

    def encoded(waiting: Waiting) -> Iterator[_Message]:
        for readings, late in waiting.parts():
            yield from _encoded(waiting, readings, late, manner)

    if manner.speed is not None:
        for part in _paced(tests, manner.speed):
            yield from _encoded(*part, manner)
    elif manner.encoding == "json":  # nothing but Python, which one thread at a time may use
        for waiting in tests:
            yield from encoded(waiting)
    else:
        yield from _ahead(tests, lambda waiting: list(encoded(waiting)))


def _encoded(waiting: Waiting, readings: pa.Table, late: bool, manner: Manner) -> Iterator[_Message]:
    """The messages of some readings of a test.

    Raises:
        BatteryError: the limit is too small for a single reading.
    """
    if manner.encoding == "json":
        yield from ((waiting, 1, value, late) for value in encode_json(readings))
        return
    try:
        for rows, value in encode_arrow(readings, min(MESSAGE_BYTES, manner.limit - AROUND_BYTES), manner.limits):
            yield waiting, rows, value, late
    except ValueError as error:
        raise BatteryError(
            f"topic {manner.topic} takes {manner.limit} bytes a message (max.message.bytes), too few: {error}; raise it"
        ) from None


def _ahead(tests: Sequence[Waiting], encoded: Callable[[Waiting], list[_Message]]) -> Generator[_Message]:
    """Encode in threads of their own, a few tests ahead: compressing them leaves the interpreter free to send."""
    threads = ThreadPoolExecutor(ENCODERS, "encode")
    try:
        left = iter(tests)
        begun = deque(threads.submit(encoded, waiting) for waiting in islice(left, 2 * ENCODERS))
        while begun:
            messages = begun.popleft().result()
            begun.extend(threads.submit(encoded, waiting) for waiting in islice(left, 1))
            yield from messages
    finally:
        threads.shutdown(cancel_futures=True)


def _paced(tests: Sequence[Waiting], speed: float) -> Iterator[tuple[Waiting, pa.Table, bool]]:
    """Let every cell live side by side at `speed` times real time; the pauses between its tests are left out."""
    cells: dict[str, list[Waiting]] = {}
    for waiting in tests:
        cells.setdefault(waiting.cell_id, []).append(waiting)
    started = time.monotonic()
    schedules = (_schedule(cell, speed) for cell in cells.values())
    for due, waiting, part, late in heapq.merge(*schedules, key=lambda item: item[0]):
        time.sleep(max(0.0, started + due - time.monotonic()))
        yield waiting, part, late


def _schedule(tests: Sequence[Waiting], speed: float) -> Iterator[tuple[float, Waiting, pa.Table, bool]]:
    """Cut a cell's tests into the parts that become due, in s after the start, one after the other."""
    began = passed = 0.0
    before: str | None = None
    for waiting in tests:
        since = passed if waiting.test_id is not None and waiting.test_id == before else 0.0
        for readings, late in waiting.parts():
            test_time = readings.column("test_time(s)").to_numpy()
            due = began + np.maximum(0.0, test_time - since) / speed
            first = 0
            for row in range(1, readings.num_rows + 1):
                if row == readings.num_rows or due[row] // TICK_SECONDS != due[first] // TICK_SECONDS:
                    yield float(due[row - 1]), waiting, readings.slice(first, row - first), late
                    first = row
        began, passed, before = float(due[-1]), float(test_time[-1]), waiting.test_id
