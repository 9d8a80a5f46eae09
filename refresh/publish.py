"""PublishResult: the models that have passed their tests replace those that readers see, in one transaction.

dbt builds and tests the models in the schema `building`; readers look at the schema `main`. The large models are
tracked test by test, or cell by cell: the table `_refreshed` says which dbt run built each part, and a publication
copies the parts that another run has built since. Small tables are copied whole. Views are created again, on the
published tables.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Final

import duckdb
import sqlglot
import structlog
from sqlglot import exp
from sqlglot.errors import SqlglotError

from kernel.base.errors import BatteryError
from kernel.edges.warehouse import transaction
from refresh.audit import audited_models
from refresh.comments import set_comments
from refresh.dbt import BUILDING, PUBLISHED
from refresh.export import export_marts
from refresh.readings import export_readings
from sink.claim import ForeignStoreError, claim_store
from sink.tables import create_tables, quoted, require_tables

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse

_log = structlog.get_logger()

MARKS: Final = "_refreshed"
"""The table that says which version of each test (or cell) a model was built from, and by which dbt run.

dbt_project/macros/refresh.sql keeps it up to date.
"""

EXPORTED: Final = "_exported"
"""The mark that holds the watermark of what was exported, the marts and the readings."""

_CHANGED: Final = f"""
    create or replace temp table changed as
    select cell_id, test_id
    from (select * from {BUILDING}.{MARKS} where model = $model) as built
    full join (select * from {PUBLISHED}.{MARKS} where model = $model) as published using (cell_id, test_id)
    where built.built_by is distinct from published.built_by
