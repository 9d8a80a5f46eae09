"""What the store holds and no commit names, and which of it may go.

A run of the worker asks when it begins, so does a replay, and a sweep for both. Each has taken an epoch in the same
transaction, so of whoever it finds superseded it is certain that nothing more will be committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from sink.writers import Writer

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import duckdb

    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse
    from sink.manifest import LandingObject

_log = structlog.get_logger()


@dataclass(frozen=True)
class Leftovers:
    """Objects in the store that no commit names.

    `retired` were replaced by a replay or a compaction. `unfinished` belong to commits that will never happen, by the
    kind of their writer, which has been superseded. `unknown` were committed to another warehouse, of which this may be
    an older copy: while there are any, nothing is certain, and nothing may be removed.
    """

    retired: tuple[LandingObject, ...]
    unfinished: Mapping[Writer, tuple[LandingObject, ...]]
    unknown: tuple[LandingObject, ...]


def find_leftovers(
    connection: duckdb.DuckDBPyConnection, stored: Sequence[LandingObject], epoch: int, spared: int
) -> Leftovers:
    """Tell what is left over; what has been retired and is gone from the store is forgotten.

    A lane commits one after the other, so nothing of it can lie beyond its next commit. What does is unknown. Objects
    of a replay or a compaction are numbered otherwise and say nothing of that kind.

    Args:
        connection: in the transaction that has taken `epoch`.
        stored: what was in the store before that transaction began.
        epoch: that of whoever asks, who has stored nothing yet.
        spared: the last epoch of objects that another pipeline's manifest may name, see `sink.claim`; none of those is
            left over.
    """
    connection.execute(
        "delete from _retired where object_key not in (select unnest(?::varchar[]))", [[found.key for found in stored]]
    )
    retired = retired_keys(connection)
    named = {key for (key,) in connection.execute("select object_key from _commits").fetchall()}
    next_seq = dict(connection.execute("select lane, max(seq) + 1 from _commits group by lane").fetchall())
    writers = connection.execute("select epoch, kind, superseded_by from _writers where epoch <> ?", [epoch]).fetchall()
    kinds = {taken: kind for taken, kind, _ in writers}
    ended = {taken for taken, _, ended_by in writers if ended_by is not None}
    # The sequences began anew with the last swap, so those of the runs before it say nothing.
    swapped = max(
        (taken for taken, kind, by in writers if kind == Writer.WORKER and kinds.get(by) == Writer.REPLAY), default=0
    )
    newest = max(kinds, default=0)
    ours = [found for found in stored if found.epoch > spared]
    unnamed = [found for found in ours if found.key not in named and found.key not in retired]
    unknown = [
        found
        for found in unnamed
        if found.epoch > newest
        or (
            kinds.get(found.epoch) == Writer.WORKER
            and found.epoch > swapped
            and found.seq > next_seq.get(found.lane, 1)
        )
    ]
    if unknown and Writer.WORKER in kinds.values():
        _log.warning(
            "the store holds objects of commits that the warehouse does not know, is it an older copy? Nothing is "
            "removed",
            objects=len(unknown),
            first=unknown[0].key,
        )
    return Leftovers(
        tuple(found for found in ours if found.key in retired),
        {writer: tuple(f for f in unnamed if f.epoch in ended and kinds.get(f.epoch) == writer) for writer in Writer},
        tuple(unknown),
    )


def retired_keys(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Keys of the objects that were replaced and have not been removed yet, as far as is known."""
    return {key for (key,) in connection.execute("select object_key from _retired").fetchall()}


def remove_retired(warehouse: Warehouse, store: ObjectStore, keys: Collection[str]) -> None:
    """Remove objects that were replaced, then forget them.

    Raises:
        BatteryError: store or warehouse cannot be used; what is left is known as before.
    """
    for key in sorted(keys):
        store.delete(key)
    if keys:
        with warehouse.connect("forget replaced objects") as connection:
            connection.execute("delete from _retired where object_key in (select unnest(?::varchar[]))", [sorted(keys)])
