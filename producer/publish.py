"""Publishing: workbooks to the raw archive, their readings to the topic, in the order the cells lived them.

Every workbook of a batch is read and judged before the first row is sent, so nothing of a bad one is published,
and the tests of a cell go out by their start, whatever their files are called.
"""

from __future__ import annotations

import heapq
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import structlog

from battery.errors import BatteryError
from battery.message import encode_arrow, encode_json, headers
from battery.objects import open_store
from battery.progress import Progress
from battery.reading import ARROW, JSON
from battery.topic import MESSAGE_BYTES, open_producer, open_topic
from producer.raw import Published, checksum, keep
from producer.sources import find_workbooks
from producer.workbook import cell_id_of, exported_on, read_workbook

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from confluent_kafka import KafkaError
    from confluent_kafka import Message as KafkaMessage

    from battery.objects import ObjectStore
    from battery.settings import Settings
    from producer.sources import Found

_log = structlog.get_logger()

ENCODINGS: Final = {"arrow": ARROW, "json": JSON}
FLUSH_SECONDS: Final = 60.0
TICK_SECONDS: Final = 1.0
"""How much of real time one message of a paced replay covers."""


@dataclass(frozen=True)
class Options:
    """How to publish.

    `cell_id` overrides what the file names say; `encoding` is a key of `ENCODINGS`; `speed` replays readings at
    that many times real time (None: at once); `again` publishes what this log already has.
    """

    cell_id: str | None = None
    encoding: str = "arrow"
    speed: float | None = None
    again: bool = False


@dataclass
class Summary:
    """What became of a batch; `failed` holds one line for each source or workbook that was refused."""

    workbooks: int = 0
    skipped: int = 0
    rows: int = 0
    messages: int = 0
    failed: list[str] = field(default_factory=list)


@dataclass(frozen=True, order=True)
class _Spooled:
    """A test that waits on disk for its turn; the order is that of its cell's life."""

    cell_id: str
    started_at: datetime
    exported_on: tuple[int, int, int]
    name: str
    place: int
    sha256: str = field(compare=False)
    path: Path = field(compare=False)
    rows: int = field(compare=False)

    def readings(self) -> pa.Table:
        with pa.memory_map(str(self.path)) as file:
            return pa.ipc.open_file(file).read_all()


def publish(settings: Settings, sources: Sequence[str], options: Options) -> Summary:
    """Read all workbooks that the sources name and publish the good ones.

    Raises:
        BatteryError: no broker or object store answers, or the broker refuses a message; what was acknowledged
            until then stays, and publishing again adds no landed row.
    """
    topic = open_topic(settings, create=True)
    store = open_store(settings)
    published = Published(store, topic.topic_id)
    summary = Summary()
    with tempfile.TemporaryDirectory(prefix="battery-") as folder:
        scratch = Path(folder)
        with Progress("reading", "workbooks") as progress:
            tests: list[_Spooled] = []
            for source in sources:
                try:
                    for found in find_workbooks(
                        source,
                        scratch=scratch,
                        download_dir=settings.download_dir,
                        zip_max_bytes=settings.zip_max_bytes,
                    ):
                        tests += _read(found, scratch, store, published, options, summary)
                        progress.advance(1)
                except BatteryError as error:
                    summary.failed.append(str(error))
        _send(settings, sorted(tests), published, options, summary)
    return summary


