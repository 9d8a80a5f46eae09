"""The warehouse: opened for one purpose and closed again, whatever kind WAREHOUSE names.

Which kind it is, `Settings.warehouse_address` knows; how each kind is opened, its module in `kernel.edges.warehouses`.
Nobody else asks. What every kind must do is tested by `tests/support/warehouse_contract.py`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import duckdb
import structlog
import tenacity

from kernel.base.warehouse_address import FileAddress, PostgresAddress
from kernel.edges.warehouses import postgres
from kernel.edges.warehouses.duckdb_file import SPARING, DuckDBFile, HeldError
from kernel.edges.warehouses.motherduck import MotherDuck
from kernel.edges.warehouses.postgres import LostRowsError, Postgres, is_snapshot
from kernel.edges.warehouses.postgres_session import PostgresSession

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from kernel.base.settings import Settings

__all__ = [
    "ATTEMPTS",
    "SPARING",
    "DuckDBFile",
    "HeldError",
    "Judge",
    "LostRowsError",
    "MotherDuck",
    "Postgres",
    "PostgresSession",
    "Warehouse",
    "is_snapshot",
    "lacks_memory",
    "lift_memory_limit",
    "open_warehouse",
    "persistent",
    "transaction",
]

_log = structlog.get_logger()

ATTEMPTS: Final = 5
"""How often a transaction is tried while the warehouse fails."""


Judge: TypeAlias = duckdb.DuckDBPyConnection | PostgresSession
"""What changes the landing tables in a transaction: both execute SQL, with `?` or `$name` for a value, in the same way,
answer a change with the number of its rows, and raise DuckDB's errors."""


class Warehouse(Protocol):
    """Something that lends connections to the landing tables.

    `judge` lends what decides and is changed, `connect` what is looked at. In a DuckDB file and in MotherDuck the two
    are the same. In PostgreSQL, DuckDB looks at all of one moment, and can change nothing.

    >>> from pathlib import Path
    >>> warehouse: Warehouse = DuckDBFile(Path("lab.duckdb"), lock_timeout_seconds=10)
    >>> with warehouse.connect("write an example") as connection, transaction(connection):
    ...     _ = connection.execute("create table readings as select 'A1' as cell_id, 3.7 as voltage_v")
    >>> with warehouse.connect("read the example", read_only=True) as connection:
    ...     connection.execute("from readings").fetchall()
    [('A1', Decimal('3.7'))]
    """

    def connect(self, purpose: str, *, read_only: bool = False) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Lend a connection until the block ends.

        Args:
            purpose: what the connection is for, as a verb: `commit`. Errors and the log line of a wait name it.
            read_only: whether nothing will be written; the warehouse must exist then.

        Raises:
            HeldError: others hold it for longer than WAREHOUSE_LOCK_TIMEOUT_SECONDS.
            BatteryError: the warehouse cannot be opened, or is damaged.
        """
        ...

    def judge(self, purpose: str) -> AbstractContextManager[Judge]:
        """Lend a connection by which the landing tables are changed, until the block ends.

        Args:
            purpose: as for `connect`.

        Raises:
            HeldError, BatteryError: as `connect` does.
        """
        ...


def open_warehouse(settings: Settings, *, sparing: bool = False) -> Warehouse:
    """The warehouse that WAREHOUSE names; nothing is opened yet.

    >>> from kernel.base.settings import Settings
    >>> isinstance(open_warehouse(Settings(warehouse="example.duckdb")), DuckDBFile)
    True
    >>> isinstance(open_warehouse(Settings(warehouse="md:example", motherduck_token="secret")), MotherDuck)
    True

    Args:
        settings: where it is.
        sparing: whether DuckDB is to take little memory and one thread, since the process has other work too.
    """
    address = settings.warehouse_address
    if isinstance(address, FileAddress):
        return DuckDBFile(address.file, settings.warehouse_lock_timeout_seconds, SPARING if sparing else {})
    if isinstance(address, PostgresAddress):
        return Postgres(settings, postgres.SPARING if sparing else {})
    return MotherDuck(address.database, settings.motherduck_token)


@contextmanager
def transaction(connection: Judge) -> Iterator[None]:
    """Commit all that a block writes, or nothing where it raises.

    A look at PostgreSQL is in a transaction already, which writes nothing and goes on.
    """
    if isinstance(connection, duckdb.DuckDBPyConnection) and is_snapshot(connection):
        yield
        return
    connection.begin()
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def persistent(*failures: type[Exception]) -> tenacity.Retrying:
    """Try up to `ATTEMPTS` times what fails in one of these ways; the last failure is raised."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(failures),
        wait=tenacity.wait_random_exponential(multiplier=0.05, max=5),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        before_sleep=_log_attempt,
        reraise=True,
    )


def _log_attempt(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    _log.warning("the warehouse failed, trying again", attempt=state.attempt_number, error=reason)


def lacks_memory(error: duckdb.Error) -> bool:
    """Whether DuckDB ran out of memory; at a checkpoint it raises another error, which only its text tells apart."""
    return isinstance(error, duckdb.OutOfMemoryException) or "failed to pin block" in str(error)


def lift_memory_limit(connection: duckdb.DuckDBPyConnection) -> None:
    """Give a connection the memory that DuckDB would take by itself."""
    connection.execute("reset memory_limit")
    default = connection.execute("select current_setting('memory_limit')").fetchone()
    if default is not None:  # RESET alone changes the setting that is shown, not the limit
        connection.execute("set memory_limit = ?", [default[0]])
