"""The claim: an object in the store that says which pipeline the store belongs to.

The warehouse decides what has landed, so two warehouses on one store would each take the other's committed objects for
leftovers. A pipeline has an id, which its warehouse holds. The store holds the id of the pipeline that owns it, and a
process of another pipeline is refused before it writes or removes anything.
"""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import duckdb
import structlog

from kernel.base.errors import BatteryError
from kernel.edges.warehouse import Postgres, persistent, transaction
from sink.layout import LAYOUT, READERS, find_tables, release, require_known_layout
from sink.leftovers import retired_keys
from sink.manifest import landing_objects
from sink.tables import create_pipeline
from sink.writers import pipeline_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse
    from sink.manifest import LandingObject

_log = structlog.get_logger()

CLAIM_KEY: Final = "pipeline/claim.json"

MARK_KEY: Final = "pipeline/mark.json"
"""What each commit of a worker leaves beside the claim, so that an older copy of its warehouse can be recognized."""

EPOCHS_IN_FLIGHT: Final = 100
"""How many runs of another pipeline may have begun when its store is adopted, and have stored nothing yet."""


class ForeignStoreError(BatteryError):
    """The object store belongs to another pipeline than the warehouse."""


@dataclass(frozen=True)
class Claim:
    """Which pipeline owns a store.

    `pipeline` is the owner's id. Objects of writer epochs up to `spared` that the owner's manifest does not name may
    be named by another manifest, and are never removed. `host` and `claimed_at` (UTC) are for people.
    """

    pipeline: str
    spared: int
    host: str
    claimed_at: str

    def epoch_above(self, stored: Sequence[LandingObject]) -> int:
        """The epoch that each new one must exceed, so that no object of another writer is overwritten."""
        return max([self.spared, *(landed.epoch for landed in stored)])


@dataclass(frozen=True)
class Mark:
    """How far the owner's warehouse has come: at least `commits` commits in the run of a writer `epoch`."""

    epoch: int
    commits: int


@dataclass(frozen=True)
class Adoption:
    """The result of an adoption.

    `previous` is the id of the earlier owner, or None. `spared_objects` counts the objects that may belong to it; they
    stay.
    """

    claim: Claim
    previous: str | None
    spared_objects: int

    def __str__(self) -> str:
        """One line for a person."""
        if self.previous == self.claim.pipeline:
            return f"nothing to adopt: the OBJECT_STORE belongs to this pipeline ({self.previous})"
        return (
            f"the OBJECT_STORE belongs to pipeline {self.claim.pipeline} now, before to {self.previous or 'none'}; "
            f"{self.spared_objects} objects that the WAREHOUSE does not name stay in it for good (writer epochs up to "
            f"{self.claim.spared})"
        )


def claim_store(store: ObjectStore, warehouse: Warehouse) -> Claim:
    """Make sure that a store belongs to the pipeline of a warehouse; claim it if it belongs to none.

    A store is claimed only if it is empty, or if the warehouse knows every writer of its objects.

    Raises:
        ForeignStoreError: it belongs to another pipeline, or holds objects of writers that the warehouse does not know.
        BatteryError: store or warehouse cannot be used, or the claim cannot be read.
    """
    pipeline = _settle_id(warehouse)
    claim = read_claim(store)
    if claim is None:
        stored = list(landing_objects(store))
        wanted = _claim(pipeline, _spared(warehouse, stored))
        if store.put_new(CLAIM_KEY, _encode(wanted)):
            _log.info("claimed the object store", pipeline=pipeline)
        claim = read_claim(store)  # another process may have claimed it at the same time
    if claim is None or claim.pipeline != pipeline:
        raise ForeignStoreError(_refusal(claim, pipeline))
    return claim


def require_claimed(store: ObjectStore, pipeline: str) -> None:
    """Make sure that a process which joins a run has the store of the run: another one lacks its claim.

    Args:
        store: that the process has under its OBJECT_STORE.
        pipeline: the id of the pipeline of the warehouse, which has claimed the store of the run.

    Raises:
        ForeignStoreError: it has another one.
        BatteryError: the store does not answer, or the claim cannot be read.
    """
    claim = read_claim(store)
    if claim is None or claim.pipeline != pipeline:
        whose = "is nobody's" if claim is None else f"belongs to pipeline {claim.pipeline}"
        raise ForeignStoreError(
            f"the OBJECT_STORE that this process reaches {whose}, and is not that of the run, of pipeline {pipeline}: "
            "what it stored would be missing for all others. Let all processes reach one bucket (MINIO_ENDPOINT), or "
            "mount one folder at the same path"
        )


