"""What became of a file's content, noted in the object store: published to which log, or refused and why.

Notes go by content, so a copy under another name needs no second look, and by log or by reader: a log that was created
anew has none of the workbooks, and a reader of another version may take what this one refuses.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from battery.objects import ObjectStore
    from battery.settings import Settings

LandedOffsets: TypeAlias = Mapping[tuple[str, str, int], int]
"""The offset of the last message of a cell that has landed, by cell, topic id and partition."""

_PUBLISHED: Final = "published/topic="


@dataclass(frozen=True)
class Publication:
    """Where the readings of a workbook went: in which log, and up to which offset of each partition."""

    cell_id: str
    topic_id: str
    last_offsets: Mapping[int, int]

    def has_landed(self, landed: LandedOffsets) -> bool:
        """Whether every message of it has come to its end in the warehouse, landed or quarantined.

        Messages of a cell land in the order of their partition: where the last one has, those before it have too.
        """
        return bool(self.last_offsets) and all(
            landed.get((self.cell_id, self.topic_id, partition), -1) >= last
            for partition, last in self.last_offsets.items()
        )


class Publications:
    """Which workbooks all of whose rows one log holds, and which went to earlier ones."""

    def __init__(self, store: ObjectStore, topic_id: str) -> None:
        self._store = store
        self._topic_id = topic_id
        self._prefix = f"{_PUBLISHED}{quote(topic_id, safe='')}/"
        self._known = {found.key for found in store.list(self._prefix)}
        self._earlier: dict[str, list[str]] | None = None

    def has(self, cell_id: str, sha256: str) -> bool:
        """Tell whether the log has this very file as readings of this cell."""
        return f"{self._prefix}{_digest(sha256, cell_id)}" in self._known

    def earlier(self, cell_id: str, sha256: str) -> list[Publication]:
        """To which earlier logs this file went as readings of this cell, as far as notes say where in them."""
        if self._earlier is None:
            self._earlier = {}
            for found in self._store.list(_PUBLISHED):
                if not found.key.startswith(self._prefix):
                    self._earlier.setdefault(found.key.rpartition("/")[2], []).append(found.key)
        publications = [
            _publication(key, self._store.get(key)) for key in self._earlier.get(_digest(sha256, cell_id), [])
        ]
        return [publication for publication in publications if publication is not None]

    def remember(self, publication: Publication, sha256: str, name: str) -> None:
        """Note that every row of a workbook has been acknowledged.

        Raises:
            BatteryError: the store does not take the note.
        """
        key = f"{self._prefix}{_digest(sha256, publication.cell_id)}"
        note = {
            "workbook": name,
            "cell_id": publication.cell_id,
            "last_offsets": {str(partition): last for partition, last in publication.last_offsets.items()},
        }
        self._store.put(key, json.dumps(note).encode())
        self._known.add(key)


def _publication(key: str, note: bytes) -> Publication | None:
    topic_id = unquote(key.removeprefix(_PUBLISHED).partition("/")[0])
    try:
        told = json.loads(note)
        offsets = {int(partition): int(last) for partition, last in told["last_offsets"].items()}
        return Publication(str(told["cell_id"]), topic_id, offsets)
    except (ValueError, KeyError, TypeError, AttributeError):  # a note of an earlier version, which was a line of text
        return None


class Refusals:
    """Which contents this reader has refused, with the limits that it has now.

    A reader of another version reads them anew. What people are shown is on record apart (`battery/file_records.py`).
    """

    def __init__(self, store: ObjectStore, settings: Settings, cell_id: str | None) -> None:
        self._store = store
        self._cell_id = cell_id or ""
        self._prefix = f"left-alone/reader={_reader(settings)}/"
        self._known = {found.key for found in store.list(self._prefix)}

    def reason(self, sha256: str) -> str | None:
        """Why a content was refused; None where it was not, as far as this reader knows.

        Raises:
            BatteryError: the store does not give the note.
        """
        key = self._key(sha256)
        return self._store.get(key).decode("utf-8", "replace").strip() if key in self._known else None

    def remember(self, sha256: str, line: str) -> None:
        """Note that a content was refused.

        Raises:
            BatteryError: the store does not take the note.
        """
        key = self._key(sha256)
        self._store.put(key, f"{line}\n".encode("utf-8", "replace"))
        self._known.add(key)

    def note_of(self, sha256: str) -> str:
        """What the key of a note on this content ends with, whichever version wrote it."""
        return _digest(sha256, self._cell_id)

    def _key(self, sha256: str) -> str:
        return f"{self._prefix}{self.note_of(sha256)}"


def _reader(settings: Settings) -> str:
    """What a refusal depends on besides the content: the code that reads, its limits, and what it is told of dates."""
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
    """A checksum of the code that reads: all of this package, and the library that it reads with."""
    digest = hashlib.sha256(version("python-calamine").encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _digest(sha256: str, cell_id: str) -> str:
    return hashlib.sha256(f"{sha256} {cell_id}".encode()).hexdigest()  # ids are of any length
