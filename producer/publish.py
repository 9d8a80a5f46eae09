"""Publishing: workbooks to the raw archive, their readings to the topic, in the order the cells lived them.

Every workbook of a batch is read and judged before the first row is sent, so nothing of a bad one is published,
and the tests of a cell go out by their start, whatever their files are called.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import structlog

from battery.file_records import FileRecords
from battery.objects import open_store
from battery.progress import Progress
from battery.topic import message_limit, open_producer, open_topic
from battery.weight import Limits
from producer.archive import Unpacker
from producer.batch import Batch, Options, Summary
from producer.files import Refusal
from producer.notes import Publication, Publications, Refusals
from producer.scratch import scratch_folder
from producer.send import Manner, send
from producer.spool import Readers, spool_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery.settings import Settings
    from producer.files import File
    from producer.send import Receipt

_log = structlog.get_logger()

__all__ = ["Options", "Summary", "publish"]


def publish(settings: Settings, sources: Sequence[str | File], options: Options) -> Summary:
    """Read all workbooks that the sources name and publish the good ones.

    Raises:
        BatteryError: no broker or object store answers, or the broker refuses a message; workbooks that were
            acknowledged until then are noted as published, and publishing again adds no landed row.
    """
    with scratch_folder() as folder:
        readers = Readers(options.processes, settings, folder)
        with readers, Unpacker(settings, folder) as unpacker:
            topic = open_topic(settings, create=True)
            store = open_store(settings)
            published = Publications(store, topic.topic_id)
            limit = message_limit(settings)
            producer = open_producer(
                settings, limit
            )  # it becomes ready, half a second or more, while workbooks are read
            refusals = Refusals(store, settings, options.cell_id)
            records, summary = FileRecords(store), Summary(topic.topic_id)
            batch = Batch(folder, settings, store, published, refusals, records, unpacker, options, summary)
            _read(batch, sources, readers)
        manner = Manner(settings.battery_topic, limit, options.encoding, options.speed, Limits.of(settings))

        def remember(receipt: Receipt) -> None:
            publication = Publication(receipt.cell_id, topic.topic_id, receipt.last_offsets or {})
            published.remember(publication, receipt.sha256, receipt.name)

        sent = send(producer, sorted(batch.tests), manner, remember)
    batch.summary.rows, batch.summary.messages = sent.rows, sent.messages
    return batch.summary


def _read(batch: Batch, sources: Sequence[str | File], readers: Readers) -> None:
    """Have all workbooks of a batch read."""
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
