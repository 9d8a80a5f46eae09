"""Sending: tests to messages, and messages to the topic, at once or paced as the readings were recorded.

This module knows nothing about workbooks, stores, or earlier publications.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from kernel.base.errors import BatteryError
from kernel.base.progress import Progress
from kernel.contract.about import TestAbout
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
"""How much real time one message of a paced replay covers, s."""

ENCODERS: Final = 2
"""Threads that encode tests while others are sent; each has one more test queued."""


@dataclass(frozen=True, order=True)
class QueuedTest:
    """A test that is to be sent; sorting gives the order in which each cell's tests were run.

    `name` and `sha256` are those of its workbook, `place` is its number among the workbook's tests, and `origin` is the
    workbook as the user knows it. `test_id` is the id to send; by default the one that it was read with. Readings up to
    the data point `late_until` belong before, or between, others of their test that were sent earlier.
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

    @cached_property
    def about_test(self) -> str | None:
        """The header with what is said of the test, under the id that it is sent with; None where nothing is said."""
        about = self.test.about
        return TestAbout(self.test_id or self.test.started_at.isoformat(), about).to_text() if about else None

    def parts(self) -> list[tuple[pa.Table, bool]]:
        """The readings in order, in at most two parts, each with whether its readings are late."""
        readings = self.readings()
        if self.late_until is None:
            return [(readings, False)]
        above = readings.column("data_point").to_numpy() > self.late_until
        late = int(above.argmax()) if above.any() else len(above)
        parts = [(readings.slice(0, late), True), (readings.slice(late), False)]
        return [(part, is_late) for part, is_late in parts if part.num_rows]


@dataclass(frozen=True)
class SendOptions:
    """How to send.

    `encoding` is a key of `ENCODINGS`, `limit` the topic's largest message in bytes. `speed` replays readings at that
    many times real time (None: at once). `limits` are those of the worker.
    """

    topic: str
    limit: int
    encoding: str = "arrow"
    speed: float | None = None
    limits: Limits = LIMITS


@dataclass
class SendResult:
    """How many rows and messages the broker was given."""

    rows: int = 0
    messages: int = 0


@dataclass
class Receipt:
    """How far the broker has acknowledged the rows of one cell in a workbook.

    `open_rows` are not acknowledged yet. `last_offsets` has the last offset of each partition; it is None once the
    broker left out an offset.
    """

    cell_id: str
    sha256: str
    name: str
    open_rows: int = 0
    last_offsets: dict[int, int] | None = field(default_factory=dict)

    def take(self, rows: int, partition: int | None, offset: int | None) -> None:
        """Note that a message with `rows` rows was acknowledged."""
        self.open_rows -= rows
        if partition is None or offset is None or offset < 0:
            self.last_offsets = None
        elif self.last_offsets is not None:
            self.last_offsets[partition] = max(offset, self.last_offsets.get(partition, -1))


def send(
    producer: Producer,
    tests: Sequence[QueuedTest],
    options: SendOptions,
    on_receipt: Callable[[Receipt], None] = lambda _: None,
    on_sent: Callable[[QueuedTest, int], None] = lambda *_: None,
) -> SendResult:
    """Send tests in the order given, and wait until the broker has all of them.

    Args:
        producer: the client.
        tests: what to send.
        options: how to send it.
        on_receipt: called for each cell of a workbook as soon as all of its rows have been acknowledged.
        on_sent: called with a test and the number of its rows that the broker was given with a message.

    Raises:
        BatteryError: the broker refuses a message, or its limit is too small for a single reading; what was
            acknowledged until then stays.
    """
    result = SendResult()
    acknowledgements = _Acknowledgements(tests, options.topic)
    messages = _messages(tests, options)
    with (
        Progress("publishing", "rows", total=sum(queued.test.rows for queued in tests)) as progress,
        closing(messages),
    ):
        for queued, rows, value, late in messages:
            on_delivery = acknowledgements.callback(queued, rows)
            while True:
                try:
                    producer.produce(
                        options.topic,
                        value=value,
                        key=queued.cell_id,
                        headers=headers(
                            ENCODINGS[options.encoding], queued.name, late=late, about_test=queued.about_test
                        ),
                        on_delivery=on_delivery,
                    )
                    break
                except BufferError:  # librdkafka's queue is full: wait for the broker
                    producer.poll(0.1)
            on_sent(queued, rows)
            producer.poll(0)
            acknowledgements.hand_out(on_receipt)
            result.rows += rows
            result.messages += 1
            progress.advance(rows)
    open_messages = producer.flush(FLUSH_SECONDS)
    acknowledgements.hand_out(on_receipt)
    if open_messages:
        raise BatteryError(f"topic {options.topic}: the broker did not acknowledge within {FLUSH_SECONDS:.0f} s")
    return result


