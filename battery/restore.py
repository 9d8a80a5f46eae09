"""A backup brought back: all of it is checked before anything is written, and nothing is overwritten unasked."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from battery.backup import (
    MANIFEST,
    OBJECTS,
    RECOVERY,
    VERSION,
    WAREHOUSE,
    Backup,
    BackupFile,
    NamedObject,
    checksum,
    manifest_checksum,
)
from dataflows.health import Pulse
from kernel.base.errors import BatteryError
from kernel.base.locks import exclusive_lock, is_locked
from kernel.edges.objects import open_store
from refresh.dbt import lock_models
from sink.care.overview import ENDING
from sink.claim import CLAIM_KEY, MARK_KEY, read_claim

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from kernel.base.settings import Settings
    from kernel.edges.objects import ObjectStore


@dataclass(frozen=True)
class Restored:
    """What was brought back; `objects` counts those that the store lacked or had with other content."""

    backup: Backup
    objects: int

    def lines(self) -> Iterator[str]:
        """What was done, and what to do now."""
        yield f"restored the backup of {self.backup.made_at}: {self.backup}; {self.objects} objects were written"
        for place, last in self.backup.offsets.items():
            yield f"  topic {self.backup.topic}, {place}: landed up to offset {last}"
        yield (
            "now `battery stream`: it reads on from there, lands what came since exactly once, and needs no offset to "
            "be set; then `battery transform`, and `battery verify`"
        )


def read_backup(folder: Path) -> Backup:
    """Read the manifest of a backup.

    Raises:
        BatteryError: there is none, or it is of a later version or damaged.
    """
    try:
        content: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        if content["version"] != VERSION:
            raise BatteryError(
                f"{folder / MANIFEST} is of version {content['version']}, this release reads {VERSION}; restore it "
                f"with the release that made it ({content['software']})"
            )
        told = content.pop("checksum", None)  # the manifests of an earlier release have none
        if told is not None and told != manifest_checksum(content):
            raise BatteryError(
                f"{folder / MANIFEST} is damaged: it does not say what its checksum says; use another one"
            )
        files = [BackupFile(**file) for file in content.pop("files")]
        named = [NamedObject(**one) for one in content.pop("named")]
        return Backup(**content, files=files, named=named)
    except FileNotFoundError:
        raise BatteryError(f"{folder} is no backup, or one that broke off: there is no {MANIFEST} in it") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BatteryError(f"{folder / MANIFEST} cannot be read ({error}); use another backup") from None


def check_backup(folder: Path) -> Backup:
    """Read a backup and compare every file of it with its checksum.

    Raises:
        BatteryError: a file is missing or differs, or there is no manifest.
    """
    backup = read_backup(folder)
    for file in backup.files:
        path = folder / file.path
        if not path.resolve().is_relative_to(folder.resolve()):
            raise BatteryError(f"{folder / MANIFEST} names {file.path}, which is not in the backup; use another one")
        if not path.is_file():
            raise BatteryError(f"the backup lacks {path}; use another one")
        if path.stat().st_size != file.bytes or checksum(path) != file.sha256:
            raise BatteryError(f"{path} of the backup is damaged; use another one")
    held = {file.path for file in backup.files}
    wanted = [WAREHOUSE, *(f"{OBJECTS}/{one.key}" for one in backup.named if backup.has_objects)]
    if lacking := next((path for path in wanted if path not in held), None):
        raise BatteryError(f"the backup lacks {folder / lacking}; use another one")
    return backup


def restore(settings: Settings, folder: Path, *, force: bool = False) -> Restored:
    """Bring a backup back to where the settings say; stop the pipeline before.

    A store that is ahead of the backup keeps what it holds. Its claim and mark stay, by which the worker knows that the
    warehouse is an older copy and removes nothing.

    Raises:
        BatteryError: the backup is not whole, there is a pipeline already or it runs, the store is another
            pipeline's or lacks objects, or something cannot be written.
    """
    file = settings.warehouse_address.file
    if file is None:
        raise BatteryError(f"WAREHOUSE={settings.warehouse} is a service; set WAREHOUSE to the file to restore to")
    backup = check_backup(folder)
    _require_stopped(settings, file)
    recovery = settings.recovery_dir
    if not force:
        there = [path for path in (file, *recovery.glob("*.sqlite3")) if path.exists()]
        if there:
            raise BatteryError(f"{there[0]} is there already; --force replaces warehouse and recovery store")
    with exclusive_lock(settings, "restore"), lock_models(settings):
        store = open_store(settings)
        claim = read_claim(store)
        if claim is not None and claim.pipeline != backup.pipeline:
            raise BatteryError(
                f"the OBJECT_STORE belongs to pipeline {claim.pipeline}, the backup to {backup.pipeline}; set "
                "OBJECT_STORE to that pipeline's own, or to an empty one"
            )
        _require_objects(store, backup)
        try:
            written = _put_objects(store, folder, backup)
            # Whoever breaks off in between leaves no recovery store that is ahead of its warehouse, and no half of one.
            shutil.rmtree(recovery, ignore_errors=True)
            _replace_warehouse(file, folder)
            if (folder / RECOVERY).is_dir():
                _place_recovery(folder / RECOVERY, recovery)
        except OSError as error:
            raise BatteryError(
                f"cannot write the backup back: {error.strerror or error}; make room, then again"
            ) from None
    return Restored(backup, written)


def _place_recovery(source: Path, recovery: Path) -> None:
    """Put the copy of a recovery store in its place at once."""
    partial = recovery.with_name(f".{recovery.name}.{uuid4().hex}")
    try:
        shutil.copytree(source, partial)
        partial.chmod(0o700)
        partial.replace(recovery)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _require_stopped(settings: Settings, file: Path) -> None:
    """Refuse to replace what a running worker writes to."""
    pulse = Pulse(settings)
    age = pulse.since()
    if is_locked(file.with_name(f"{file.name}.up")):
        raise BatteryError("`battery up` runs over this WAREHOUSE; stop it, then restore")
    if age is not None and age < settings.commit_interval_seconds + 1:
        raise BatteryError(
            f"a worker runs, or ended {age:.0f} s ago: RECOVERY_DIR={settings.recovery_dir} shows an epoch of then; "
            "stop it, and try again a moment later"
        )


def _require_objects(store: ObjectStore, backup: Backup) -> None:
    """Refuse a backup without objects over a store that lacks some of them."""
    if backup.has_objects:
        return
    sizes = {stored.key: stored.size for stored in store.list("")}
    missing = [one.key for one in backup.named if sizes.get(one.key) != one.bytes]
    if missing:
        raise BatteryError(
            f"the OBJECT_STORE lacks {len(missing)} of the {len(backup.named)} objects that the backup names, such as "
            f"{missing[0]}; bring them back first, or `battery replay --from-beginning`"
        )


def _put_objects(store: ObjectStore, folder: Path, backup: Backup) -> int:
    """Write the objects that the store lacks, or has with other content; its own claim and mark stay."""
    there: Mapping[str, int] = {stored.key: stored.size for stored in store.list("")}
    written = 0
    for file in backup.files:
        prefix, _, key = file.path.partition("/")
        if prefix != OBJECTS or (key in {CLAIM_KEY, MARK_KEY} and key in there):
            continue
        if there.get(key) == file.bytes and hashlib.sha256(store.get(key)).hexdigest() == file.sha256:
            continue
        store.put_file(key, folder / file.path)
        written += 1
    return written


def _replace_warehouse(file: Path, folder: Path) -> None:
    """Put the copy in the place of the warehouse at once; the log of the one before must not be played onto it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{uuid4().hex}")
    try:
        shutil.copyfile(folder / WAREHOUSE, partial)
        file.with_name(f"{file.name}.wal").unlink(missing_ok=True)
        file.with_name(f"{file.name}{ENDING}").unlink(missing_ok=True)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
