"""One Iceberg table, brought to the objects that it shall consist of.

What the table consists of, the table itself says: its list of files is compared with the objects that are named, and
the difference is one snapshot. It is committed only on the state with which it was compared. So a publisher that was
killed has done nothing or all, and of several at once one commits and the others compare again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    TableAlreadyExistsError,
    ValidationException,
)
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.manifest import ManifestContent
from pyiceberg.table import TableProperties
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import ExpireSnapshots, _OverwriteFiles

from kernel.base.errors import BatteryError
from kernel.base.faults import Point, fault_point
from refresh.iceberg.schema import adopt_schema, iceberg_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.manifest import DataFile, ManifestFile
    from pyiceberg.table import Table, Transaction
    from pyiceberg.table.snapshots import Snapshot
    from pyiceberg.table.update import UpdateTableMetadata

_log = structlog.get_logger()

OWNER: Final = "battery.pipeline"
"""The property of a table that says which pipeline's manifest it follows."""

FILES: Final = "battery.files"
"""The property of a snapshot with the checksum of the addresses of its files: most runs need to read no more."""

KEPT_SNAPSHOTS: Final = 50
"""Earlier states that a table names; an older one may consist of objects that have been removed."""

PROPERTIES: Final = {
    TableProperties.FORMAT_VERSION: "2",
    "gc.enabled": "false",  # no engine may delete what the manifest names, whatever it does to the table
    TableProperties.COMMIT_NUM_RETRIES: "0",  # trying again is to compare again, which `register` does
    TableProperties.METADATA_PREVIOUS_VERSIONS_MAX: "20",
}
"""What every table is made with."""


class OvertakenError(Exception):
    """The table has another state than the one that was compared, or an object has been replaced: compare again."""


@dataclass(frozen=True)
class Followed:
    """A table after it was brought up to date: its rows and objects, and how many objects came and went.

    `restored` tells whether rows were put back that another program had deleted while their objects stayed. `metadata`
    is the address of the file that describes its state.
    """

    name: str
    rows: int
    objects: int
    added: int
    removed: int
    restored: bool
    metadata: str

    @property
    def is_changed(self) -> bool:
        """Whether a snapshot was made."""
        return bool(self.added or self.removed or self.restored)


def create_table(catalog: Catalog, identifier: tuple[str, str], schema: pa.Schema, location: str, owner: str) -> Table:
    """Make an empty table.

    Args:
        catalog: where it is registered.
        identifier: namespace and name.
        schema: the columns of its objects.
        location: the address of the folder of its metadata, which holds no object.
        owner: the id of the pipeline.

    Raises:
        OvertakenError: another publisher has made it.
        BatteryError: a column has a type that Iceberg does not know.
    """
    try:
        return catalog.create_table(
            identifier, iceberg_schema(schema, identifier[1]), location=location, properties=PROPERTIES | {OWNER: owner}
        )
    except TableAlreadyExistsError:
        raise OvertakenError from None


def require_own(table: Table, location: str, owner: str) -> None:
    """Refuse a table that follows another manifest, or names objects at another place.

    Raises:
        BatteryError: says what to do.
    """
    name = ".".join(table.name())
    if table.properties.get(OWNER) != owner:
        raise BatteryError(
            f"the Iceberg table {name} is not one of this pipeline ({owner}), but of "
            f"{table.properties.get(OWNER, 'somebody else')}; set ICEBERG_NAMESPACE to a name of your own"
        )
    if table.location().rstrip("/") != location:
        raise BatteryError(
            f"the Iceberg table {name} names objects below {table.location()}, and OBJECT_STORE is elsewhere now; "
            "remove the table from the catalog (without its files), and `battery publish --iceberg` makes it again"
        )


def keep_properties(table: Table) -> None:
    """Give a table its properties again, if another program has changed them.

    Raises:
        OvertakenError: it has them now, in a state that must be loaded and compared again.
    """
    lost = {
        name: value
        for name, value in PROPERTIES.items()
        if name != TableProperties.FORMAT_VERSION and table.properties.get(name) != value
    }
    if not lost:
        return
    with suppress(CommitFailedException), table.transaction() as transaction:
        transaction.set_properties(lost)
    raise OvertakenError


