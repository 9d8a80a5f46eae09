"""Where a replay takes the messages that have landed: from the log, or from the archive where the log has none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import structlog

from kernel.base.errors import BatteryError
from kernel.contract.batch import MOST_ROWS, decode_poll
from kernel.contract.weight import Limits
from kernel.edges.consumer import OffsetGoneError, read_log
from kernel.edges.kafka import find_topic
from kernel.edges.offsets import log_start
from sink.care.archive import Archive, archived
from sink.parquet import DamagedObjectError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kernel.base.settings import Settings
    from kernel.contract.batch import Batch
    from kernel.edges.kafka import Topic
    from kernel.edges.objects import ObjectStore
    from sink.manifest import Commit, Manifest

_log = structlog.get_logger()


class Feed(Protocol):
    """A source of messages that have landed, in the order of the log; it continues when more has landed."""

    def read(self, landed: Manifest) -> Iterator[Batch]:
        """Read what has landed and was not read yet, some messages at a time.

        Raises:
            BatteryError: this source does not hold all of it; the message names one that does.
        """
        ...


@dataclass
class LogFeed:
    """Reads a log from an offset of each partition on (None: its oldest message) to what has landed.

    Where nothing has landed at all, as in a new warehouse, it reads to the end.
    """

    settings: Settings
    topic: Topic
    starts: Mapping[int, int | None]
    _next: dict[int, int] = field(default_factory=dict)

    def read(self, landed: Manifest) -> Iterator[Batch]:
        """One poll of one partition at a time."""
        for partition, start in self.starts.items():
            last = landed.reached.get((self.topic.topic_id, partition))
            due = self._next.get(partition, start)
            if landed.reached and (last is None or (due is not None and due > last)):
                continue
            _log.info("reading", topic=self.topic.name, partition=partition, start="beginning" if due is None else due)
            try:
                for poll in read_log(self.settings, self.topic, partition, due, last):
                    if partition not in self._next:
                        self._require_unbroken(landed, partition, poll.offsets[0])
                    self._next[partition] = poll.offsets[-1] + 1
                    yield from decode_poll(poll, MOST_ROWS, Limits.of(self.settings))
            except OffsetGoneError:
                self._refuse(partition, f"offset {due} is")
            if last is not None and self._next.get(partition, 0) <= last:
                self._refuse(
                    partition, f"offsets {self._next.get(partition, due or 0)} to {last}, which have landed, are"
                )
        if find_topic(self.settings).topic_id != self.topic.topic_id:
            raise BatteryError(
                f"topic {self.topic.name} was recreated while the replay read it; start the replay again"
            )

    def _require_unbroken(self, landed: Manifest, partition: int, oldest: int) -> None:
        """Require that the log still holds the first message that landed, where reading begins with its oldest one.

        Where reading begins with an offset, the broker refuses one that is gone.
        """
        if self.starts[partition] is not None:
            return
        due = landed.first.get((self.topic.topic_id, partition))
        if due is not None and oldest > due:
            self._refuse(partition, f"offsets {due} to {oldest - 1} are", oldest)
        if due is None and oldest > 0 and (begins := log_start(self.settings, self.topic, partition)) > 0:
            _log.warning(
                "the log no longer holds its first messages, and no table or manifest does",
                partition=partition,
                oldest=begins,
            )

    def _refuse(self, partition: int, what: str, oldest: int | None = None) -> None:
        place = f"topic {self.topic.name}, partition {partition}: {what} gone from the log (retention?)"
        later = f", and --from-offset {partition}:{oldest} from there on" if oldest is not None else ""
        raise BatteryError(
            f"{place}; `battery replay --from-archive` takes what landed of them from the objects{later}"
        )


@dataclass
class ArchiveFeed:
    """Reads what has landed from the objects; of the log `topic`, only what is before the offsets in `ends`."""

    store: ObjectStore
    topic: Topic | None = None
    ends: Mapping[int, int] = field(default_factory=dict)
    _read: set[str] = field(default_factory=set)

    def read(self, landed: Manifest) -> Iterator[Batch]:
        """One commit at a time."""
        left = [commit for commit in landed.commits if commit.commit not in self._read]
        self._read.update(commit.commit for commit in left)
        wanted = [commit for commit in left if self._holds_some(commit)]
        self._require_order(landed.commits)
        archive = Archive(self.store)
        for commit in wanted:
            try:
                for batch in archived(commit, archive):
                    log = zip(batch.partition.tolist(), batch.offset.tolist(), strict=True)
                    is_wanted = np.array([self._is_before_end(batch.topic_id, *place) for place in log])
                    if is_wanted.any():
                        yield batch.take(is_wanted)
            except DamagedObjectError as error:
                raise BatteryError(
                    f"the archive is damaged: {error}; `battery replay --from-beginning` reads the log instead"
                ) from None

    def _is_before_end(self, topic_id: str, partition: int, offset: int) -> bool:
        if self.topic is None or topic_id != self.topic.topic_id or partition not in self.ends:
            return True
        return offset < self.ends[partition]

    def _holds_some(self, commit: Commit) -> bool:
        return any(self._is_before_end(span.topic_id, span.partition, span.first) for span in commit.spans)

    def _require_order(self, commits: tuple[Commit, ...]) -> None:
        """Require that what is read from the log has landed after what is read from the archive: it is folded later."""
        from_log = False
        for commit in commits:
            for span in commit.spans:
                if not self._is_before_end(span.topic_id, span.partition, span.last):
                    from_log = True
                elif from_log and self.topic is not None and span.topic_id != self.topic.topic_id:
                    raise BatteryError(
                        f"commit {commit.commit} is of another log and landed after the offset to replay from, so the "
                        "order of its messages would not be kept; `battery replay --from-archive` keeps it"
                    )
