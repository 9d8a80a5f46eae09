"""Who may write a warehouse: each run of the worker, replay and compaction takes an epoch, which ends earlier ones.

The functions here run in the transactions of their callers. A commit and a take-over change the same value, so the
warehouse lets only one of the two succeed, even if their transactions run at the same time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import uuid4

from kernel.base.errors import BatteryError, StartAgainError
from kernel.edges.warehouse import PostgresSession
from sink.layout import find_tables
from sink.postgres.fence import share, take_over, take_turn

if TYPE_CHECKING:
    from collections.abc import Collection

    from kernel.edges.warehouse import Judge


class Writer(StrEnum):
    """What an epoch was taken for."""

    WORKER = "worker"
    REPLAY = "replay"
    COMPACTION = "compaction"
    """A compaction, or a sweep: both remove what no commit names."""


class SupersededError(BatteryError):
    """Another run of the pipeline has taken over the warehouse, so this run must end."""


class ReplayedError(StartAgainError):
    """A replay has replaced the tables of this run, which continues from the new ones when it is started again."""


def pipeline_id(connection: Judge) -> str | None:
    """The id of the pipeline that a warehouse belongs to; None before it has one."""
    places = find_tables(connection)
    for table in ("_pipeline", "_writers"):  # in a warehouse older than claims only the table of writers names it
        if table in places:
            row = connection.execute(f"select pipeline from {places.full_name(table)} limit 1").fetchone()  # noqa: S608
            if row is not None:
                return str(row[0])
    return None


def run_epoch(connection: Judge, run_id: str) -> int | None:
    """The epoch of a run, which its first process has taken for all of them; None before it has.

    Raises:
        SupersededError, ReplayedError: that run has ended.
    """
    epoch = _epoch_of(connection, run_id)
    if epoch is None:
        return None
    by = connection.execute("select superseded_by from internal._writers where epoch = ?", [epoch]).fetchone()
    if by != (None,):
        raise _ended(connection, epoch)
    return epoch


def require_new_run(connection: Judge, run_id: str) -> None:
    """Refuse the id of an earlier run, some of whose processes may still be running.

    Raises:
        BatteryError: there was a run with that id.
    """
    epoch = _epoch_of(connection, run_id)
    if epoch is not None:
        raise BatteryError(
            f"RUN_ID={run_id} is that of an earlier start (writer epoch {epoch}); set a new one for each start, the "
            "same for all processes of a cluster"
        )


def _epoch_of(connection: Judge, run_id: str) -> int | None:
    row = connection.execute("select max(epoch) from internal._writers where run_id = ?", [run_id]).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def take_epoch(connection: Judge, writer: Writer, above: int, window_seconds: int, run_id: str | None = None) -> int:
    """Record a new writer, and end the earlier ones of its kind.

    Args:
        connection: in a transaction.
        writer: its kind; a replay or a compaction does not end the worker.
        above: an epoch that the new one must exceed.
        window_seconds: width of the windows in the warehouse, s.
        run_id: the id that the processes of one run share.
    """
    if isinstance(connection, PostgresSession):
        take_turn(connection)
        take_over(connection, writer)
    last = connection.execute("select epoch from internal._writers order by epoch desc limit 1").fetchone()
    epoch = max(above, last[0] if last else 0) + 1
    connection.execute(
        "update internal._writers set changes = changes + 1, superseded_by = ? "
        "where kind = ? and superseded_by is null",
        [epoch, writer],
    )
    connection.execute(
        "insert into internal._writers values (?, ?, ?, ?, 0, null, ?, ?)",
        [pipeline_id(connection) or uuid4().hex, epoch, window_seconds, _now(), writer, run_id],
    )
    return epoch


def window_width(connection: Judge) -> int | None:
    """Width of the windows in the warehouse, in s; None before the first writer."""
    row = connection.execute("select window_seconds from internal._writers order by epoch desc limit 1").fetchone()
    return int(row[0]) if row else None


def require_current(connection: Judge, epoch: int) -> None:
    """Refuse a transaction whose writer has been superseded.

    Raises:
        SupersededError, ReplayedError: it has been.
    """
    if isinstance(connection, PostgresSession):
        _require_current_in_postgres(connection, epoch)
        return
    # Without RETURNING: on a table with a key, DuckDB finds no conflict between updates that return rows.
    changed = connection.execute(
        "update internal._writers set changes = changes + 1 where epoch = ? and superseded_by is null", [epoch]
    ).fetchone()
    if changed != (1,):
        raise _ended(connection, epoch)


def _require_current_in_postgres(session: PostgresSession, epoch: int) -> None:
    """As `require_current`, but commits of one run do not wait for each other: they change no common row."""
    row = session.execute("select kind from internal._writers where epoch = ?", [epoch]).fetchone()
    if row is not None:
        share(session, row[0])
        row = session.execute("select superseded_by from internal._writers where epoch = ?", [epoch]).fetchone()
    if row != (None,):
        raise _ended(session, epoch)
    session.execute(
        "insert into internal._changes as c (epoch, backend, changes) values (?, pg_backend_pid(), 1) "
        "on conflict (epoch, backend) do update set changes = c.changes + 1",
        [epoch],
    )


def end_workers(connection: Judge, replay: int, window_seconds: int) -> None:
    """End every run of the worker, and every compaction, because of a replay; its windows may have another width."""
    if isinstance(connection, PostgresSession):
        take_over(connection, Writer.WORKER)
        take_over(connection, Writer.COMPACTION)
    connection.execute(
        "update internal._writers set changes = changes + 1, superseded_by = ? "
        "where kind in (?, ?) and superseded_by is null",
        [replay, Writer.WORKER, Writer.COMPACTION],
    )
    connection.execute("update internal._writers set window_seconds = ?", [window_seconds])


def end_replays(connection: Judge, epochs: Collection[int], sweep: int) -> None:
    """End the replays among some epochs, since a sweep is about to remove their objects; they can no longer swap."""
    if isinstance(connection, PostgresSession):
        take_over(connection, Writer.REPLAY)
    connection.execute(
        "update internal._writers set changes = changes + 1, superseded_by = ? "
        "where kind = ? and superseded_by is null "
        "and epoch in (select unnest(?::bigint[]))",
        [sweep, Writer.REPLAY, sorted(epochs)],
    )


def _ended(connection: Judge, epoch: int) -> BatteryError:
    row = connection.execute(
        "select w.kind, newer.epoch, newer.kind from internal._writers as w "
        "left join internal._writers as newer on newer.epoch = w.superseded_by where w.epoch = ?",
        [epoch],
    ).fetchone()
    ours, by, kind = row or (None, None, None)
    if by is not None and ours == Writer.COMPACTION:
        other = "a replay has swapped the tables" if kind == Writer.REPLAY else "another compaction or sweep has begun"
        return SupersededError(
            f"{other} (writer epoch {by}) since this compaction began; what it had merged by then was whole: let the "
            "other one finish, then run `battery compact` again"
        )
    if by is not None and ours == Writer.REPLAY and kind == Writer.COMPACTION:
        return SupersededError(
            f"a sweep or compaction (writer epoch {by}) has removed what this replay had stored, which has changed "
            "nothing; start it again"
        )
    if by is not None and ours == Writer.REPLAY:
        return SupersededError(
            f"another replay (writer epoch {by}) has begun since this one, which has changed nothing"
        )
    if by is None:
        return SupersededError(
            f"the WAREHOUSE does not know this run (writer epoch {epoch}): it has been replaced by another or older "
            "one under the running worker; bring the right one in place and start again"
        )
    if kind == Writer.REPLAY:
        return ReplayedError(
            f"the tables have been replayed (writer epoch {by}) under this run (writer epoch {epoch}), which goes on "
            "from them when it is started again"
        )
    return SupersededError(
        f"this run (writer epoch {epoch}) was superseded by run {by}: only one pipeline may write a warehouse; stop "
        "the other one, or this one"
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
