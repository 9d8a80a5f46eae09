"""The marts as Parquet objects, which a dashboard reads without opening the warehouse.

Each publication writes its tables in a folder of its own, and then `marts/manifest.json`, which names them. A reader
that starts from the manifest sees the tables of one publication. The tables of the publication before stay, for readers
that have just read its manifest.

Where several hosts publish, a host whose models are of an older landing than those in the store leaves it as it is.

Last it writes the tables once more, as `marts/latest/<table>.parquet`: paths that stay, for programs that know of no
manifest. Each object is replaced whole, but one after the other, so a reader of several may see two publications.
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pyarrow.parquet as pq
import structlog

from refresh.dbt import PUBLISHED
from refresh.host_models import landing_of, turn_of
from refresh.turns import MANIFEST as KEPT_MANIFEST
from sink.layout import INTERNAL

if TYPE_CHECKING:
    import pyarrow as pa

    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse

_log = structlog.get_logger()

MARTS: Final = (
    "battery_alerts",
    "battery_cells",
    "battery_cycles",
    "battery_gaps",
    "battery_groups",
    "battery_ica",
    "battery_live_tests",
    "battery_steps",
    "battery_tests",
    "battery_thresholds",
)
"""The exported marts: those that do not have one row for each reading."""

PRESENT: Final = f"""
    select table_name from information_schema.tables
    where table_catalog = current_database() and table_schema = '{PUBLISHED}'
"""  # noqa: S608  # the name comes from this project alone
"""The names of the tables and views that readers have."""

MANIFEST: Final = "marts/manifest.json"

_FOLDER: Final = "marts/%Y%m%dT%H%M%S%fZ"
"""The folder of a publication, by its time (UTC)."""

_MARKS: Final = f"""
    select model, version from {INTERNAL}._refreshed where model in ('_watermark', '_inputs')
"""  # noqa: S608

LATEST: Final = "marts/latest"
"""The folder of the tables of the newest publication, under paths that stay."""


def export_marts(warehouse: Warehouse, store: ObjectStore) -> int:
    """Write the published marts to the object store.

    Returns:
        The number of rows that were written; 0 where another host has published a newer landing.

    Raises:
        BatteryError: warehouse or store cannot be used; readers see the marts of the last export.
    """
    at = datetime.now(UTC)
    last_folder = _last_folder(store)
    folder = _folder(at)
    if last_folder is not None and folder <= last_folder:  # the clock was set back
        later = timedelta(microseconds=1 + secrets.randbelow(1_000_000))  # another host may have to add some, too
        folder = _folder(datetime.strptime(last_folder, _FOLDER).replace(tzinfo=UTC) + later)
    with warehouse.connect("export the marts", read_only=True) as connection:
        # A warehouse that an earlier version built lacks the marts that have been added since.
        present = {name for (name,) in connection.execute(PRESENT).fetchall()}
        names = [name for name in MARTS if name in present]
        tables = {name: connection.sql(f"from {PUBLISHED}.{name} order by all").to_arrow_table() for name in names}
        is_shared = landing_of(warehouse) is not warehouse
        marks = dict(connection.execute(_MARKS).fetchall()) if is_shared else {}
    listed: dict[str, Any] = {}
    written = {name: _parquet(table) for name, table in tables.items()}
    for name, table in tables.items():
        key, data = f"{folder}/{name}.parquet", written[name]
        store.put(key, data)
        listed[name] = {"key": key, "rows": table.num_rows, "sha256": hashlib.sha256(data).hexdigest()}
    keys = [stored.key for stored in store.list("marts/")]
    manifest = json.dumps({"published_at": at.isoformat(), "folder": folder, "tables": listed}, indent=2)
    latest = {f"{LATEST}/{name}.parquet": data for name, data in written.items()}
    with turn_of(warehouse) as turn:
        if not turn.is_newest:
            _log.info("another host has published a newer landing, which readers keep")
            _restore(store, turn.manifest)
            for table in listed.values():
                store.delete(table["key"])
            return 0
        last_folder = _last_folder(store)
        oldest = "" if last_folder is None else min(last_folder, folder)  # the clock of another host may be ahead
        store.put(MANIFEST, manifest.encode())
        for key, data in latest.items():
            store.put(key, data)
        for key in keys:
            if key == MANIFEST or key in latest:
                continue
            place = key.rpartition("/")[0]
            if place == LATEST or place < oldest:  # a newer one may be another export in progress
                store.delete(key)
        turn.note({**marks, KEPT_MANIFEST: manifest})
    return sum(table.num_rows for table in tables.values())


def _restore(store: ObjectStore, manifest: str | None) -> None:
    """Put the newest publication back, where a host that had stood still for long has written over it."""
    if manifest is None or store.get(MANIFEST) == manifest.encode():
        return
    _log.warning("an older publication had replaced a newer one, which is put back", key=MANIFEST)
    store.put(MANIFEST, manifest.encode())
    for name, table in json.loads(manifest)["tables"].items():
        store.put(f"{LATEST}/{name}.parquet", store.get(table["key"]))


def _folder(at: datetime) -> str:
    """The name of a publication's folder: later ones have greater names."""
    return at.strftime(_FOLDER)


def _last_folder(store: ObjectStore) -> str | None:
    """The folder of the last publication; None where there was none, or its manifest is damaged."""
    if not any(stored.key == MANIFEST for stored in store.list(MANIFEST)):
        return None
    try:
        folder = json.loads(store.get(MANIFEST))["folder"]
        datetime.strptime(folder, _FOLDER).replace(tzinfo=UTC)
    except (ValueError, KeyError, TypeError) as error:
        _log.warning("the manifest of the marts was damaged and is written again", key=MANIFEST, error=str(error))
        return None
    return str(folder)


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
