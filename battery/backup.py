"""A backup: a copy of warehouse, recovery store and objects that goes together, and its manifest with checksums.

What is copied first may be older than what is copied later, never newer: first what the store says of the warehouse and
the recovery store, then the warehouse under its lock, then the objects that it names, which never change. A recovery
store that is behind its warehouse costs a second reading of the log and nothing else. The manifest is written last, so
a backup that broke off has none.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb
import structlog
from pydantic import SecretStr

from kernel.base.errors import BatteryError
from kernel.base.locks import exclusive_lock
from kernel.base.masking import mask_urls
from kernel.base.settings import Settings
from kernel.base.whole_files import replace_file
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from refresh.dbt import lock_models
from sink.claim import CLAIM_KEY, MARK_KEY, claim_store
from sink.manifest import landing_objects
from sink.tables import require_tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse

_log = structlog.get_logger()

MANIFEST: Final = "backup.json"
VERSION: Final = 1
WAREHOUSE: Final = "battery.duckdb"
RECOVERY: Final = "recovery"
OBJECTS: Final = "objects"
SETTINGS: Final = "settings.json"

_TAKEN: Final = "backup.partial"
"""A file that is in the folder while it is being filled."""

_SECRET_LIKE: Final = frozenset({"minio_access_key", "kafka_sasl_username"})
"""Settings that are no secrets by their type, but are half of one."""

_COPY: Final = """
import shutil, sys
try:
    shutil.copyfile(sys.argv[1], sys.argv[2])
except OSError as error:
    sys.exit(error.strerror or str(error))
"""


@dataclass(frozen=True)
class BackupFile:
    """A file of a backup by its path in it, with its size in bytes."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class NamedObject:
    """An object that the warehouse names, which must be in the store for the tables to be whole."""

    key: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Backup:
    """What a backup holds, as its manifest tells.

    `offsets` has the last message that has landed of each partition, as `topic id:partition`. `has_objects` is false
    where the objects are only listed.
    """

    version: int
    made_at: str
    software: str
    pipeline: str
    topic: str
    rows: int
    offsets: dict[str, int]
    has_objects: bool
    files: list[BackupFile] = field(default_factory=list)
    named: list[NamedObject] = field(default_factory=list)

    def __str__(self) -> str:
        """One line for a person."""
        size = sum(file.bytes for file in self.files)
        objects = f"{len(self.named)} named objects" + ("" if self.has_objects else ", which are only listed")
        return f"{self.rows} readings, {objects}; {len(self.files)} files, {size / 1e6:.1f} MB"


def back_up(settings: Settings, folder: Path, *, with_objects: bool | None = None) -> Backup:
    """Copy a pipeline to a folder. The worker may keep running; it waits while the warehouse is copied.

    Args:
        settings: of the pipeline.
        folder: a new or empty one.
        with_objects: whether to copy the objects, or to list them; None copies those of a folder.

    Raises:
        BatteryError: the folder is not empty or within the pipeline, an object that the warehouse names is missing or
            damaged, or a part of the pipeline cannot be used. What was copied by then is removed.
    """
    file = settings.warehouse_address.file
    if file is None:
        raise BatteryError(
            f"WAREHOUSE={settings.warehouse} is a service, which keeps its own backups; `battery replay "
            "--from-archive` rebuilds its tables from the objects"
        )
    if with_objects is None:
        with_objects = settings.object_store.startswith("file://")
    store, warehouse = open_store(settings, make=False), open_warehouse(settings)
    with warehouse.connect("look for the landing tables", read_only=True) as connection:
        require_tables(connection, even_earlier=True)  # one is made before an upgrade, too
    _require_elsewhere(settings, folder)
    _take(folder)
    try:
        return _copy(settings, folder, store, warehouse, file, with_objects=with_objects)
    except BaseException:
        for part in folder.iterdir():  # it was empty; half a backup would only be in the way of the next one
            shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink(missing_ok=True)
        raise


def _require_elsewhere(settings: Settings, folder: Path) -> None:
    """Refuse a folder that would be copied itself, by this backup or the next one, and lost with what it is a copy of.

    Raises:
        BatteryError: it is in the store or beside the recovery store.
    """
    target = folder.resolve()
    scheme, _, store = settings.object_store.partition("://")
    for name, place in (("OBJECT_STORE", store if scheme == "file" else ""), ("RECOVERY_DIR", settings.recovery_dir)):
        if place and target.is_relative_to(Path(place).resolve()):
            raise BatteryError(f"{folder} is within {name}={place}; name a folder elsewhere, best on another disk")


def _take(folder: Path) -> None:
    """Make a new or empty folder this backup's own, by a file in it that only one process can make.

    Raises:
        BatteryError: it is not empty, or cannot be written.
    """
    try:
        is_free = not (folder.exists() and any(folder.iterdir()))
        if is_free:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (folder / _TAKEN).touch(exist_ok=False)
    except FileExistsError:  # another one has been quicker
        is_free = False
    except OSError as error:
        raise BatteryError(f"cannot write the backup to {folder}: {error.strerror or error}") from None
    if not is_free:
        raise BatteryError(f"{folder} is not empty; name a new folder for each backup")


