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
from producer.files import File, Signature, in_folder
from producer.options import Summary
from producer.passed_over import passed_over
from producer.publish import publish
from producer.readers.mapping_file import mapping_beside

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from threading import Event

    from kernel.base.settings import Settings
    from producer.files import Listing
    from producer.options import Options

_log = structlog.get_logger()

TICK_MS: Final = 250
"""How long a watch waits before it checks whether it is to stop."""

RESCAN_SECONDS: Final = 1.0
"""How long until the next look where the system gives no notice of changes."""

TOPIC_SECONDS: Final = 10.0
"""How often it checks whether the log is still the same."""

FIRST_PAUSE_SECONDS: Final = 1.0
"""How long it waits after a failure before it tries again; after several, longer each time."""

CREATE_PAUSE_SECONDS: Final = 8.0
"""A missing topic is created once the pauses are this long: whoever deleted it may be about to create it again."""


def watch_folder(settings: Settings, folder: Path, options: Options, stop: Event) -> Iterator[Summary]:
    """Publish what a folder holds, then whatever arrives or changes in it, until `stop` or Ctrl-C.

    What was refused before is left alone until its content changes. A topic that was recreated gets everything again. A
    file that is still being copied may be refused as truncated; it is read again when it changes.

    Raises:
        BatteryError: no broker or object store answers at the start.
    """
    topic = open_topic(settings, create=True)
    open_store(settings)
    inbox = _Inbox(settings, folder, replace(options, leave_refused=True), topic.topic_id)
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


@dataclass
class _Inbox:
    """A watched folder: what was seen in it, and how long to wait after a failure."""

    settings: Settings
    folder: Path
    options: Options
    topic_id: str
    _is_new: bool = True
    """Whether something in it may not have been published yet."""
    _seen: dict[Path, tuple[Signature, str]] = field(default_factory=dict)
    """How each file, and the mapping file beside it, was when it was published."""
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
            self._pause = self._pauses.next()
            self._due = time.monotonic() + self._pause
        else:
            if self._pause:
                _log.info("publishing works again")
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
        new = [path for path, signature in present.items() if self._seen.get(path) != signature]
        self._seen = {path: signature for path, signature in self._seen.items() if path in present}
        for summary in self._published(self._files(new)):
            self._follow(summary.topic_id or self.topic_id)
            summary.left_alone = [line for line in summary.left_alone if line not in self._reported_lines]
            self._reported_lines.update(summary.left_alone)
            if summary.workbooks or summary.skipped or summary.failed or summary.left_alone or summary.others:
                yield summary
        self._seen |= {path: present[path] for path in new}

    def _files(self, paths: Sequence[Path]) -> list[File]:
        return [File(path, one_line(str(path.relative_to(self.folder))), is_found=True) for path in paths]

    def _pass_over(self, listing: Listing) -> Iterator[Summary]:
        """Put files of another kind on record when they have changed; report each once."""
        if listing.others == self._others:
            return
        others = passed_over(self.folder, listing)
        FileRecords(open_store(self.settings)).pass_over(others.files, others.below, others.archives)
        reported, self._others = set(self._others), listing.others
        new = [path for path in listing.others if path not in reported]
        if new:
            names = [one_line(str(path.relative_to(self.folder))) for path in new]
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
            summary = Summary(failed=[f"{files[0].origin}: unexpected {type(error).__name__}: {reason}; report it"])
        yield summary
