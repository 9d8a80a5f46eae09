"""The marts as Parquet objects: what a dashboard reads without holding the warehouse.

Each publication writes its tables under a folder of its own and then `marts/manifest.json`, which names them: a reader
who goes by that sees the tables of one publication. The one before stays, for readers who have just read its manifest.
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
)
"""What is exported: the marts that do not have a row for each reading."""

MANIFEST: Final = "marts/manifest.json"


def export_marts(warehouse: Warehouse, store: ObjectStore) -> int:
    """Write the published marts to the object store.

    Returns:
        The number of rows that were written.

    Raises:
        BatteryError: warehouse or store cannot be used; readers see the marts exported before.
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
    stored = [found.key for found in store.list("marts/")]
    before = json.loads(store.get(MANIFEST))["folder"] if MANIFEST in stored else folder
    manifest = {"published_at": at.isoformat(), "folder": folder, "tables": listed}
    store.put(MANIFEST, json.dumps(manifest, indent=2).encode())
    for key in stored:
        if key != MANIFEST and key.rpartition("/")[0] < before:  # what is newer may be another's that is under way
            store.delete(key)
    return sum(table.num_rows for table in tables.values())
