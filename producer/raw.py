"""The raw archive and the memory of what was published: both content-addressed, both in the object store.

What a lab handed over is kept as it was, once, before a row of it goes anywhere. Which workbook is in which log is
remembered by checksum and topic id, since a log that was created anew has none of them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from pathlib import Path

    from battery.objects import ObjectStore


def checksum(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def keep(store: ObjectStore, path: Path, name: str, sha256: str) -> None:
    """Put a file under `raw/sha256=…/name`, unless it is there already.

    Raises:
        BatteryError: the store does not take it.
    """
    key = f"raw/sha256={sha256}/{name}"
    if not any(found.key == key for found in store.list(key)):
        store.put_file(key, path)


class Published:
    """Which workbooks all of whose rows one log holds."""

    def __init__(self, store: ObjectStore, topic_id: str) -> None:
        self._store = store
        self._prefix = f"published/topic={quote(topic_id, safe='')}/"
        self._known = {found.key for found in store.list(self._prefix)}

    def has(self, cell_id: str, sha256: str) -> bool:
        """Tell whether the log has this very file as readings of this cell."""
        return self._key(cell_id, sha256) in self._known

    def remember(self, cell_id: str, sha256: str, name: str) -> None:
        """Note that every row of a workbook has been acknowledged."""
        key = self._key(cell_id, sha256)
        self._store.put(key, f"{name} as {cell_id}\n".encode())
        self._known.add(key)

    def _key(self, cell_id: str, sha256: str) -> str:
        return f"{self._prefix}{hashlib.sha256(f'{sha256} {cell_id}'.encode()).hexdigest()}"  # ids are of any length
