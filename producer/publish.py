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
from battery.topic import AROUND_BYTES, MESSAGE_BYTES, message_limit, open_producer, open_topic
from producer.bounds import MAX_BYTES
from producer.datasets import DownloadError
from producer.raw import Published, checksum, keep
from producer.sources import BadSourceError, as_text, find_files, workbooks_of
from producer.workbook import BadWorkbookError, cell_id_of, exported_on, read_workbook

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
        batch = _Batch(Path(folder), settings, store, published, options, summary)
        with Progress("reading", "workbooks") as progress:
            for source in sources:
                try:
                    files = find_files(source, settings.download_dir)
                except (BadSourceError, DownloadError) as error:
                    summary.failed.append(str(error))
                    continue
                for file in files:
                    try:
                        for found in workbooks_of(file, batch.scratch, settings.zip_max_bytes):
                            batch.read(found)
                            progress.advance(1)
                    except BadSourceError as error:
                        summary.failed.append(str(error))
        _send(settings, sorted(batch.tests), published, options, summary)
    return summary


@dataclass
class _Batch:
    """The workbooks read so far: their tests wait in `scratch` until all have been judged."""

    scratch: Path
    settings: Settings
    store: ObjectStore
    published: Published
    options: Options
    summary: Summary
    tests: list[_Spooled] = field(default_factory=list)
    archives: set[Path] = field(default_factory=set)

    def read(self, found: Found) -> None:
        """Judge one workbook, keep it raw, and spool its tests; a bad one leaves only its complaint."""
        try:
            sha256 = checksum(found.path)
            if not self.options.again and self.published.has(self.options.cell_id or cell_id_of(found.name), sha256):
                _log.info("skipped: this log already has it, --again publishes it anyway", workbook=found.origin)
                self.summary.skipped += 1
                return
            workbook = read_workbook(
                found.path,
                name=found.name,
                cell_id=self.options.cell_id,
                max_bytes=min(MAX_BYTES, self.settings.zip_max_bytes),
            )
        except BadWorkbookError as error:
            self.summary.failed.append(str(error))
            return
        except OSError as error:
            self.summary.failed.append(f"{found.origin}: cannot be read: {error.strerror or error}")
            return
        if found.archive is not None and found.archive not in self.archives:
            keep(self.store, found.archive, as_text(found.archive.name), checksum(found.archive))
            self.archives.add(found.archive)
        keep(self.store, found.path, found.name, sha256)
        if found.archive is not None:
            found.path.unlink()  # unpacked for us alone
        for place, test in enumerate(workbook.tests):
            path = self.scratch / f"test-{len(self.tests)}.arrow"
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, test.readings.schema) as writer:
                writer.write_table(test.readings)
            self.tests.append(
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
        self.summary.workbooks += 1


def _send(
    settings: Settings, tests: Sequence[_Spooled], published: Published, options: Options, summary: Summary
) -> None:
    limit = message_limit(settings)
    producer = open_producer(settings, limit)
    refusals: list[str] = []

    def acknowledged(error: KafkaError | None, _message: KafkaMessage) -> None:
        if error is not None:
            refusals.append(error.str())

    def judge() -> None:
        if refusals:
            raise BatteryError(f"topic {settings.battery_topic}: the broker did not take a message: {refusals[0]}")

    with Progress("publishing", "rows", total=sum(test.rows for test in tests)) as progress:
        for test, part, value in _messages(tests, options, settings.battery_topic, limit):
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


def _messages(
    tests: Sequence[_Spooled], options: Options, topic: str, limit: int
) -> Iterator[tuple[_Spooled, int, bytes]]:
    """The values to send in order, each with its test and its number of rows; messages keep to the topic's limit.

    Their size is settled before they are sent. One that the broker refuses later would leave a hole in its test, since
    those behind it have been taken by then.

    Raises:
        BatteryError: the limit is too small for a single reading.
    """
    max_bytes = min(MESSAGE_BYTES, limit - AROUND_BYTES)
    parts = _at_once(tests) if options.speed is None else _paced(tests, options.speed)
    for test, readings in parts:
        if options.encoding == "json":
            for value in encode_json(readings):
                yield test, 1, value
        else:
            try:
                for rows, value in encode_arrow(readings, max_bytes):
                    yield test, rows, value
            except ValueError as error:
                raise BatteryError(
                    f"topic {topic} takes {limit} bytes a message (max.message.bytes), too few: {error}; raise it"
                ) from None


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