"""  # noqa: S608  # names come from this module alone


@dataclass(frozen=True)
class PublishResult:
    """What a publication has changed for readers.

    `models` counts the tables and views that readers have. `tests` and `cells` count the cycler tests and the cells
    whose rows have changed. `exported` counts the rows of the marts written to the object store, and `readings` the
    readings of the tests that have changed.
    """

    models: int
    tests: int
    cells: int
    exported: int
    readings: int = 0

    def __str__(self) -> str:
        """One line for a person.

        >>> print(PublishResult(models=10, tests=3, cells=2, exported=120, readings=900))
        published 10 models, 3 tests of 2 cells have changed; exported 120 rows of the marts, 900 readings
        """
        return (
            f"published {self.models} models, {self.tests} tests of {self.cells} cells have changed; "
            f"exported {self.exported} rows of the marts, {self.readings} readings"
        )


@dataclass(frozen=True)
class Definition:
    """How a table or view is created where readers look.

    `statement` is the SQL; `reads` holds the names of the published relations that a view reads.
    """

    statement: str
    is_view: bool
    reads: frozenset[str]


def publish(warehouse: Warehouse, store: ObjectStore) -> PublishResult:
    """Replace the models that readers see with the models that were built, and export the marts and the readings.

    The readings follow the marts, since pages show those first.

    Raises:
        ForeignStoreError: the store belongs to another pipeline.
        BatteryError: the models have not passed all their tests, or warehouse or store cannot be used.
    """
    result = _publish_and_export(warehouse, store)
    readings = export_readings(warehouse, store)
    _mark_exported(warehouse)
    return replace(result, readings=readings)


def publish_models(warehouse: Warehouse, store: ObjectStore) -> PublishResult:
    """Replace the models that readers see with the models that were built, and export the marts, but no readings.

    Raises:
        ForeignStoreError: the store belongs to another pipeline.
        BatteryError: the models have not passed all their tests, or warehouse or store cannot be used.
    """
    result = _publish_and_export(warehouse, store)
    _mark_exported(warehouse)
    return result


def _publish_and_export(warehouse: Warehouse, store: ObjectStore) -> PublishResult:
    """Readers see all of the new models. If anything fails before the transaction ends, they see those before."""
    with warehouse.connect("look for the landing tables", read_only=True) as connection:
        require_tables(connection)
    _require_own(store, warehouse)
    with _connected(warehouse) as connection:
        create_tables(connection)  # an earlier version kept no record of dbt's runs
        audited = audited_models(connection)
        with transaction(connection):
            models = {name: model for name, model in _built_models(connection).items() if name in audited}
            changed = _replace(connection, models)
            connection.execute(f"delete from {PUBLISHED}.{MARKS}")  # noqa: S608
            connection.execute(f"insert into {PUBLISHED}.{MARKS} from {BUILDING}.{MARKS}")
            set_comments(connection)
    return PublishResult(
        models=len(models),
        tests=len({(cell, test) for cell, test in changed if test}),
        cells=len({cell for cell, _ in changed}),
        exported=export_marts(warehouse, store),
    )


def _mark_exported(warehouse: Warehouse) -> None:
    """Note that all has been exported; before that, what is missing in the store is news."""
    with _connected(warehouse) as connection, transaction(connection):
        connection.execute(f"delete from {PUBLISHED}.{MARKS} where model = '{EXPORTED}'")  # noqa: S608
        connection.execute(
            f"insert into {PUBLISHED}.{MARKS} (model, cell_id, test_id, version) "  # noqa: S608
            f"select '{EXPORTED}', '', '', version from {PUBLISHED}.{MARKS} where model = '_watermark'"
        )


def _require_own(store: ObjectStore, warehouse: Warehouse) -> None:
    """Refuse the store of another pipeline, since the export would remove that pipeline's marts.

    A store that does not answer is no error here: the export reports it, after readers have their models.
    """
    try:
        claim_store(store, warehouse)
    except ForeignStoreError:
        raise
    except BatteryError as error:
        _log.debug("cannot tell which pipeline owns the object store", error=str(error))


def publish_new_models(warehouse: Warehouse, names: Collection[str]) -> list[str]:
    """Publish those of some models that readers do not have at all; what readers have stays as it is.

    A view is published only if readers have, or now get, every model that it reads.

    Returns:
        The names of the models that were published.

    Raises:
        BatteryError: the warehouse cannot be used.
    """
    if not names:
        return []
    with _connected(warehouse) as connection, transaction(connection):
        published = _definitions(connection, PUBLISHED)
        built = _built_models(connection)
        new: dict[str, Definition] = {}
        for name in _in_order(built):
            if name in names and name not in published and _models_read(name, built) <= {*published, *new}:
                new[name] = built[name]
        if new:
            _replace(connection, new)
        for name in new:
            connection.execute(f"delete from {PUBLISHED}.{MARKS} where model = ?", [name])  # noqa: S608
            connection.execute(
                f"insert into {PUBLISHED}.{MARKS} from {BUILDING}.{MARKS} where model = ?",
                [name],
            )
        set_comments(connection)
    return sorted(new)


@contextmanager
def _connected(warehouse: Warehouse) -> Iterator[duckdb.DuckDBPyConnection]:
    try:
        with warehouse.connect("publish the models") as connection:
            yield connection
    except duckdb.Error as error:
        raise BatteryError(
            f"the models could not be published; readers keep the earlier ones: {str(error).splitlines()[0]}"
        ) from error


def _built_models(connection: duckdb.DuckDBPyConnection) -> dict[str, Definition]:
    """The models that dbt has built, by name."""
    return {name: model for name, model in _definitions(connection, BUILDING).items() if name != MARKS}


def _replace(connection: duckdb.DuckDBPyConnection, models: Mapping[str, Definition]) -> set[tuple[str, str]]:
    """Bring models where readers look.

    Returns:
        The cell and the test (empty for whole cells) of all rows that have changed in the tracked models.
    """
    published = _definitions(connection, PUBLISHED)
    _make_marks(connection, published)
    built_parts, published_parts = _tracked(connection, BUILDING), _tracked(connection, PUBLISHED)
    changed: set[tuple[str, str]] = set()
    for name in _in_order(models):
        model, earlier = models[name], published.get(name)
        changed_here: list[tuple[str, str]] = []
        if name in built_parts:
            connection.execute(_CHANGED, {"model": name})
            changed_here = connection.execute("select cell_id, test_id from changed").fetchall()
            changed.update(changed_here)
        if earlier == model and name in built_parts & published_parts:
            if changed_here:
                _copy_changed(connection, name)
        elif earlier != model or not model.is_view:
            _copy_whole(connection, name, model, earlier)
    return changed


def _make_marks(connection: duckdb.DuckDBPyConnection, published: Mapping[str, Definition]) -> None:
    """Create the published table of marks, where it is missing or has the columns of an earlier version."""
    marks = _definitions(connection, BUILDING)[MARKS]
    if published.get(MARKS) != marks:
        connection.execute(f"drop table if exists {PUBLISHED}.{MARKS}")
        connection.execute(marks.statement)


def _tracked(connection: duckdb.DuckDBPyConnection, schema: str) -> set[str]:
    """Names of the models that are tracked test by test, or cell by cell."""
    rows = connection.execute(f"select distinct model from {schema}.{MARKS}").fetchall()  # noqa: S608
    return {model for (model,) in rows}


def _copy_whole(
    connection: duckdb.DuckDBPyConnection, name: str, model: Definition, earlier: Definition | None
) -> None:
    """Create a table or view again where readers look, and fill the table."""
    if earlier is not None:
        kind = "view" if earlier.is_view else "table"
        connection.execute(f"drop {kind} {PUBLISHED}.{quoted(name)}")
    connection.execute(model.statement)
    if not model.is_view:
        connection.execute(f"insert into {PUBLISHED}.{quoted(name)} from {BUILDING}.{quoted(name)}")


def _copy_changed(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Replace the rows of the tests (or cells) in the table `changed`."""
    by_cell = connection.execute(
        f"select bool_and(test_id = '') from {BUILDING}.{MARKS} where model = ?",  # noqa: S608
        [name],
    ).fetchone()
    keys = ("cell_id",) if by_cell == (True,) else ("cell_id", "test_id")
    matches = " and ".join(f"rows.{key} = changed.{key}" for key in keys)
    connection.execute(f"delete from {PUBLISHED}.{quoted(name)} as rows using changed where {matches}")  # noqa: S608
    connection.execute(
        f"insert into {PUBLISHED}.{quoted(name)} "  # noqa: S608
        f"select rows.* from {BUILDING}.{quoted(name)} as rows semi join changed on {matches}"
    )


