"""Files that are dropped onto a page go into the inbox, whole and under a safe name."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import streamlit as st

from dashboard.access import is_for_this_machine
from dashboard.escaping import literal
from kernel.base.plain import one_line
from producer.files import as_text, is_hidden

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

    from kernel.base.settings import Settings
    from producer.inbox_state import InboxLook

CHUNK_BYTES: Final = 1024 * 1024
MOST_NUMBERED: Final = 1_000

_ROUND: Final = "upload round"
_RESULTS: Final = "upload results"


class Outcome(StrEnum):
    """What became of a file that was dropped."""

    SAVED = "Saved"
    SAME = "There already, the same file"
    RENUMBERED = "Saved with a number, since another file has its name"


@dataclass(frozen=True)
class Saved:
    """A file that was dropped: the name that it has in the inbox, and what became of it."""

    name: str
    outcome: Outcome


class UnsafeNameError(ValueError):
    """A name that no file of the inbox can have; says why."""


def safe_name(name: str) -> str:
    r"""The name that a dropped file gets: its last part, printable, and not too long.

    >>> safe_name("../../etc/CS2_35.xlsx")
    'CS2_35.xlsx'
    >>> safe_name("C:\\data\\CS2_35.xlsx")
    'CS2_35.xlsx'

    Raises:
        UnsafeNameError: nothing is left of it, or the inbox would not look at it.
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    printable = "".join(
        letter for letter in unicodedata.normalize("NFC", last) if unicodedata.category(letter)[0] != "C"
    )
    safe = as_text(printable.strip()).rstrip(". ")
    if not safe:
        raise UnsafeNameError("it has no name")
    if is_hidden(safe) or safe.startswith("~"):
        raise UnsafeNameError("its name marks it as hidden, so the inbox would not look at it; rename it")
    return safe


def save(folder: Path, name: str, content: IO[bytes]) -> Saved:
    """Put a file into the inbox: written under a hidden name, which the watch does not see, and then named at once.

    A file that is there is never written over: one with the same content stays as it is, and beside one with another
    content this one gets a number.

    Raises:
        UnsafeNameError: its name cannot be used.
        OSError: it cannot be written.
    """
    safe = safe_name(name)
    partial = folder / f".upload-{uuid4().hex}"
    try:
        digest = hashlib.sha256()
        with partial.open("xb") as file:
            while chunk := content.read(CHUNK_BYTES):
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        for number in range(1, MOST_NUMBERED):
            target = folder / (safe if number == 1 else _numbered(safe, number))
            try:
                os.link(partial, target)  # fails where there is one of that name, whoever put it there meanwhile
            except FileExistsError:
                if _digest(target) == digest.digest():
                    return Saved(target.name, Outcome.SAME)
                continue
            return Saved(target.name, Outcome.SAVED if number == 1 else Outcome.RENUMBERED)
        raise FileExistsError(f"{MOST_NUMBERED} files are called like {safe}")
    finally:
        with suppress(OSError):
            partial.unlink()


def _numbered(name: str, number: int) -> str:
    path = Path(name)
    return f"{path.stem} ({number}){path.suffix}"


def _digest(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:  # a folder, or gone again
        return None


def why_no_upload(settings: Settings, look: InboxLook | None) -> str | None:
    """Why nothing can be dropped here, as Markdown; None where it can."""
    if look is None or not look.is_watched:
        return "Files can be dropped here while an inbox is watched."
    if settings.battery_launcher == "compose":  # its containers may not write to folders of the host
        return "Put files of your cycler into the folder `workbooks` beside docker-compose.yml."
    if settings.dashboard_password is None and not is_for_this_machine():
        return (
            "Files cannot be dropped here, since the dashboard can be reached from other machines and asks for no "
            "password: set `DASHBOARD_PASSWORD`, or serve it at 127.0.0.1."
        )
    if not os.access(look.folder, os.W_OK | os.X_OK):
        return f"Files cannot be dropped here, since this server may not write to `{literal(look.folder)}`."
    return None


def offer_upload(settings: Settings, look: InboxLook | None) -> None:
    """Draw the place to drop files onto, or say why there is none, and what became of the last files."""
    reason = why_no_upload(settings, look)
    if reason is not None or look is None:
        st.caption(reason or "")
        return
    place = int(st.session_state.get(_ROUND, 0))
    dropped = st.file_uploader(
        f"Drop files of your cycler, ZIPs or mapping files here (at most {settings.dashboard_upload_max_mb} MB each)",
        accept_multiple_files=True,
        key=f"upload-{place}",
    )
    if dropped:
        st.session_state[_RESULTS] = [_saved(Path(look.folder), file.name, file) for file in dropped]
        st.session_state[_ROUND] = place + 1  # an empty place, so that nothing is saved twice
        st.rerun()
    _show_results(st.session_state.get(_RESULTS, []))


def _saved(folder: Path, name: str, content: IO[bytes]) -> tuple[str, str]:
    """What became of a file that was dropped, and the name that says it: both in words."""
    try:
        saved = save(folder, name, content)
    except UnsafeNameError as error:
        return f"Not saved: {error}", one_line(name)
    except OSError as error:
        return f"Not saved: {error.strerror or error}", one_line(name)
    return saved.outcome.value, saved.name


def _show_results(results: Sequence[tuple[str, str]]) -> None:
    """Say what became of the last files, a line for each outcome."""
    by_outcome: dict[str, list[str]] = {}
    for outcome, name in results:
        by_outcome.setdefault(outcome, []).append(name)
    for outcome, names in by_outcome.items():
        line = f"{literal(outcome)}: {literal(', '.join(names))}"
        if outcome.startswith("Not saved"):
            st.error(line, icon=":material/error:")
        else:
            st.caption(f":green[{line}]")
