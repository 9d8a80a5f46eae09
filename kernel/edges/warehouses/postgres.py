"""A warehouse in a PostgreSQL database, which many workers, refreshes and readers use at once.

PostgreSQL judges: it holds the writers, the manifest and all that is small. The rows are the Parquet objects that the
manifest names, and are written once. What is to be changed goes to PostgreSQL itself (`judge`). What is to be read is
read by DuckDB (`connect`), in which views show PostgreSQL's tables and the objects under the names, and with the types,
that a DuckDB file has. PostgreSQL keeps the text of these views, so that they fit its tables whichever release reads.
"""

from __future__ import annotations

import atexit
import os
import re
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow.parquet as pq
import structlog

from kernel.base.errors import BatteryError
from kernel.base.pauses import wait_for
from kernel.contract.reading import LANDED
from kernel.edges.duckdb_objects import load_extension, object_root, sql_text, unlock_objects
from kernel.edges.warehouses.postgres_session import PostgresSession, first_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from kernel.base.settings import Settings

_log = structlog.get_logger()

ATTACHED: Final = "judge"
"""The name that the PostgreSQL database has in DuckDB."""

VIEWS: Final = "internal._duckdb_views"
"""The table in PostgreSQL that holds DuckDB's views of it: `number`, and `statement`, to be executed in that order."""

SNAPSHOT: Final = "snapshot"
"""The `kind` of a statement that DuckDB executes at the beginning of each look; the others make the views, once."""

CONNECT_SECONDS: Final = 10
"""How long a connection may take to be made, in s."""

LOOKS: Final = 4
"""How many connections a process opens to PostgreSQL at most to look; each that changes something is one more."""

IDLE_SECONDS: Final = 30.0
"""A connection that was idle for longer is not used again, since the server may have closed it."""

_OPTIONS: Final = (
    "-c idle_in_transaction_session_timeout=60s -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 "
    "-c tcp_keepalives_count=3 -c client_min_messages=warning -c search_path=main -c statement_timeout=0 "
    "-c lock_timeout=0 -c client_encoding=UTF8"
)
"""A host that has gone must not hold a lock for long, whether or not anybody takes its run over. Shorter times that a
role is given for all it does would end a large commit again and again."""

_NO_IDLE_END: Final = "idle_session_timeout=0"
"""A further one, for servers of this version or later: we keep connections, and give them up by ourselves."""

_IDLE_END_VERSION: Final = 140_000

SPARING: Final = {"threads": "1", "memory_limit": "512MB"}
"""What DuckDB may use beside a running flow, to look for repeated readings in the objects."""

_READING: Final = (
    "set preserve_insertion_order = false",
    # An object never changes: its key is written once. Each look is a session of its own, so the setting is global.
    "set global parquet_metadata_cache = true",
    "set validate_external_file_cache = 'NO_VALIDATION'",
)
"""Settings of the DuckDB that looks."""

_IN_SNAPSHOT: Final = "is_snapshot"
_LANDED_OBJECTS: Final = "landed_objects"
"""The variable of DuckDB that the view of the readings shows: a list of paths."""

_LOST: Final = re.compile(
    r"No files found that match|\b404\b|No such file|No magic bytes found|too small to be a Parquet|"
    r"Failed to read file|Could not read enough bytes|TProtocolException|TType|don't know what type|[Cc]orrupt|"
    r"Decode bit width|Payload value bigger"
)
"""What DuckDB says of an object that is gone, or is no whole Parquet file: asking again helps nothing."""

_OF_OTHERS: Final = re.compile(
    r"connect to Postgres|connection to server|server closed|Failed to (prepare|fetch|execute)|duckdb_temp_storage"
)

_MISSING: Final = (
    "WAREHOUSE=postgresql://… needs the extra `postgres`: install it with `pip install 'battery-pipeline[postgres]'`"
)


class LostRowsError(BatteryError):
    """An object that PostgreSQL names, and that holds rows, is missing or damaged."""