def _definitions(connection: duckdb.DuckDBPyConnection, schema: str) -> dict[str, Definition]:
    """How the tables and views of a schema are created where readers look, by name."""
    rows = connection.execute(
        "select table_name, sql from duckdb_tables() "
        "where database_name = current_database() and schema_name = $schema and not temporary and not internal "
        "union all "
        "select view_name, sql from duckdb_views() "
        "where database_name = current_database() and schema_name = $schema and not temporary and not internal",
        {"schema": schema},
    ).fetchall()
    return {
        name: published_definition(sql)
        for name, sql in rows
        if "__dbt_" not in name  # left by a dbt run that was killed
    }


def published_definition(statement: str) -> Definition:
    """Read a statement that creates a table or view, and turn it into one that creates it where readers look.

    DuckDB's own text stays as it is, but for the schema in the names: SQL written again by another program could mean
    something else.

    >>> published_definition("CREATE VIEW building.soh AS SELECT * FROM lab.building.cycles;").statement
    'CREATE VIEW main.soh AS SELECT * FROM lab.main.cycles;'

    Args:
        statement: as DuckDB's catalog has it.

    Raises:
        BatteryError: the statement cannot be parsed.
    """
    try:
        create = sqlglot.parse_one(statement, dialect="duckdb")
    except SqlglotError as error:
        raise BatteryError(f"cannot parse the definition of a model: {error}: {statement}") from error
    if not isinstance(create, exp.Create):  # sqlglot keeps what it does not know as a plain command
        raise BatteryError(f"cannot parse the definition of a model: {statement}")
    created = create.this.find(exp.Table)
    names = list(create.find_all(exp.Table, exp.Column))
    places = [name.args["db"].meta for name in names if name.args.get("db") and name.args["db"].name == BUILDING]
    edits = [(place["start"], place["end"] + 1, PUBLISHED) for place in places]
    if not created.db:  # DuckDB leaves out the name of the schema that it is in
        start = created.this.meta["start"]
        edits.append((start, start, f"{PUBLISHED}."))
    tables = (name for name in names if isinstance(name, exp.Table) and name is not created)
    reads = frozenset(table.name for table in tables if table.db in {BUILDING, PUBLISHED})
    for start, end, text in sorted(edits, reverse=True):
        statement = statement[:start] + text + statement[end:]
    return Definition(statement, create.kind == "VIEW", reads)


def _models_read(name: str, models: Mapping[str, Definition]) -> frozenset[str]:
    """Those of the models that one of them reads."""
    return models[name].reads & models.keys()


def _in_order(models: Mapping[str, Definition]) -> list[str]:
    """Names of the models, each after those that it reads."""
    return list(TopologicalSorter({name: _models_read(name, models) for name in models}).static_order())