class _Acknowledgements:
    """What the broker has acknowledged of some tests, by cell and workbook."""

    def __init__(self, tests: Sequence[QueuedTest], topic: str) -> None:
        self._topic = topic
        self._receipts: dict[tuple[str, str], Receipt] = {}
        self._complete: list[Receipt] = []
        self._refusal: str | None = None
        for queued in tests:
            key = (queued.cell_id, queued.sha256)
            self._receipts.setdefault(key, Receipt(*key, queued.name)).open_rows += queued.test.rows

    def callback(self, queued: QueuedTest, rows: int) -> Callable[[KafkaError | None, KafkaMessage], None]:
        """What librdkafka calls when a message of so many rows has been acknowledged or refused."""
        return partial(self._take, self._receipts[queued.cell_id, queued.sha256], rows)

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


_Message = tuple[QueuedTest, int, bytes, bool]
"""A message: its test, its number of rows, its value, and whether it is late."""


def _messages(tests: Sequence[QueuedTest], options: SendOptions) -> Generator[_Message]:
    """The messages to send in order; they keep to the topic's limit.

    Their size is settled before any is sent. One that the broker refused later would leave a hole in its test, since
    the messages after it would have been taken by then.

    Raises:
        BatteryError: the limit is too small for a single reading.
    """

    def encoded(queued: QueuedTest) -> Iterator[_Message]:
        for readings, late in queued.parts():
            yield from _encoded(queued, readings, late, options)

    if options.speed is not None:
        for part in _paced(tests, options.speed):
            yield from _encoded(*part, options)
    elif options.encoding == "json":  # pure Python, which gains nothing from threads
        for queued in tests:
            yield from encoded(queued)
    else:
        yield from _ahead(tests, lambda queued: list(encoded(queued)))


def _encoded(queued: QueuedTest, readings: pa.Table, late: bool, options: SendOptions) -> Iterator[_Message]:
    """The messages of some readings of a test.

    Raises:
        BatteryError: the limit is too small for a single reading.
    """
    if options.encoding == "json":
        yield from ((queued, 1, value, late) for value in encode_json(readings))
        return
    around = AROUND_BYTES + len((queued.about_test or "").encode())
    try:
        for rows, value in encode_arrow(readings, min(MESSAGE_BYTES, options.limit - around), options.limits):
            yield queued, rows, value, late
    except ValueError as error:
        raise BatteryError(
            f"topic {options.topic} takes {options.limit} bytes a message (max.message.bytes), too few: {error}; "
            "raise it"
        ) from None


def _ahead(tests: Sequence[QueuedTest], encoded: Callable[[QueuedTest], list[_Message]]) -> Generator[_Message]:
    """Encode a few tests ahead in threads: compression leaves the interpreter free to send."""
    threads = ThreadPoolExecutor(ENCODERS, "encode")
    try:
        left = iter(tests)
        begun = deque(threads.submit(encoded, queued) for queued in islice(left, 2 * ENCODERS))
        while begun:
            messages = begun.popleft().result()
            begun.extend(threads.submit(encoded, queued) for queued in islice(left, 1))
            yield from messages
    finally:
        threads.shutdown(cancel_futures=True)


def _paced(tests: Sequence[QueuedTest], speed: float) -> Iterator[tuple[QueuedTest, pa.Table, bool]]:
    """Replay all cells side by side at `speed` times real time; pauses between the tests of a cell are left out."""
    cells: dict[str, list[QueuedTest]] = {}
    for queued in tests:
        cells.setdefault(queued.cell_id, []).append(queued)
    started = time.monotonic()
    schedules = (_schedule(cell, speed) for cell in cells.values())
    for due, queued, part, late in heapq.merge(*schedules, key=lambda item: item[0]):
        time.sleep(max(0.0, started + due - time.monotonic()))
        yield queued, part, late


def _schedule(tests: Sequence[QueuedTest], speed: float) -> Iterator[tuple[float, QueuedTest, pa.Table, bool]]:
    """Cut a cell's tests into parts, each with when it is due in s after the start."""
    began = passed = 0.0
    previous_id: str | None = None
    for queued in tests:
        since = passed if queued.test_id is not None and queued.test_id == previous_id else 0.0
        for readings, late in queued.parts():
            test_time = readings.column("test_time(s)").to_numpy()
            due = began + np.maximum(0.0, test_time - since) / speed
            first = 0
            for row in range(1, readings.num_rows + 1):
                if row == readings.num_rows or due[row] // TICK_SECONDS != due[first] // TICK_SECONDS:
                    yield float(due[row - 1]), queued, readings.slice(first, row - first), late
                    first = row
        began, passed, previous_id = float(due[-1]), float(test_time[-1]), queued.test_id
