"""The marts as Parquet objects, which a dashboard reads without opening the warehouse.

Each publication writes its tables in a folder of its own, and then `marts/manifest.json`, which names them. A reader
that starts from the manifest sees the tables of one publication. The tables of the publication before stay, for readers
that have just read its manifest.
"""

from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow.parquet as pq

from refresh.dbt import PUBLISHED

if TYPE_CHECKING:
    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse

MARTS: Final = (
    "battery_cells",
    "battery_cycles",
    "battery_gaps",
    "battery_ica",
    "battery_steps",
    "battery_tests",
    "battery_thresholds",
)
"""The exported marts: those that do not have one row for each reading."""

MANIFEST: Final = "marts/manifest.json"


def export_marts(warehouse: Warehouse, store: ObjectStore) -> int:
    """Write the published marts to the object store.

    Returns:
        The number of rows that were written.

    Raises:
        BatteryError: warehouse or store cannot be used; readers see the marts of the last export.
    """
    at = datetime.now(UTC)
    folder = f"marts/{at:%Y%m%dT%H%M%S%fZ}"
    with warehouse.connect("export the marts", read_only=True) as connection:
        tables = {name: connection.sql(f"from {PUBLISHED}.{name} order by all").to_arrow_table() for name in MARTS}
    listed: dict[str, Any] = {}
    for name, table in tables.items():
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        data = buffer.getvalue()
        key = f"{folder}/{name}.parquet"
        store.put(key, data)
        listed[name] = {"key": key, "rows": table.num_rows, "sha256": hashlib.sha256(data).hexdigest()}
    keys = [stored.key for stored in store.list("marts/")]
    last_folder = json.loads(store.get(MANIFEST))["folder"] if MANIFEST in keys else folder
    manifest = {"published_at": at.isoformat(), "folder": folder, "tables": listed}
    store.put(MANIFEST, json.dumps(manifest, indent=2).encode())
    for key in keys:
        if key != MANIFEST and key.rpartition("/")[0] < last_folder:  # a newer one may be another export in progress
            store.delete(key)
    return sum(table.num_rows for table in tables.values())
