"""Quix Streams, one JSON reading a message, into Parquet files by its own file sink.

This is the program of its documentation: a topic, a dataframe, a stateful function, a sink, a checkpoint every few
seconds. The function judges the readings of a cell by the contract's rules and sums them up; what it remembers of a
cell is in the library's state store on disk, from which its consumer group would go on after a restart. It takes on
less than the pipeline does: a crash may write rows twice, it fills no database, of windows and cycles it writes those
alone that a cell has left (open ones are in the state), and a message that is no JSON ends it. With `--stateless` it
only writes what it reads.
"""

from __future__ import annotations

import contextlib
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import click
import pyarrow as pa
import pyarrow.parquet as pq
from quixstreams import Application, message_context
from quixstreams.models import TopicConfig
from quixstreams.sinks import BaseSink
from quixstreams.sinks.community.file.formats import Format, ParquetFormat
from quixstreams.sinks.community.file.local import LocalFileSink

from benchmarks.peers.fold import Cell
from benchmarks.peers.rows import json_rows, placed
from benchmarks.peers.tables import QUARANTINE, READINGS, SCHEMAS
from benchmarks.peers.task import peer

if TYPE_CHECKING:
    from quixstreams.models import HeadersTuples
    from quixstreams.sinks import SinkBatch
    from quixstreams.state import State

    from benchmarks.peers.tables import Item
    from benchmarks.peers.task import Stopwatch, Task

CELL: Final = "cell"
"""Key of what is remembered of a cell, among the state of that cell."""


class TableFormat(Format):
    """Parquet with the columns of a table: the library's own format takes them from the rows, and null has no type."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema

    @property
    def file_extension(self) -> str:
        """How the files' names end."""
        return ".parquet"

    @property
    def supports_append(self) -> bool:
        """A Parquet file is written once."""
        return False

    def serialize(self, batch: SinkBatch) -> bytes:
        """Write rows as a file."""
        buffer = BytesIO()
        table = pa.Table.from_pylist([item.value for item in batch], self._schema)
        pq.write_table(table, buffer, compression="zstd")
        return buffer.getvalue()


class TimedFileSink(LocalFileSink):
    """The library's sink, which also tells when a file has been written: one a checkpoint and partition."""

    def __init__(self, stopwatch: Stopwatch, table: str, of: Format) -> None:
        # The sink allows no hyphen in its path, so it is given a relative one.
        super().__init__(directory=table, format=of)
        self._stopwatch = stopwatch
        self._counts = table in {READINGS, QUARANTINE}

    def write(self, batch: SinkBatch) -> None:
        """Write what a checkpoint holds of a partition."""
        super().write(batch)
        self._stopwatch.written(batch.size if self._counts else 0)


class Tables(BaseSink):
    """Sends each item to its table's sink; branches of the dataframe would copy every item for each of them."""

    def __init__(self, stopwatch: Stopwatch) -> None:
        super().__init__()
        self._sinks = {table: TimedFileSink(stopwatch, table, TableFormat(schema)) for table, schema in SCHEMAS.items()}

    def add(
        self,
        value: Item,
        key: Any,  # noqa: ANN401  # as the library calls it
        timestamp: int,
        headers: HeadersTuples,
        topic: str,
        partition: int,
        offset: int,
    ) -> None:
        """Gather an item."""
        table, row = value
        self._sinks[table].add(row, key, timestamp, headers, topic, partition, offset)

    def flush(self) -> None:
        """Write what a checkpoint holds."""
        for sink in self._sinks.values():
            sink.flush()  # type: ignore[no-untyped-call]


def take(value: Any, key: bytes, timestamp: int, headers: HeadersTuples, state: State[str, Any]) -> list[Item]:  # noqa: ANN401
    """Judge and sum up the readings of a message, with what is remembered of their cell."""
    context, cell_id = message_context(), key.decode()
    rows = json_rows(value)
    placed(rows, cell_id, context.partition, context.offset, timestamp, headers)
    cell = Cell.from_remembered(cell_id, state.get(CELL))
    items = [item for row in rows for item in cell.take(row)]
    state.set(CELL, cell.remembered())
    return items


@click.option("--stateless", is_flag=True, help="Only write what is read: no cleaning, no state, no sums.")
@peer
def main(task: Task, stopwatch: Stopwatch, stateless: bool) -> None:
    """Bring JSON readings into Parquet files with Quix Streams."""
    left = task.messages

    def processed(_topic: str, _partition: int, _offset: int) -> None:
        nonlocal left
        stopwatch.received()
        left -= 1
        if left == 0:
            app.stop()

    with contextlib.chdir(task.folder):
        app = Application(
            broker_address=task.bootstrap_servers,
            consumer_group=f"quix-{uuid4().hex}",  # so that every run reads the topic from its beginning
            auto_offset_reset="earliest",
            # The embedded broker lets a group begin only after half of this; Kafka's own minimum.
            consumer_extra_config={"session.timeout.ms": 6_000},
            on_message_processed=processed,
            use_changelog_topics=False,  # a second copy of the state, in Kafka: spared in its favour
            loglevel="WARNING",
        )
        topic = app.topic(task.topic, config=TopicConfig(num_partitions=task.partitions, replication_factor=1))
        # A state store asks for it, and the embedded broker does not tell.
        topic.broker_config.extra_config.setdefault("retention.ms", "-1")
        readings = app.dataframe(topic)
        if stateless:
            readings.sink(TimedFileSink(stopwatch, READINGS, ParquetFormat(compression="zstd")))
        else:
            readings.apply(take, stateful=True, expand=True, metadata=True).sink(Tables(stopwatch))
        app.run()


if __name__ == "__main__":
    main()
