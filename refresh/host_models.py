"""Where dbt builds the models: in the warehouse itself, or in a DuckDB file of this host.

PostgreSQL holds what judges, and dbt builds none of its models there. Each host that refreshes has a DuckDB file for
them. Before dbt builds, the host takes the landing: it copies the small tables that the models read, and the list of
the objects with the readings, all from one moment. dbt reads these, so a run that takes long sees one landing from its
first model to its last test, no transaction stays open in PostgreSQL meanwhile, and neither the worker nor another host
waits. Readers never open the file: what was built is exported to the object store.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb
import structlog

from kernel.base.errors import BatteryError
from kernel.edges.duckdb_objects import unlock_objects
from kernel.edges.warehouse import DuckDBFile, open_warehouse, transaction
from refresh.landing_objects import list_objects, write_no_rows
from refresh.turns import TAKEN, Turn, take_number, take_turn
from sink.layout import INTERNAL, READERS
from sink.manifest import LANDED_KIND
from sink.tables import require_tables
from sink.writers import pipeline_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from kernel.base.settings import Settings
    from kernel.edges.warehouse import Warehouse

_log = structlog.get_logger()

_COPIED: Final = {
    f"{READERS}.battery_about": f"from {READERS}.battery_about",
    # No model reads the payloads, which may be long.
    f"{READERS}.battery_quarantine": f"select * exclude (payload) from {READERS}.battery_quarantine",  # noqa: S608
    f"{READERS}.battery_cell_latest": f"from {READERS}.battery_cell_latest",
    f"{READERS}.battery_cell_cycles": f"from {READERS}.battery_cell_cycles",
    f"{INTERNAL}._commits": f"select * exclude (offsets) from {INTERNAL}._commits",  # noqa: S608
    f"{INTERNAL}._watermark": f"from {INTERNAL}._watermark",
}
"""What is copied when a landing is taken, by the table that it becomes; all else stays in the warehouse."""

_CREATE: Final = (
    f"create schema if not exists {INTERNAL}",
    f"create table if not exists {INTERNAL}.{TAKEN} (number bigint not null, pipeline varchar)",
    f"""create table if not exists {INTERNAL}._commits (
        object_key varchar, kind varchar, writer_epoch bigint, seq bigint, lane integer
    )""",
)
"""What a new file has before a landing is taken."""

_VIEW: Final = f"""
    select sql from duckdb_views()
    where database_name = current_database() and schema_name = '{READERS}' and view_name = '{LANDED_KIND}'
