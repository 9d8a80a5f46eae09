"""Notes on the content of files in the object store: to which log it was published, or why it was refused.

Notes are kept by checksum, so a copy under another name is not read again. They are also kept by log, since a recreated
topic has none of the workbooks, or by the code that reads, since another version may take what this one refuses.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import quote, unquote

from producer.readers.registry import registered_readers

if TYPE_CHECKING:
    from kernel.base.settings import Settings
    from kernel.edges.objects import ObjectStore

LandedOffsets: TypeAlias = Mapping[tuple[str, str, int], int]
"""The offset of the last message of a cell that has landed, by cell, topic id and partition."""

_PUBLISHED: Final = "published/topic="
_NOTE_DIGITS: Final = 32


@dataclass(frozen=True)
class Publication:
    """Where the readings of a workbook are: the log, and for each cell the last offset in each partition.

    `cell_id` is the cell that the user, or else the file, names; `last_offsets` has the cells of its channels. `reader`
    is the name of what read it, and `mapping` the digest of the mapping file that it was read by; both are empty where
    they are not known, or there was none.
    """

    cell_id: str
    topic_id: str
    last_offsets: Mapping[str, Mapping[int, int]]
    name: str = ""
    reader: str = ""
    mapping: str = ""

    def has_landed(self, landed: LandedOffsets) -> bool:
        """Whether every message of it is in the warehouse, landed or quarantined.

        Messages of a cell land in the order of their partition: where the last one has, those before it have too.
        """
        return bool(self.last_offsets) and all(
            bool(offsets)
            and all(landed.get((cell, self.topic_id, partition), -1) >= last for partition, last in offsets.items())
            for cell, offsets in self.last_offsets.items()
        )


class Publications:
    """The workbooks that one log holds completely, and those that were published to earlier logs."""

    def __init__(self, store: ObjectStore, topic_id: str) -> None:
        self._store = store
        self._topic_id = topic_id
        self._prefix = f"{_PUBLISHED}{quote(topic_id, safe='')}/"
        self._keys = {stored.key for stored in store.list(self._prefix)}
        self._earlier: dict[str, list[str]] | None = None

    def has(self, cell_id: str, sha256: str) -> bool:
        """Tell whether the log has the same file as readings of this cell."""
        return any(f"{self._prefix}{name}" in self._keys for name in _note_names(sha256, cell_id))

    def of(self, cell_id: str, sha256: str) -> Publication | None:
        """How this log has a file as readings of a cell; None where it has not, or where a note does not say."""
        names = _note_names(sha256, cell_id)
        found = self._read(key for name in names if (key := f"{self._prefix}{name}") in self._keys)
        return found[0] if found else None

    def earlier(self, cell_id: str, sha256: str) -> list[Publication]:
        """The earlier logs that this file was published to as readings of this cell, where notes have the offsets."""
        notes = self._of_earlier_logs()
        return self._read(key for name in _note_names(sha256, cell_id) for key in notes.get(name, []))

    def elsewhere(self, cell_id: str, sha256: str) -> list[Publication]:
        """The logs that this file was published to as readings of other cells; notes of earlier versions do not say."""
        own, start = _note_names(sha256, cell_id), f"{sha256}-"
        this_log = (
            key for key in sorted(self._keys) if _note_name(key).startswith(start) and _note_name(key) not in own
        )
        earlier = self._of_earlier_logs()
        names = (name for name in earlier if name.startswith(start) and name not in own)
        return self._read([*this_log, *(key for name in names for key in earlier[name])])

    def _of_earlier_logs(self) -> dict[str, list[str]]:
        """The keys of the notes on other logs, by the name of the note."""
        if self._earlier is None:
            self._earlier = {}
            for stored in self._store.list(_PUBLISHED):
                if not stored.key.startswith(self._prefix):
                    self._earlier.setdefault(_note_name(stored.key), []).append(stored.key)
        return self._earlier

    def _read(self, keys: Iterable[str]) -> list[Publication]:
        publications = [_publication(key, self._store.get(key)) for key in keys]
        return [publication for publication in publications if publication is not None]

    def remember(self, publication: Publication, sha256: str) -> None:
        """Note that every row of a workbook has been acknowledged.

        Raises:
            BatteryError: the store cannot write the note.
        """
        key = f"{self._prefix}{_note_names(sha256, publication.cell_id)[0]}"
        note = {
            "workbook": publication.name,
            "cell_id": publication.cell_id,
            "reader": publication.reader,
            "mapping": publication.mapping,
            "cells": {
                cell: {str(partition): last for partition, last in offsets.items()}
                for cell, offsets in publication.last_offsets.items()
            },
        }
        self._store.put(key, json.dumps(note).encode())
        self._keys.add(key)


def _publication(key: str, note: bytes) -> Publication | None:
    topic_id = unquote(key.removeprefix(_PUBLISHED).partition("/")[0])
    try:
        content = json.loads(note)
        cells = content["cells"] if "cells" in content else {str(content["cell_id"]): content["last_offsets"]}
        offsets = {
            str(cell): {int(partition): int(last) for partition, last in of_cell.items()}
            for cell, of_cell in cells.items()
        }
        reader, mapping = str(content.get("reader", "")), str(content.get("mapping", ""))
        return Publication(str(content["cell_id"]), topic_id, offsets, str(content["workbook"]), reader, mapping)
    except (ValueError, KeyError, TypeError, AttributeError):  # a note of an earlier version, which was a line of text
        return None


class Refusals:
    """The contents that this version has refused with its present limits; another version reads them again.

    What the user is shown is kept elsewhere (`kernel/edges/file_records.py`).
    """

    def __init__(self, store: ObjectStore, settings: Settings, cell_id: str | None) -> None:
        self._store = store
        self._cell_id = cell_id or ""
        self._prefix = f"left-alone/reader={_reader(settings)}/"
        self._keys = {stored.key for stored in store.list(self._prefix)}

    def reason(self, sha256: str) -> str | None:
        """Why a content was refused; None where this version has not refused it.

        Raises:
            BatteryError: the store cannot read the note.
        """
        key = self._key(sha256)
        return self._store.get(key).decode("utf-8", "replace").strip() if key in self._keys else None

    def remember(self, sha256: str, line: str) -> None:
        """Note that a content was refused.

        Raises:
            BatteryError: the store cannot write the note.
        """
        key = self._key(sha256)
        self._store.put(key, f"{line}\n".encode("utf-8", "replace"))
        self._keys.add(key)

    def note_of(self, sha256: str) -> str:
        """The end of the key of a note on this content, in all versions."""
        return _digest(sha256, self._cell_id)

    def _key(self, sha256: str) -> str:
        return f"{self._prefix}{self.note_of(sha256)}"


def _note_name(key: str) -> str:
    return key.rpartition("/")[2]


def _note_names(sha256: str, cell_id: str) -> tuple[str, str]:
    """The name of the note on a file that was published as a cell's, in this version and in earlier ones."""
    digest = _digest(sha256, cell_id)
    return f"{sha256}-{digest[:_NOTE_DIGITS]}", digest


def _reader(settings: Settings) -> str:
    """What a refusal depends on besides the content: the code that reads, its limits, and the order of dates."""
    limits = (
        settings.reader_memory_bytes,
        settings.reader_timeout_seconds,
        settings.workbook_max_bytes,
        settings.zip_max_bytes,
        settings.date_order,
    )
    return hashlib.sha256(f"{_code()} {limits}".encode()).hexdigest()[:16]


@cache
def _code() -> str:
    """A checksum of the code that reads: all of this package, the library that it reads with, and the readers."""
    readers = [f"{one.entry_point} {one.package}" for one in registered_readers()]
    digest = hashlib.sha256(" ".join([version("python-calamine"), *readers]).encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _digest(sha256: str, cell_id: str) -> str:
    return hashlib.sha256(f"{sha256} {cell_id}".encode()).hexdigest()  # ids are of any length
