"""The raw archive: each file is stored unchanged, once for each content, before a row of it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from kernel.edges.objects import ObjectStore


def keep(store: ObjectStore, path: Path, name: str, sha256: str) -> None:
    """Put a file under `raw/sha256=…/name`, unless it is there already.

    Raises:
        BatteryError: the store cannot write it.
    """
    key = f"raw/sha256={sha256}/{name}"
    if not any(stored.key == key for stored in store.list(key)):
        store.put_file(key, path)
