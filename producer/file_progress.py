"""What becomes of each file while a batch is published, told to whoever wants to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class FileProgress:
    """Told what becomes of each file; this one takes no note.

    A `place` is where the file lies, as `SourceFile.place` has it; a member of a ZIP has the place of the ZIP with `!`
    and its name. Calls come from the thread that publishes.
    """

    def begin(self, place: str) -> None:
        """A process has begun to read it."""

    def take(self, place: str, rows: int, cells: Collection[str]) -> None:
        """It has been read, and is to be sent."""

    def send(self, place: str, rows: int) -> None:
        """So many of its rows more have been given to the broker."""

    def publish(self, place: str, topic_id: str, offsets: Mapping[int, int]) -> None:
        """The broker has all of it; `offsets` has the last one in each partition."""

    def skip(self, place: str, reason: str) -> None:
        """It is not read, since its readings are there already."""

    def refuse(self, place: str, reason: str) -> None:
        """It cannot be taken."""


SILENT: Final = FileProgress()
