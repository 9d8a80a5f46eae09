"""Leftovers: the objects in the store that no commit names, and which of them may be removed.

A run of the worker, a replay and a sweep look for them when they begin. Each takes a writer epoch in the same
transaction. A writer that is superseded by then can commit nothing more, so its objects may be removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from kernel.edges.warehouse import PostgresSession
from sink.writers import Writer

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Judge, Warehouse
    from sink.manifest import LandingObject

_log = structlog.get_logger()


@dataclass(frozen=True)
class Leftovers:
    """Objects in the store that no commit names.

    `retired` objects were replaced by a replay or a compaction, and nobody reads them any more. `unfinished` objects
    belong to commits that can no longer happen, since their writer is superseded; they are sorted by the kind of
    writer. `unknown` objects were committed to another warehouse, of which this one may be an older copy. While there
    are any, nothing may be removed.
    """

    retired: tuple[LandingObject, ...]
    unfinished: Mapping[Writer, tuple[LandingObject, ...]]
    unknown: tuple[LandingObject, ...]


def find_leftovers(connection: Judge, stored: Sequence[LandingObject], epoch: int, spared: int) -> Leftovers:
    """Find the leftovers, and delete the entries of `_retired` whose objects are gone from the store.

    A lane commits one after the other, so a worker's object with a number beyond the lane's next commit is unknown to
    this warehouse. The numbers of replays and compactions count something else, and show nothing of that kind.

    Args:
        connection: in the transaction that has taken `epoch`.
        stored: the objects that were in the store before that transaction began.
        epoch: the epoch of the caller, who has stored nothing yet.
        spared: the last epoch of objects that another pipeline's manifest may name (`sink.claim`); these are never
            leftovers.
    """
    keys = [candidate.key for candidate in stored]
    is_old = (
        "and retired_at < now() - interval '1 hour'" if isinstance(connection, PostgresSession) else ""
    )  # not newer
    connection.execute(
        f"delete from internal._retired where object_key not in (select unnest(?::varchar[])) {is_old}",  # noqa: S608
        [keys],
    )
    # In this order: in PostgreSQL each statement sees what has been committed by then, and a compaction that commits in
    # between moves keys from the first to the second.
    named = {key for (key,) in connection.execute("select object_key from internal._commits").fetchall()}
    retired = retired_keys(connection)
    next_seq = dict(connection.execute("select lane, max(seq) + 1 from internal._commits group by lane").fetchall())
    writers = connection.execute(
        "select epoch, kind, superseded_by from internal._writers where epoch <> ?", [epoch]
    ).fetchall()
    kinds = {taken: kind for taken, kind, _ in writers}
    ended = {taken for taken, _, ended_by in writers if ended_by is not None}
    # The numbers began again with the last swap, so those of earlier runs show nothing.
    swapped = max(
        (taken for taken, kind, by in writers if kind == Writer.WORKER and kinds.get(by) == Writer.REPLAY), default=0
    )
    newest = max(kinds, default=0)
    ours = [candidate for candidate in stored if candidate.epoch > spared]
    unnamed = [candidate for candidate in ours if candidate.key not in named and candidate.key not in retired]
    unknown = [
        candidate
        for candidate in unnamed
        if candidate.epoch > newest
        or (
            kinds.get(candidate.epoch) == Writer.WORKER
            and candidate.epoch > swapped
            and candidate.seq > next_seq.get(candidate.lane, 1)
        )
    ]
    if unknown and Writer.WORKER in kinds.values():
        _log.warning(
            "the store holds objects of commits that the warehouse does not know, is it an older copy? Nothing is "
            "removed",
            objects=len(unknown),
            first=unknown[0].key,
        )
    removable = removable_keys(connection)
    return Leftovers(
        tuple(candidate for candidate in ours if candidate.key in removable),
        {writer: tuple(f for f in unnamed if f.epoch in ended and kinds.get(f.epoch) == writer) for writer in Writer},
        tuple(unknown),
    )


def retired_keys(connection: Judge, table: str = "internal._retired") -> set[str]:
    """Keys of the objects that were replaced and have not been removed yet; a release before has another `table`."""
    return {key for (key,) in connection.execute(f"select object_key from {table}").fetchall()}  # noqa: S608


def removable_keys(connection: Judge) -> set[str]:
    """Keys of the objects that were replaced and may be removed.

    In a DuckDB file and in MotherDuck the rows are in the tables, so nobody who asks the warehouse reads objects. Those
    that ask PostgreSQL read the objects that it named when they began: these stay for OBJECT_GRACE_SECONDS.
    """
    if not isinstance(connection, PostgresSession):
        return retired_keys(connection)
    rows = connection.execute(
        "select object_key from internal._retired where retired_at <= now() - ? * interval '1 second'",
        [connection.grace_seconds],
    ).fetchall()
    return {key for (key,) in rows}


def remove_retired(warehouse: Warehouse, store: ObjectStore, keys: Collection[str]) -> None:
    """Remove replaced objects from the store, then from the list of them.

    Raises:
        BatteryError: store or warehouse cannot be used; objects that were not removed are still on the list.
    """
    for key in sorted(keys):
        store.delete(key)
    if keys:
        with warehouse.judge("forget replaced objects") as connection:
            connection.execute(
                "delete from internal._retired where object_key in (select unnest(?::varchar[]))", [sorted(keys)]
            )
