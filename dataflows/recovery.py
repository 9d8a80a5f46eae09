"""The recovery store: the folder in which Bytewax keeps the offsets where a worker continues.

The store holds only the offsets where reading goes on; what has landed is recorded in the warehouse. So a store that is
lost or damaged costs only time, and the remedy is always the same.
"""

from __future__ import annotations

import os
import pickletools
import re
import sqlite3
import stat
from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING, Final

import structlog
from bytewax.recovery import init_db_dir

from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kernel.base.settings import Settings

_log = structlog.get_logger()

OWNER_ONLY: Final = 0o700
"""The worker unpickles what is in the store: whoever may write there may run code as the worker."""

REMEDY: Final = (
    "move the folder away and start again: the worker makes a new one, reads the log from its start and passes over "
    "what has landed"
)
BUSY_SECONDS: Final = 10.0
"""How long to wait for another process that writes to the store, s."""

_NO_DAMAGE: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
_TABLES: Final = {"parts", "exs", "fronts", "commits", "snaps"}


def make_recovery_store(settings: Settings) -> None:
    """Create the recovery store where it is missing, readable by its owner alone, or check that it is complete.

    Raises:
        BatteryError: RECOVERY_DIR cannot be used, or is damaged; the message says what to do.
    """
    store = settings.recovery_dir
    if store.is_symlink() or store.exists():
        _require_folder(store)
    try:
        store.mkdir(parents=True, exist_ok=True)
        _close_to_others(store)
        if not os.access(store, os.R_OK | os.W_OK | os.X_OK):
            raise _unusable(store, "this user may not write there")
        parts = sorted(store.glob("*.sqlite3"))
        if not parts:
            init_db_dir(store, 1)
            parts = sorted(store.glob("*.sqlite3"))
    except (OSError, RuntimeError) as error:  # Bytewax raises the latter where SQLite cannot write
        raise _unusable(store, getattr(error, "strerror", None) or str(error)) from None
    _require_all_parts(store, [_part(path) for path in parts])


def make_empty_store(settings: Settings) -> Path:
    """The folder of a process of a cluster that has no part of the store, since the host of process 0 has all of it.

    Returns:
        The folder, in RECOVERY_DIR.

    Raises:
        BatteryError: RECOVERY_DIR cannot be used.
    """
    folder = settings.recovery_dir / "elsewhere"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _close_to_others(settings.recovery_dir)
    except OSError as error:
        raise _unusable(settings.recovery_dir, error.strerror or str(error)) from None
    return folder


def error_of(settings: Settings, error: BaseException) -> BatteryError | None:
    """An error of Bytewax about its recovery store, as one for people; None for any other error."""
    match = re.search(r"SqliteFailure\(.*?\}, (?:Some\(\"(?P<message>[^\"]*)|None)", str(error))
    if match is None:
        return None
    try:
        make_recovery_store(settings)
    except BatteryError as reason:
        return reason
    return _unusable(settings.recovery_dir, match["message"] or "SQLite could not read or write there")


def _require_folder(store: Path) -> None:
    if not store.is_dir():
        raise BatteryError(f"RECOVERY_DIR={store} is no folder; move it away or name another one, then start again")


def _close_to_others(store: Path) -> None:
    status = store.stat()
    if not stat.S_IMODE(status.st_mode) & ~OWNER_ONLY:
        return
    if status.st_uid == os.geteuid():
        store.chmod(OWNER_ONLY)
    else:
        _log.warning("others may read or write RECOVERY_DIR, and its owner is another user", recovery_dir=str(store))


def _part(path: Path) -> tuple[int, int]:
    """The index of a part of the store, and how many parts there are.

    Raises:
        BatteryError: it is damaged, or cannot be read and written.
    """
    if not os.access(path, os.R_OK | os.W_OK):
        raise _unusable(path.parent, f"this user may not read and write {path.name}")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", timeout=BUSY_SECONDS, uri=True)) as part:
            (verdict,) = part.execute("pragma quick_check(1)").fetchone()
            tables = {name for (name,) in part.execute("select name from sqlite_master where type = 'table'")}
            if verdict == "ok" and tables >= _TABLES:
                for (snapshot,) in part.execute("select ser_change from snaps where ser_change is not null"):
                    deque(pickletools.genops(snapshot), maxlen=0)  # whether it can be read, without reading it
                ((index, count),) = part.execute("select part_index, part_count from parts").fetchall()
                return int(index), int(count)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _NO_DAMAGE:
            raise _unusable(path.parent, f"{path.name}: {error}") from None
        verdict = str(error)
    except ValueError:  # it is of no part, or of several, or a snapshot cannot be read
        verdict = "ok"
    raise _damaged(path.parent, f"{path.name}: {'not a whole part' if verdict == 'ok' else _one_line(verdict)}")


def _require_all_parts(store: Path, parts: Sequence[tuple[int, int]]) -> None:
    counts = {count for _, count in parts}
    missing = set(range(max(counts))) - {index for index, _ in parts}
    if missing or len(counts) > 1:
        raise _damaged(store, f"part {min(missing, default=0)} of {max(counts)} is missing or of another store")


def _damaged(store: Path, why: str) -> BatteryError:
    return BatteryError(f"RECOVERY_DIR={store} is damaged ({why}); {REMEDY}")


def _unusable(store: Path, why: str) -> BatteryError:
    return BatteryError(
        f"RECOVERY_DIR={store} cannot be used: {_one_line(why)}; make room or give this user the folder, or name "
        "another one, then start again: nothing that has landed is lost"
    )


def _one_line(text: str) -> str:
    return " ".join(text.split()).removeprefix("*** in database main *** ")
