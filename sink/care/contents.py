"""The contents of the committed objects, read one at a time while nobody waits for the warehouse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
import structlog

from kernel.base.errors import BatteryError
from kernel.edges.warehouse import ATTEMPTS
from sink.care.archive import Archive
from sink.care.compare import content_of
from sink.care.pieces import bounded
from sink.manifest import KINDS
from sink.parquet import DamagedObjectError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kernel.edges.objects import ObjectStore
    from sink.care.look import Look
    from sink.manifest import CommittedObject, LandingObject

_log = structlog.get_logger()


@dataclass(frozen=True)
class Contents:
    """What the objects hold that a manifest names.

    `sums` has the row count and the checksum of all objects of each kind, `wrong` what is wrong with objects that are
    not as committed. `leftovers` are the objects that it does not name.
    """

    objects: int
    sums: Mapping[str, tuple[int, int]]
    wrong: tuple[str, ...]
    leftovers: tuple[LandingObject, ...]


def read_contents(store: ObjectStore, look_at: Callable[[], Look], look: Look) -> tuple[Look, Contents]:
    """Read the objects that the manifest of a look names.

    Commits that land meanwhile change nothing. Compactions, replays and sweeps may remove an object before it is read.
    Such an object is not lost: the manifest does not name it any more. Then another look is taken, and what is missing
    of its objects is read.

    Args:
        store: where the objects are.
        look_at: takes another look at the warehouse.
        look: the first one.

    Returns:
        The look with which the contents agree in time, and the contents.

    Raises:
        BatteryError: the store does not answer, or objects were replaced again and again.
    """
    known: dict[CommittedObject, tuple[int, int]] = {}
    with duckdb.connect() as database, bounded(database):
        for _ in range(ATTEMPTS):
            archive, wrong = Archive(store), {}
            for committed in _objects(look):
                if committed not in known:
                    try:
                        known[committed] = _content(database, archive, committed)
                    except DamagedObjectError as error:
                        wrong[committed] = str(error)
            named = {committed.key for committed in _objects(look)}
            unnamed = [stored for stored in archive.stored if stored.key not in named and stored.epoch in look.epochs]
            if not wrong and not unnamed:
                return look, _contents(look, known, wrong, unnamed)
            later = look_at()
            of_later = set(_objects(later))
            if of_later.issuperset(wrong):
                keys = {committed.key for committed in of_later}  # some have been committed since the first look
                return look, _contents(look, known, wrong, [stored for stored in unnamed if stored.key not in keys])
            _log.info("objects were replaced while they were read, looking again", objects=len(wrong))
            look = later
    raise BatteryError(
        f"objects were replaced while they were read, {ATTEMPTS} times: verify again when no compaction, replay or "
        "sweep is running"
    )


def _objects(look: Look) -> list[CommittedObject]:
    return [committed for commit in look.manifest.commits for committed in commit.objects]


def _content(database: duckdb.DuckDBPyConnection, archive: Archive, committed: CommittedObject) -> tuple[int, int]:
    """Row count and checksum of an object.

    Raises:
        DamagedObjectError: it is not what was committed.
    """
    count = content = 0
    for group in archive.groups(committed):
        database.register("stored", group)
        rows, checksum = content_of(database, "stored")
        database.unregister("stored")
        count, content = count + rows, content + checksum
    return count, content


def _contents(
    look: Look,
    known: Mapping[CommittedObject, tuple[int, int]],
    wrong: Mapping[CommittedObject, str],
    leftovers: list[LandingObject],
) -> Contents:
    sums = dict.fromkeys(KINDS, (0, 0))
    objects = _objects(look)
    for committed in objects:
        if committed in known:
            count, content = sums[committed.kind]
            rows, checksum = known[committed]
            sums[committed.kind] = count + rows, content + checksum
    return Contents(len(objects), sums, tuple(wrong.values()), tuple(leftovers))
