"""The workbooks of a batch: which of them to read, and the results of those that were read."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from producer.answer import DownloadError
from producer.choice import reader_for
from producer.files import BadSourceError, Content, File, PassedOver, Refusal, Signature, WorkbookFile, as_text
from producer.raw import keep
from producer.readers.mapping_file import mapping_beside
from producer.readers.names import exported_on
from producer.readers.registry import TABLE, registered_readers
from producer.register import identify_all
from producer.send import QueuedTest
from producer.sources import download_on_record, find_files, on_record
from producer.spool import Job

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kernel.base.settings import Settings
    from kernel.edges.file_records import FileRecords, SourceFile
    from kernel.edges.objects import ObjectStore
    from producer.archive import Unpacker
    from producer.notes import LandedOffsets, Publications, Refusals
    from producer.options import Options, Summary
    from producer.register import Register
    from producer.spool import SpooledWorkbook

_log = structlog.get_logger()


@dataclass
class Batch:
    """The workbooks of a batch; their tests stay in `scratch` until all workbooks have been read."""

    scratch: Path
    settings: Settings
    store: ObjectStore
    published: Publications
    register: Register
    refusals: Refusals
    records: FileRecords
    unpacker: Unpacker
    options: Options
    summary: Summary
    tests: list[QueuedTest] = field(default_factory=list)
    to_read: int = 0
    """How many workbooks there are to read; a source that was not opened yet counts as one."""

    workbook_cells: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """The cells of each workbook that was read, by the cells that it is published as and its checksum."""

    read_by: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """What read each of them, likewise: the name of the reader, and the digest of its mapping file or nothing."""

    _archives: set[str] = field(default_factory=set)
    _contents: dict[str, tuple[str, str]] = field(default_factory=dict)
    _taken: dict[tuple[str, str], tuple[str, SourceFile]] = field(default_factory=dict)
    _split_cells: set[str] = field(default_factory=set)
    _landed_offsets: LandedOffsets | None = None

    def jobs(self, sources: Sequence[str | File]) -> Iterator[Job | Refusal]:
        """The workbooks to read, source by source, and the refusals of sources that cannot be read.

        Raises:
            BatteryError: the store does not answer, or the disk is too full to unpack.
        """
        self.to_read = len(sources)
        for source in sources:
            self.to_read -= 1
            try:
                files = [source] if isinstance(source, File) else self._find(source)
            except (BadSourceError, DownloadError) as error:
                yield Refusal(str(error), None, on_record(str(source)))
                continue
            if not isinstance(source, File) and (download := download_on_record(source)):
                self.records.take(download)  # it may have failed before
            self.to_read += len(files)
            for file in files:
                self.to_read -= 1
                if isinstance(file, PassedOver):
                    self._pass_over(file)
                    continue
                for job in [file] if isinstance(file, Refusal) else self._jobs_of(file):
                    self.to_read += isinstance(job, Job)
                    yield job

    def _find(self, source: str) -> list[File | Refusal | PassedOver]:
        return find_files(source, self.settings, insists=self.options.insists)

    def _pass_over(self, others: PassedOver) -> None:
        """Report which files of a folder or ZIP are of another kind, and put them on record."""
        self.records.pass_over(others.files, others.below, others.archives)
        self.summary.passed_over += [file.name for file, _ in others.files]
        self.summary.others += others.count

    def _jobs_of(self, file: File) -> Iterator[Job | Refusal]:
        limit = self.settings.workbook_max_bytes
        try:
            is_workbook = self.unpacker.is_workbook(file)
            if is_workbook and (size := Signature.of(file.path).size) > limit:
                line = f"{file.origin}: has {size} bytes, more than WORKBOOK_MAX_BYTES={limit}; split the workbook"
                yield Refusal(line, None, file.on_record())
                return
            content = Content.of(file.path)
        except BadSourceError as error:
            yield Refusal(str(error), None, file.on_record())
            return
        except OSError as error:
            yield Refusal(f"{file.origin}: cannot be read: {error.strerror or error}", None, file.on_record())
            return
        if is_workbook:
            beside = mapping_beside(file.path)
            yield from self._job(WorkbookFile(content, as_text(file.path.name), file.origin, mapping=beside))
        elif not self._leave_alone(file.on_record(content.sha256)):
            yield from self._jobs_of_zip(file, content)

    def _jobs_of_zip(self, file: File, content: Content) -> Iterator[Job | Refusal]:
        whole, is_good = file.on_record(content.sha256), True
        for member in self.unpacker.workbooks_of(file, content):
            if isinstance(member, PassedOver):
                self._pass_over(member)
            elif isinstance(member, Refusal):
                is_good = is_good and member.file != whole
                yield member
            else:
                yield from self._job(member)
        if is_good:
            self._take(whole)

    def _job(self, file: WorkbookFile) -> Iterator[Job | Refusal]:
        """The job of reading a workbook; none for one that a log already has, or that was refused before."""
        options = self.options
        if file.mapping is None or (options.mapping is not None and options.mapping.insists):
            file = replace(file, mapping=options.mapping)
        file, reader = reader_for(file, options.reader)
        cell_id = options.cell_id or options.cell_in_name(file)
        if cell_id is None and options.cell_pattern is not None and not isinstance(reader, Refusal):
            line = f"{file.origin}: {options.cell_pattern} finds no cell in its name; rename it, or give --cell"
            reader = Refusal(line, None, file.on_record)
        elif self._is_published(file):
            self._take(file.on_record)
            _drop(file)
            return
        if self._leave_alone(file.on_record):
            _drop(file)
            return
        if isinstance(reader, Refusal):
            _drop(file)
            yield reader
            return
        folder = Path(tempfile.mkdtemp(prefix="tests-", dir=self.scratch))
        yield Job(file, reader, folder, cell_id, self.settings.date_order, options.channel_cells)

    def _is_published(self, file: WorkbookFile) -> bool:
        """Whether this log has a workbook, or an earlier log had it and all of it has landed."""
        cell_id, sha256 = self.options.cell_of(file), file.content.sha256
        if self.options.again:
            return False
        if self.published.has(cell_id, sha256):
            self._remark_reading(file, cell_id)
            self.options.progress.skip(file.on_record.place, "its readings were published before")
            _log.info("skipped: this log already has it, --again publishes it anyway", workbook=file.origin)
            self.summary.skipped += 1
            return True
        elsewhere = [] if self.options.cell_asked else self.published.elsewhere(cell_id, sha256)
        if elsewhere:
            self._skip_copy(file, elsewhere[0].cell_id, elsewhere[0].name)
            return True
        if self.options.landed is None:
            return False
        earlier = self.published.earlier(cell_id, sha256)
        if earlier and self._landed_offsets is None:
            self._landed_offsets = self.options.landed()
        if not any(publication.has_landed(self._landed_offsets or {}) for publication in earlier):
            return False
        _log.debug("skipped: all of it has landed, from an earlier log", workbook=file.origin)
        self.options.progress.skip(file.on_record.place, "its readings have landed before")
        self.summary.skipped += 1
        self.summary.landed += 1
        return True

    def _remark_reading(self, file: WorkbookFile, cell_id: str) -> None:
        """Say so where a file was published by another reader or mapping file than it would be read by now."""
        insists, mapping = self.options.insists, file.mapping
        if not insists and mapping is None:
            return
        before = self.published.of(cell_id, file.content.sha256)
        if before is None:
            return
        line = None
        if mapping is not None and before.mapping != mapping.digest and (before.mapping or mapping.insists):
            line = f"skipped, it was published before {mapping.name} was as it is now; --again reads it by that"
        elif self.options.reader and before.reader and before.reader != self.options.reader:
            line = f"skipped, it was published as read by {before.reader}; --again reads it by {self.options.reader}"
        if line is not None:
            self.summary.remarks.append(f"{file.origin}: {line}")

    def _skip_copy(self, file: WorkbookFile, cell_id: str, name: str) -> None:
        """Report that a file is skipped, since its bytes are those of another cell."""
        self.options.progress.skip(file.on_record.place, f"the same bytes were published as cell {cell_id} from {name}")
        self.summary.skipped += 1
        self.summary.remarks.append(
            f"{file.origin}: skipped, its bytes were published as cell {cell_id} from {name}; --again publishes it as "
            f"{self.options.cell_of(file)} too, --cell as what it names"
        )

    def _leave_alone(self, file: SourceFile) -> bool:
        """Whether a content was refused before and is left alone; that it came again goes on record."""
        if file.sha256 is None or not self.options.leave_refused or self.options.again:
            return False
        reason = self.refusals.reason(file.sha256)
        if reason is None:
            return False
        self.summary.left_alone.append(reason)
        self.records.refuse(file, _reason(reason, file.name), self.options.cell_id)
        self.options.progress.refuse(file.place, _reason(reason, file.name))
        return True

    def _take(self, file: SourceFile) -> None:
        """Remove the records of a file's refusal."""
        self.records.take(file, None if file.sha256 is None else self.refusals.note_of(file.sha256))

    def take(self, job: Job, workbook: SpooledWorkbook) -> None:
        """Put a good workbook into the raw archive, and its tests into the queue.

        Raises:
            BatteryError: the store cannot write it.
        """
        file, archive = job.file, job.file.archive
        if not (archive or file.content).is_unchanged():
            line = f"{file.origin}: it was written to while it was being read; produce it again"
            self.refuse(Refusal(line, None, file.on_record))
            return
        sha256 = file.content.sha256
        asked = self.options.cell_of(file)
        first = self._contents.setdefault(sha256, (asked, file.name))
        if first[0] != asked and not self.options.again:
            self._skip_copy(file, *first)
            self._take(file.on_record)
            return
        if archive is not None and archive.sha256 not in self._archives:
            keep(self.store, archive.path, as_text(archive.path.name), archive.sha256)
            self._archives.add(archive.sha256)
        keep(self.store, file.content.path, file.name, sha256)
        self.tests += [
            QueuedTest(
                test.cell_id, test.started_at, exported_on(file.name), file.name, place, sha256, test, file.origin
            )
            for place, test in enumerate(workbook.tests)
        ]
        self._note_reader(job, workbook, asked)
        cells = dict.fromkeys(test.cell_id for test in workbook.tests)
        if any(test.channel and test.cell_id != workbook.cell_id for test in workbook.tests):
            self._split_cells.add(workbook.cell_id)
        if len(cells) > 1:
            by_channel = bool(self.options.channel_cells) or any(test.channel for test in workbook.tests)
            which = (
                "its channels ran at the same time and are cells of their own"
                if by_channel
                else "it holds several cells"
            )
            names = f"{', '.join(cells)}; --cell {'CHANNEL' if by_channel else 'NAME'}=ID names one"
            self.summary.remarks.append(f"{file.origin}: {which}: {names}")
        self.summary.workbooks += 1
        self._taken[file.origin, sha256] = (asked, file.on_record)
        self.options.progress.take(file.on_record.place, sum(test.rows for test in workbook.tests), cells)
        self._take(file.on_record)

    def _note_reader(self, job: Job, workbook: SpooledWorkbook, asked: str) -> None:
        """Keep what read a workbook, for the note that it was published."""
        told = next((test.about.reader for test in workbook.tests if test.about.reader), "")
        if not told:
            told = next((one.reader.name for one in registered_readers() if one.entry_point == job.reader), "")
        mapping = job.file.mapping
        digest = mapping.digest if mapping is not None and told == TABLE else ""
        self.read_by[asked, job.file.content.sha256] = (told, digest)

    def refuse(self, refusal: Refusal, job: Job | None = None) -> None:
        """Put a refusal on record; a content that would be refused again may then be left alone.

        Raises:
            BatteryError: the store cannot write the note.
        """
        file = refusal.file or (None if job is None else job.file.on_record)
        if refusal.sha256 is not None and file is not None and self._leave_alone(replace(file, sha256=refusal.sha256)):
            return
        self.summary.failed.append(refusal.line)
        if file is not None:
            self.records.refuse(file, _reason(refusal.line, file.name), self.options.cell_id)
            self.options.progress.refuse(file.place, _reason(refusal.line, file.name))
        if refusal.sha256 is not None:
            self.refusals.remember(refusal.sha256, refusal.line)

    def identify(self) -> None:
        """Identify each test among those of its cell, and refuse the workbooks where that is not possible.

        Raises:
            BatteryError: the register cannot be read or written.
        """
        self.tests = [self._by_channel(test) for test in self.tests]
        while (identified := identify_all(self.register, self.tests)).conflicts:
            for (origin, sha256), line in identified.conflicts.items():
                self.tests = [test for test in self.tests if (test.origin, test.sha256) != (origin, sha256)]
                self.summary.workbooks -= 1
                self.refuse(Refusal(line, None, self._taken[origin, sha256][1]))
        self.tests = identified.tests
        self.summary.remarks += identified.remarks
        for cell_id in self._split_cells:
            self.register.note_split(cell_id)
        for test in self.tests:
            asked, _ = self._taken[test.origin, test.sha256]
            self.workbook_cells.setdefault((asked, test.sha256), set()).add(test.cell_id)

    def place_of(self, test: QueuedTest) -> str:
        """Where the file of a test lies, as its record has it."""
        return self._taken[test.origin, test.sha256][1].place

    def places_of(self, sha256: str) -> list[str]:
        """Where the files of a content lie that were taken."""
        return [file.place for (_, content), (_, file) in self._taken.items() if content == sha256]

    def _by_channel(self, test: QueuedTest) -> QueuedTest:
        """A test as one of its channel's cell, where channels of that name ran at the same time in another workbook."""
        if not test.test.channel or not (test.cell_id in self._split_cells or self.register.is_split(test.cell_id)):
            return test
        cell_id = f"{test.cell_id}_{test.test.channel}"
        self.summary.remarks.append(
            f"{test.origin}: is of cell {cell_id}, since channels of {test.cell_id} ran at the same time in another "
            "workbook; --cell CHANNEL=ID names one"
        )
        return replace(test, cell_id=cell_id)

    @staticmethod
    def drop(job: Job) -> None:
        """Remove a workbook that was unpacked for this batch alone."""
        _drop(job.file)


def _reason(line: str, name: str) -> str:
    """Why a file was refused, without its name, which the record has already."""
    return line.removeprefix(name).removeprefix(":").strip()


def _drop(file: WorkbookFile) -> None:
    if file.archive is not None:
        file.content.path.unlink(missing_ok=True)
