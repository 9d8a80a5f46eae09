"""What the Iceberg tables shall consist of: the objects of the manifest, and those of the newest publication."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow.parquet as pq

from kernel.base.errors import BatteryError
from refresh.iceberg.files import StoreIO, storage_properties, store_root
from refresh.marts import ExportedMarts, NothingYetError
from sink.care.archive import SCHEMAS
from sink.manifest import LANDED_KIND, QUARANTINE_KIND, read_manifest
from sink.tables import require_tables
from sink.writers import pipeline_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from kernel.base.settings import Settings
    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse

LANDED: Final = (LANDED_KIND, QUARANTINE_KIND)
"""The kinds of landed objects that are tables."""


@dataclass(frozen=True)
class Sources:
    """The keys of the objects of each table, by its name, and the id of the pipeline that they are of."""

    pipeline: str
    objects: Mapping[str, tuple[str, ...]]
    settings: Settings

    def columns(self, table: str) -> pa.Schema:
        """The columns of the objects of a table.

        Raises:
            FileNotFoundError: its object has been replaced.
            OSError: the store does not answer.
        """
        if table in LANDED:
            return SCHEMAS[table]
        (key,) = self.objects[table]
        with StoreIO(storage_properties(self.settings)).new_input(f"{store_root(self.settings)}/{key}").open() as file:
            return pq.read_schema(file)


def read_sources(settings: Settings, store: ObjectStore, warehouse: Warehouse) -> Sources:
    """Read the manifest of the landing, in a moment, and then that of the marts, if any have been published.

    Raises:
        NoTablesError: nothing has landed.
        BatteryError: warehouse or store cannot be used.
    """
    with warehouse.connect("read the manifest", read_only=True) as connection:
        require_tables(connection)
        manifest, pipeline = read_manifest(connection), pipeline_id(connection)
    if pipeline is None:
        raise BatteryError("the WAREHOUSE has no pipeline's id yet; run `battery stream` first")
    objects: dict[str, list[str]] = {kind: [] for kind in LANDED}
    for committed in (committed for commit in manifest.commits for committed in commit.objects):
        if committed.kind in objects:
            objects[committed.kind].append(committed.key)
    keys = {kind: tuple(found) for kind, found in objects.items()}
    with suppress(NothingYetError):
        keys |= {name: (key,) for name, key in ExportedMarts(store).newest().places.items()}
    return Sources(pipeline, keys, settings)
