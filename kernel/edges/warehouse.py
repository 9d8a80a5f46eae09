"""The warehouse edge: a DuckDB file or MotherDuck, opened for one purpose and closed again.

A DuckDB file admits one process at a time, readers included, so nobody keeps it: the sink, dbt, status and the
dashboard each hold it for as long as their own work takes and wait for the others with backoff.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import duckdb
import structlog
import tenacity

from kernel.base.errors import BatteryError, causes
from kernel.base.pauses import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from kernel.base.settings import Settings

_log = structlog.get_logger()


ATTEMPTS: Final = 5
"""How often a transaction is tried while the warehouse fails."""

SPARING: Final = {"threads": "1", "memory_limit": "80MB"}
"""What DuckDB may take beside a running flow. By itself it would take four fifths of the machine's memory, and every
processor: for an append that is a tenth faster and costs half as much again."""

_DAMAGE: Final = (
    "Corrupt database file",
    "Could not read enough bytes from file",
    "Failure while replaying WAL file",
    "not a valid DuckDB database file",
)
"""How DuckDB says, and only in words, that a file is not what it has written."""

MOTHERDUCK_HOST: Final = "api.motherduck.com"
NETWORK_SECONDS: Final = 5.0


class Warehouse(Protocol):
    """Something that lends connections to the landing tables."""

    def connect(self, purpose: str, *, read_only: bool = False) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Lend a connection until the block ends.

        Args:
            purpose: what for, for the log line of a wait.
            read_only: whether nothing will be written; the warehouse must exist then.

        Raises:
            BatteryError: it cannot be opened or is damaged, or others hold it for longer than
                WAREHOUSE_LOCK_TIMEOUT_SECONDS.
        """
        ...


def open_warehouse(settings: Settings, *, sparing: bool = False) -> Warehouse:
    """The warehouse that WAREHOUSE names; nothing is opened yet.

    Args:
        settings: where it is.
        sparing: whether a DuckDB file is to take little memory and one thread, since the process has other work too.
    """
    if settings.warehouse.startswith("md:"):
        return MotherDuck(settings)
    return DuckDBFile(Path(settings.warehouse), settings.warehouse_lock_timeout_seconds, SPARING if sparing else {})


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All of a block or nothing of it."""
    connection.begin()
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def persistent(*failures: type[Exception]) -> tenacity.Retrying:
    """Tries again, `ATTEMPTS` times in all, what fails in one of these ways; then lets the failure through."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(failures),
        wait=tenacity.wait_random_exponential(multiplier=0.05, max=5),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        before_sleep=_tell,
        reraise=True,
    )


