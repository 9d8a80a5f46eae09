"""The state of a watched inbox, left in a small file for whoever looks: each of its files, and what is done with it.

The file is `inbox.json` in the work folder of the warehouse. It is replaced as a whole, a few times a second at most
while there is news and every few seconds else, so its age tells whether the watch still runs. Readers of it need
neither the broker nor the warehouse.
"""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self, cast

import structlog

from kernel.base.whole_files import replace_file
from producer.file_progress import FileProgress

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path
    from types import TracebackType

    from kernel.base.settings import Settings

_log = structlog.get_logger()

NAME: Final = "inbox.json"

MOST_FILES: Final = 1_000
"""So many files are listed: those being worked on, and then those with the latest news."""

NEWS_SECONDS: Final = 0.3
"""How long news waits at most until it is written, s."""

SIGN_SECONDS: Final = 5.0
"""The file is written this often where there is no news, as a sign that the watch runs, s."""

REASON_LETTERS: Final = 500


class InboxFileState(StrEnum):
    """What is done with a file of the inbox, or was done."""

    COPYING = "copying"
    """It is still being written."""
    WAITING = "waiting"
    """It is whole and is to be read."""
    READING = "reading"
    """A process reads it."""
    SENDING = "sending"
    """It has been read; its rows go to the broker, in turn with those of other files."""
    PUBLISHED = "published"
    """The broker has all of its rows."""
    KNOWN = "known"
    """Its readings were there before; it was not read again."""
    REFUSED = "refused"
    """It cannot be taken."""
    IGNORED = "ignored"
    """Nothing reads files of its kind."""


OPEN_STATES: Final = frozenset(
    {InboxFileState.COPYING, InboxFileState.WAITING, InboxFileState.READING, InboxFileState.SENDING}
)
"""States of files that are still to be worked on."""


@dataclass(frozen=True)
class InboxFile:
    """A file of the inbox, in a `state` since some time (UTC, ISO 8601).

    `name` is its path below the inbox, `bytes` its size. `rows` and `cells` are known once it has been read, `sent`
    counts the rows that the broker was given. `offsets` has the last message of it in each partition of the log
    `topic_id`.
    """

    name: str
    bytes: int
    state: InboxFileState
    since: str
    reason: str = ""
    rows: int | None = None
    sent: int = 0
    cells: tuple[str, ...] = ()
    topic_id: str = ""
    offsets: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class InboxLook:
    """The inbox as its watch last wrote it, `at` some time (UTC): the folder, its files, and how many are left out.

    `trouble` says why nothing can be published now; `is_watched` is false once the watch has ended.
    """

    folder: str
    at: datetime
    files: tuple[InboxFile, ...]
    left_out: int = 0
    trouble: str = ""
    is_watched: bool = True


