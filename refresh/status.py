"""Status: how far the landing is, what it holds and how old it is; short looks, nothing is recounted."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kernel.base.errors import BatteryError
from kernel.edges.kafka import open_topic
from kernel.edges.objects import open_to_look
from kernel.edges.offsets import waiting
from refresh.models import models_status, published_at
from sink.care.files import FilesStatus, files_status
from sink.care.quarantine import retriable_rows
from sink.tables import require_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel.base.settings import Settings
    from kernel.edges.warehouse import Warehouse
    from refresh.models import ModelsStatus


@dataclass(frozen=True)
class PartitionStatus:
    """One partition of the topic; `committed` is where the next message to land stands, `end` where it may be read to.

    `lag` are the messages that have not landed. `gone` offsets had not landed, may have held messages, and are no
    longer in the log. `unreadable` offsets follow the end: they belong to an open transaction, or stand behind one.
    """

    partition: int
    committed: int
    end: int
    lag: int
    gone: int = 0
    unreadable: int = 0

    def line(self) -> str:
        """The figures for a person."""
        said = f"next offset to land {self.committed} of {self.end}, lag {self.lag}"
        if self.unreadable:
            said += f"; {self.unreadable} offsets behind it wait for an open transaction to end"
        if self.gone:
            said += f"; {self.gone} offsets before it are gone and had not landed"
        return f"  partition {self.partition}: {said}"


@dataclass(frozen=True)
class Status:
    """Where the pipeline stands; ages are in s, times UTC. `broker` holds the complaint when none answers.

    `freshness` goes by the newest time stamp of a message that is not later than now; `stamped_later` counts the
    landed readings whose stamp is. `retriable` of the quarantined rows may be published again, since they are no
    duplicates and no retry of them has landed.
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
        """What waits for somebody, or for the next run of something."""
        if self.lag:
            yield f"{self.lag} messages to land"
        if self.models is not None and self.models.news:
            yield f"models: {self.models.news}"
        if self.retriable:
            yield f"{self.retriable} quarantined rows that a retry may bring in"
        if self.files is not None and self.files.refused:
            yield f"{self.files.refused} refused files"

    def complaints(self, max_lag: int, max_commit_age: float) -> Iterator[str]:
        """What is wrong with the stream, each in one line with its figures; nothing when it is well.

        A commit may be of any age while nothing waits to be landed: a lab that pauses is no fault.

        Args:
            max_lag: messages that may wait.
            max_commit_age: s that the last commit may be old while any message waits.
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
    """Look at the warehouse, then at the broker and the object store; neither needs to answer.

    Raises:
        BatteryError: there is no warehouse yet, or it cannot be opened.
    """
    with warehouse.connect("show the status", read_only=True) as connection:
        require_tables(connection)

        now = datetime.now(UTC).replace(tzinfo=None)

        def one(sql: str, *given: object) -> tuple[object, ...]:
            return connection.execute(sql, given).fetchone() or ()

        rows, cells, tests, streamed_at, later = one(
            "select count(*), count(distinct cell_id), count(distinct (cell_id, test_id)), "
            "max(streamed_at) filter (where streamed_at <= $1), count(*) filter (where streamed_at > $1) "
            "from battery_ts_cleaned",
            now,
        )
        (cycles,) = one("select count(*) from _cycles")
        (windows,) = one("select count(*) from _windows")
        commits, last_commit = one(
            'select count(distinct "commit"), max(committed_at) filter (where committed_at <= $1) from _commits', now
        )
        quarantined = dict(
            connection.execute(
                "select reason, sum(row_count)::bigint from battery_quarantine group by reason order by reason"
            ).fetchall()
        )
        retriable = retriable_rows(connection)
        progress = connection.execute(
            'select topic_id, "partition", max("offset") from _progress group by topic_id, "partition"'
        ).fetchall()
    topic_id, partitions, broker = None, [], None
    try:
        topic = open_topic(settings)
        topic_id = topic.topic_id
        committed = {part: offset + 1 for found, part, offset in progress if found == topic_id}
        for part in topic.partitions:
            found = waiting(settings, topic, part, committed.get(part))
            partitions.append(
                PartitionStatus(part, found.first, found.end, found.messages, found.gone, found.unreadable)
            )
    except BatteryError as error:
        broker = str(error)
    published = away = None
    try:
        store = open_to_look(settings)
        files, published = files_status(store), published_at(store)
    except BatteryError as error:
        away = str(error)
        files = FilesStatus(None, None, unknown=away)
    return Status(
        topic=settings.battery_topic,
        topic_id=topic_id,
        broker=broker,
        partitions=tuple(partitions),
        rows=_whole(rows),
        cells=_whole(cells),
        tests=_whole(tests),
        cycles=_whole(cycles),
        windows=_whole(windows),
        quarantined=quarantined,
        commits=_whole(commits),
        last_commit=last_commit if isinstance(last_commit, datetime) else None,
        last_commit_age=_age(last_commit, now),
        freshness=_age(streamed_at, now),
        stamped_later=_whole(later),
        retriable=retriable,
        files=files,
        models=models_status(settings, warehouse, published, away),
    )


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _age(moment: object, now: datetime) -> float | None:
    return round((now - moment).total_seconds(), 1) if isinstance(moment, datetime) else None