def _tell(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    said = (str(error).splitlines() or [type(error).__name__])[0]
    _log.warning("the warehouse failed, trying again", attempt=state.attempt_number, error=said)


def lacks_memory(error: duckdb.Error) -> bool:
    """Whether DuckDB failed for want of memory; at a checkpoint it says so in another error, and only in words."""
    return isinstance(error, duckdb.OutOfMemoryException) or "failed to pin block" in str(error)


def lift_memory_limit(connection: duckdb.DuckDBPyConnection) -> None:
    """Give a connection the memory that DuckDB would take by itself."""
    connection.execute("reset memory_limit")
    usual = connection.execute("select current_setting('memory_limit')").fetchone()
    if usual is not None:
        connection.execute("set memory_limit = ?", [usual[0]])  # RESET alone changes what is told, not what is given


class DuckDBFile:
    """A DuckDB file on this machine."""

    def __init__(self, path: Path, lock_timeout_seconds: float, limits: Mapping[str, str] | None = None) -> None:
        self._path = path.resolve()
        self._lock_timeout_seconds = lock_timeout_seconds
        self._limits = dict(limits or {})

    @contextmanager
    def connect(self, purpose: str, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file, waiting for its lock."""
        if read_only and not self._path.exists():
            raise BatteryError(f"WAREHOUSE={self._path} does not exist yet; `battery stream` makes it")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BatteryError(f"cannot make the folder of WAREHOUSE={self._path}: {error.strerror}") from None
        connection = self._open(purpose, read_only=read_only)
        try:
            yield connection
        except duckdb.Error as error:  # most of a file is read only when somebody asks for it
            self._require_whole(error)
            raise
        finally:
            connection.close()

    def _require_whole(self, error: duckdb.Error) -> None:
        """Tell an error that comes from a damaged file from all others, and what to do about it.

        Raises:
            BatteryError: the file is damaged.
        """
        for cause in causes(error):
            line = (str(cause).splitlines() or [""])[0]
            if isinstance(cause, duckdb.Error) and any(words in str(cause) for words in _DAMAGE):
                raise BatteryError(
                    f"WAREHOUSE={self._path} is damaged, or no DuckDB file ({line.removeprefix('IO Error: ')}); move "
                    f"it and {self._path.name}.wal away, bring a backup in their place or build it anew with `battery "
                    "adopt` and `battery replay --from-beginning`, then start again"
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
            return retry(duckdb.connect, str(self._path), read_only=read_only, config=self._limits)
        except duckdb.Error as error:
            if _is_locked(error):
                raise BatteryError(
                    f"WAREHOUSE={self._path} has been held by another process for {self._lock_timeout_seconds:.0f} s "
                    f"(WAREHOUSE_LOCK_TIMEOUT_SECONDS): cannot {purpose}"
                ) from None
            self._require_whole(error)
            raise BatteryError(f"cannot open WAREHOUSE={self._path}: {str(error).splitlines()[0]}") from None


def _is_locked(error: BaseException) -> bool:
    return isinstance(error, duckdb.IOException) and "lock on file" in str(error)


class MotherDuck:
    """A MotherDuck database; many may use it at once, so one connection is kept."""

    def __init__(self, settings: Settings) -> None:
        self._database = settings.warehouse.removeprefix("md:")
        self._token = settings.motherduck_token
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._attaching = threading.Lock()

    @contextmanager
    def connect(self, purpose: str, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """Lend a cursor of the one connection; one that has failed is not used again."""
        with self._attaching:
            if self._connection is None:
                self._connection = self._attach(purpose, create=not read_only)
            connection = self._connection
        try:
            with connection.cursor() as cursor:
                cursor.execute(f'use "{self._database}"')
                yield cursor
        except duckdb.Error:
            with self._attaching:
                if self._connection is connection:
                    self._connection = None
            raise

    def _attach(self, purpose: str, *, create: bool) -> duckdb.DuckDBPyConnection:
        token = self._token.get_secret_value() if self._token else ""
        _require_token(token)
        _require_network(purpose)
        from duckdb_extensions import import_extension  # noqa: PLC0415  # only those who use MotherDuck pay for it

        connection = duckdb.connect()
        try:
            import_extension("motherduck", con=connection)
            connection.load_extension("motherduck")
            connection.execute(f"set motherduck_token = '{token.replace(chr(39), chr(39) * 2)}'")
            connection.execute("attach 'md:'")
            if create:
                connection.execute(f'create database if not exists "{self._database}"')
        except duckdb.Error as error:
            reason = str(error).splitlines()[0].replace(token, "***") if token else str(error).splitlines()[0]
            raise BatteryError(f"cannot reach MotherDuck to {purpose}: {reason}") from None
        return connection


def _require_token(token: str) -> None:
    """See what is wrong with a token without asking anybody; MotherDuck itself judges the rest.

    Raises:
        BatteryError: it holds what no token holds, or was valid until some time ago.
    """
    if not token.isascii() or any(letter.isspace() or letter in "'\"" for letter in token):
        raise BatteryError("MOTHERDUCK_TOKEN holds quotes, spaces or letters that are in no token; copy it anew")
    expires = _expiry(token)
    if expires is not None and expires < time.time():
        when = datetime.fromtimestamp(expires, UTC).date()
        raise BatteryError(f"MOTHERDUCK_TOKEN expired on {when}; make a new one in the MotherDuck settings")


def _expiry(token: str) -> float | None:
    """When a token ends, in s since 1970 UTC; None where it does not say. It is a JSON Web Token (RFC 7519)."""
    try:
        _, body, _ = token.split(".")
        told = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["exp"]
    except (ValueError, KeyError, TypeError):
        return None
    return float(told) if isinstance(told, int | float) else None


def _require_network(purpose: str) -> None:
    """Knock at MotherDuck's door: DuckDB's extension takes half a minute to say that there is none.

    Raises:
        BatteryError: nothing answers there.
    """
    if any(name.lower() in {"https_proxy", "all_proxy"} for name in os.environ):
        return  # the way leads through a proxy, which is not ours to try
    try:
        socket.create_connection((MOTHERDUCK_HOST, 443), timeout=NETWORK_SECONDS).close()
    except OSError as error:
        raise BatteryError(
            f"cannot reach MotherDuck to {purpose}: {MOTHERDUCK_HOST} does not answer ({error.strerror or error}); "
            "is this machine online?"
        ) from None