def require_rows(store: ObjectStore, warehouse: Warehouse) -> None:
    """Make sure that a worker does not claim an empty store beside a warehouse in PostgreSQL whose rows are elsewhere.

    In a DuckDB file the rows are in the tables as well, so a lost store costs the archive, and landing goes on.

    Raises:
        ForeignStoreError: the warehouse names objects, and the store holds none and is nobody's.
        BatteryError: store or warehouse cannot be used.
    """
    if not isinstance(warehouse, Postgres) or read_claim(store) is not None or any(landing_objects(store)):
        return
    named, _ = _keys_and_epochs(warehouse)
    if named:
        raise ForeignStoreError(
            f"the OBJECT_STORE is empty, and the WAREHOUSE names {len(named)} objects, which are its rows: set "
            "OBJECT_STORE and MINIO_ENDPOINT to where they are. Where they are lost, `battery replay --from-beginning` "
            "lands them again from the log"
        )


def adopt_store(store: ObjectStore, warehouse: Warehouse) -> Adoption:
    """Give a store to the pipeline of a warehouse on purpose, whatever pipeline it belongs to.

    No object in it that may belong to another pipeline is removed, now or later.

    Raises:
        BatteryError: store or warehouse cannot be used.
    """
    pipeline = _settle_id(warehouse)
    try:
        previous = read_claim(store)
    except DamagedClaimError:
        previous = None
    if previous is not None and previous.pipeline == pipeline:
        return Adoption(previous, pipeline, 0)
    stored = list(landing_objects(store))
    last = max([0 if previous is None else previous.spared, *(landed.epoch for landed in stored)])
    claim = _claim(pipeline, last + EPOCHS_IN_FLIGHT)
    store.put(CLAIM_KEY, _encode(claim))
    named, _ = _keys_and_epochs(warehouse)
    return Adoption(claim, previous.pipeline if previous else None, len({landed.key for landed in stored} - named))


def write_mark(store: ObjectStore, mark: Mark) -> None:
    """Leave a mark in the store.

    Raises:
        BatteryError: the store does not answer.
    """
    store.put(MARK_KEY, json.dumps(asdict(mark)).encode())


def mark_beyond(store: ObjectStore, warehouse: Warehouse) -> Mark | None:
    """The mark in the store, if the warehouse has not come that far; else None.

    The warehouse is then an older copy, or another copy is in use.

    Raises:
        BatteryError: store or warehouse cannot be used.
    """
    if MARK_KEY not in {stored.key for stored in store.list(MARK_KEY)}:
        return None
    try:
        mark = Mark(**json.loads(store.get(MARK_KEY)))
    except (ValueError, TypeError):
        return None  # it is damaged; the next commit writes it again
    with warehouse.connect("look how far it has come") as connection:
        if "_writers" not in find_tables(connection):
            return mark
        changes = connection.execute("select changes from _writers where epoch = ?", [mark.epoch]).fetchone()
    return mark if changes is None or changes[0] < mark.commits else None


def spare_others(store: ObjectStore, warehouse: Warehouse, claim: Claim) -> Claim:
    """If the warehouse is an older copy, make sure that objects which the newer one may name are never removed.

    Returns:
        The claim, with the epochs up to which objects stay.

    Raises:
        BatteryError: store or warehouse cannot be used.
    """
    mark = mark_beyond(store, warehouse)
    if mark is None:
        return claim
    last = max(mark.epoch, claim.epoch_above(list(landing_objects(store))))
    _log.warning(
        "the WAREHOUSE is an older copy of one that has written to this OBJECT_STORE since; what that one may name "
        "stays in the store for good",
        writer_epochs_up_to=last,
    )
    if claim.spared < last:
        claim = replace(claim, spared=last + EPOCHS_IN_FLIGHT)
        store.put(CLAIM_KEY, _encode(claim))
    return claim


