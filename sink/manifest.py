"""The manifest: which objects the commits consist of. Readers of the Parquet objects use it, never a plain listing.

The store may hold more objects: those of an unfinished commit, of a killed replay, or of another warehouse.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from kernel.contract.results import Span
from kernel.edges.warehouse import PostgresSession

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Judge

LANDED_KIND: Final = "battery_ts_cleaned"
QUARANTINE_KIND: Final = "battery_quarantine"
RETRIED_KIND: Final = "battery_retries"
ABOUT_KIND: Final = "battery_about"
KINDS: Final = (LANDED_KIND, QUARANTINE_KIND, RETRIED_KIND, ABOUT_KIND)
"""The tables whose rows are in objects, too. A kind of object is named after its table, which is its key's prefix."""

_KEY: Final = re.compile(rf"^(?P<kind>{'|'.join(KINDS)})/lane=(?P<lane>\d+)/(?P<epoch>\d+)-(?P<seq>\d+)\.parquet$")


_SPAN: Final = pa.struct(
    [
        ("topic_id", pa.string()),
        ("partition", pa.int32()),
        ("first", pa.int64()),
        ("last", pa.int64()),
        ("rows", pa.int64()),
    ]
)
_COMMITS: Final = pa.schema(
    [
        ("commit", pa.string()),
        ("lane", pa.int32()),
        ("seq", pa.int64()),
        ("writer_epoch", pa.int64()),
        ("object_key", pa.string()),
        ("kind", pa.string()),
        ("rows", pa.int64()),
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("offsets", pa.list_(_SPAN)),
        ("committed_at", pa.timestamp("us")),
    ]
)


@dataclass(frozen=True)
class LandingObject:
    """An object in the store whose key is that of a commit's object, with the parts of that key; `size` in bytes."""

    key: str
    kind: str
    lane: int
    epoch: int
    seq: int
    size: int


def object_key(kind: str, lane: int, epoch: int, seq: int) -> str:
    """The key of a commit's object.

    >>> object_key("battery_quarantine", lane=1, epoch=3, seq=12)
    'battery_quarantine/lane=01/000003-000000000012.parquet'
    """
    return f"{kind}/lane={lane:02d}/{epoch:06d}-{seq:012d}.parquet"


def epoch_of(key: str) -> int:
    """The epoch of the writer of a commit's object.

    >>> epoch_of("battery_quarantine/lane=01/000003-000000000012.parquet")
    3

    Raises:
        ValueError: no commit's object has such a key.
    """
    parts = _KEY.match(key)
    if parts is None:
        raise ValueError(f"{key} is not the key of a commit's object")
    return int(parts["epoch"])


def landing_objects(store: ObjectStore) -> Iterator[LandingObject]:
    """All objects in the store with the key of a commit's object, whoever wrote them.

    >>> from pathlib import Path
    >>> from kernel.edges.objects import FolderStore
    >>> store = FolderStore(Path("objects"))
    >>> store.put(object_key("battery_quarantine", lane=1, epoch=3, seq=12), b"rows")
    >>> store.put("marts/manifest.json", b"{}")
    >>> [(landed.epoch, landed.seq, landed.size) for landed in landing_objects(store)]
    [(3, 12, 4)]

    Raises:
        BatteryError: the store does not answer.
    """
    for kind in KINDS:
        for stored in store.list(f"{kind}/"):
            parts = _KEY.match(stored.key)
            if parts:
                yield LandingObject(
                    stored.key, kind, int(parts["lane"]), int(parts["epoch"]), int(parts["seq"]), stored.size
                )


@dataclass(frozen=True)
class CommittedObject:
    """One object as it was committed."""

    key: str
    kind: str
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Commit:
    """One commit: `commit` is its id, `epoch` its writer's, `spans` the offsets that it covers of one log."""

    commit: str
    epoch: int
    lane: int
    seq: int
    spans: tuple[Span, ...]
    objects: tuple[CommittedObject, ...]


