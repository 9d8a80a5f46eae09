"""A session of PostgreSQL that is spoken to as a connection of DuckDB is, so that one code changes both."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from enum import Enum
from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import psycopg
    import pyarrow as pa


class Answer:
    """What PostgreSQL answers to a statement; as in DuckDB, one that changes rows answers with their number."""

    def __init__(self, cursor: psycopg.Cursor[tuple[Any, ...]]) -> None:
        self._cursor = cursor
        self._changed = [(cursor.rowcount,)] if cursor.description is None else []

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row; None after the last."""
        if self._cursor.description is None:
            return self._changed.pop() if self._changed else None
        with as_duckdb_errors():
            return self._cursor.fetchone()

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that are left."""
        if self._cursor.description is None:
            return [self._changed.pop()] if self._changed else []
        with as_duckdb_errors():
            return self._cursor.fetchall()


class PostgresSession:
    """A connection to PostgreSQL that is spoken to as one to DuckDB is: `?` or `$name` stands for a value.

    Its errors are DuckDB's, since whoever tries a transaction again does so for every kind of warehouse.

    Args:
        connection: to the database.
        grace_seconds: how long replaced objects stay for those who read them, s (OBJECT_GRACE_SECONDS).
    """

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], grace_seconds: float = 0.0) -> None:
        self.connection = connection
        self.grace_seconds = grace_seconds
        self.prepared = False
        """Whether the temporary tables of a commit exist in this connection."""

    def execute(self, sql: str, values: Sequence[object] | Mapping[str, object] = ()) -> Answer:
        """Execute one statement.

        Raises:
            duckdb.Error: PostgreSQL refused it, or did not answer.
        """
        with as_duckdb_errors():
            if isinstance(values, dict):
                named = re.sub(r"\$(\w+)", r"%(\1)s", sql.replace("%", "%%"))
                return Answer(self.connection.execute(named, {name: _plain(value) for name, value in values.items()}))
            if values:
                return Answer(self.connection.execute(_numbered(sql), [_plain(value) for value in values]))
            return Answer(self.connection.execute(sql))

    def execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Execute one statement for each row of values, without waiting for the answer to each.

        Raises:
            duckdb.Error: PostgreSQL refused one, or did not answer.
        """
        with as_duckdb_errors(), self.connection.cursor() as cursor:
            cursor.executemany(_numbered(sql), rows)

    def begin(self) -> None:
        """Begin a transaction."""
        self.execute("begin")

    def commit(self) -> None:
        """Commit it."""
        self.execute("commit")

    def rollback(self) -> None:
        """Undo it; a connection that broke has nothing to undo."""
        self.prepared = False  # tables that were made in it are gone
        with suppress(duckdb.Error):
            self.execute("rollback")

    def copy(self, table: str, rows: pa.Table) -> None:
        """Append rows to a table by its binary COPY; `table` may name the columns, in parentheses.

        Raises:
            duckdb.Error: PostgreSQL refused them, or did not answer.
        """
        from pgpq import ArrowToPostgresBinaryEncoder  # noqa: PLC0415  # of the extra

        encoder = ArrowToPostgresBinaryEncoder(rows.schema)
        with as_duckdb_errors(), self.connection.cursor().copy(f"copy {table} from stdin (format binary)") as copy:
            copy.write(encoder.write_header())
            for batch in rows.to_batches():
                copy.write(encoder.write_batch(batch))
            copy.write(encoder.finish())


def _numbered(sql: str) -> str:
    """A statement with psycopg's sign for a value."""
    return sql.replace("%", "%%").replace("?", "%s")


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


@contextmanager
def as_duckdb_errors() -> Iterator[None]:
    """Raise PostgreSQL's errors as those by which DuckDB says the same."""
    import psycopg  # noqa: PLC0415  # of the extra

    try:
        yield
    except psycopg.Error as error:
        raise _kind_of(error)(first_line(error)) from error


def _kind_of(error: psycopg.Error) -> type[duckdb.Error]:
    from psycopg import errors  # noqa: PLC0415  # of the extra

    if isinstance(error, errors.SerializationFailure | errors.DeadlockDetected | errors.LockNotAvailable):
        return duckdb.TransactionException
    if isinstance(error, errors.IntegrityError):
        return duckdb.ConstraintException
    if isinstance(error, errors.UndefinedTable | errors.InvalidSchemaName):
        return duckdb.CatalogException
    if isinstance(error, errors.OperationalError | errors.InterfaceError):  # the connection
        return duckdb.IOException
    return duckdb.Error


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
