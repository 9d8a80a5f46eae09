"""Who may write a warehouse: each run of the worker, replay and compaction takes an epoch that ends those before it.

All statements here belong to transactions of others. A commit and a take-over change the same value, so of the two
the warehouse lets only one happen, also where transactions run side by side.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import uuid4

from kernel.base.errors import BatteryError, StartAgainError
from sink.tables import landing_tables

if TYPE_CHECKING:
    from collections.abc import Collection

    import duckdb


class Writer(StrEnum):
    """What an epoch was taken for."""

    WORKER = "worker"
    REPLAY = "replay"
    COMPACTION = "compaction"
    """A compaction, or a sweep: both remove what no commit names."""


class SupersededError(BatteryError):
    """Another run of the pipeline has taken over the warehouse; this one must end."""


class ReplayedError(StartAgainError):
    """A replay has put other tables in place of those that this run knew; it goes on from them when started again."""


def pipeline_id(connection: duckdb.DuckDBPyConnection) -> str | None:
    """The id of the pipeline that a warehouse belongs to; None before it has one."""
    # The writers name it too: in a warehouse of the time before claims nothing else does.
    for table in sorted(landing_tables(connection) & {"_pipeline", "_writers"}):
        found = connection.execute(f"select pipeline from {table} limit 1").fetchone()  # noqa: S608  # of these two
        if found is not None:
            return str(found[0])
    return None


def run_epoch(connection: duckdb.DuckDBPyConnection, run_id: str) -> int | None:
    """The epoch that the process which begins a run has taken for all of its processes, None where it has not yet.

    Raises:
        SupersededError, ReplayedError: that run has ended.
    """
    epoch = _epoch_of(connection, run_id)
    if epoch is None:
        return None
    if connection.execute("select superseded_by from _writers where epoch = ?", [epoch]).fetchone() != (None,):
        raise _ended(connection, epoch)
    return epoch


def require_new_run(connection: duckdb.DuckDBPyConnection, run_id: str) -> None:
    """Let a run begin only under an id that none before it had: processes of that one may still be at work.

    Raises:
        BatteryError: there was a run of that id.
    """
    epoch = _epoch_of(connection, run_id)
    if epoch is not None:
        raise BatteryError(
            f"RUN_ID={run_id} is that of an earlier start (writer epoch {epoch}); set a new one for each start, the "
            "same for all processes of a cluster"
        )


def _epoch_of(connection: duckdb.DuckDBPyConnection, run_id: str) -> int | None:
    found = connection.execute("select max(epoch) from _writers where run_id = ?", [run_id]).fetchone()
    return None if found is None or found[0] is None else int(found[0])


def take_epoch(
    connection: duckdb.DuckDBPyConnection, writer: Writer, above: int, window_seconds: int, run_id: str | None = None
) -> int:
    """Enter a new writer and end those of its kind before it.

    Args:
        connection: in a transaction.
        writer: what for; a replay or a compaction that begins does not disturb the worker.
        above: an epoch that the new one must exceed.
        window_seconds: width of the windows in the warehouse, s.
        run_id: joins the processes of one run.
    """
    before = connection.execute("select epoch from _writers order by epoch desc limit 1").fetchone()
    epoch = max(above, before[0] if before else 0) + 1
    connection.execute(
        "update _writers set changes = changes + 1, superseded_by = ? where kind = ? and superseded_by is null",
        [epoch, writer],
    )
    connection.execute(
        "insert into _writers values (?, ?, ?, ?, 0, null, ?, ?)",
        [pipeline_id(connection) or uuid4().hex, epoch, window_seconds, _now(), writer, run_id],
    )
    return epoch


def window_width(connection: duckdb.DuckDBPyConnection) -> int | None:
    """Width of the windows in the warehouse in s, None before there are any."""
    found = connection.execute("select window_seconds from _writers order by epoch desc limit 1").fetchone()
    return int(found[0]) if found else None


def require_current(connection: duckdb.DuckDBPyConnection, epoch: int) -> None:
    """Let a transaction go on only if nobody has taken over from its writer.

    Raises:
        SupersededError, ReplayedError: somebody has.
    """
    # Not with RETURNING: beside a key, DuckDB does not see such updates in conflict.
    changed = connection.execute(
        "update _writers set changes = changes + 1 where epoch = ? and superseded_by is null", [epoch]
    ).fetchone()
    if changed != (1,):
        raise _ended(connection, epoch)


def end_workers(connection: duckdb.DuckDBPyConnection, replay: int, window_seconds: int) -> None:
    """End every run of the worker, and a compaction, in favour of a replay, whose windows may have another width."""
    connection.execute(
        "update _writers set changes = changes + 1, superseded_by = ? where kind in (?, ?) and superseded_by is null",
        [replay, Writer.WORKER, Writer.COMPACTION],
    )
    connection.execute("update _writers set window_seconds = ?", [window_seconds])


def end_replays(connection: duckdb.DuckDBPyConnection, epochs: Collection[int], sweep: int) -> None:
    """End the replays among some epochs, of which a sweep is about to remove objects: they cannot swap any more."""
    connection.execute(
        "update _writers set changes = changes + 1, superseded_by = ? where kind = ? and superseded_by is null "
        "and epoch in (select unnest(?::bigint[]))",
        [sweep, Writer.REPLAY, sorted(epochs)],
    )


def _ended(connection: duckdb.DuckDBPyConnection, epoch: int) -> BatteryError:
    found = connection.execute(
        "select w.kind, newer.epoch, newer.kind from _writers as w "
        "left join _writers as newer on newer.epoch = w.superseded_by where w.epoch = ?",
        [epoch],
    ).fetchone()
    ours, by, kind = found or (None, None, None)
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