@dataclass(frozen=True)
class Manifest:
    """What has landed: all commits in the order of the log, and the last offset of each (topic id, partition).

    `spread` names the cells whose messages came over more than one partition of a log; these have no order.
    """

    commits: tuple[Commit, ...]
    reached: Mapping[tuple[str, int], int]
    spread: tuple[str, ...]

    @property
    def first(self) -> Mapping[tuple[str, int], int]:
        """The first offset that landed of each (topic id, partition)."""
        first: dict[tuple[str, int], int] = {}
        for span in (span for commit in self.commits for span in commit.spans):
            partition = span.topic_id, span.partition
            first[partition] = min(span.first, first.get(partition, span.first))
        return first


SPREAD: Final = """
select distinct cell_id from internal._progress where cell_id <> ''
group by cell_id, topic_id having count(*) > 1 order by cell_id
"""
"""Cells whose messages came over more than one partition of a log; a message without a key belongs to no cell."""


def read_manifest(connection: Judge) -> Manifest:
    """Read the manifest from the landing tables.

    A cell stays in one lane within a run. The order of runs, and of commits within each lane, is therefore the order of
    every cell's messages.
    """
    commits = read_commits(connection)
    reached: dict[tuple[str, int], int] = {}
    for span in (span for commit in commits for span in commit.spans):
        partition = span.topic_id, span.partition
        reached[partition] = max(span.last, reached.get(partition, span.last))
    for topic_id, number, last in connection.execute(
        'select topic_id, "partition", max("offset") from internal._progress group by topic_id, "partition"'
    ).fetchall():
        reached[topic_id, number] = max(last, reached.get((topic_id, number), last))
    spread = connection.execute(SPREAD).fetchall()
    return Manifest(commits, reached, tuple(cell for (cell,) in spread))


def read_commits(connection: Judge, only: Sequence[str] | None = None) -> tuple[Commit, ...]:
    """The commits in the order of the log: all of them, or those with the given ids."""
    ids = None if only is None else list(only)
    rows = connection.execute(
        'select "commit", writer_epoch, lane, seq, object_key, kind, "rows", bytes, sha256, offsets '
        "from internal._commits "
        'where ?::varchar[] is null or "commit" in (select unnest(?::varchar[])) '
        "order by writer_epoch, seq, lane, kind",
        [ids, ids],
    ).fetchall()
    commits: dict[str, Commit] = {}
    for commit, epoch, lane, seq, key, kind, count, size, sha256, spans in rows:
        objects = commits[commit].objects if commit in commits else ()
        commits[commit] = Commit(
            commit,
            epoch,
            lane,
            seq,
            tuple(Span(**span) for span in spans),
            (*objects, CommittedObject(key, kind, count, size, sha256)),
        )
    return tuple(commits.values())


def manifest_rows(commit: Commit, committed_at: datetime) -> pa.Table:
    """The rows of `_commits` that name a commit, one for each object; `committed_at` is UTC without a zone."""
    return pa.Table.from_pylist(
        [
            {
                "commit": commit.commit,
                "lane": commit.lane,
                "seq": commit.seq,
                "writer_epoch": commit.epoch,
                "object_key": committed.key,
                "kind": committed.kind,
                "rows": committed.rows,
                "bytes": committed.size,
                "sha256": committed.sha256,
                "offsets": [vars(span) for span in commit.spans],
                "committed_at": committed_at,
            }
            for committed in commit.objects
        ],
        schema=_COMMITS,
    )


def insert_commits(judge: Judge, rows: pa.Table) -> None:
    """Name the objects of commits in the manifest; `rows` as `manifest_rows` gives them."""
    if not isinstance(judge, PostgresSession):
        judge.register("named_commits", rows)
        judge.execute("insert into internal._commits select * from named_commits")
        judge.unregister("named_commits")
        return
    judge.execute_many(
        """insert into internal._commits
        ("commit", lane, seq, writer_epoch, object_key, kind, "rows", bytes, sha256, offsets, committed_at)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?::jsonb, ?)""",
        [
            [json.dumps(value) if name == "offsets" else value for name, value in row.items()]
            for row in rows.to_pylist()  # a row an object
        ],
    )
