"""A watched inbox: workbooks that are put into a folder are published as they arrive.

No file ends a watch, and neither does a broker or store that is away for a time. Notices of the system only wake it
up: it finds new files by looking at all of them, so a lost notice costs nothing.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import structlog
from watchfiles import watch

from kernel.base.errors import BatteryError
from kernel.base.pauses import Pauses
from kernel.base.plain import one_line
from kernel.edges.file_records import FileRecords
from kernel.edges.kafka import open_topic
from kernel.edges.objects import open_store
from producer.files import File, Signature, in_folder, place_of
from producer.inbox_state import InboxState
from producer.kept import Kept
from producer.options import Summary
from producer.passed_over import MOST_NAMED, passed_over, why_file
from producer.publish import publish
from producer.readers.mapping_file import mapping_beside
from producer.scratch import scratch_folder
from producer.spool import Readers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path
    from threading import Event

    from kernel.base.settings import Settings
    from producer.files import Listing
    from producer.options import Options

_log = structlog.get_logger()

TICK_MS: Final = 100
"""How long a watch waits before it checks whether it is to stop."""

RESCAN_SECONDS: Final = 1.0
"""How long until the next look where the system gives no notice of changes."""

TOPIC_SECONDS: Final = 10.0
"""How often it checks whether the log is still the same."""

FIRST_PAUSE_SECONDS: Final = 1.0
"""How long it waits after a failure before it tries again; after several, longer each time."""

SETTLED_SECONDS: Final = 0.3
"""A file that was written to is read once it has not changed for so long, s: it may still be being copied."""

OLD_SECONDS: Final = 5.0
"""A file that was last written to so long ago is not being copied, s."""

CREATE_PAUSE_SECONDS: Final = 8.0
"""A missing topic is created once the pauses are this long: whoever deleted it may be about to create it again."""


def watch_folder(settings: Settings, folder: Path, options: Options, stop: Event) -> Iterator[Summary]:
    """Publish what a folder holds, then whatever arrives or changes in it, until `stop` or Ctrl-C.

    What was refused before is left alone until its content changes. A topic that was recreated gets everything again. A
    file that is being copied is read when it no longer grows; where the copy stands still for a while it may be refused
    as truncated, and is read again when it changes. What is done with each file is left in `inbox.json`.

    Raises:
        BatteryError: no broker or object store answers at the start.
    """
    topic = open_topic(settings, create=True)
    open_store(settings)
    with (
        scratch_folder() as scratch,
        Readers(options.processes, settings, scratch) as readers,
        InboxState(settings, folder) as state,
    ):
        watched = replace(options, leave_refused=True, progress=state, kept=Kept(readers))
        inbox = _Inbox(settings, folder, watched, topic.topic_id, state)
        _log.info("watching", folder=str(folder))
        for may_have_changed in _looks(folder, stop):
            yield from inbox.look(may_have_changed=may_have_changed)


def _looks(folder: Path, stop: Event) -> Iterator[bool]:
    """Yield when to look at a folder: True where something may have changed in it, False where no notice came."""
    while not stop.is_set():
        place, is_watching = _place(folder), False
        try:
            for changes in watch(
                folder, stop_event=stop, raise_interrupt=False, rust_timeout=TICK_MS, yield_on_timeout=True
            ):
                yield bool(changes) or not is_watching  # what arrived before the watch began gave no notice
                is_watching = True
                if _place(folder) != place:
                    break  # another folder has its name now
            else:
                return
        except (OSError, RuntimeError) as error:  # the folder is gone, or the library met a name that is not text
            _log.debug("watching again", folder=str(folder), error=str(error))
            yield True
            stop.wait(RESCAN_SECONDS)


def _place(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_old(signature: Signature) -> bool:
    """Whether a file was last written to, and put there, so long ago that nobody can be copying it."""
    return time.time_ns() - max(signature.modified_ns, signature.changed_ns) > OLD_SECONDS * 1e9


@dataclass
class _Inbox:
    """A watched folder: what was seen in it, and how long to wait after a failure."""

    settings: Settings
    folder: Path
    options: Options
    topic_id: str
    state: InboxState
    _is_new: bool = True
    """Whether something in it may not have been published yet."""
    _seen: dict[Path, tuple[Signature, str]] = field(default_factory=dict)
    """How each file, and the mapping file beside it, was when it was published."""
    _growing: dict[Path, tuple[Signature, float]] = field(default_factory=dict)
    """How each new file was at the last look, and since when it has been so."""
    _closed_folders: set[str] = field(default_factory=set)
    _others: list[Path] = field(default_factory=list)
    """Files of another kind that are on record and were reported."""
    _reported_lines: set[str] = field(default_factory=set)
    """Lines about files that were left alone, each of which is reported once a run."""
    _pauses: Pauses = field(default_factory=lambda: Pauses(FIRST_PAUSE_SECONDS))
    _pause: float = 0.0
    """The last pause; 0 while publishing works."""
    _due: float = 0.0
    _topic_due: float = field(default_factory=lambda: time.monotonic() + TOPIC_SECONDS)

    def look(self, *, may_have_changed: bool) -> Iterator[Summary]:
        """Publish what is new; where that fails, a look after the pause tries again."""
        self._is_new = self._is_new or may_have_changed
        now = time.monotonic()
        if now < self._due or not (self._is_new or now >= self._topic_due):
            return
        try:
            if now >= self._topic_due:
                self._follow(open_topic(self.settings, create=self._pause >= CREATE_PAUSE_SECONDS).topic_id)
                self._topic_due = time.monotonic() + TOPIC_SECONDS
            if self._is_new:
                self._is_new = False
                yield from self._publish_new()
        except BatteryError as error:
            if not self._pause:
                _log.warning("cannot publish now, trying again until it works", reason=str(error))
            self._is_new = True
            self.state.note_trouble(str(error))
            self._pause = self._pauses.next()
            self._due = time.monotonic() + self._pause
        else:
            if self._pause:
                _log.info("publishing works again")
                self.state.note_trouble("")
            self._pause = 0.0
            self._pauses.reset()

    def _follow(self, topic_id: str) -> None:
        """Have all files published again after the topic was recreated."""
        if topic_id != self.topic_id:
            _log.info("the topic was deleted and created again, publishing what it lacks", topic_id=topic_id)
            self.topic_id, self._is_new = topic_id, True
            self._seen = {}

    def _publish_new(self) -> Iterator[Summary]:
        listing = files, closed_folders, _ = in_folder(self.folder, insists=self.options.insists)
        for line in closed_folders:
            if line not in self._closed_folders:
                _log.warning(line)
        self._closed_folders = set(closed_folders)
        yield from self._pass_over(listing)
        present = {}
        for path in files:
            with suppress(OSError):  # it is gone again
                mapping = mapping_beside(path)
                present[path] = (Signature.of(path), mapping.digest if mapping else "")
        changed = [path for path, signature in present.items() if self._seen.get(path) != signature]
        new = self._settled({path: present[path][0] for path in changed})
        copying = set(changed) - set(new)
        if copying:  # it is looked at again soon, but not at every tick: there may be thousands of files
            self._is_new = True
            self._due = time.monotonic() + SETTLED_SECONDS / 2
        self._seen = {path: signature for path, signature in self._seen.items() if path in present}
        self._note(present, copying, new, listing)
        for summary in self._published(self._files(new)):
            self._follow(summary.topic_id or self.topic_id)
            summary.left_alone = [line for line in summary.left_alone if line not in self._reported_lines]
            self._reported_lines.update(summary.left_alone)
            if summary.workbooks or summary.skipped or summary.failed or summary.left_alone or summary.others:
                yield summary
        self._seen |= {path: present[path] for path in new}
        if new:
            self.state.settle()

    def _settled(self, changed: Mapping[Path, Signature]) -> list[Path]:
        """Those of the new files that have not changed for a while, so that nobody seems to be writing them."""
        now = time.monotonic()
        before, self._growing = self._growing, {}
        for path, signature in changed.items():
            last = before.get(path)
            self._growing[path] = last if last is not None and last[0] == signature else (signature, now)
        return [
            path
            for path, (signature, since) in self._growing.items()
            if now - since >= SETTLED_SECONDS or _is_old(signature)
        ]

    def _note(
        self,
        present: Mapping[Path, tuple[Signature, str]],
        copying: Collection[Path],
        new: Collection[Path],
        listing: Listing,
    ) -> None:
        """Note what is there for whoever looks at the inbox."""
        places = {path: place_of(path) for path in (*present, *listing.others[:MOST_NAMED])}
        sizes = {path: signature.size for path, (signature, _) in present.items()}
        others = {}
        for path in listing.others[:MOST_NAMED]:
            with suppress(OSError):
                sizes[path] = path.stat().st_size
                others[places[path]] = (self._name(path), sizes[path], why_file(path))
        self.state.ignore(others, len(listing.others) - len(others))
        self.state.list(
            {places[path]: (self._name(path), size) for path, size in sizes.items()},
            {places[path] for path in copying},
            {places[path] for path in new},
        )

    def _name(self, path: Path) -> str:
        return one_line(str(path.relative_to(self.folder)))

    def _files(self, paths: Sequence[Path]) -> list[File]:
        return [File(path, self._name(path), is_found=True) for path in paths]

    def _pass_over(self, listing: Listing) -> Iterator[Summary]:
        """Put files of another kind on record when they have changed; report each once."""
        if listing.others == self._others:
            return
        others = passed_over(self.folder, listing)
        FileRecords(open_store(self.settings)).pass_over(others.files, others.below, others.archives)
        reported, self._others = set(self._others), listing.others
        new = [path for path in listing.others if path not in reported]
        if new:
            names = [self._name(path) for path in new]
            yield Summary(self.topic_id, passed_over=names, others=len(names))

    def _published(self, files: Sequence[File]) -> Iterator[Summary]:
        """Publish files together; after an unexpected error, each by itself.

        Raises:
            BatteryError: the broker or the store does not answer, or the disk is full.
        """
        if not files:
            return
        try:
            summary = publish(self.settings, files, self.options)
        except BatteryError:
            raise
        except Exception as error:  # noqa: BLE001  # no file ends the watch
            _log.debug("publishing failed", exc_info=True)
            if len(files) > 1:
                for file in files:
                    yield from self._published([file])
                return
            reason = (str(error).splitlines() or [""])[0]
            unexpected = f"unexpected {type(error).__name__}: {reason}; report it"
            self.state.refuse(place_of(files[0].path), unexpected)
            summary = Summary(failed=[f"{files[0].origin}: {unexpected}"])
        yield summary
