"""The workbooks of a batch: which of them there is something to do for, and what became of those that were read."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from producer.answer import DownloadError
from producer.files import BadSourceError, Content, File, Refusal, Signature, WorkbookFile, as_text
from producer.raw import keep
from producer.send import Waiting
from producer.sources import find_files
from producer.spool import Job
from producer.workbook import cell_id_of, exported_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from battery.objects import ObjectStore
    from battery.settings import Settings
    from producer.archive import Unpacker
    from producer.notes import LandedOffsets, Publications, Refusals
    from producer.spool import SpooledWorkbook

_log = structlog.get_logger()


@dataclass(frozen=True)
class Options:
    """How to publish.

    `cell_id` overrides what the file names say; `encoding` is a key of `ENCODINGS`; `speed` replays readings at
    that many times real time (None: at once); `again` reads and publishes what this log already has, and what would be
    left alone. So many `processes` read workbooks side by side; a program that publishes guards its main module, since
    each process imports that.

    `leave_refused` leaves alone what was refused before. `landed` tells how far the landing is, as
    `Publication.has_landed` wants it: what went to an earlier log and has landed is then skipped.
    """

    cell_id: str | None = None
    encoding: str = "arrow"
    speed: float | None = None
    again: bool = False
    processes: int = 1
    leave_refused: bool = False
    landed: Callable[[], LandedOffsets] | None = None


@dataclass
class Summary:
    """What became of a batch: workbooks, rows and messages that went out, and workbooks that were skipped.

    Of the skipped ones, which this log has already, `landed` went to an earlier log. `failed` holds one line for each
    source or workbook that was refused, `left_alone` one for each that was refused before.
    """

    topic_id: str = ""
    workbooks: int = 0
    skipped: int = 0
    landed: int = 0
    rows: int = 0
    messages: int = 0
    failed: list[str] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)


@dataclass
class Batch:
    """The workbooks of a batch: their tests wait in `scratch` until all have been judged."""

    scratch: Path
    settings: Settings
    store: ObjectStore
    published: Publications
    refusals: Refusals
    unpacker: Unpacker
    options: Options
    summary: Summary
    tests: list[Waiting] = field(default_factory=list)
    to_read: int = 0
    """How many workbooks it will have read, as far as is known: a source that was not opened yet counts as one."""

    _archives: set[str] = field(default_factory=set)
    _landed_offsets: LandedOffsets | None = None

    def jobs(self, sources: Sequence[str | File]) -> Iterator[Job | Refusal]:
        """The workbooks to read, source by source, and what cannot be read at all.

        Raises:
            BatteryError: the store does not answer, or there is no room to unpack.
        """
        self.to_read = len(sources)
        for source in sources:
            self.to_read -= 1
            try:
                files = [source] if isinstance(source, File) else find_files(source, self.settings)
            except (BadSourceError, DownloadError) as error:
                yield Refusal(str(error))
                continue
            self.to_read += len(files)
            for file in files:
                self.to_read -= 1
                for job in [file] if isinstance(file, Refusal) else self._jobs_of(file):
                    self.to_read += isinstance(job, Job)
                    yield job

    def _jobs_of(self, file: File) -> Iterator[Job | Refusal]:
        limit = self.settings.workbook_max_bytes
        try:
            is_workbook = self.unpacker.is_workbook(file)
            if is_workbook and (size := Signature.of(file.path).size) > limit:
                yield Refusal(
                    f"{file.origin}: has {size} bytes, more than WORKBOOK_MAX_BYTES={limit}; split the workbook"
                )
                return
            content = Content.of(file.path)
        except BadSourceError as error:
            yield Refusal(str(error))
            return
        except OSError as error:
            yield Refusal(f"{file.origin}: cannot be read: {error.strerror or error}")
            return
        if is_workbook:
            yield from self._job(WorkbookFile(content, as_text(file.path.name), file.origin))
        elif not self._leave_alone(content.sha256):
            for found in self.unpacker.workbooks_of(file, content):
                if isinstance(found, Refusal):
                    yield found
                else:
                    yield from self._job(found)

    def _job(self, file: WorkbookFile) -> Iterator[Job]:
        """What there is to do for a workbook, which is nothing for one that a log already has, or that was refused."""
        if self._is_published(file) or self._leave_alone(file.content.sha256):
            _drop(file)
            return
        folder = Path(tempfile.mkdtemp(prefix="tests-", dir=self.scratch))
        yield Job(file, self.options.cell_id, folder, self.settings.date_order)

    def _is_published(self, file: WorkbookFile) -> bool:
        """Whether this log has a workbook, or an earlier one had it and all of it has landed."""
        cell_id, sha256 = self.options.cell_id or cell_id_of(file.name), file.content.sha256
        if self.options.again:
            return False
        if self.published.has(cell_id, sha256):
            _log.info("skipped: this log already has it, --again publishes it anyway", workbook=file.origin)
            self.summary.skipped += 1
            return True
        if self.options.landed is None:
            return False
        earlier = self.published.earlier(cell_id, sha256)
        if earlier and self._landed_offsets is None:
            self._landed_offsets = self.options.landed()
        if not any(publication.has_landed(self._landed_offsets or {}) for publication in earlier):
            return False
        _log.debug("skipped: all of it has landed, from an earlier log", workbook=file.origin)
        self.summary.skipped += 1
        self.summary.landed += 1
        return True

    def _leave_alone(self, sha256: str) -> bool:
        """Whether a content was refused before, and is not wanted again."""
        if not self.options.leave_refused or self.options.again:
            return False
        reason = self.refusals.reason(sha256)
        if reason is None:
            return False
        self.summary.left_alone.append(reason)
        return True

    def take(self, job: Job, workbook: SpooledWorkbook) -> None:
        """Keep a good workbook raw, and have its tests sent later.

        Raises:
            BatteryError: the store does not take it.
        """
        file, archive = job.file, job.file.archive
        if not (archive or file.content).is_unchanged():
            self.refuse(Refusal(f"{file.origin}: it was written to while it was being read; produce it again"))
            return
        if archive is not None and archive.sha256 not in self._archives:
            keep(self.store, archive.path, as_text(archive.path.name), archive.sha256)
            self._archives.add(archive.sha256)
        sha256 = file.content.sha256
        keep(self.store, file.content.path, file.name, sha256)
        self.tests += [
            Waiting(workbook.cell_id, test.started_at, exported_on(file.name), file.name, place, sha256, test)
            for place, test in enumerate(workbook.tests)
        ]
        self.summary.workbooks += 1

    def refuse(self, refused: Refusal) -> None:
        """Note what was refused, to be left alone where somebody wants that.

        Raises:
            BatteryError: the store does not take the note.
        """
        if refused.sha256 is None:
            self.summary.failed.append(refused.line)
        elif not self._leave_alone(refused.sha256):
            self.summary.failed.append(refused.line)
            self.refusals.remember(refused.sha256, refused.line)

    @staticmethod
    def drop(job: Job) -> None:
        """Remove a workbook that was unpacked for this batch alone."""
        _drop(job.file)


def _drop(file: WorkbookFile) -> None:
    if file.archive is not None:
        file.content.path.unlink(missing_ok=True)