class DamagedClaimError(BatteryError):
    """The claim in the store cannot be read."""


def read_claim(store: ObjectStore) -> Claim | None:
    """The claim on a store; None if there is none.

    Raises:
        DamagedClaimError: it cannot be read.
        BatteryError: the store does not answer.
    """
    if CLAIM_KEY not in {stored.key for stored in store.list(CLAIM_KEY)}:
        return None
    try:
        claim = json.loads(store.get(CLAIM_KEY))
        return Claim(str(claim["pipeline"]), int(claim["spared"]), str(claim["host"]), str(claim["claimed_at"]))
    except (ValueError, TypeError, KeyError) as error:
        raise DamagedClaimError(
            f"{CLAIM_KEY} in the OBJECT_STORE, which says whose it is, cannot be read ({error!r}); bring a copy of it "
            "back or, where the store is this pipeline's, write it again with `battery adopt`"
        ) from None


def _settle_id(warehouse: Warehouse) -> str:
    """The id of the pipeline of a warehouse; a warehouse without one gets one, which it keeps."""

    def settle() -> str:
        with warehouse.judge("look up the pipeline") as connection, transaction(connection):
            require_known_layout(connection)
            pipeline = pipeline_id(connection) or uuid4().hex
            if find_tables(connection).schemas.get("_pipeline") != READERS:  # else it moves when a run begins
                create_pipeline(connection)
                connection.execute(
                    "insert into internal._pipeline values (true, ?, ?, ?) on conflict do nothing",
                    [pipeline, LAYOUT, release()],
                )
                return pipeline_id(connection) or pipeline  # another may have been quicker
            return pipeline

    try:
        return str(persistent(duckdb.TransactionException, duckdb.ConstraintException)(settle))
    except duckdb.Error as error:
        raise BatteryError(f"cannot look up the pipeline: {str(error).splitlines()[0]}; start it again") from error


def _spared(warehouse: Warehouse, stored: Sequence[LandingObject]) -> int:
    """The last epoch of objects that may be another pipeline's, in a store without a claim.

    Raises:
        ForeignStoreError: some objects are of writers that the warehouse does not know.
    """
    if not stored:
        return 0
    named, epochs = _keys_and_epochs(warehouse)
    for landed in stored:
        if landed.key not in named and landed.epoch not in epochs:
            raise ForeignStoreError(
                f"the OBJECT_STORE holds objects of a pipeline that the WAREHOUSE does not know, such as {landed.key}; "
                f"{_WAY_OUT}"
            )
    # Two pipelines count their epochs alike, and before there were claims both may have written to this store.
    return max((landed.epoch for landed in stored if landed.key not in named), default=0)


def _keys_and_epochs(warehouse: Warehouse) -> tuple[set[str], set[int]]:
    """The keys of the objects that a warehouse knows, and the epochs of its writers; both are empty if it is new."""
    with warehouse.connect("look whose objects these are") as connection:
        places = find_tables(connection)
        if not all(name in places for name in ("_writers", "_commits", "_retired")):
            return set(), set()
        named = {key for (key,) in connection.execute("select object_key from _commits").fetchall()}
        epochs = {epoch for (epoch,) in connection.execute("select epoch from _writers").fetchall()}
        return named | retired_keys(connection, places.full_name("_retired")), epochs


_WAY_OUT: Final = (
    "set OBJECT_STORE and WAREHOUSE to a pair that belongs together. To take the store over on purpose, as where its "
    "own WAREHOUSE is lost: stop the other pipeline, run `battery adopt`, then `battery replay --from-beginning`"
)


def _refusal(claim: Claim | None, pipeline: str) -> str:
    if claim is None:
        return f"{CLAIM_KEY} has gone from the OBJECT_STORE while it was claimed; start again"
    return (
        f"the OBJECT_STORE belongs to pipeline {claim.pipeline} (claimed on {claim.host}, {claim.claimed_at}), the "
        f"WAREHOUSE to {pipeline}; {_WAY_OUT}"
    )


def _claim(pipeline: str, spared: int) -> Claim:
    return Claim(pipeline, spared, socket.gethostname(), datetime.now(UTC).isoformat(timespec="seconds"))


def _encode(claim: Claim) -> bytes:
    return json.dumps(asdict(claim), indent=2).encode()