def follow(table: Table, wanted: Collection[str], columns: Callable[[], pa.Schema], *, replaces: bool) -> Followed:
    """Bring a table to the objects that are named, by one snapshot or none.

    Args:
        table: in its newest state, loaded before the manifest was read.
        wanted: the addresses of the objects.
        columns: answers with the columns of the objects that are new; asked only where there are any.
        replaces: whether the objects replace all that were there, so that columns may go or have another type.

    Raises:
        OvertakenError: another publisher was faster, or an object is not there any more.
        BatteryError: a column cannot be had.
    """
    checksum = _checksum(wanted)
    head = table.current_snapshot()
    if (head is None and not wanted) or (head is not None and _property(head, FILES) == checksum):
        return _followed(table)
    manifests, hides_rows = _manifests(table)
    files = [
        entry.data_file
        for manifest in manifests
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
    ]
    named = Counter(file.file_path for file in files)
    kept = {address for address, times in named.items() if times == 1 and address in wanted}
    added = sorted(set(wanted) - kept)
    removed = [file for file in files if file.file_path not in kept]  # one that is named twice is added again
    if not (added or removed or hides_rows):
        return _followed(table)
    try:
        with table.transaction() as transaction:
            if added:
                adopt_schema(transaction, columns(), table.name()[-1], replaces=replaces)
            _stage(transaction, table, added, removed, checksum, hides_rows=hides_rows)
            _expire(transaction)
            fault_point(Point.ICEBERG_COMMITTING)
    except (CommitFailedException, CommitStateUnknownException, ValidationException, FileNotFoundError) as error:
        _log.debug("an Iceberg table is compared again", table=table.name()[-1], error=str(error))
        raise OvertakenError from error
    fault_point(Point.ICEBERG_COMMITTED)
    return _followed(table, len(added), len(removed), restored=hides_rows)


def _stage(
    transaction: Transaction,
    table: Table,
    added: Iterable[str],
    removed: Collection[DataFile],
    checksum: str,
    *,
    hides_rows: bool,
) -> None:
    """Stage the snapshot: an append, or where something goes an overwrite."""
    metadata, properties = transaction.table_metadata, {FILES: checksum}
    update = transaction.update_snapshot(properties)
    if hides_rows:
        producer: UpdateTableMetadata[Any] = _Unhiding(Operation.OVERWRITE, transaction, table.io, None, properties)
    else:
        producer = update.overwrite() if removed else update.merge_append()
    with producer as snapshot:
        for file in removed:
            snapshot.delete_data_file(file)
        for path in added:
            snapshot.append_data_file(parquet_file_to_data_file(table.io, metadata, path))


class _Unhiding(_OverwriteFiles):
    """A snapshot without the files of deletions that were there before: no row is hidden.

    To add the hidden objects again would do by the specification, but DuckDB hides their rows all the same.
    """

    def _existing_manifests(self) -> list[ManifestFile]:
        return [found for found in super()._existing_manifests() if found.content is ManifestContent.DATA]


def _expire(transaction: Transaction) -> None:
    """Forget the oldest states; their objects and their metadata stay where they are."""
    snapshots = sorted(transaction.table_metadata.snapshots, key=lambda snapshot: snapshot.sequence_number or 0)
    old = [snapshot.snapshot_id for snapshot in snapshots[:-KEPT_SNAPSHOTS]]
    if old:
        ExpireSnapshots(transaction).by_ids(old).commit()


def _manifests(table: Table) -> tuple[list[ManifestFile], bool]:
    """The lists of the objects that the table consists of now, and whether another program has deleted rows of them.

    Such a program may write files of deletions, each of which hides rows of an object.
    """
    head = table.current_snapshot()
    manifests = head.manifests(table.io) if head is not None else []
    of_data = [manifest for manifest in manifests if manifest.content is ManifestContent.DATA]
    return of_data, len(of_data) < len(manifests)


def _followed(table: Table, added: int = 0, removed: int = 0, *, restored: bool = False) -> Followed:
    head = table.current_snapshot()
    rows, objects = (int((head and _property(head, f"total-{what}")) or 0) for what in ("records", "data-files"))
    return Followed(table.name()[-1], rows, objects, added, removed, restored, table.metadata_location)


def _property(snapshot: Snapshot, name: str) -> str | None:
    return None if snapshot.summary is None else snapshot.summary.get(name)


def _checksum(addresses: Collection[str]) -> str:
    return hashlib.sha256("\n".join(sorted(addresses)).encode()).hexdigest()
