"""The status: what has landed, how old it is, and what waits. It reads figures that are there, and recounts nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kernel.base.errors import BatteryError
from kernel.edges.kafka import open_topic
from kernel.edges.objects import open_to_look
from kernel.edges.offsets import waiting
from refresh.models import models_status, published_at
from refresh.storage import storage_status
from sink.care.files import FilesStatus, files_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kernel.base.settings import Settings
    from refresh.models import ModelsStatus
    from refresh.storage import StorageStatus
    from sink.care.overview import Overview


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
    and no retry of them has landed. `held` says how old the figures of the landing are where another process has the
    warehouse.
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
    held: str | None = None
    storage: StorageStatus | None = None

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
        if self.held:
            yield f"  not the newest: {self.held}"
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
        if self.storage is not None:
            yield from self.storage.lines()
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


def status(settings: Settings, overview: Overview, *, with_storage: bool = False) -> Status:
    """Tell the status by the overview of the warehouse, the broker and the object store; those need not answer.

    Args:
        settings: of the pipeline.
        overview: of its warehouse.
        with_storage: whether to tell how much room all takes, for which objects are listed.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    topic_id, partitions, broker_error = _partitions(settings, _progress(overview))
    published = store_error = storage = None
    try:
        store = open_to_look(settings)
        files, published = files_status(store), published_at(store)
        storage = storage_status(settings, overview, store) if with_storage else None
    except BatteryError as error:
        store_error = str(error)
        files = FilesStatus(None, None, unknown=store_error)
    reasons = overview.tables["reasons"].sort_by("reason")
    (counts,) = overview.tables["counts"].to_pylist()
    streamed_at = counts.pop("streamed_at")
    return Status(
        topic=settings.battery_topic,
        topic_id=topic_id,
        broker=broker_error,
        partitions=tuple(partitions),
        **counts,
        quarantined=dict(zip(reasons["reason"].to_pylist(), reasons["rows"].to_pylist(), strict=True)),
        last_commit_age=_age(counts["last_commit"], now),
        freshness=_age(streamed_at, now),
        files=files,
        models=models_status(settings, overview, published, store_error),
        storage=storage,
        held=None if overview.held is None else f"{overview.held}; this is how it was at {overview.at:%H:%M:%S} UTC",
    )


def _progress(overview: Overview) -> dict[tuple[str, int], int]:
    """The offset of the last message that has landed, by topic id and partition."""
    progress = overview.tables["progress"].to_pydict()
    return dict(zip(zip(progress["topic_id"], progress["partition"], strict=True), progress["last"], strict=True))


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