class InboxState(FileProgress):
    """What a watch notes of its inbox; a thread of its own writes it.

    Args:
        settings: their warehouse tells where the file is.
        folder: the inbox.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._path = path_of(settings)
        self._warehouse = settings.warehouse_address.name
        self._folder = folder.resolve()
        self._files: dict[str, InboxFile] = {}
        self._trouble = ""
        self._unnamed = 0
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="inbox state", daemon=True)

    def __enter__(self) -> Self:
        """Write, and go on writing."""
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write once more, that the inbox is watched no longer."""
        self._ended.set()
        self._news.set()
        self._thread.join()
        self._write()

    def list(self, present: Mapping[str, tuple[str, int]], copying: Collection[str], new: Collection[str]) -> None:
        """Note which files there are, each as its place with its name and size, which of them are new, or not whole."""
        with self._lock:
            kept = {place: file for place, file in self._files.items() if place in present}
            for place, (name, size) in present.items():
                if place in copying:
                    state = InboxFileState.COPYING
                elif place in new:
                    state = InboxFileState.WAITING
                elif place in kept and kept[place].state is not InboxFileState.COPYING:
                    continue
                else:
                    state = InboxFileState.KNOWN
                old = kept.get(place)
                if old is None or (old.state, old.bytes) != (state, size):
                    since = old.since if old is not None and old.state is state else _now()
                    kept[place] = InboxFile(name, size, state, since)
            if kept != self._files:
                self._files = kept
                self._news.set()

    def ignore(self, files: Mapping[str, tuple[str, int, str]], more: int = 0) -> None:
        """Note which files are of a kind that nothing reads: by place the name, the size and why; and how many more."""
        with self._lock:
            if more != self._unnamed:
                self._unnamed = more
                self._news.set()
            for place, (name, size, reason) in files.items():
                old = self._files.get(place)
                if old is None or old.state is not InboxFileState.IGNORED or old.reason != reason:
                    self._files[place] = InboxFile(name, size, InboxFileState.IGNORED, _now(), _short(reason))
                    self._news.set()

    def note_trouble(self, reason: str) -> None:
        """Note why nothing can be published now; nothing for no trouble."""
        if self._trouble != _short(reason):
            self._trouble = _short(reason)
            self._news.set()

    def begin(self, place: str) -> None:
        """A process has begun to read it; a ZIP begins with its first member."""
        self._change(place, InboxFileState.READING)

    def take(self, place: str, rows: int, cells: Collection[str]) -> None:
        """It has been read; the members of a ZIP add up."""
        file = self._find(place)
        if file is not None:
            together = tuple(dict.fromkeys([*file[1].cells, *cells]))
            self._change(place, InboxFileState.SENDING, rows=(file[1].rows or 0) + rows, cells=together)

    def send(self, place: str, rows: int) -> None:
        """So many of its rows more have been given to the broker."""
        file = self._find(place)
        if file is not None:
            self._change(place, file[1].state, sent=file[1].sent + rows)

    def publish(self, place: str, topic_id: str, offsets: Mapping[int, int]) -> None:
        """The broker has all of it, or all of a member of it."""
        file = self._find(place)
        if file is not None:
            last = dict(file[1].offsets) if file[1].topic_id == topic_id else {}
            for partition, offset in offsets.items():
                last[str(partition)] = max(offset, last.get(str(partition), -1))
            is_whole = file[1].rows is None or file[1].sent >= file[1].rows
            state = InboxFileState.PUBLISHED if is_whole else InboxFileState.SENDING
            self._change(place, state, topic_id=topic_id, offsets=last)

    def skip(self, place: str, reason: str) -> None:
        """Its readings are there already."""
        self._change(place, InboxFileState.KNOWN, reason=_short(reason))

    def refuse(self, place: str, reason: str) -> None:
        """It, or a member of it, cannot be taken."""
        file = self._find(place)
        if file is not None:
            member = place.removeprefix(file[0]).removeprefix("!")
            said = f"{member}: {reason}" if member else reason
            before = file[1].reason if file[1].state is InboxFileState.REFUSED else ""
            self._change(place, InboxFileState.REFUSED, reason=_short("; ".join(filter(None, [before, said]))))

    def settle(self) -> None:
        """All that was waiting has been published; what of it nothing was said of held nothing new."""
        done = {
            InboxFileState.WAITING: InboxFileState.KNOWN,
            InboxFileState.READING: InboxFileState.KNOWN,
            InboxFileState.SENDING: InboxFileState.PUBLISHED,
        }
        with self._lock:
            for place, file in self._files.items():
                if file.state in done:
                    self._files[place] = replace(file, state=done[file.state], since=_now())
                    self._news.set()

    def _find(self, place: str) -> tuple[str, InboxFile] | None:
        """The file at a place, or the ZIP of which that is a member."""
        while place not in self._files:
            place, separator, _ = place.rpartition("!")
            if not separator:
                return None
        return place, self._files[place]

    def _change(self, place: str, state: InboxFileState, **changes: object) -> None:
        with self._lock:
            found = self._find(place)
            if found is None:
                return
            at, file = found
            since = file.since if file.state is state else _now()
            self._files[at] = replace(file, state=state, since=since, **cast("dict[str, Any]", changes))
        self._news.set()

    def _write_on(self) -> None:
        while not self._ended.is_set():
            self._news.wait(SIGN_SECONDS)
            self._news.clear()
            self._write()
            self._ended.wait(NEWS_SECONDS)

    def _write(self) -> None:
        with self._lock:
            files = sorted(self._files.values(), key=lambda file: (file.state in OPEN_STATES, file.since), reverse=True)
        content = {
            "warehouse": self._warehouse,
            "folder": str(self._folder),
            "at": _now(),
            "is_watched": not self._ended.is_set(),
            "trouble": self._trouble,
            "left_out": max(0, len(files) - MOST_FILES) + self._unnamed,
            "files": [asdict(file) for file in files[:MOST_FILES]],
        }
        try:
            replace_file(self._path, json.dumps(content).encode("utf-8", "replace"))
        except OSError as error:  # it is news for people, and no reason to publish nothing
            _log.debug("the state of the inbox cannot be written", path=str(self._path), error=str(error))


def path_of(settings: Settings) -> Path:
    """Where the state of the inbox is."""
    return settings.warehouse_address.work_folder / NAME


def read_inbox(settings: Settings) -> InboxLook | None:
    """The inbox as its watch last wrote it; None where none has, or another version's, or one of another warehouse.

    It is for others than the watch, which may run on this machine or on another one that shares the folder.
    """
    try:
        content = json.loads(path_of(settings).read_bytes())
        if content["warehouse"] != settings.warehouse_address.name:
            return None
        return InboxLook(
            content["folder"],
            datetime.fromisoformat(content["at"]).astimezone(UTC),
            tuple(
                InboxFile(**{**file, "state": InboxFileState(file["state"]), "cells": tuple(file["cells"])})
                for file in content["files"]
            ),
            content["left_out"],
            content["trouble"],
            content["is_watched"],
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _short(reason: str) -> str:
    return reason if len(reason) <= REASON_LETTERS else f"{reason[: REASON_LETTERS - 1]}…"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
