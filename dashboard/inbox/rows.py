"""The files of the inbox as a page lists them: what is done with each, and how far it has come towards the pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from producer.inbox_state import OPEN_STATES, InboxFileState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from producer.inbox_state import InboxFile, InboxLook

ON_PAGES: Final = "on the pages"
LANDED: Final = "landed, being modelled next"
AWAITS: Final = "published, waits for the worker"
NOTHING_NEW: Final = "landed, with nothing new"

WORDS: Final = {
    InboxFileState.COPYING: "being copied",
    InboxFileState.WAITING: "waits to be read",
    InboxFileState.READING: "being read",
    InboxFileState.SENDING: "being sent",
    InboxFileState.PUBLISHED: "published",
    InboxFileState.KNOWN: "published before",
    InboxFileState.REFUSED: "refused",
    InboxFileState.IGNORED: "ignored",
}

SCHEMA: Final = pa.schema(
    {
        "file": pa.string(), "state": pa.string(), "progress": pa.float64(), "since": pa.timestamp("ms"),
        "rows": pa.int64(), "cells": pa.string(), "megabytes": pa.float64(), "why": pa.string(),
    }
)  # fmt: skip

SILENT_SECONDS: Final = 20.0
"""A watch that has written nothing for so long has ended, or is held up."""


@dataclass(frozen=True)
class Landing:
    """How far what was published has come: by topic and partition the last offset that has landed, or None if unknown.

    `sources` has each cell that the published figures have, with the file that its readings are from. `is_modelled`
    says that the published figures have all that has landed.
    """

    offsets: Mapping[tuple[str, int], int] | None
    sources: Collection[tuple[str, str]]
    is_modelled: bool = False


def file_rows(look: InboxLook, landing: Landing) -> pa.Table:
    """The files as a table of `SCHEMA`, in the order of the look: `since` in UTC, `progress` in percent."""
    rows = [
        {
            "file": file.name,
            "state": state_in_words(file, landing),
            "progress": progress_percent(file, landing),
            "since": datetime.fromisoformat(file.since).astimezone(UTC).replace(tzinfo=None),
            "rows": file.rows,
            "cells": ", ".join(file.cells) or None,
            "megabytes": file.bytes / 1e6,
            "why": file.reason or None,
        }
        for file in look.files
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def state_in_words(file: InboxFile, landing: Landing) -> str:
    """What is done with a file, or was done, up to the pages."""
    if file.state is InboxFileState.SENDING:
        return f"{WORDS[file.state]}: {file.sent:,} of {file.rows or 0:,} rows"
    if file.state is InboxFileState.KNOWN and not file.cells:
        return ON_PAGES if any(source == _base(file) for _, source in landing.sources) else WORDS[file.state]
    return _published_in_words(file, landing) if file.state is InboxFileState.PUBLISHED else WORDS[file.state]


def _published_in_words(file: InboxFile, landing: Landing) -> str:
    has_landed = _has_landed(file, landing)
    if has_landed is None:
        return WORDS[file.state]
    if not has_landed:
        return AWAITS
    if _is_on_pages(file, landing):
        return ON_PAGES
    return NOTHING_NEW if landing.is_modelled else LANDED


def progress_percent(file: InboxFile, landing: Landing) -> float | None:
    """How far a file has come: a share of the way to the pages, whose stretches are about as long as they take.

    None where it goes no further.
    """
    if file.state in {InboxFileState.REFUSED, InboxFileState.IGNORED, InboxFileState.KNOWN}:
        return None
    if file.state is InboxFileState.PUBLISHED:
        return {AWAITS: 50.0, LANDED: 75.0}.get(state_in_words(file, landing), 100.0)
    if file.state is InboxFileState.SENDING:
        return 40.0 + 10.0 * file.sent / max(file.rows or 0, 1)
    return 10.0 if file.state is InboxFileState.READING else 0.0


def counts(look: InboxLook, landing: Landing) -> dict[str, int]:
    """How many files are worked on, have landed, were refused, and were ignored, by the words for it."""
    states = [file.state for file in look.files]
    return {
        "being worked on": sum(state in OPEN_STATES for state in states),
        "waiting to land": sum(
            file.state is InboxFileState.PUBLISHED and _has_landed(file, landing) is False for file in look.files
        ),
        "landed": sum(
            file.state is InboxFileState.KNOWN
            or (file.state is InboxFileState.PUBLISHED and _has_landed(file, landing) is not False)
            for file in look.files
        ),
        "refused": states.count(InboxFileState.REFUSED),
        "ignored": states.count(InboxFileState.IGNORED),
    }


def _has_landed(file: InboxFile, landing: Landing) -> bool | None:
    if landing.offsets is None or not file.offsets:
        return None
    return all(
        landing.offsets.get((file.topic_id, int(partition)), -1) >= last for partition, last in file.offsets.items()
    )


def _is_on_pages(file: InboxFile, landing: Landing) -> bool:
    """Whether the published figures have readings of it; a ZIP, whose members have other names, by its cells."""
    if file.name.lower().endswith(".zip"):
        return set(file.cells) <= {cell for cell, _ in landing.sources}
    return all((cell, _base(file)) in landing.sources for cell in file.cells)


def _base(file: InboxFile) -> str:
    """The name of the file below the folder, which the readings have for their source."""
    return file.name.rpartition("/")[2]
