"""A warehouse that is a DuckDB file on this machine.

A file admits one process at a time, readers included, so nobody keeps it: the sink, dbt, status and the dashboard each
hold it for as long as their own work takes and wait for the others with backoff.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, ClassVar, Final

import duckdb
import structlog
from filelock import lock_descriptor

from kernel.base.errors import BatteryError, causes
from kernel.base.pauses import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

_log = structlog.get_logger()

SPARING: Final = {"threads": "1", "memory_limit": "80MB"}
"""What DuckDB may use beside a running flow. By default it would use four fifths of the machine's memory and every
processor, which makes an append a tenth faster and costs half as much again."""

_DAMAGE: Final = (
    "Corrupt database file",
    "Could not read enough bytes from file",
    "Failure while replaying WAL file",
    "not a valid DuckDB database file",
)
"""How DuckDB reports a damaged file; only the text of the error tells."""


class HeldError(BatteryError):
    """Another process has the warehouse for longer than this one may wait."""


class DuckDBFile:
    """A DuckDB file on this machine."""

    CALLED: ClassVar[str] = "WAREHOUSE="
    """What stands before its path in messages."""

    MENDED: ClassVar[str] = (
        "bring a backup in their place or rebuild it with `battery adopt` and `battery replay --from-beginning`, then "
        "start again"
    )
    """What to do where it is damaged, once it and its log were moved away."""

    def __init__(self, path: Path, lock_timeout_seconds: float, limits: Mapping[str, str] | None = None) -> None:
        self._path = path.resolve()
        self._lock_timeout_seconds = lock_timeout_seconds
        self._limits: dict[str, str | bool | int | float | list[str]] = dict(limits or {})

    @contextmanager
    def connect(self, purpose: str, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file, waiting for its lock."""
        if "?" in str(self._path):  # what follows it goes astray in the name of the .wal
            raise BatteryError(f"{self.CALLED}{self._path}: DuckDB can use no path with a question mark; name another")
        if read_only and not self._path.exists():
            raise BatteryError(f"{self.CALLED}{self._path} does not exist yet; `battery stream` makes it")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BatteryError(f"cannot make the folder of {self.CALLED}{self._path}: {error.strerror}") from None
        connection = self._open(purpose, read_only=read_only)
        try:
            yield connection
        except duckdb.Error as error:  # most of a file is read only when a query needs it
            self._require_whole(error)
            raise
        finally:
            connection.close()

    def judge(self, purpose: str) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the file to change it."""
        return self.connect(purpose)

    def _create(self) -> None:
        """Make the file under another name and put it in its place, once, whoever else is about to.

        DuckDB makes a file first and locks it then, so a process that opens it between the two finds an empty file and
        takes it for a damaged one. The workers of a cluster start at the same moment.
        """
        unfinished = self._path.with_name(f".{self._path.name}.new")
        with suppress(OSError):  # a file system without locks, or a folder that is read-only: opening it will tell
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                lock_descriptor(folder, poll_interval=0.01)
                if not self._path.exists():
                    unfinished.unlink(missing_ok=True)  # of a process that was killed here
                    duckdb.connect(str(unfinished), config=self._limits).close()
                    unfinished.rename(self._path)
            finally:
                os.close(folder)

    def _require_whole(self, error: duckdb.Error) -> None:
        """Check that an error does not come from a damaged file.

        Raises:
            BatteryError: it does; says what to do about the file.
        """
        for cause in causes(error):
            line = (str(cause).splitlines() or [""])[0]
            if isinstance(cause, duckdb.Error) and any(words in str(cause) for words in _DAMAGE):
                raise BatteryError(
                    f"{self.CALLED}{self._path} is damaged, or no DuckDB file ({line.removeprefix('IO Error: ')}); "
                    f"move it and {self._path.name}.wal away, {self.MENDED}"
                ) from None

    def _open(self, purpose: str, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        retry = wait_for(
            _is_locked,
            lambda _: _log.info(
                "waiting for the warehouse: another process holds it", warehouse=str(self._path), to=purpose
            ),
            seconds=self._lock_timeout_seconds,
            first=0.02,
            longest=0.5,
        )
        try:
            if not self._path.exists():
                self._create()
            return retry(duckdb.connect, str(self._path), read_only=read_only, config=self._limits)
        except duckdb.Error as error:
            if _is_locked(error):
                raise HeldError(
                    f"{self.CALLED}{self._path} has been held by another process for {self._lock_timeout_seconds:g} s "
                    f"(WAREHOUSE_LOCK_TIMEOUT_SECONDS): cannot {purpose}"
                ) from None
            self._require_whole(error)
            raise BatteryError(f"cannot open {self.CALLED}{self._path}: {str(error).splitlines()[0]}") from None


def _is_locked(error: BaseException) -> bool:
    return isinstance(error, duckdb.IOException) and "lock on file" in str(error)
