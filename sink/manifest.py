"""The manifest: which objects the commits consist of. Readers of the Parquet objects go by it, never by a bare listing.

What an unfinished commit, a killed replay or another warehouse left in the store is in no manifest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kernel.contract.results import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import duckdb

    from kernel.edges.objects import ObjectStore

LANDED_KIND: Final = "battery_ts_cleaned"
QUARANTINE_KIND: Final = "battery_quarantine"
RETRIED_KIND: Final = "battery_retries"
KINDS: Final = (LANDED_KIND, QUARANTINE_KIND, RETRIED_KIND)
"""Tables whose rows are in objects too, each kind below a prefix of its own."""

_KEY: Final = re.compile(rf"^(?P<kind>{'|'.join(KINDS)})/lane=(?P<lane>\d+)/(?P<epoch>\d+)-(?P<seq>\d+)\.parquet$")


@dataclass(frozen=True)
class LandingObject:
    """An object of a commit, by the parts of its key; `size` in bytes."""

    key: str
    kind: str
    lane: int
    epoch: int
    seq: int
    size: int


def object_key(kind: str, lane: int, epoch: int, seq: int) -> str:
    """The key of a commit's object."""
    return f"{kind}/lane={lane:02d}/{epoch:06d}-{seq:012d}.parquet"


def epoch_of(key: str) -> int:
    """The epoch of the writer of a commit's object.

    Raises:
        ValueError: no commit's object has such a key.
    """
    named = _KEY.match(key)
    if named is None:
        raise ValueError(f"{key} is not the key of a commit's object")
    return int(named["epoch"])


def landing_objects(store: ObjectStore) -> Iterator[LandingObject]:
    """All objects in the store that look like those of commits, whoever wrote them."""
    for kind in KINDS:
        for found in store.list(f"{kind}/"):
            named = _KEY.match(found.key)
            if named:
                yield LandingObject(
                    found.key, kind, int(named["lane"]), int(named["epoch"]), int(named["seq"]), found.size
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
    """One commit: what it covers of which log, and its objects; `commit` is its id, `epoch` that of its writer."""

    commit: str
    epoch: int
    lane: int
    seq: int
    spans: tuple[Span, ...]
    objects: tuple[CommittedObject, ...]


@dataclass(frozen=True)
class Manifest:
    """What has landed: all commits in the order of the log, and the last offset of each (topic id, partition).

    `spread` are cells that came over more than one partition of a log, so that their messages have no order there.
    """

    commits: tuple[Commit, ...]
    reached: Mapping[tuple[str, int], int]
    spread: tuple[str, ...]

    @property
    def first(self) -> Mapping[tuple[str, int], int]:
        """The first offset that landed of each (topic id, partition)."""
        found: dict[tuple[str, int], int] = {}
        for span in (span for commit in self.commits for span in commit.spans):
            place = span.topic_id, span.partition
            found[place] = min(span.first, found.get(place, span.first))
        return found


SPREAD: Final = """
select distinct cell_id from _progress where cell_id <> '' group by cell_id, topic_id having count(*) > 1 order by all
"""
"""Cells that came over more than one partition of a log; messages without a key belong to none."""


def read_manifest(connection: duckdb.DuckDBPyConnection) -> Manifest:
    """Read the manifest off the landing tables.

    A cell keeps to one lane within a run, so runs in order, and the sequence of each lane, are the order of every
    cell's messages.
    """
    commits = read_commits(connection)
    reached: dict[tuple[str, int], int] = {}
    for span in (span for commit in commits for span in commit.spans):
        place = span.topic_id, span.partition
        reached[place] = max(span.last, reached.get(place, span.last))
    for topic_id, partition, last in connection.execute(
        'select topic_id, "partition", max("offset") from _progress group by topic_id, "partition"'
    ).fetchall():
        reached[topic_id, partition] = max(last, reached.get((topic_id, partition), last))
    spread = connection.execute(SPREAD).fetchall()
    return Manifest(commits, reached, tuple(cell for (cell,) in spread))


def read_commits(connection: duckdb.DuckDBPyConnection, only: Sequence[str] | None = None) -> tuple[Commit, ...]:
    """The commits in the order of the log: all, or those of the given ids that there are."""
    ids = None if only is None else list(only)
    rows = connection.execute(
        'select "commit", writer_epoch, lane, seq, object_key, kind, "rows", bytes, sha256, offsets from _commits '
        'where ?::varchar[] is null or "commit" in (select unnest(?::varchar[])) '
        "order by writer_epoch, seq, lane, kind",
        [ids, ids],
    ).fetchall()
    commits: dict[str, Commit] = {}
    for commit, epoch, lane, seq, key, kind, count, size, sha256, spans in rows:
        found = commits.get(commit)
        before = found.objects if found else ()
        commits[commit] = Commit(
            commit,
            epoch,
            lane,
            seq,
            tuple(Span(**span) for span in spans),
            (*before, CommittedObject(key, kind, count, size, sha256)),
        )
    return tuple(commits.values())