class Postgres:
    """A PostgreSQL database with the control tables, and the OBJECT_STORE with the rows.

    Args:
        settings: WAREHOUSE, its password, and how to reach the OBJECT_STORE.
        limits: of the DuckDB that looks, as its settings.
    """

    def __init__(self, settings: Settings, limits: Mapping[str, str] | None = None) -> None:
        self._settings = settings
        self._limits: dict[str, str | bool | int | float | list[str]] = dict(limits or {})
        self._url = settings.warehouse
        self._password = settings.warehouse_password.get_secret_value() if settings.warehouse_password else None
        self._idle: list[tuple[PostgresSession, float]] = []
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._duckdb: duckdb.DuckDBPyConnection | None = None
        self._was_reached = False
        self._further = ""
        self._process = os.getpid()

    @contextmanager
    def judge(self, purpose: str) -> Iterator[PostgresSession]:
        """Lend a connection to PostgreSQL; one that broke, or is left in a transaction, is not used again.

        Raises:
            BatteryError: it cannot be reached, or refuses.
        """
        session = self._take() or self._open(purpose)
        try:
            yield session
        finally:
            self._give_back(session)

    @contextmanager
    def connect(self, purpose: str, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:  # noqa: ARG002
        """Lend a DuckDB connection with the views, in a transaction: all that it sees is of one moment.

        Raises:
            LostRowsError: what was asked for is in objects, one of which is missing or damaged.
            BatteryError: PostgreSQL cannot be reached, or refuses.
        """
        with self._looking:
            with self._lock:
                self._forget_parent()
            if self._duckdb is None:
                connection, has_tables = self._attach(purpose)
                self._duckdb = connection if has_tables else None  # else its tables may come soon
            else:
                connection, has_tables = self._duckdb, True
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"set variable {_IN_SNAPSHOT} = true")
                cursor.begin()
                try:
                    if has_tables:
                        self.take_snapshot(cursor)
                    yield cursor
                finally:
                    with suppress(duckdb.Error):
                        cursor.rollback()
        except duckdb.Error as error:
            with self._looking:
                if self._duckdb is connection:
                    self._duckdb = None
            if _tells_of_lost_rows(error):
                raise LostRowsError(
                    f"cannot {purpose}: an object with rows that the WAREHOUSE names is missing or damaged "
                    f"({first_line(error)}); `battery verify` says which ones, `battery replay --from-beginning` lands "
                    "their rows again"
                ) from error
            raise

    def attach_to(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Attach PostgreSQL as the database `judge`, read-only, and let DuckDB read the OBJECT_STORE.

        Raises:
            duckdb.Error: PostgreSQL cannot be reached, or refuses.
            BatteryError: the extra is not installed.
        """
        load_extension(connection, "postgres_scanner")
        connection.execute(f"set pg_connection_limit = {LOOKS}")
        address = sql_text(self._conninfo(self._further))
        # An empty password would hide PGPASSWORD.
        password = f", password {sql_text(self._password)}" if self._password else ""
        connection.execute(f"create or replace temporary secret judge (type postgres{password})")
        connection.execute(f"attach {address} as {ATTACHED} (type postgres, read_only, secret judge)")
        unlock_objects(connection, self._settings)

    def make_views(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Make the views of an attached PostgreSQL in the current database; False where it has no tables yet."""
        ((exists,),) = connection.execute(
            f"select * from postgres_query('{ATTACHED}', 'select to_regclass(''{VIEWS}'') is not null')"  # noqa: S608
        ).fetchall()
        if not exists:
            return False
        # What the views stand on must exist when they are made, and an object that is missing is no reason to see none.
        connection.execute(f"set variable {_LANDED_OBJECTS} = [{sql_text(str(_empty_object()))}]")
        for statement in self._statements(connection, "view"):
            connection.execute(statement)
        return True

    def take_snapshot(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let the views over objects show those that the manifest names now."""
        root = object_root(self._settings)
        connection.execute(f"set variable object_root = {sql_text(root)}")
        connection.execute(f"set variable no_rows = {sql_text(str(_empty_object()))}")
        for statement in self._statements(connection, SNAPSHOT):
            connection.execute(statement)

    def leave_out(self, connection: duckdb.DuckDBPyConnection, keys: Iterable[str]) -> None:
        """Let the views of a look not show some objects, such as those that cannot be read."""
        root = object_root(self._settings)
        paths = ", ".join(sql_text(root + key) for key in keys)
        if paths:
            connection.execute(
                f"set variable {_LANDED_OBJECTS} = (select list(path order by place) from (select "  # noqa: S608
                f"unnest(getvariable('{_LANDED_OBJECTS}')) as path, "
                f"generate_subscripts(getvariable('{_LANDED_OBJECTS}'), 1) as place) where path not in ({paths}))"
            )

    def _statements(self, connection: duckdb.DuckDBPyConnection, kind: str) -> list[str]:
        rows = connection.execute(
            f"select statement from {ATTACHED}.{VIEWS} where kind = ? order by number",  # noqa: S608
            [kind],
        ).fetchall()
        return [statement for (statement,) in rows]

    def _attach(self, purpose: str) -> tuple[duckdb.DuckDBPyConnection, bool]:
        self._give_back(self._open(purpose))  # it waits, or says in a line why PostgreSQL cannot be reached
        # By itself it would put what does not fit in memory into the working directory, where others may do the same.
        spill = tempfile.mkdtemp(prefix="spill-", dir=_scratch())
        connection = duckdb.connect(config={"temp_directory": spill, **self._limits})
        try:
            for setting in _READING:
                connection.execute(setting)
            self.attach_to(connection)
            return connection, self.make_views(connection)
        except BatteryError:
            connection.close()
            raise
        except duckdb.Error as error:
            connection.close()
            raise BatteryError(
                f"cannot {purpose}: WAREHOUSE={self._url} cannot be read: {self._redact(first_line(error))}"
            ) from None

    def _take(self) -> PostgresSession | None:
        with self._lock:
            self._forget_parent()
            while self._idle:
                session, since = self._idle.pop()
                if time.monotonic() - since < IDLE_SECONDS and not session.connection.closed:
                    return session
                session.connection.close()
        return None

    def _forget_parent(self) -> None:
        """After a fork, use none of the connections, which are the parent's; the lock is held."""
        if self._process != os.getpid():
            self._process, self._idle, self._duckdb = os.getpid(), [], None

    def _give_back(self, session: PostgresSession) -> None:
        from psycopg.pq import TransactionStatus  # noqa: PLC0415  # of the extra

        if session.connection.info.transaction_status != TransactionStatus.IDLE:
            given_up = [session]
            if session.connection.broken:  # as the others are then, which would fail one after the other
                with self._lock:
                    given_up += [idle for idle, _ in self._idle]
                    self._idle = []
            for each in given_up:
                each.connection.close()
            return
        with self._lock:
            self._idle.append((session, time.monotonic()))

    def _open(self, purpose: str) -> PostgresSession:
        try:
            import psycopg  # noqa: PLC0415  # of the extra
        except ImportError:
            raise BatteryError(_MISSING) from None
        retry = wait_for(
            lambda error: self._was_reached and isinstance(error, psycopg.OperationalError) and _passes(error),
            lambda _: _log.info("waiting for the warehouse: it does not answer", warehouse=self._url, to=purpose),
            seconds=self._settings.warehouse_lock_timeout_seconds,
            first=0.1,
            longest=2,
        )
        try:
            connection = retry(psycopg.connect, self._conninfo(), password=self._password, autocommit=True)
        except (psycopg.Error, UnicodeError) as error:
            raise BatteryError(
                f"cannot {purpose}: WAREHOUSE={self._url} cannot be used: {self._redact(first_line(error))}"
            ) from None
        self._was_reached = True
        if connection.info.server_version >= _IDLE_END_VERSION:
            self._further = f" -c {_NO_IDLE_END}"
            connection.execute(f"set {_NO_IDLE_END}")
        return PostgresSession(connection, self._settings.object_grace_seconds)

    def _conninfo(self, further: str = "") -> str:
        import psycopg  # noqa: PLC0415  # of the extra
        from psycopg.conninfo import make_conninfo  # noqa: PLC0415

        try:
            return make_conninfo(
                self._url, connect_timeout=CONNECT_SECONDS, application_name="battery", options=_OPTIONS + further
            )
        except psycopg.Error as error:
            raise BatteryError(f"WAREHOUSE={self._url} is no address of PostgreSQL: {first_line(error)}") from None

    def _redact(self, text: str) -> str:
        return text.replace(self._password, "***") if self._password else text


def _passes(error: BaseException) -> bool:
    """Whether waiting may help: not where a password is wrong or a database is missing."""
    return not re.search(r"password|authentication|does not exist|not permitted|permission|no pg_hba", str(error))


def _tells_of_lost_rows(error: duckdb.Error) -> bool:
    text = str(error)
    if error.__cause__ is not None or _OF_OTHERS.search(text):  # PostgreSQL said it, or it is about something else
        return False
    return bool(_LOST.search(text))


def is_snapshot(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether a connection looks at PostgreSQL, and so is in a transaction already."""
    return connection.execute(f"select getvariable('{_IN_SNAPSHOT}')").fetchone() == (True,)


@cache
def _empty_object() -> Path:
    """A Parquet file of landed readings without a row: DuckDB can read no empty list of files."""
    path = _scratch() / "no-rows.parquet"
    pq.write_table(LANDED.empty_table(), path)
    return path


@cache
def _scratch() -> Path:
    """A folder of this process, which ends with it."""
    folder = tempfile.TemporaryDirectory(prefix="battery-")
    atexit.register(folder.cleanup)
    return Path(folder.name)
