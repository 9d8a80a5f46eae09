"""The task that every peer is given, and the result that it prints."""

from __future__ import annotations

import functools
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Task:
    """The messages of a topic to write to a folder; a peer ends when it has read `messages` of them."""

    bootstrap_servers: str
    topic: str
    partitions: int
    folder: Path
    messages: int


class Stopwatch:
    """Times a peer from its first message to its last write, and from its start to its end."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._received: float | None = None
        self._written: float | None = None
        self._rows = 0

    def received(self) -> None:
        """A message has come; the time starts with the first one."""
        if self._received is None:
            self._received = time.perf_counter()

    def written(self, rows: int) -> None:
        """Count rows that have been written."""
        self._written = time.perf_counter()
        self._rows += rows

    def report(self) -> None:
        """Print the result as one line of JSON."""
        found = {"rows": self._rows, "seconds": None, "wall_seconds": round(time.perf_counter() - self._started, 4)}
        if self._received is not None and self._written is not None:
            found["seconds"] = round(self._written - self._received, 4)
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


def peer(run: Callable[..., None]) -> click.Command:
    """Make a peer's program a command that takes a task and reports how long it took.

    Args:
        run: does the task that it is called with, timed by a stopwatch; its docstring is the command's help. Options
            that the command is given on top of a task's come to it by name.
    """

    @click.command(help=run.__doc__)
    @click.option("--bootstrap-servers", envvar="KAFKA_BOOTSTRAP_SERVERS", required=True, help="Where the broker is.")
    @click.option("--topic", envvar="BATTERY_TOPIC", required=True, help="The topic to read from its beginning.")
    @click.option("--partitions", envvar="BATTERY_TOPIC_PARTITIONS", type=click.IntRange(min=1), default=1)
    @click.option("--folder", type=click.Path(path_type=Path), required=True, help="Where to write; made if need be.")
    @click.option("--messages", type=click.IntRange(min=1), required=True, help="Ends when it has taken so many.")
    @functools.wraps(run)
    def command(
        bootstrap_servers: str, topic: str, partitions: int, folder: Path, messages: int, **options: object
    ) -> None:
        stopwatch = Stopwatch()
        # PyArrow imports pandas with the first table that it makes or casts, which is not to be timed.
        pa.Table.from_pylist([{"number": 1}]).cast(pa.schema([("number", pa.float64())]))
        folder.mkdir(parents=True, exist_ok=True)
        run(Task(bootstrap_servers, topic, partitions, folder.resolve(), messages), stopwatch, **options)
        stopwatch.report()

    return command
