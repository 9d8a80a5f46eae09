"""The status: what has landed, how old it is, and what waits. It reads figures that are there, and recounts nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kernel.base.errors import BatteryError
from kernel.edges.kafka import open_topic
from kernel.edges.objects import open_to_look
from kernel.edges.offsets import waiting
from refresh.models import models_status, published_at
from sink.care.files import FilesStatus, files_status
from sink.care.quarantine import retriable_rows
from sink.tables import require_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kernel.base.settings import Settings
    from kernel.edges.warehouse import Warehouse
    from refresh.models import ModelsStatus


@dataclass(frozen=True)
class PartitionStatus:
    """One partition of the topic, from `committed`, the offset of the next message to land, to `end`.

    `lag` counts the messages that have not landed. `gone` counts offsets that had not landed, may have held messages,
    and are no longer in the log. `unreadable` counts the offsets after the end, which belong to an open transaction or
    follow it.
    """

    partition: int
    committed: int
    end: int
    lag: int
    gone: int = 0
    unreadable: int = 0

    def line(self) -> str:
        """The figures for a person."""
        text = f"next offset to land {self.committed} of {self.end}, lag {self.lag}"
        if self.unreadable:
            text += f"; {self.unreadable} offsets behind it wait for an open transaction to end"
        if self.gone:
            text += f"; {self.gone} offsets before it are gone and had not landed"
        return f"  partition {self.partition}: {text}"


@dataclass(frozen=True)
class Status:
    """The status of the pipeline; ages are in s, times UTC. `broker` is the error if the broker does not answer.

    `freshness` is the age of the newest message time stamp that is not in the future; `stamped_later` counts the landed
    readings whose stamp is. `retriable` counts the quarantined rows that may be published again: they are no duplicates
    and no retry of them has landed.
    """

    topic: str
    topic_id: str | None
    broker: str | None
    partitions: tuple[PartitionStatus, ...]
    rows: int
    cells: int
    tests: int
    cycles: int
    windows: int
    quarantined: dict[str, int] = field(default_factory=dict)
    commits: int = 0
    last_commit: datetime | None = None
    last_commit_age: float | None = None
    freshness: float | None = None
    stamped_later: int = 0
    retriable: int = 0
    files: FilesStatus | None = None
    models: ModelsStatus | None = None

    @property
    def lag(self) -> int | None:
        """Messages that have not landed yet, over all partitions; None while no broker answers."""
        return None if self.broker else sum(part.lag for part in self.partitions)

    def figures(self) -> dict[str, object]:
        """The figures for a program, by their names."""
        return {**asdict(self), "lag": self.lag}

    def lines(self, rows_per_second: float | None = None) -> Iterator[str]:
        """The figures for a person; `rows_per_second` is how fast rows have landed lately, where that is known."""
        rate = "" if rows_per_second is None else f", {rows_per_second:,.0f} rows/s"
        yield f"topic        {self.topic}" + (f" ({self.topic_id})" if self.topic_id else "")
        for part in self.partitions:
            yield part.line()
        if self.broker:
            yield f"  lag unknown: {self.broker}"
        yield f"landed       {self.rows} rows of {self.cells} cells in {self.tests} tests, {self.cycles} cycles{rate}"
        yield f"quarantined  {sum(self.quarantined.values())} rows"
        for reason, rows in self.quarantined.items():
            yield f"  {reason}: {rows}"
        if self.files is not None:
            yield from self.files.lines()
        yield f"commits      {self.commits}, last {self.last_commit or 'never'} UTC"
        if self.freshness is not None:
            yield f"freshness    the newest landed reading was published {self.freshness:.0f} s ago"
        if self.stamped_later:
            yield f"  {self.stamped_later} readings are stamped later than now, and say nothing of freshness"
        if self.models is not None:
            yield from self.models.lines()
        yield f"waiting      {'; '.join(self.waits()) or 'nothing'}"

    def waits(self) -> Iterator[str]:
        """What waits for a person, or for the next run of a command."""
        if self.lag:
            yield f"{self.lag} messages to land"
        if self.models is not None and self.models.news:
            yield f"models: {self.models.news}"
        if self.retriable:
            yield f"{self.retriable} quarantined rows that a retry may bring in"
        if self.files is not None and self.files.refused:
            yield f"{self.files.refused} refused files"

    def complaints(self, max_lag: int, max_commit_age: float) -> Iterator[str]:
        """What is wrong with the stream, one line each; nothing if all is well.

        The last commit may be of any age while no message waits: a lab may pause.

        Args:
            max_lag: messages that may wait.
            max_commit_age: how old the last commit may be while any message waits, in s.
        """
        if self.lag is None:
            yield f"{self.broker}"
            return
        for part in self.partitions:
            if part.gone:
                yield (
                    f"{part.gone} offsets of partition {part.partition} of {self.topic} are gone (retention?) and had "
                    "not landed; `battery stream` says what to do"
                )
        if self.lag > max_lag:
            yield (
                f"{self.lag} messages of {self.topic} have not landed, more than MAX_LAG_MESSAGES={max_lag}; is the "
                "worker running, and does it keep up?"
            )
        if self.lag > 0 and self.last_commit_age is not None and self.last_commit_age > max_commit_age:
            yield (
                f"{self.lag} messages of {self.topic} wait and the last commit was {self.last_commit_age:.0f} s ago, "
                f"longer than MAX_COMMIT_AGE_SECONDS={max_commit_age:.0f}; is the worker running?"
            )


def status(settings: Settings, warehouse: Warehouse) -> Status:
    """Read the status from the warehouse, the broker and the object store; only the warehouse has to answer.

    Raises:
        BatteryError: there is no warehouse yet, or it cannot be opened.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    landing = _landing(warehouse, now)
    topic_id, partitions, broker_error = _partitions(settings, landing.progress)
    published = store_error = None
    try:
        store = open_to_look(settings)
        files, published = files_status(store), published_at(store)
    except BatteryError as error:
        store_error = str(error)
        files = FilesStatus(None, None, unknown=store_error)
    return Status(
        topic=settings.battery_topic,
        topic_id=topic_id,
        broker=broker_error,
        partitions=tuple(partitions),
        **landing.figures,
        files=files,
        models=models_status(settings, warehouse, published, store_error),
    )


