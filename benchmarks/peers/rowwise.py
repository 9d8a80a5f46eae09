"""Bytewax row by row: the job of the pipeline's flow, done the way that Bytewax's own examples do theirs.

A message is taken apart into readings, one Python dict each; a stateful step judges them by the contract's rules, one
at a time, and sums up windows and cycles; the sink gathers dicts and lands them in Parquet and DuckDB once an epoch.
It takes on less than the pipeline does: it keeps no offsets with its rows, so a crash may land rows twice, it adds up
in floating point, readings that are published again are duplicates to it, and a message that cannot be read ends it.
"""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from zlib import crc32

import bytewax.operators as op
import click
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import StatefulLogic
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from bytewax.run import cli_main
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from benchmarks.peers.fold import Cell
from benchmarks.peers.rows import arrow_rows, json_rows, placed
from benchmarks.peers.tables import (
    CYCLE_KEYS,
    CYCLE_VALUES,
    CYCLES,
    QUARANTINE,
    READINGS,
    SCHEMAS,
    WINDOW_KEYS,
    WINDOW_VALUES,
    WINDOWS,
    Item,
    Row,
)
from benchmarks.peers.task import peer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchmarks.peers.task import Stopwatch, Task

EPOCH: Final = timedelta(seconds=10)
"""How often rows land, and how often windows and cycles that are still open do."""

MOST_ROWS: Final = 500_000
"""Rows that are gathered at most before they land."""

POLL_MESSAGES: Final = {"arrow": 4, "json": 1_000}
"""Messages that a poll takes at most: in Arrow, each may hold some ten thousand readings."""

IDLE: Final = timedelta(milliseconds=10)
"""Pause after a poll that brought nothing."""


class Partition(StatefulSourcePartition[KafkaMessage, None]):
    """Reads a partition from its beginning until all partitions together have brought enough."""

    def __init__(self, source: Messages, partition: int) -> None:
        self._source = source
        self._idle = False
        self._consumer = Consumer(
            {
                "bootstrap.servers": source.task.bootstrap_servers,
                "group.id": "rowwise",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 100,
            }
        )
        self._consumer.assign([TopicPartition(source.task.topic, partition, OFFSET_BEGINNING)])

    def next_batch(self) -> list[KafkaMessage]:
        """The messages of a poll."""
        source = self._source
        if source.left == 0:
            raise StopIteration
        messages = self._consumer.consume(min(source.most, source.left), timeout=0)
        for message in messages:
            fault = message.error()
            if fault is not None:
                raise KafkaException(fault)
        self._idle = not messages
        if messages:
            source.stopwatch.received()
            source.left -= len(messages)
        return messages

    def next_awake(self) -> datetime | None:
        """Pause a moment when nothing came."""
        return datetime.now(UTC) + IDLE if self._idle else None

    def snapshot(self) -> None:
        """Nothing: a run starts from the beginning."""

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()


class Messages(FixedPartitionedSource[KafkaMessage, None]):
    """The topic's messages, at most so many a poll; `left` counts down to the end."""

    def __init__(self, task: Task, stopwatch: Stopwatch, most: int) -> None:
        self.most = most
        self.task = task
        self.stopwatch = stopwatch
        self.left = task.messages

    def list_parts(self) -> list[str]:
        """One part a partition."""
        return [str(partition) for partition in range(self.task.partitions)]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> Partition:  # noqa: ARG002
        """Connect to a partition."""
        return Partition(self, int(for_part))


def arrow_readings(message: KafkaMessage) -> Iterable[tuple[str, Row]]:
    """Take an Arrow message apart into its readings, each under its cell."""
    return _keyed(message, arrow_rows(_value(message)))


def json_readings(message: KafkaMessage) -> Iterable[tuple[str, Row]]:
    """The reading of a JSON message, or its readings, each under its cell."""
    return _keyed(message, json_rows(json.loads(_value(message))))


READINGS_OF: Final = {"arrow": arrow_readings, "json": json_readings}


def _value(message: KafkaMessage) -> bytes:
    value = message.value()
    if not isinstance(value, bytes):
        raise TypeError(f"the message at offset {message.offset()} is empty")
    return value


def _keyed(message: KafkaMessage, rows: list[Row]) -> list[tuple[str, Row]]:
    key = message.key()
    cell_id = key.decode() if isinstance(key, bytes) else str(key)
    _kind, stamp_ms = message.timestamp()
    placed(rows, cell_id, message.partition(), message.offset(), stamp_ms, message.headers())
    return [(cell_id, row) for row in rows]


class CellLogic(StatefulLogic[Row, Item, Cell | None]):
    """Takes the readings of a cell one by one, and sends open aggregates on once an epoch."""

    def __init__(self, cell: Cell | None) -> None:
        self._cell = cell
        self._due = datetime.now(UTC) + EPOCH

    def on_item(self, value: Row) -> tuple[Iterable[Item], bool]:
        """Take a reading."""
        cell = self._cell
        if cell is None:
            cell = self._cell = Cell(value["kafka_key"])
        return cell.take(value), StatefulLogic.RETAIN

    def on_notify(self) -> tuple[Iterable[Item], bool]:
        """An epoch has passed."""
        self._due = datetime.now(UTC) + EPOCH
        return self.on_eof()

    def on_eof(self) -> tuple[Iterable[Item], bool]:
        """There are no more readings in this run."""
        return self._cell.so_far() if self._cell is not None else [], StatefulLogic.RETAIN

    def notify_at(self) -> datetime:
        """When open aggregates are due."""
        return self._due

    def snapshot(self) -> Cell | None:
        """A copy of the state, as Bytewax wants it."""
        return copy.deepcopy(self._cell)


