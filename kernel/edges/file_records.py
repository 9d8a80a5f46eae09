"""Files that were not taken, on record in the object store: which, when, how often and why.

The record is beside the quarantine of rows: a producer on any host writes it, and `battery status`,
`battery quarantine` and the dashboard read it. Each file has one object, `files/ID.json`, named by where the file lies,
that tells its latest state; it is removed once the file, or one of the same content, is taken. It does not depend on
the reader's code: what a watch leaves alone is a note of its own (`producer/notes.py`).
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from kernel.edges.objects import ObjectStore

PREFIX: Final = "files/"
NOTES: Final = "refused/"
"""Notes of earlier versions, a line of text each, which knew neither the file's place nor the time."""

REASON_LETTERS: Final = 2_000
"""As much of a reason is kept."""

_READERS: Final = 8
"""So many objects are read at a time: a store on another host takes its time over each."""

_ID_DIGITS: Final = 12


class FileState(StrEnum):
    """What became of a file that was not taken."""

    REFUSED = "refused"
    """It was read, or a user named it, and it cannot be taken."""
    PASSED_OVER = "passed over"
    """It lay in a folder or a ZIP and is of a kind that nothing reads."""
    DISMISSED = "dismissed"
    """Somebody has seen it and wants to hear no more of this content."""


@dataclass(frozen=True)
class SourceFile:
    """A file, a member of a ZIP or a URL: how a user knows it, where it lies, and the checksum where that is known."""

    name: str
    place: str
    sha256: str | None = None

    @property
    def id(self) -> str:
        """The name of its record."""
        return hashlib.sha256(self.place.encode()).hexdigest()[:_ID_DIGITS]


@dataclass(frozen=True)
class FileRecord:
    """A file that was not taken: `count` times it was looked at in vain, from `first_at` to `last_at` (UTC).

    `cell_id` is the cell that was asked for, None where the file's name was to say it. Times are None where a note of
    an earlier version is all that is known.
    """

    id: str
    file: str
    place: str | None
    cell_id: str | None
    state: FileState
    reason: str
    sha256: str | None
    first_at: datetime | None
    last_at: datetime | None
    count: int

    def __str__(self) -> str:
        """One line for a person."""
        when = "at an unknown time" if self.last_at is None else f"{self.last_at:%Y-%m-%d %H:%M:%S} UTC"
        often = f", {self.count} times since {self.first_at:%Y-%m-%d %H:%M:%S}" if self.count > 1 else ""
        cell = f" for cell {self.cell_id}" if self.cell_id else ""
        return f"{self.file}{cell}: {self.state} {when}{often}: {self.reason}"


