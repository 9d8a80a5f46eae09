"""Who may commit, in PostgreSQL: locks that a commit shares with others of its kind, and that a take-over has alone.

The locks are PostgreSQL's advisory ones: they end with their transaction, and the server tells who holds them. So the
lanes of a run do not wait for each other, and a newer run can end an older one that sleeps inside its transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb
import structlog

from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from kernel.edges.warehouses.postgres_session import PostgresSession

_log = structlog.get_logger()

_CLASS: Final = 0x62617474
"""The first half of the key of each lock; the second half is the number of a kind of writer, or 0."""

_NUMBERS: Final = {"worker": 1, "replay": 2, "compaction": 3}

PATIENCE_SECONDS: Final = 2
"""How long a take-over waits for commits that are under way, before it ends them."""

_ATTEMPTS: Final = 10


def share(session: PostgresSession, kind: str) -> None:
    """Keep others from taking over from this kind of writer until the transaction ends."""
    session.execute("select pg_advisory_xact_lock_shared(?, ?)", [_CLASS, _NUMBERS[kind]])


def take_turn(session: PostgresSession) -> None:
    """Let nobody else take a writer epoch until the transaction ends."""
    session.execute("select pg_advisory_xact_lock(?, 0)", [_CLASS])


def take_over(session: PostgresSession, kind: str) -> None:
    """Have no commit of a kind of writer under way until the transaction ends.

    Commits that do not end in time are ended: their run is about to be superseded, so they could not land any more.

    Raises:
        BatteryError: they cannot be ended.
    """
    keys = [_CLASS, _NUMBERS[kind]]
    for _ in range(_ATTEMPTS):
        session.execute("savepoint take_over")
        try:
            session.execute(f"set local lock_timeout = '{PATIENCE_SECONDS}s'")
            session.execute("select pg_advisory_xact_lock(?, ?)", keys)
            session.execute("set local lock_timeout = 0")
        except duckdb.TransactionException:
            session.execute("rollback to savepoint take_over")
            ended = session.execute(
                "select count(*) filter (where pg_terminate_backend(pid)) from pg_locks "
                "where locktype = 'advisory' and classid = ? and objid = ? and objsubid = 2 and granted "
                "and database = (select oid from pg_database where datname = current_database()) "
                "and pid <> pg_backend_pid()",
                keys,
            ).fetchone()
            _log.warning(
                "ended commits of an older run that did not come to their end",
                kind=kind,
                commits=ended[0] if ended else 0,
            )
        else:
            return
    raise BatteryError(
        "commits of an older run hold the WAREHOUSE and cannot be ended; stop that run, then start this one again"
    )