def _merge(table: str, keys: Iterable[str], values: dict[str, str]) -> str:
    """One statement that merges staged rows, numbered in `part`, among themselves and into a table."""
    among = {
        "sum": "sum({0})",
        "min": "min({0})",
        "max": "max({0})",
        "or": "bool_or({0})",
        "last": "arg_max({0}, part)",
    }
    into = {
        "sum": "case when new.{0} is null then old.{0} else coalesce(old.{0}, 0) + new.{0} end",
        "min": "least(old.{0}, new.{0})",
        "max": "greatest(old.{0}, new.{0})",
        "or": "old.{0} or new.{0}",
        "last": "coalesce(new.{0}, old.{0})",
    }
    by = ", ".join(keys)
    merged = ", ".join(f"{among[rule].format(name)} as {name}" for name, rule in values.items())
    return f"""
        merge into {table} as old using (select {by}, {merged} from staged group by {by}) as new using ({by})
        when matched then update set {", ".join(f"{name} = {into[rule].format(name)}" for name, rule in values.items())}
        when not matched then insert
    """  # noqa: S608  # names come from this module alone


STATEMENTS: Final = {
    READINGS: f"insert into {READINGS} select * from staged",  # noqa: S608
    QUARANTINE: f"insert into {QUARANTINE} select * from staged",  # noqa: S608
    WINDOWS: _merge(WINDOWS, WINDOW_KEYS, WINDOW_VALUES),
    CYCLES: _merge(CYCLES, CYCLE_KEYS, CYCLE_VALUES),
}


class Writer(StatefulSinkPartition[Item, None]):
    """Gathers rows, and lands them once an epoch or when there are many."""

    def __init__(self, folder: Path, stopwatch: Stopwatch) -> None:
        self._folder = folder
        self._stopwatch = stopwatch
        self._rows: dict[str, list[Row]] = {table: [] for table in SCHEMAS}
        self._files = 0
        self._connection = duckdb.connect(folder / "rowwise.duckdb")
        for table, schema in SCHEMAS.items():
            self._connection.register("empty", schema.empty_table())
            self._connection.execute(f"create table {table} as select * from empty")  # noqa: S608
            self._connection.unregister("empty")

    def write_batch(self, items: list[Item]) -> None:
        """Collect rows."""
        rows = self._rows
        for table, row in items:
            rows[table].append(row)
        if len(rows[READINGS]) >= MOST_ROWS:
            self._land()

    def snapshot(self) -> None:
        """Land the rows of the epoch."""
        if any(self._rows.values()):
            self._land()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def _land(self) -> None:
        staged = {table: pa.Table.from_pylist(rows, SCHEMAS[table]) for table, rows in self._rows.items() if rows}
        for table, found in staged.items():
            if table in {READINGS, QUARANTINE}:
                pq.write_table(found, self._folder / f"{table}-{self._files:06d}.parquet", compression="zstd")
            else:
                staged[table] = found.append_column("part", pa.array(range(found.num_rows), pa.int64()))
        self._files += 1
        connection = self._connection
        connection.begin()
        for table, found in staged.items():
            connection.register("staged", found)
            connection.execute(STATEMENTS[table])
            connection.unregister("staged")
        connection.commit()
        self._stopwatch.written(len(self._rows[READINGS]) + len(self._rows[QUARANTINE]))
        self._rows = {table: [] for table in SCHEMAS}


class Tables(FixedPartitionedSink[Item, None]):
    """Parquet files and a DuckDB database in a folder, with the one writer that a DuckDB file has."""

    def __init__(self, folder: Path, stopwatch: Stopwatch) -> None:
        self._folder = folder
        self._stopwatch = stopwatch

    def list_parts(self) -> list[str]:
        """The one writer."""
        return ["writer"]

    def part_fn(self, item_key: str) -> int:
        """The writer of a cell."""
        return crc32(item_key.encode())

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> Writer:  # noqa: ARG002
        """Open the database."""
        return Writer(self._folder, self._stopwatch)


@click.option("--encoding", type=click.Choice(["arrow", "json"]), default="arrow", help="What the messages hold.")
@peer
def main(task: Task, stopwatch: Stopwatch, encoding: str) -> None:
    """Land messages with Bytewax, one reading at a time."""
    flow = Dataflow("rowwise")
    messages = op.input("topic", flow, Messages(task, stopwatch, POLL_MESSAGES[encoding]))
    readings = op.flat_map("readings", messages, READINGS_OF[encoding])
    items = op.stateful("clean", readings, CellLogic)
    op.output("land", items, Tables(task.folder, stopwatch))
    cli_main(flow, epoch_interval=EPOCH)


if __name__ == "__main__":
    main()