def _read(
    found: Found, scratch: Path, store: ObjectStore, published: Published, options: Options, summary: Summary
) -> list[_Spooled]:
    """Judge one workbook, keep it raw, and spool its tests; a bad one leaves only its complaint."""
    sha256 = checksum(found.path)
    if not options.again and published.has(options.cell_id or cell_id_of(found.name), sha256):
        _log.info("skipped: this log already has it, --again publishes it anyway", workbook=found.origin)
        summary.skipped += 1
        return []
    try:
        workbook = read_workbook(found.path, name=found.name, cell_id=options.cell_id)
    except BatteryError as error:
        summary.failed.append(str(error))
        return []
    if found.archive is not None:
        keep(store, found.archive, found.archive.name, checksum(found.archive))
    keep(store, found.path, found.name, sha256)
    if found.archive is not None:
        found.path.unlink()  # unpacked for us alone
    spooled = []
    for place, test in enumerate(workbook.tests):
        path = scratch / f"{sha256}-{workbook.cell_id}-{place}-{summary.workbooks}.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, test.readings.schema) as writer:
            writer.write_table(test.readings)
        spooled.append(
            _Spooled(
                workbook.cell_id,
                test.started_at,
                exported_on(workbook.name),
                workbook.name,
                place,
                sha256,
                path,
                test.readings.num_rows,
            )
        )
    summary.workbooks += 1
    return spooled


def _send(
    settings: Settings, tests: Sequence[_Spooled], published: Published, options: Options, summary: Summary
) -> None:
    producer = open_producer(settings)
    refusals: list[str] = []

    def acknowledged(error: KafkaError | None, _message: KafkaMessage) -> None:
        if error is not None:
            refusals.append(error.str())

    def judge() -> None:
        if refusals:
            raise BatteryError(f"topic {settings.battery_topic}: the broker did not take a message: {refusals[0]}")

    with Progress("publishing", "rows", total=sum(test.rows for test in tests)) as progress:
        for test, part, value in _messages(tests, options):
            while True:
                try:
                    producer.produce(
                        settings.battery_topic,
                        value=value,
                        key=test.cell_id,
                        headers=headers(ENCODINGS[options.encoding], test.name),
                        on_delivery=acknowledged,
                    )
                    break
                except BufferError:  # librdkafka's queue is full: wait for the broker
                    producer.poll(0.1)
            producer.poll(0)
            judge()
            summary.rows += part
            summary.messages += 1
            progress.advance(part)
    if producer.flush(FLUSH_SECONDS):
        refusals.append(f"no acknowledgement within {FLUSH_SECONDS:.0f} s")
    judge()
    for cell_id, sha256, name in {(test.cell_id, test.sha256, test.name) for test in tests}:
        published.remember(cell_id, sha256, name)


def _messages(tests: Sequence[_Spooled], options: Options) -> Iterator[tuple[_Spooled, int, bytes]]:
    """The values to send in order, each with its test and its number of rows."""
    parts = _at_once(tests) if options.speed is None else _paced(tests, options.speed)
    for test, readings in parts:
        if options.encoding == "json":
            for value in encode_json(readings):
                yield test, 1, value
        else:
            for rows, value in encode_arrow(readings, MESSAGE_BYTES):
                yield test, rows, value


def _at_once(tests: Sequence[_Spooled]) -> Iterator[tuple[_Spooled, pa.Table]]:
    for test in tests:
        yield test, test.readings()


def _paced(tests: Sequence[_Spooled], speed: float) -> Iterator[tuple[_Spooled, pa.Table]]:
    """Let every cell live side by side at `speed` times real time; the pauses between its tests are left out."""
    cells: dict[str, list[_Spooled]] = {}
    for test in tests:
        cells.setdefault(test.cell_id, []).append(test)
    started = time.monotonic()
    for due, test, part in heapq.merge(*(_schedule(cell, speed) for cell in cells.values()), key=lambda item: item[0]):
        time.sleep(max(0.0, started + due - time.monotonic()))
        yield test, part


def _schedule(tests: Sequence[_Spooled], speed: float) -> Iterator[tuple[float, _Spooled, pa.Table]]:
    """Cut a cell's tests into the parts that become due, in s after the start, one after the other."""
    began = 0.0
    for test in tests:
        readings = test.readings()
        due = began + readings.column("test_time(s)").to_numpy() / speed
        first = 0
        for row in range(1, readings.num_rows + 1):
            if row == readings.num_rows or due[row] // TICK_SECONDS != due[first] // TICK_SECONDS:
                yield float(due[row - 1]), test, readings.slice(first, row - first)
                first = row
        began = float(due[-1])
