"""Where a replay begins: the place in the log that a person names, and the feeds that give all from there on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from dataflows.replay.feeds import ArchiveFeed, LogFeed
from kernel.base.errors import BatteryError
from kernel.edges.consumer import offset_at
from kernel.edges.kafka import open_topic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dataflows.replay.feeds import Feed
    from kernel.base.settings import Settings
    from kernel.edges.kafka import Topic
    from kernel.edges.objects import ObjectStore
    from sink.manifest import Manifest

_log = structlog.get_logger()


@dataclass(frozen=True)
class Start:
    """Where a replay begins to read the log; what landed before that comes from the archive.

    `beginning` reads the whole log, `archive` nothing of it. `offsets` gives an offset for some partitions, `time` a
    moment (UTC) for all of them.
    """

    beginning: bool = False
    archive: bool = False
    offsets: Mapping[int, int] = field(default_factory=dict)
    time: datetime | None = None

    def at(self, offsets: Sequence[str], moment: str | None) -> Start:
        """The same with offsets, each as `PARTITION:OFFSET`, and a moment in ISO 8601 (UTC if it names no zone).

        >>> Start().at(["0:1500"], None).offsets
        {0: 1500}

        Raises:
            BatteryError: one of them cannot be read.
        """
        parsed: dict[int, int] = {}
        for text in offsets:
            partition, separator, offset = text.partition(":")
            if not separator or not partition.isdecimal() or not offset.isdecimal():
                raise BatteryError(f"--from-offset {text} is not PARTITION:OFFSET, such as 0:1500")
            parsed[int(partition)] = int(offset)
        if moment is None:
            return replace(self, offsets=parsed)
        try:
            time = datetime.fromisoformat(moment)
        except ValueError:
            raise BatteryError(f"--from-time {moment} is not a time such as 2026-11-25T08:00:00") from None
        return replace(self, offsets=parsed, time=time if time.tzinfo else time.replace(tzinfo=UTC))


def open_feeds(settings: Settings, start: Start, live: Manifest, store: ObjectStore) -> list[Feed]:
    """The sources that a replay reads, one after the other.

    Args:
        settings: where the log is.
        start: where to begin to read it.
        live: what has landed.
        store: the archive.

    Raises:
        BatteryError: these sources cannot give all that has landed, in its order; the message says which can.
    """
    if start.archive:
        return [ArchiveFeed(store)]
    if live.spread:
        raise BatteryError(
            f"cell {live.spread[0]} came over more than one partition of a log, so its messages have no order there; "
            "`battery replay --from-archive` takes all in the order in which they landed"
        )
    topic = open_topic(settings)
    if start.beginning:
        _require_one_log(live, topic)
        return [LogFeed(settings, topic, dict.fromkeys(topic.partitions))]
    offsets = _offsets(settings, start, live, topic)
    unknown = sorted(set(offsets) - set(topic.partitions))
    if unknown:
        raise BatteryError(f"topic {topic.name} has no partition {unknown[0]}; it has {list(topic.partitions)}")
    _log.info("reading the log", **{f"partition_{part}": f"from {offset}" for part, offset in offsets.items()})
    return [ArchiveFeed(store, topic, offsets), LogFeed(settings, topic, offsets)]


def _require_one_log(live: Manifest, topic: Topic) -> None:
    """Refuse to read the log from its beginning where readings of other logs have landed, too."""
    others = sorted({topic_id for topic_id, _ in live.reached} - {topic.topic_id})
    if others:
        raise BatteryError(
            f"the WAREHOUSE holds readings of {len(others)} other logs than topic {topic.name} "
            f"({topic.topic_id}), such as {others[0]}, which this log cannot give again; `battery replay "
            "--from-archive` takes all from the objects, --from-offset 0:0 those of the other logs; to forget "
            "them, use a new WAREHOUSE, OBJECT_STORE and RECOVERY_DIR"
        )


def _offsets(settings: Settings, start: Start, live: Manifest, topic: Topic) -> dict[int, int]:
    """Where to begin to read each partition: after what has landed, if no message is as late as `time`."""
    if start.time is None:
        return dict(start.offsets)
    moment = int(start.time.timestamp() * 1000)
    offsets: dict[int, int] = {}
    for partition in topic.partitions:
        offset = offset_at(settings, topic, partition, moment)
        after_landed = live.reached.get((topic.topic_id, partition), -1) + 1
        offsets[partition] = after_landed if offset is None else offset
    return offsets
