"""Sizes in PostgreSQL: of a row of each control table, with its indexes, after commits have changed it a few times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import sql

from benchmarks.figures import Figure, tell
from benchmarks.fleet.channels import JSON_1, Fleet, Spool
from benchmarks.fleet.worker import Worker, settings_of
from benchmarks.postgresql import postgresql

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from benchmarks.figures import Show

CHANNELS: Final = 20_000
SECONDS: Final = 30
EPOCH_SECONDS: Final = 5
TABLES: Final = ("_cell_state", "_progress", "_windows", "_cycles", "_commits")
COMMITS: Final = 20_000

_MORE_COMMITS: Final = """
    insert into internal._commits
    select "commit" || '-' || g, lane, seq + g, writer_epoch, object_key || '-' || g, kind, "rows", bytes, sha256,
        offsets, committed_at
    from internal._commits, generate_series(1, %s) as g where seq = 1
"""


def measure(show: Show, folder: Path, *, tiny: bool) -> None:
    """Land what a fleet sends in PostgreSQL, and show the sizes.

    Args:
        show: prints a figure.
        folder: where everything is put.
        tiny: take few channels, for a quick check.
    """
    channels, commits = (50, 100) if tiny else (CHANNELS, COMMITS)
    folder.mkdir(parents=True)
    with postgresql() as server:
        address = server.warehouse()
        worker = Worker(settings_of(folder, warehouse=address))
        fleet = Fleet(channels, JSON_1, SECONDS)
        spool = Spool(fleet, folder / "waiting")
        for first in range(0, SECONDS, EPOCH_SECONDS):
            for polls in spool.polls(first, EPOCH_SECONDS):
                worker.take(polls)
            worker.close_epoch()
        worker.close()
        with server.connect(address.rpartition("/")[2]) as connection:
            connection.execute(_MORE_COMMITS, [commits])
            changed = _sizes(connection)
            for table in TABLES:
                connection.execute(sql.SQL("vacuum full internal.{}").format(sql.Identifier(table)))
            packed = _sizes(connection)
    for table in TABLES:
        tell(f"{table} in PostgreSQL: {changed[table]:.0f} B a row, {packed[table]:.0f} B packed")
        show(Figure(f"pg_bytes{table}", changed[table], "B", reference=packed[table]))


def _sizes(connection: psycopg.Connection[tuple[object, ...]]) -> dict[str, float]:
    sizes = {}
    for table in TABLES:
        found = connection.execute(
            sql.SQL(
                "select pg_total_relation_size({name})::float / count(*) from internal.{table}"  # indexes are in it
            ).format(name=sql.Literal(f"internal.{table}"), table=sql.Identifier(table))
        ).fetchone()
        sizes[table] = float(str(found[0])) if found else 0.0
    return sizes