"""  # noqa: S608  # names come from this project alone


def open_models(settings: Settings) -> Warehouse:
    """Where this host builds and publishes the models of a pipeline; nothing is opened yet.

    That is the warehouse itself, or `HostModels` where it holds no models.
    """
    warehouse = open_warehouse(settings)
    return warehouse if settings.warehouse_address.holds_models else HostModels(settings, warehouse)


def landing_of(models: Warehouse) -> Warehouse:
    """The warehouse with what has landed by now, for the models in it or beside it."""
    return models.landing if isinstance(models, HostModels) else models


def take_landing(models: Warehouse) -> None:
    """Have the next run of dbt see what has landed by now; models in the warehouse itself always do.

    Raises:
        BatteryError: the warehouse cannot be read, or the file of the models cannot be written.
    """
    if isinstance(models, HostModels):
        models.take_landing()


@contextmanager
def turn_of(models: Warehouse) -> Iterator[Turn]:
    """Let no other host publish until the block ends, which must be short.

    Models in the warehouse itself are published by whoever holds the lock on them.

    Raises:
        BatteryError: as `take_turn`.
    """
    if not isinstance(models, HostModels):
        yield Turn(is_newest=True)
        return
    with take_turn(models.landing, models.published_number()) as turn:
        yield turn


class _ModelsFile(DuckDBFile):
    CALLED = "the file of the models, "
    MENDED = "and start again: the next refresh builds all of it anew"


class HostModels:
    """The DuckDB file of this host with the models, and with the landing that they are built of.

    Attributes:
        landing: the warehouse, with what has landed by now.
    """

    def __init__(self, settings: Settings, landing: Warehouse) -> None:
        self._settings = settings
        self._path = Path(settings.warehouse_address.dbt_path)
        self._file = _ModelsFile(self._path, settings.warehouse_lock_timeout_seconds)
        self._is_made = False
        self.landing = landing

    @contextmanager
    def connect(self, purpose: str, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file, which is made where it is missing; the landing in it is the one that was taken last."""
        if not (self._is_made and self._path.exists()):  # somebody may have removed a damaged one
            with self._file.connect(purpose) as connection, transaction(connection):
                for statement in _CREATE:
                    connection.execute(statement)
            write_no_rows(self._path)
            self._is_made = True
        with self._file.connect(purpose, read_only=read_only) as connection:
            unlock_objects(connection, self._settings)
            list_objects(connection, self._settings, self._path)
            yield connection

    def judge(self, purpose: str) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Lend a connection to change it."""
        return self.connect(purpose)

    def take_landing(self) -> None:
        """Take what has landed by now. The lock on the models must be held.

        Raises:
            BatteryError: the warehouse cannot be read, or the file cannot be written.
        """
        try:
            with ExitStack() as opened:
                with self.landing.judge("take the landing") as judge, transaction(judge):
                    # Whoever takes the next number waits here until this look has its moment, so that a greater number
                    # never stands for an earlier one.
                    number = take_number(judge)
                    landing = opened.enter_context(self.landing.connect("take the landing", read_only=True))
                    require_tables(landing)
                self._copy(landing, number)
        except duckdb.Error as error:
            raise BatteryError(f"the landing could not be taken: {str(error).splitlines()[0]}") from error

    def _copy(self, landing: duckdb.DuckDBPyConnection, number: int) -> None:
        pipeline = pipeline_id(landing)
        self._remove_if_of_another(pipeline)
        ((view,),) = landing.execute(_VIEW).fetchall()
        with self.connect("take the landing") as models, transaction(models):
            for table, sql in _COPIED.items():
                models.register("rows_of_landing", landing.execute(sql).to_arrow_table())
                models.execute(f"create or replace table {table} as from rows_of_landing")
                models.unregister("rows_of_landing")
            list_objects(models, self._settings, self._path)  # the view looks at them when it is made
            models.execute(view.replace("CREATE VIEW", "create or replace view", 1))
            models.execute(f"create table if not exists {INTERNAL}._dbt_runs as {_rows_like(landing)}")
            models.execute(f"delete from {INTERNAL}.{TAKEN}")  # noqa: S608
            models.execute(f"insert into {INTERNAL}.{TAKEN} values (?, ?)", [number, pipeline])  # noqa: S608
        _log.debug("took the landing", number=number)

    def published_number(self) -> int:
        """The number of the landing that the published models of this host are of; 0 before any."""
        with self.connect("look which landing the models are of", read_only=True) as connection:
            try:
                row = connection.execute(
                    f"select version from {INTERNAL}._refreshed where model = '{TAKEN}'"  # noqa: S608
                ).fetchone()
            except duckdb.CatalogException:
                return 0
        return 0 if row is None else int(row[0])

    def _remove_if_of_another(self, pipeline: str | None) -> None:
        """Begin a new file where the one that is there was made of another pipeline in a database of the same name."""
        with self.connect("take the landing", read_only=True) as models:
            row = models.execute(f"select pipeline from {INTERNAL}.{TAKEN}").fetchone()  # noqa: S608
        if row is not None and row[0] != pipeline:
            _log.info("the models here are of another pipeline, and are built anew", file=str(self._path))
            self._path.unlink()
            self._path.with_name(f"{self._path.name}.wal").unlink(missing_ok=True)
            self._is_made = False


def _rows_like(landing: duckdb.DuckDBPyConnection) -> str:
    """A query without rows that has the columns of the record of dbt's runs."""
    columns = landing.execute(f"describe {INTERNAL}._dbt_runs").fetchall()
    return f"select {', '.join(f'null::{kind} as {name}' for name, kind, *_ in columns)} where false"
