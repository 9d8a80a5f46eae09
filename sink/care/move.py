"""The move of a pipeline from a DuckDB file to an empty warehouse in PostgreSQL, over the same object store.

The rows stay where they are: the objects that the manifest names. The manifest and the control tables are copied in one
transaction, and the pipeline keeps its id, so the store is its own as before. Before that the file is closed to
workers: one that runs is ended with its next commit, and none can begin. At last every landing table is compared with
that of the file, checksum for checksum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb

from kernel.base.errors import BatteryError
from kernel.edges.warehouse import DuckDBFile, Postgres, PostgresSession, transaction
from sink.care.compare import REPLAYED, compare
from sink.postgres.replace import replace_rows
from sink.postgres.texts import escape
from sink.tables import create_tables, full_name, require_tables
from sink.writers import pipeline_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kernel.base.settings import Settings
    from kernel.edges.warehouse import Warehouse

_MOVED: Final = "moved:"
"""What stands before the id of the pipeline in a file that it has left: no object store belongs to such a pipeline."""

_COPIED: Final = {
    "_writers": "pipeline, epoch, window_seconds, started_at, changes, superseded_by, kind, run_id",
    "_retired": "object_key",
    "battery_cell_events": 'topic_id, "partition", "offset", cell_id, changed_at, metadata, fault',
}
"""Tables that a replay does not replace, with their columns."""


@dataclass(frozen=True)
class Moved:
    """The result of a move: the `readings` that have landed, and the `objects` that hold all rows."""

    pipeline: str
    readings: int
    objects: int

    def lines(self, file: Path) -> Iterator[str]:
        """The result for a person."""
        yield f"moved pipeline {self.pipeline}: {self.readings} readings; its {self.objects} objects stay as they are"
        yield "every landing table is equal to that of the file, checksum for checksum"
        yield f"{file} is closed to workers from now on; keep it until `battery verify` has passed"


def move(settings: Settings, warehouse: Warehouse, file: Path) -> Moved:
    """Move a pipeline from a DuckDB file to the warehouse of the settings; one that broke off is begun again.

    Args:
        settings: how long to wait for the file.
        warehouse: in PostgreSQL, without any landing.
        file: the DuckDB file; its worker must be stopped.

    Raises:
        BatteryError: the file holds no pipeline of this release, or the warehouse is none in PostgreSQL, holds another
            landing, or differs from the file after all; it can be dropped then, and the file is whole.
    """
    if not isinstance(warehouse, Postgres):
        raise BatteryError(
            f"WAREHOUSE={settings.warehouse} is none in PostgreSQL; set it to postgresql://HOST/DATABASE"
        )
    if not file.is_file():
        raise BatteryError(f"{file} is no file; name the DuckDB file that the pipeline is in")
    source = DuckDBFile(file, settings.warehouse_lock_timeout_seconds)
    with warehouse.judge("move a pipeline") as judge, transaction(judge):
        _require_empty(judge)  # before the file is closed
    pipeline = _close(source, file)
    try:
        with warehouse.judge("move a pipeline") as judge, transaction(judge), duckdb.connect() as rows:
            _attach(rows, file)
            _copy(judge, rows, pipeline)
        with warehouse.connect("compare a moved pipeline", read_only=True) as connection:
            _attach(connection, file)
            comparison = compare(connection)
            ((readings, objects),) = connection.execute(
                f"select (select count(*) from {full_name('battery_ts_cleaned')}), "  # noqa: S608
                f"(select count(*) from {full_name('_commits')})"
            ).fetchall()
    except (duckdb.Error, BatteryError) as error:
        raise BatteryError(
            f"cannot move {file}: {str(error).splitlines()[0]}; it is closed to workers until the same command has "
            "ended well"
        ) from error
    if not comparison.identical:
        tables = ", ".join(difference.table for difference in comparison.tables) or "_commits"
        raise BatteryError(
            f"the WAREHOUSE differs from {file} in {tables}: use neither before `battery verify` has told why"
        )
    return Moved(pipeline, readings, objects)


def _close(source: DuckDBFile, file: Path) -> str:
    """End the workers of a file, and let none begin; the id that its pipeline had."""
    with source.connect("move a pipeline") as connection, transaction(connection):
        require_tables(connection)
        pipeline = pipeline_id(connection)
        if pipeline is None:
            raise BatteryError(f"{file} holds no pipeline")
        if not pipeline.startswith(_MOVED):
            # No run has the epoch 0. One that runs now learns with its next commit that it has been ended.
            connection.execute(
                "update internal._writers set changes = changes + 1, superseded_by = 0 where superseded_by is null"
            )
            connection.execute("update internal._pipeline set pipeline = ?", [_MOVED + pipeline])
        return pipeline.removeprefix(_MOVED)


def _attach(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    path = str(file.resolve()).replace("'", "''")
    connection.execute(f"attach '{path}' as {REPLAYED} (read_only)")


def _require_empty(judge: PostgresSession) -> None:
    """Create the tables, and refuse a warehouse that holds something.

    Raises:
        BatteryError: it does.
    """
    create_tables(judge)
    for table in ("_writers", "_commits", "_pipeline"):
        found = judge.execute(f"select count(*) from {full_name(table)}").fetchone()  # noqa: S608
        if found != (0,):
            raise BatteryError("the WAREHOUSE holds a pipeline already; create an empty database for the one to move")


def _copy(judge: PostgresSession, rows: duckdb.DuckDBPyConnection, pipeline: str) -> None:
    _require_empty(judge)
    ((layout, release),) = rows.execute(
        f"select layout, release from {full_name('_pipeline', REPLAYED)}"  # noqa: S608  # our own names
    ).fetchall()
    judge.execute("insert into internal._pipeline values (true, ?, ?, ?)", [pipeline, layout, release])
    for table, columns in _COPIED.items():
        if not _has(rows, table):
            continue
        order = " order by rowid" if table == "battery_cell_events" else ""
        copied = rows.execute(f"select {columns} from {full_name(table, REPLAYED)}{order}").to_arrow_table()  # noqa: S608
        judge.copy(f"{full_name(table)} ({columns})", escape(copied))
    replace_rows(judge, rows)


def _has(rows: duckdb.DuckDBPyConnection, table: str) -> bool:
    schema, name = full_name(table).split(".")
    found = rows.execute(
        "select count(*) from duckdb_tables() where database_name = ? and schema_name = ? and table_name = ?",
        [REPLAYED, schema, name],
    ).fetchone()
    return found == (1,)
