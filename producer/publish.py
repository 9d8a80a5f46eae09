"""Publishing: workbooks to the raw archive, their readings to the topic, in the order the cells lived them.

Every workbook of a batch is read and judged before the first row is sent, so nothing of a bad one is published,
and the tests of a cell go out by their start, whatever their files are called.
"""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from battery.objects import open_store
from battery.progress import Progress
from battery.topic import message_limit, open_producer, open_topic
from battery.weight import Limits
from producer.bounds import MAX_BYTES
from producer.datasets import DownloadError
from producer.raw import Published, checksum, keep
from producer.send import Manner, Waiting, send
from producer.sources import BadSourceError, as_text, find_files, workbooks_of
from producer.spool import Job, Refused, spool_all
from producer.workbook import cell_id_of, exported_on

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from battery.objects import ObjectStore
    from battery.settings import Settings
    from producer.sources import Found
    from producer.spool import SpooledWorkbook

_log = structlog.get_logger()


@dataclass(frozen=True)
class Options:
    """How to publish.

    `cell_id` overrides what the file names say; `encoding` is a key of `ENCODINGS`; `speed` replays readings at
    that many times real time (None: at once); `again` publishes what this log already has. With more than one of
    `processes` workbooks are read side by side; a program that asks for it guards its main module, since each
    process imports that.
    """

    cell_id: str | None = None
    encoding: str = "arrow"
    speed: float | None = None
    again: bool = False
    processes: int = 1


@dataclass
class Summary:
    """What became of a batch; `failed` holds one line for each source or workbook that was refused."""

    workbooks: int = 0
    skipped: int = 0
    rows: int = 0
    messages: int = 0
    failed: list[str] = field(default_factory=list)


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
    limit = message_limit(settings)
    producer = open_producer(settings, limit)  # it becomes ready, half a second or more, while workbooks are read
    with tempfile.TemporaryDirectory(prefix="battery-") as folder:
        batch = _Batch(Path(folder), settings, store, published, options, summary)
        with (
            Progress("reading", "workbooks") as progress,
            closing(spool_all(batch.jobs(sources), options.processes)) as outcomes,
        ):
            for job, outcome in outcomes:
                if isinstance(outcome, Refused):
                    summary.failed.append(outcome.line)
                elif job is not None:
                    batch.take(job, outcome)
                progress.expect(batch.to_read)
                if job is not None:
                    batch.drop(job)
                    progress.advance(1)
        manner = Manner(settings.battery_topic, limit, options.encoding, options.speed, Limits.of(settings))
        sent = send(producer, sorted(batch.tests), manner)
    summary.rows, summary.messages = sent.rows, sent.messages
    for cell_id, sha256, name in {(waiting.cell_id, waiting.sha256, waiting.name) for waiting in batch.tests}:
        published.remember(cell_id, sha256, name)
    return summary


@dataclass
class _Batch:
    """The workbooks of a batch: their tests wait in `scratch` until all have been judged."""

    scratch: Path
    settings: Settings
    store: ObjectStore
    published: Published
    options: Options
    summary: Summary
    tests: list[Waiting] = field(default_factory=list)
    archives: set[Path] = field(default_factory=set)
    to_read: int = 0
    """How many workbooks it will have read, as far as is known: a source that was not opened yet counts as one."""

    def jobs(self, sources: Sequence[str]) -> Iterator[Job | Refused]:
        """The workbooks to read, source by source, and what cannot be read at all; those of a ZIP are unpacked here."""
        self.to_read = len(sources)
        for source in sources:
            self.to_read -= 1
            try:
                files = find_files(source, self.settings.download_dir)
            except (BadSourceError, DownloadError) as error:
                yield Refused(str(error))
                continue
            self.to_read += len(files)
            for file in files:
                self.to_read -= 1
                try:
                    for found in workbooks_of(file, self.scratch, self.settings.zip_max_bytes):
                        for job in self._job(found):
                            self.to_read += isinstance(job, Job)
                            yield job
                except BadSourceError as error:
                    yield Refused(str(error))

    def _job(self, found: Found) -> Iterator[Job | Refused]:
        """What there is to do for a workbook, which is nothing for one that the log already has."""
        cell_id = self.options.cell_id
        try:
            sha256 = checksum(found.path)
        except OSError as error:
            yield Refused(f"{found.origin}: cannot be read: {error.strerror or error}")
            return
        if not self.options.again and self.published.has(cell_id or cell_id_of(found.name), sha256):
            _log.info("skipped: this log already has it, --again publishes it anyway", workbook=found.origin)
            self.summary.skipped += 1
            return
        max_bytes = min(MAX_BYTES, self.settings.zip_max_bytes)
        folder = Path(tempfile.mkdtemp(prefix="tests-", dir=self.scratch))
        yield Job(found, sha256, cell_id, max_bytes, folder)

    def take(self, job: Job, workbook: SpooledWorkbook) -> None:
        """Keep a good workbook raw, and have its tests sent later."""
        found = job.found
        if found.archive is not None and found.archive not in self.archives:
            keep(self.store, found.archive, as_text(found.archive.name), checksum(found.archive))
            self.archives.add(found.archive)
        keep(self.store, found.path, found.name, job.sha256)
        self.tests += [
            Waiting(workbook.cell_id, test.started_at, exported_on(found.name), found.name, place, job.sha256, test)
            for place, test in enumerate(workbook.tests)
        ]
        self.summary.workbooks += 1

    @staticmethod
    def drop(job: Job) -> None:
        """Remove a workbook that was unpacked for this batch alone."""
        if job.found.archive is not None:
            job.found.path.unlink()