@dataclass(frozen=True)
class _Landing:
    """The figures of a `Status` that the warehouse has, by name, and the last offset of each (topic id, partition)."""

    figures: dict[str, Any]
    progress: dict[tuple[str, int], int]


def _landing(warehouse: Warehouse, now: datetime) -> _Landing:
    with warehouse.connect("show the status", read_only=True) as connection:
        require_tables(connection)

        def one_row(sql: str, *parameters: object) -> tuple[Any, ...]:
            return connection.execute(sql, parameters).fetchone() or ()

        rows, cells, tests, streamed_at, stamped_later = one_row(
            "select count(*), count(distinct cell_id), count(distinct (cell_id, test_id)), "
            "max(streamed_at) filter (where streamed_at <= $1), count(*) filter (where streamed_at > $1) "
            "from battery_ts_cleaned",
            now,
        )
        (cycles,) = one_row("select count(*) from _cycles")
        (windows,) = one_row("select count(*) from _windows")
        commits, last_commit = one_row(
            'select count(distinct "commit"), max(committed_at) filter (where committed_at <= $1) from _commits', now
        )
        quarantined = connection.execute(
            "select reason, sum(row_count)::bigint from battery_quarantine group by reason order by reason"
        ).fetchall()
        progress = connection.execute(
            'select topic_id, "partition", max("offset") from _progress group by topic_id, "partition"'
        ).fetchall()
        figures = {
            "rows": rows,
            "cells": cells,
            "tests": tests,
            "cycles": cycles,
            "windows": windows,
            "quarantined": dict(quarantined),
            "commits": commits,
            "last_commit": last_commit,
            "last_commit_age": _age(last_commit, now),
            "freshness": _age(streamed_at, now),
            "stamped_later": stamped_later,
            "retriable": retriable_rows(connection),
        }
    return _Landing(figures, {(topic_id, partition): last for topic_id, partition, last in progress})


def _partitions(
    settings: Settings, progress: Mapping[tuple[str, int], int]
) -> tuple[str | None, list[PartitionStatus], str | None]:
    """The topic's id, the status of its partitions, and the error if the broker does not answer."""
    topic_id: str | None = None
    partitions: list[PartitionStatus] = []
    try:
        topic = open_topic(settings)
        topic_id = topic.topic_id
        for partition in topic.partitions:
            last = progress.get((topic.topic_id, partition))
            lag = waiting(settings, topic, partition, None if last is None else last + 1)
            partitions.append(PartitionStatus(partition, lag.first, lag.end, lag.messages, lag.gone, lag.unreadable))
    except BatteryError as error:
        return topic_id, partitions, str(error)
    return topic_id, partitions, None


def _age(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else round((now - moment).total_seconds(), 1)
