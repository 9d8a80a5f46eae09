"""The compaction: merge the small objects of many commits into large ones of one commit, by a change of the manifest.

A worker commits every few seconds, so a day leaves thousands of objects. Neighbouring commits of one writer, lane and
log are merged in the order in which they landed. The archive therefore gives the same messages in the same order, and
the tables do not change. The replaced objects are listed in `_retired`, and a later sweep removes them, since a process
that has just read the manifest may still read them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Final

import duckdb
import structlog

from kernel.base.errors import BatteryError
from kernel.base.faults import Point, fault_point
from kernel.base.locks import exclusive_lock
from kernel.edges.warehouse import transaction
from sink.care.archive import SCHEMAS, Archive
from sink.care.sweep import clear
from sink.draft import commit_id, joined, put_object
from sink.encode import ObjectWriter
from sink.manifest import KINDS, QUARANTINE_KIND, Commit, insert_commits, manifest_rows, object_key, read_commits
from sink.parquet import DamagedObjectError
from sink.writers import require_current

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import pyarrow as pa

    from kernel.base.settings import Settings
    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse
    from sink.care.sweep import Cleared, Swept

_log = structlog.get_logger()

TARGET_BYTES: Final = 64 * 1024**2
"""The most bytes of the objects of commits that are merged into one."""

MAX_ROWS: Final = 1_000_000
"""The most rows of such commits, which a compaction, and later a replay, holds in memory."""

MAX_REFUSED: Final = 10_000
"""The most quarantined rows of such commits: their payloads may be long, but compress so well that bytes say little."""


@dataclass(frozen=True)
class Compaction:
    """The result of a compaction.

    `commits` commits became `merged` ones, with `rows` rows of all kinds. Objects and bytes are those of the whole
    manifest, before and after; the replaced objects stay until the next sweep. `left` says which commits could not be
    merged, and why. `spread` names the cells because of which nothing can be merged at all.
    """

    commits: int
    merged: int
    rows: int
    objects_before: int
    objects_after: int
    bytes_before: int
    bytes_after: int
    swept: Swept
    left: tuple[str, ...]
    spread: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything that should have been merged or removed was."""
        return not self.left and not self.swept.doubt

    def lines(self) -> Iterator[str]:
        """The report for a person."""
        yield from self.swept.lines()
        if self.spread:
            yield (
                f"nothing was merged: cell {self.spread[0]} came over more than one partition of a log, and the order "
                "of its refused messages would not be kept"
            )
        elif self.merged:
            yield (
                f"merged {self.commits} commits into {self.merged}, of {self.rows} rows: {self.objects_before} objects "
                f"of {self.bytes_before} bytes are {self.objects_after} of {self.bytes_after} now; the next sweep "
                "removes the old ones"
            )
        else:
            yield f"nothing to merge: {self.objects_before} objects of {self.bytes_before} bytes"
        for line in self.left:
            yield f"left alone: {line}"


def compact(settings: Settings, store: ObjectStore, warehouse: Warehouse) -> Compaction:
    """Sweep, then merge what can be merged; a worker may be running.

    Raises:
        BatteryError: store or warehouse cannot be used, or a replay, a sweep or another compaction is running; all
            merges until then are complete.
    """
    with exclusive_lock(settings, "compaction"):
        cleared = clear(settings, store, warehouse, "compaction")
        before = cleared.manifest.commits
        after = before
        left: dict[str, str] = {}
        if not cleared.is_older and not cleared.manifest.spread:
            after, left = _merge_all(warehouse, store, cleared)
        ids_before = {commit.commit for commit in before}
        merged = [commit for commit in after if commit.commit not in ids_before]
        return Compaction(
            commits=len(before) - len(after) + len(merged),
            merged=len(merged),
            rows=sum(_rows(commit) for commit in merged),
            objects_before=sum(len(commit.objects) for commit in before),
            objects_after=sum(len(commit.objects) for commit in after),
            bytes_before=sum(_bytes(commit) for commit in before),
            bytes_after=sum(_bytes(commit) for commit in after),
            swept=cleared.swept,
            left=tuple(dict.fromkeys(left.values())),
            spread=cleared.manifest.spread,
        )


def _merge_all(warehouse: Warehouse, store: ObjectStore, cleared: Cleared) -> tuple[tuple[Commit, ...], dict[str, str]]:
    """Merge until nothing can be merged: a merged commit is smaller than its parts, so it may take in more.

    Returns:
        The commits as they are now, and the reason for each one that could not be merged, by id.
    """
    commits, left, number = cleared.manifest.commits, dict[str, str](), 0
    while groups := mergeable(commits, left):
        archive = Archive(store) if number else cleared.archive  # a new one knows the objects that were just merged
        for group in groups:
            names = {commit.commit for commit in group}
            number += 1
            reason = "they have changed since they were read"
            try:
                merged = _merge(group, cleared.epoch, number, archive, store)
                if _swap_in(warehouse, cleared.epoch, group, merged):
                    kept = [commit for commit in commits if commit.commit not in names]
                    commits = tuple(sorted([*kept, merged], key=lambda c: (c.epoch, c.seq, c.lane)))
                    _log.info("merged", commits=len(group), into=merged.commit, rows=_rows(merged))
                    continue
            except DamagedObjectError as error:
                reason = (
                    f"{error}; `battery verify` says what else is wrong, `battery replay --from-beginning` writes the "
                    "objects again"
                )
            message = f"{len(group)} commits from {group[0].commit} on: {reason}"
            left |= dict.fromkeys(names, message)
            _log.warning(f"not merged: {message}")
    return commits, left


