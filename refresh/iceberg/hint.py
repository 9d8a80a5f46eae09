"""The hint: a file beside a table's metadata that names the newest state, for engines that ask no catalog.

DuckDB's `iceberg_scan` goes by it. It is written after the catalog knows the state, so it may be behind for a moment,
never ahead; each run of `battery publish --iceberg` puts it right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kernel.edges.objects import ObjectStore

HINT: Final = "metadata/version-hint.text"

_ENDING: Final = ".metadata.json"


def write_hint(store: ObjectStore, folder: str, metadata: str) -> None:
    """Name a state as the newest one, unless it is named already.

    Args:
        store: where the table is.
        folder: the key of the table's folder.
        metadata: the address of the file that describes the state.

    Raises:
        BatteryError: the store cannot be written.
    """
    key, text = f"{folder}/{HINT}", metadata.rpartition("/")[2].removesuffix(_ENDING).encode()
    if not any(stored.key == key for stored in store.list(key)) or store.get(key) != text:
        store.put(key, text)
