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

ASLEEP_SECONDS: Final = 10
"""Another take-over, such as the swap of a replay, is ended where it has done nothing for so long, s."""

LONGEST_SECONDS: Final = 1800
"""Whatever it does, it is ended where it has taken so long, s."""

_ATTEMPTS: Final = 10

_END_HOLDERS: Final = f"""
select
    count(*) filter (where may_be_ended and pg_terminate_backend(pid)),
    count(*) filter (where not may_be_ended)
from (
    select
        pid,
        mode = 'ShareLock'
        or (state like 'idle in transaction%' and state_change < clock_timestamp() - interval '{ASLEEP_SECONDS} s')
        or xact_start < clock_timestamp() - interval '{LONGEST_SECONDS} s' as may_be_ended
    from pg_locks inner join pg_stat_activity using (pid)
    where locktype = 'advisory' and classid = ? and objid = ? and objsubid = 2 and granted
        and database = (select oid from pg_database where datname = current_database())
        and pid <> pg_backend_pid()
) as holders
"""  # noqa: S608  # our own numbers


def share(session: PostgresSession, kind: str) -> None:
    """Keep others from taking over from this kind of writer until the transaction ends."""
    session.execute("select pg_advisory_xact_lock_shared(?, ?)", [_CLASS, _NUMBERS[kind]])


def take_turn(session: PostgresSession) -> None:
    """Let nobody else take a writer epoch until the transaction ends."""
    session.execute("select pg_advisory_xact_lock(?, 0)", [_CLASS])


def take_over(session: PostgresSession, kind: str) -> None:
    """Have no commit of a kind of writer under way until the transaction ends.

    Commits that do not end in time are ended: their run is about to be superseded, so they could not land any more.
    Another take-over that is at work, as the swap of a replay is for minutes, is waited for.

    Raises:
        BatteryError: they cannot be ended.
    """
    keys = [_CLASS, _NUMBERS[kind]]
    attempts = 0
    while attempts < _ATTEMPTS:
        session.execute("savepoint take_over")
        try:
            session.execute(f"set local lock_timeout = '{PATIENCE_SECONDS}s'")
            session.execute("select pg_advisory_xact_lock(?, ?)", keys)
            session.execute("set local lock_timeout = 0")
        except duckdb.TransactionException:
            session.execute("rollback to savepoint take_over")
            ended, at_work = session.execute(_END_HOLDERS, keys).fetchone() or (0, 0)
            if ended:
                _log.warning("ended commits of an older run that did not come to their end", kind=kind, commits=ended)
            if at_work:
                _log.info("waiting for another take-over of the WAREHOUSE, such as the swap of a replay", kind=kind)
            else:
                attempts += 1
        else:
            return
    raise BatteryError(
        "commits of an older run hold the WAREHOUSE and cannot be ended; stop that run, then start this one again"
    )
