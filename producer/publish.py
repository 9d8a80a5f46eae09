"""Publishing: workbooks go to the raw archive, their readings to the topic, for each cell in the order of its tests.

Every workbook of a batch is read and checked before the first row is sent, so nothing of a bad one is published. The
tests of a cell are sent in the order of their start, whatever the names of their files.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

import structlog

from kernel.base.progress import Progress
from kernel.contract.weight import Limits
from kernel.edges.file_records import FileRecords
from kernel.edges.kafka import message_limit, open_producer, open_topic
from kernel.edges.objects import open_store
from producer.archive import Unpacker
from producer.batch import Batch
from producer.files import Refusal
from producer.notes import Publication, Publications, Refusals
from producer.options import Options, Summary
from producer.register import Register
from producer.scratch import scratch_folder
from producer.send import SendOptions, send
from producer.spool import Readers, spool_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.base.settings import Settings
    from producer.files import File
    from producer.send import QueuedTest, Receipt

_log = structlog.get_logger()

__all__ = ["Options", "Summary", "publish"]


def publish(settings: Settings, sources: Sequence[str | File], options: Options) -> Summary:
    """Read all workbooks that the sources name and publish the good ones.

    Raises:
        BatteryError: no broker or object store answers, or the broker refuses a message; workbooks that were
            acknowledged until then are noted as published, and publishing again adds no landed row.
    """
    kept = options.kept
    with scratch_folder() as folder, ExitStack() as clients:
        readers = Readers(options.processes, settings, folder) if kept is None else kept.readers
        readers.on_begin = lambda job: options.progress.begin(job.file.on_record.place)
        with (
            readers if kept is None else readers.borrowed(),
            Unpacker(settings, folder, insists=options.insists) as unpacker,
        ):
            topic = open_topic(settings, create=True)
            store = open_store(settings)
            published = Publications(store, topic.topic_id)
            limit = message_limit(settings)
            connect = partial(open_producer, settings, limit)
            producer = (  # it connects, for half a second or more, while workbooks are read
                connect() if kept is None else clients.enter_context(kept.producer(topic.topic_id, limit, connect))
            )
            register = Register(store, topic.topic_id)
            refusals = Refusals(store, settings, options.asked_how)
            records, summary = FileRecords(store), Summary(topic.topic_id)
            batch = Batch(folder, settings, store, published, register, refusals, records, unpacker, options, summary)
            _read(batch, sources, readers)
            batch.identify()
        send_options = SendOptions(settings.battery_topic, limit, options.encoding, options.speed, Limits.of(settings))
        notes = _Notes(batch, topic.topic_id)

        def note_sent(test: QueuedTest, rows: int) -> None:
            options.progress.send(batch.place_of(test), rows)

        result = send(producer, sorted(batch.tests), send_options, notes.take, note_sent)
    batch.summary.rows, batch.summary.messages = result.rows, result.messages
    return batch.summary


class _Notes:
    """Notes each test of a batch when its rows are acknowledged, and each workbook when all of its cells are."""

    def __init__(self, batch: Batch, topic_id: str) -> None:
        self._batch = batch
        self._topic_id = topic_id
        self._offsets: dict[tuple[str, str], dict[int, int]] = {}
        self._tests: dict[tuple[str, str], list[QueuedTest]] = {}
        for queued in batch.tests:
            self._tests.setdefault((queued.cell_id, queued.sha256), []).append(queued)

    def take(self, receipt: Receipt) -> None:
        """Note that a workbook's rows of one cell have been acknowledged.

        Raises:
            BatteryError: the store cannot write the note.
        """
        self._offsets[receipt.cell_id, receipt.sha256] = receipt.last_offsets or {}
        for queued in self._tests[receipt.cell_id, receipt.sha256]:
            self._batch.register.note_sent(queued)
        for (asked, sha256), cells in self._batch.workbook_cells.items():
            offsets = {cell: self._offsets[cell, sha256] for cell in cells if (cell, sha256) in self._offsets}
            if sha256 == receipt.sha256 and receipt.cell_id in cells and len(offsets) == len(cells):
                reader, mapping = self._batch.read_by.get((asked, sha256), ("", ""))
                publication = Publication(asked, self._topic_id, offsets, receipt.name, reader, mapping)
                self._batch.published.remember(publication, sha256)
                last: dict[int, int] = {}
                for partition, offset in (item for of_cell in offsets.values() for item in of_cell.items()):
                    last[partition] = max(offset, last.get(partition, -1))
                for place in self._batch.places_of(sha256):
                    self._batch.options.progress.publish(place, self._topic_id, last)


def _read(batch: Batch, sources: Sequence[str | File], readers: Readers) -> None:
    """Read all workbooks of a batch."""
    with (
        Progress("reading", "workbooks") as progress,
        closing(spool_all(batch.jobs(sources), readers)) as outcomes,
    ):
        for job, outcome in outcomes:
            if isinstance(outcome, Refusal):
                batch.refuse(outcome, job)
            elif job is not None:
                batch.take(job, outcome)
                for note in outcome.notes:
                    _log.info(note, workbook=job.file.origin)
            progress.expect(batch.to_read)
            if job is not None:
                batch.drop(job)
                progress.advance(1)