class FileRecords:
    """The records in one object store, as they were when they were first asked for.

    Every method raises BatteryError where the store does not answer.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @cached_property
    def _by_id(self) -> dict[str, FileRecord]:
        return {record.id: record for record in _read(self._store, PREFIX) if record is not None}

    @cached_property
    def _notes(self) -> dict[str, list[str]]:
        """Keys of the notes of earlier versions, by the checksum that ends them."""
        notes: dict[str, list[str]] = {}
        for note in self._store.list(NOTES):
            notes.setdefault(note.key.rpartition("/")[2], []).append(note.key)
        return notes

    def all(self) -> list[FileRecord]:
        """All of them, the latest first; those without a time at the end."""
        earlier = {record.file: record for record in _read(self._store, NOTES) if record is not None}
        records = [*self._by_id.values(), *earlier.values()]
        return sorted(records, key=lambda record: (_moment(record), record.file), reverse=True)

    def refuse(self, file: SourceFile, reason: str, cell_id: str | None) -> None:
        """Put on record that a file was refused, once more where it was before."""
        self._note(file, FileState.REFUSED, reason, cell_id)

    def pass_over(self, files: Iterable[tuple[SourceFile, str]], below: str, archives: Collection[str] = ()) -> None:
        """Put on record which files of a folder or ZIP are passed over, and why; those that are gone are forgotten.

        Args:
            files: each with the reason.
            below: how the places of all that lies in that folder or ZIP begin.
            archives: places of ZIPs in that folder, which tell of their members themselves.
        """
        noted = set()
        for file, reason in files:
            noted.add(file.id)
            self._note(file, FileState.PASSED_OVER, reason, None)
        for record in [*self._by_id.values()]:
            place = record.place or ""
            if record.id in noted or record.state is not FileState.PASSED_OVER or not place.startswith(below):
                continue
            if not any(place.startswith(f"{archive}!") for archive in archives):
                self._forget(record)

    def take(self, file: SourceFile, note: str | None = None) -> None:
        """Forget that a file, or one of the same content, was refused: it has been taken.

        Args:
            file: what was taken.
            note: the checksum that ends the keys of notes of earlier versions on it.
        """
        for record in [*self._by_id.values()]:
            same_content = file.sha256 is not None and record.sha256 == file.sha256
            if record.id == file.id or same_content:
                self._forget(record)
        for key in self._notes.pop(note or "", []):
            self._store.delete(key)

    def dismiss(self, name: str) -> FileRecord:
        """Hear no more of a file until its content changes.

        Raises:
            BatteryError: there is no such record, or several have an id that begins so.
        """
        wanted = name.removeprefix("file:")
        matches = [record for record in self.all() if wanted and record.id.startswith(wanted)]
        if not matches:
            raise BatteryError(f"no file {name} is on record; `battery quarantine list` shows the ids")
        if len(matches) > 1:
            raise BatteryError(f"{name} may be {len(matches)} files; give more of the id")
        record = matches[0]
        if record.id in self._by_id:
            self._put(replace(record, state=FileState.DISMISSED))
        else:
            for note in [*self._store.list(NOTES)]:
                if _from_note(self._store.get(note.key)).file == record.file:
                    self._store.delete(note.key)
        return record

    def _note(self, file: SourceFile, state: FileState, reason: str, cell_id: str | None) -> None:
        previous, now = self._by_id.get(file.id), datetime.now(UTC).replace(tzinfo=None, microsecond=0)
        record = FileRecord(
            file.id, file.name, file.place, cell_id, state, reason[:REASON_LETTERS], file.sha256, now, now, 1
        )
        if previous is not None:
            unchanged = previous.sha256 == file.sha256 and previous.reason == record.reason
            dismissed = previous.state is FileState.DISMISSED and unchanged
            record = replace(
                record,
                state=previous.state if dismissed else state,
                first_at=previous.first_at,
                count=previous.count + 1,
            )
        self._put(record)

    def _put(self, record: FileRecord) -> None:
        self._store.put(f"{PREFIX}{record.id}.json", json.dumps(asdict(record), default=_iso, indent=2).encode())
        self._by_id[record.id] = record

    def _forget(self, record: FileRecord) -> None:
        self._store.delete(f"{PREFIX}{record.id}.json")
        del self._by_id[record.id]


def _read(store: ObjectStore, prefix: str) -> Sequence[FileRecord | None]:
    keys = [listed.key for listed in store.list(prefix)]
    if not keys:
        return []

    def read(key: str) -> FileRecord | None:
        try:
            content = store.get(key)
        except BatteryError:
            if any(listed.key == key for listed in store.list(key)):
                raise
            return None  # the file has been taken since
        return _from_note(content) if prefix == NOTES else _from_json(key, content)

    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(read, keys))


def _from_json(key: str, content: bytes) -> FileRecord:
    """A record; one that cannot be read is one too, so that nothing goes unseen."""
    try:
        fields: dict[str, Any] = json.loads(content)
        return FileRecord(
            id=str(fields["id"]),
            file=str(fields["file"]),
            place=_text(fields["place"]),
            cell_id=_text(fields["cell_id"]),
            state=FileState(fields["state"]),
            reason=str(fields["reason"]),
            sha256=_text(fields["sha256"]),
            first_at=_when(fields["first_at"]),
            last_at=_when(fields["last_at"]),
            count=int(fields["count"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        name = key.removeprefix(PREFIX).removesuffix(".json")
        reason = f"its record {key} in the object store is damaged; dismiss it, or produce the file again"
        return FileRecord(name, "(unknown)", None, None, FileState.REFUSED, reason, None, None, None, 1)


def _from_note(content: bytes) -> FileRecord:
    line = content.decode("utf-8", "replace").strip()
    file = line.partition(": ")[0].partition(" is ")[0]
    name = hashlib.sha256(line.encode()).hexdigest()[:_ID_DIGITS]
    return FileRecord(name, file, None, None, FileState.REFUSED, line[:REASON_LETTERS], None, None, None, 1)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _when(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value).replace(tzinfo=None)


def _moment(record: FileRecord) -> datetime:
    return record.last_at or datetime.min  # noqa: DTZ901  # all are UTC without a zone


def _iso(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value.isoformat()}Z"
    raise TypeError(value)