def _copy(
    settings: Settings, folder: Path, store: ObjectStore, warehouse: Warehouse, file: Path, *, with_objects: bool
) -> Backup:
    """Copy a pipeline to an empty folder."""
    try:
        # No object that the warehouse names is merged or removed, and no mart is replaced, while they are copied.
        with exclusive_lock(settings, "backup"), lock_models(settings):
            claim = claim_store(store, warehouse)
            ours = {key: _get(store, key) for key in (CLAIM_KEY, MARK_KEY)}
            _copy_recovery(settings.recovery_dir, folder / RECOVERY)
            with warehouse.connect("back it up") as connection:
                connection.execute("checkpoint")
                # In a process of its own: closing the file in this one would give up DuckDB's lock on it.
                subprocess.run(
                    [sys.executable, "-c", _COPY, str(file), str(folder / WAREHOUSE)],
                    check=True, stderr=subprocess.PIPE, text=True,
                )  # fmt: skip
            rows, offsets, named = _landed(folder / WAREHOUSE)
            if with_objects:
                _copy_objects(store, folder / OBJECTS, named, ours)
        _write_settings(settings, folder)
    except OSError as error:
        raise BatteryError(f"cannot write the backup to {folder}: {error.strerror or error}") from None
    except duckdb.Error as error:
        raise BatteryError(f"cannot copy the WAREHOUSE: {str(error).splitlines()[0]}") from None
    except subprocess.CalledProcessError as error:
        why = (str(error.stderr).splitlines() or [f"the copy ended with {error.returncode}"])[-1]
        raise BatteryError(f"cannot copy the WAREHOUSE to {folder}: {why}") from None
    try:
        (folder / _TAKEN).unlink()
        os.sync()  # what the manifest names is on the disk before it is there
        backup = Backup(
            VERSION,
            datetime.now(UTC).isoformat(timespec="seconds"),
            f"battery-pipeline {version('battery-pipeline')}, DuckDB {duckdb.__version__}",
            claim.pipeline,
            settings.battery_topic,
            rows,
            offsets,
            with_objects,
            [_described(folder, path) for path in sorted(folder.rglob("*")) if path.is_file()],
            named,
        )
        replace_file(folder / MANIFEST, encode_manifest(asdict(backup)))
        os.sync()
    except OSError as error:
        raise BatteryError(f"cannot write the backup to {folder}: {error.strerror or error}") from None
    return backup


def encode_manifest(content: Mapping[str, Any]) -> bytes:
    """A manifest as JSON, with the checksum of what it says."""
    return json.dumps({**content, "checksum": manifest_checksum(content)}, indent=1).encode()


def manifest_checksum(content: Mapping[str, Any]) -> str:
    """The SHA-256 of what a manifest says."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def checksum(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _described(folder: Path, path: Path) -> BackupFile:
    return BackupFile(path.relative_to(folder).as_posix(), path.stat().st_size, checksum(path))


def _get(store: ObjectStore, key: str) -> bytes | None:
    return store.get(key) if any(stored.key == key for stored in store.list(key)) else None


def _copy_recovery(source: Path, target: Path) -> None:
    """Copy a recovery store by SQLite's own means, since a worker may be writing to it."""
    for part in sorted(source.glob("*.sqlite3")):
        target.mkdir(exist_ok=True, mode=0o700)
        try:
            with closing(sqlite3.connect(part, timeout=30)) as old, closing(sqlite3.connect(target / part.name)) as new:
                old.backup(new)
        except sqlite3.Error as error:
            _log.warning(
                "the recovery store is left out: the log is read again instead", part=str(part), why=str(error)
            )
            shutil.rmtree(target)
            return


def _landed(copy: Path) -> tuple[int, dict[str, int], list[NamedObject]]:
    """What the copy of a warehouse holds: readings, the last message of each partition, and the objects it names."""
    try:
        with duckdb.connect(str(copy), read_only=True) as connection:
            (row,) = connection.execute("select count(*) from battery_ts_cleaned").fetchall()
            progress = connection.execute(
                'select topic_id || \':\' || "partition", max("offset") from _progress group by all order by all'
            ).fetchall()
            named = connection.execute("select object_key, bytes, sha256 from _commits order by object_key").fetchall()
    except duckdb.Error as error:
        raise BatteryError(f"the copy of the WAREHOUSE cannot be read: {str(error).splitlines()[0]}") from None
    return row[0], dict(progress), [NamedObject(*one) for one in named]


def _copy_objects(
    store: ObjectStore, target: Path, named: Iterable[NamedObject], ours: dict[str, bytes | None]
) -> None:
    """Copy the objects that the warehouse names, each compared with its checksum, and all that are no landing objects.

    Landing objects that it does not name are of commits after the copy, or leftovers.
    """
    for one in named:
        data = store.get(one.key)
        if hashlib.sha256(data).hexdigest() != one.sha256:
            raise BatteryError(f"the object {one.key} is damaged; `battery verify` says what to do, then back up again")
        replace_file(target / one.key, data)
    landing = {found.key for found in landing_objects(store)}
    for stored in list(store.list("")):
        if stored.key in landing or stored.key in ours:
            continue
        try:
            data = store.get(stored.key)
        except BatteryError as error:
            _log.warning("an object has gone while it was copied", key=stored.key, why=str(error))
        else:
            replace_file(target / stored.key, data)
    for key, kept in ours.items():
        if kept is not None:
            replace_file(target / key, kept)


def _write_settings(settings: Settings, folder: Path) -> None:
    """Write the settings without secrets, and the files that they name."""
    shown: dict[str, Any] = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if value is not None and not isinstance(value, SecretStr) and name not in _SECRET_LIKE:
            shown[name.upper()] = value if isinstance(value, (int, float, bool)) else mask_urls(str(value))
    replace_file(folder / SETTINGS, json.dumps(shown, indent=1).encode())
    for path in (settings.battery_cells, settings.battery_alert_rules, settings.mapping_file):
        if path is not None and path.is_file():
            replace_file(folder / "files" / path.name, path.read_bytes())