def _bytes(commit: Commit) -> int:
    return sum(committed.size for committed in commit.objects)


def _rows(commit: Commit) -> int:
    return sum(committed.rows for committed in commit.objects)


def mergeable(commits: Sequence[Commit], left: Collection[str] = ()) -> list[list[Commit]]:
    """Cut commits, in the order of the log, into groups of at least two that may become one.

    The commits of a group are of one run, one log and one lane. Their cells are in no other lane of that run, so
    commits of other lanes in between do not matter for their order. The newest commit of a lane is not merged, since a
    worker whose connection broke may look for it by its id. Commits whose ids are in `left` are not merged either, and
    no group goes across them.
    """
    newest = {commit.lane: commit.commit for commit in commits}
    groups: list[list[Commit]] = []
    for (_, topics), of_one_log in groupby(commits, lambda c: (c.epoch, frozenset(s.topic_id for s in c.spans))):
        lanes: dict[int, list[Commit]] = {}
        for commit in of_one_log:
            if len(topics) == 1 and newest[commit.lane] != commit.commit:
                lanes.setdefault(commit.lane, []).append(commit)
        for lane in lanes.values():
            groups += _cut(lane, left)
    return [group for group in groups if len(group) > 1]


def _refused(commit: Commit) -> int:
    return sum(committed.rows for committed in commit.objects if committed.kind == QUARANTINE_KIND)


def _cut(commits: Sequence[Commit], left: Collection[str]) -> list[list[Commit]]:
    """Cut the commits of one lane into groups that keep the limits."""
    groups: list[list[Commit]] = [[]]
    size = rows = refused = 0
    for commit in commits:
        size, rows, refused = size + _bytes(commit), rows + _rows(commit), refused + _refused(commit)
        if size > TARGET_BYTES or rows > MAX_ROWS or refused > MAX_REFUSED:
            groups.append([])
            size, rows, refused = _bytes(commit), _rows(commit), _refused(commit)
        if commit.commit in left:
            groups.append([])
            size = rows = refused = 0
        else:
            groups[-1].append(commit)
    return groups


def _merge(group: Sequence[Commit], epoch: int, number: int, archive: Archive, store: ObjectStore) -> Commit:
    """Store the rows of some commits as one commit, which has the lane and number of the last of them.

    Args:
        group: the commits, in the order of the log.
        epoch: the epoch of the compaction, for the keys of the objects.
        number: the number of the group in the compaction.
        archive: reads the objects.
        store: takes the new objects.

    Raises:
        DamagedObjectError: an object is not what was committed; nothing was stored.
        BatteryError: the store does not answer.
    """
    parts: dict[str, list[pa.Table]] = {kind: [] for kind in KINDS}
    for committed in (committed for commit in group for committed in commit.objects):
        parts[committed.kind].append(archive.rows(committed))
    last = group[-1]
    name = commit_id(epoch, last.lane, number)
    objects = []
    for kind, tables in sorted(parts.items()):  # in the order of the manifest
        if tables:
            writer = ObjectWriter(SCHEMAS[kind], name)
            for table in tables:
                writer.add(table.to_batches())
            objects.append(put_object(store, object_key(kind, last.lane, epoch, number), kind, writer))
    fault_point(Point.COMPACTION_STORED)
    spans = joined(span for commit in group for span in commit.spans)
    return replace(last, commit=name, spans=spans, objects=tuple(objects))


def _swap_in(warehouse: Warehouse, epoch: int, group: Sequence[Commit], merged: Commit) -> bool:
    """Replace the group by the merged commit in the manifest, in one transaction.

    Returns:
        Whether it happened; it does not if the commits of the group have changed since they were read.

    Raises:
        SupersededError: another compaction or a sweep has begun, or a replay has swapped the tables.
        BatteryError: the warehouse failed.
    """
    names = [commit.commit for commit in group]
    chosen = 'where "commit" in (select unnest(?::varchar[]))'
    try:
        with warehouse.judge("name merged objects") as connection:
            with transaction(connection):
                require_current(connection, epoch)
                if read_commits(connection, names) != tuple(group):
                    return False
                connection.execute(
                    f"insert into internal._retired select object_key from internal._commits {chosen}",  # noqa: S608  # ours
                    [names],
                )
                ((committed_at,),) = connection.execute(
                    f"select max(committed_at) from internal._commits {chosen}",  # noqa: S608
                    [names],
                ).fetchall()
                connection.execute(f"delete from internal._commits {chosen}", [names])  # noqa: S608
                insert_commits(connection, manifest_rows(merged, committed_at))
                fault_point(Point.COMPACTION_SWAPPING)
            fault_point(Point.COMPACTION_SWAPPED)
    except duckdb.Error as error:
        raise BatteryError(
            f"the warehouse failed: {str(error).splitlines()[0]}; what was merged by then is whole, `battery compact` "
            "goes on from there"
        ) from error
    return True
