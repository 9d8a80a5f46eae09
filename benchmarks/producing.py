"""Producing: rows/s from tests on disk to acknowledged messages, compared with librdkafka alone.

The reference sends the same messages, encoded beforehand, with the same settings. Both start with a new broker and a
client that is connected already: connecting takes 0.5 to 1 s, and in production it ends before the first workbook has
been read.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from benchmarks.figures import Figure, tell
from kernel.base.ports import free_port
from kernel.base.settings import Settings
from kernel.contract.message import encode_arrow, headers
from kernel.contract.reading import ARROW
from kernel.edges.broker import embedded_broker
from kernel.edges.kafka import AROUND_BYTES, MESSAGE_BYTES, message_limit, open_producer, open_topic
from producer.send import QueuedTest, SendOptions, send
from producer.simulate import simulate_tests
from producer.spool import SpooledTest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from confluent_kafka import KafkaError, Producer
    from confluent_kafka import Message as KafkaMessage

    from benchmarks.figures import Show

SEED: Final = 5
CYCLES: Final = 200
CELLS: Final = 30
"""Cells to which the simulated tests are attributed: each adds 88,000 rows."""

ROUNDS: Final = 3
FLUSH_SECONDS: Final = 60.0


def measure(show: Show, folder: Path, *, tiny: bool) -> None:
    """Send the same tests in turn with librdkafka alone and as the producer does, and show the figure.

    Args:
        show: prints a figure.
        folder: where the tests are put.
        tiny: take few rows, for a quick check.
    """
    tests = _spooled(folder, cycles=4 if tiny else CYCLES, cells=2 if tiny else CELLS)
    raw: list[float] = []
    ours: list[float] = []
    for _ in range(1 if tiny else ROUNDS):  # in turn, so that a machine that slows down slows both
        raw.append(_raw(tests))
        ours.append(_ours(tests))
    show(Figure("produce", median(ours), "rows/s", reference=median(raw)))


def _spooled(folder: Path, *, cycles: int, cells: int) -> list[QueuedTest]:
    """The tests of one cell on disk, shared by all cells: the page cache holds them in either case."""
    folder.mkdir(parents=True, exist_ok=True)
    life: list[tuple[str, SpooledTest]] = []
    for number, export in enumerate(simulate_tests("BENCH", cycles=cycles, seed=SEED)):
        path = folder / f"{number}.arrow"
        readings = export.test.readings
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, readings.schema) as writer:
            writer.write_table(readings)
        life.append((export.name, SpooledTest(export.test.started_at, path, readings.num_rows)))
    return [
        QueuedTest(f"BENCH_{cell:02d}", test.started_at, (0, 0, 0), name, place, "", test)
        for cell in range(cells)
        for place, (name, test) in enumerate(life)
    ]


@contextmanager
def _ready_producer() -> Iterator[tuple[Producer, str, int]]:
    """A producer whose first message has been acknowledged, its topic, and the largest message of the topic."""
    port = free_port()
    with embedded_broker(port):
        settings = Settings(kafka_bootstrap_servers=f"127.0.0.1:{port}")
        open_topic(settings, create=True)
        limit = message_limit(settings)
        producer = open_producer(settings, limit)
        producer.produce(settings.battery_topic, value=b"", key="BENCH")
        producer.flush(FLUSH_SECONDS)
        yield producer, settings.battery_topic, limit
        producer.close()  # the broker waits for its clients before it ends


def _raw(tests: Sequence[QueuedTest]) -> float:
    with _ready_producer() as (producer, topic, limit):
        encoded = {
            waiting.test: list(encode_arrow(waiting.test.readings(), min(MESSAGE_BYTES, limit - AROUND_BYTES)))
            for waiting in tests
        }
        acknowledged: list[KafkaMessage] = []

        def count(error: KafkaError | None, message: KafkaMessage) -> None:
            if error is None:
                acknowledged.append(message)

        messages = [(waiting, *message) for waiting in tests for message in encoded[waiting.test]]
        started = time.perf_counter()
        for waiting, _rows, value in messages:
            while True:
                try:
                    producer.produce(
                        topic,
                        value=value,
                        key=waiting.cell_id,
                        headers=headers(ARROW, waiting.name),
                        on_delivery=count,
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        left = producer.flush(FLUSH_SECONDS)
        seconds = time.perf_counter() - started
    if left or len(acknowledged) != len(messages):
        raise ValueError(f"the broker acknowledged {len(acknowledged)} of {len(messages)} messages")
    return _rate("librdkafka alone", sum(rows for _, rows, _ in messages), len(messages), seconds)


def _ours(tests: Sequence[QueuedTest]) -> float:
    with _ready_producer() as (producer, topic, limit):
        started = time.perf_counter()
        sent = send(producer, tests, SendOptions(topic, limit))
        seconds = time.perf_counter() - started
    rows = sum(waiting.test.rows for waiting in tests)
    if sent.rows != rows:
        raise ValueError(f"the producer sent {sent.rows} rows in {sent.messages} messages, of {rows} rows")
    return _rate("the producer", sent.rows, sent.messages, seconds)


def _rate(what: str, rows: int, messages: int, seconds: float) -> float:
    tell(f"{what}: {rows:,} rows in {messages:,} messages in {seconds:.2f} s, {rows / seconds:,.0f} rows/s")
    return rows / seconds
