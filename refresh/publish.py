"""PublishResult: the models that have passed their tests replace those that readers see, in one transaction.

dbt builds and tests the models in the schema `building`; readers look at the schema `main`, and what only models read
stands in the schema `internal`. The large models are
tracked test by test, or cell by cell: the table `_refreshed` says which dbt run built each part, and a publication
copies the parts that another run has built since. Small tables are copied whole. Views are created again, on the
published tables.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import duckdb
import structlog

from kernel.base.errors import BatteryError
from kernel.edges.warehouse import transaction
from refresh.audit import audited_models
from refresh.comments import set_comments
from refresh.dbt import BUILDING
from refresh.definitions import (
    MARKS,
    built_models,
    definitions,
    in_order,
    misplaced_models,
    models_read,
    published_models,
)
from refresh.export import export_marts
from refresh.host_models import landing_of, turn_of
from refresh.readings import export_readings
from sink.claim import ForeignStoreError, claim_store
from sink.layout import INTERNAL
from sink.tables import create_tables, quoted, require_tables

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse
    from refresh.definitions import Definition

_log = structlog.get_logger()

EXPORTED: Final = "_exported"
"""The mark that holds the watermark of what was exported, the marts and the readings."""

_CHANGED: Final = f"""
    create or replace temp table changed as
    select cell_id, test_id
    from (select * from {BUILDING}.{MARKS} where model = $model) as built
    full join (select * from {INTERNAL}.{MARKS} where model = $model) as published using (cell_id, test_id)
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
    landing = landing_of(warehouse)
    with landing.connect("look for the landing tables", read_only=True) as connection:
        require_tables(connection)
    _require_own(store, landing)
    with _connected(warehouse) as connection:
        if landing is warehouse:
            with transaction(connection):
                create_tables(connection)  # an earlier version kept no record of dbt's runs
        audited = audited_models(connection)
        with transaction(connection):
            models = {name: model for name, model in built_models(connection).items() if name in audited}
            changed = _replace(connection, models)
            connection.execute(f"delete from {INTERNAL}.{MARKS}")  # noqa: S608
            connection.execute(f"insert into {INTERNAL}.{MARKS} from {BUILDING}.{MARKS}")
            for misplaced in misplaced_models(connection).values():
                _drop(connection, misplaced)
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
        connection.execute(f"delete from {INTERNAL}.{MARKS} where model = '{EXPORTED}'")  # noqa: S608
        connection.execute(
            f"insert into {INTERNAL}.{MARKS} (model, cell_id, test_id, version) "  # noqa: S608
            f"select '{EXPORTED}', '', '', version from {INTERNAL}.{MARKS} where model = '_watermark'"
        )
        exported = connection.execute(
            f"select model, version from {INTERNAL}.{MARKS} where model = '{EXPORTED}'"  # noqa: S608
        ).fetchall()
    with turn_of(warehouse) as turn:
        if turn.is_newest:
            turn.note(dict(exported))


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
        published = published_models(connection)
        built = built_models(connection)
        new: dict[str, Definition] = {}
        for name in in_order(built):
            if name in names and name not in published and models_read(name, built) <= {*published, *new}:
                new[name] = built[name]
        if new:
            _replace(connection, new)
        for name in new:
            connection.execute(f"delete from {INTERNAL}.{MARKS} where model = ?", [name])  # noqa: S608
            connection.execute(
                f"insert into {INTERNAL}.{MARKS} from {BUILDING}.{MARKS} where model = ?",
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


def _replace(connection: duckdb.DuckDBPyConnection, models: dict[str, Definition]) -> set[tuple[str, str]]:
    """Bring models where readers look.

    Returns:
        The cell and the test (empty for whole cells) of all rows that have changed in the tracked models.
    """
    published = published_models(connection)
    _make_marks(connection, published)
    built_parts, published_parts = _tracked(connection, BUILDING), _tracked(connection, INTERNAL)
    changed: set[tuple[str, str]] = set()
    for name in in_order(models):
        model, earlier = models[name], published.get(name)
        changed_here: list[tuple[str, str]] = []
        if name in built_parts:
            connection.execute(_CHANGED, {"model": name})
            changed_here = connection.execute("select cell_id, test_id from changed").fetchall()
            changed.update(changed_here)
        if earlier == model and name in built_parts & published_parts:
            if changed_here:
                _copy_changed(connection, name, model)
        elif earlier != model or not model.is_view:
            _copy_whole(connection, name, model, earlier)
    return changed


def _make_marks(connection: duckdb.DuckDBPyConnection, published: Mapping[str, Definition]) -> None:
    """Create the published table of marks, where it is missing or has the columns of an earlier version."""
    marks = definitions(connection, BUILDING)[MARKS]
    if published.get(MARKS) != marks:
        connection.execute(f"drop table if exists {INTERNAL}.{MARKS}")
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
        _drop(connection, earlier)
    connection.execute(model.statement)
    if not model.is_view:
        connection.execute(f"insert into {model.place} from {BUILDING}.{quoted(name)}")


def _drop(connection: duckdb.DuckDBPyConnection, earlier: Definition) -> None:
    connection.execute(f"drop {'view' if earlier.is_view else 'table'} {earlier.place}")


def _copy_changed(connection: duckdb.DuckDBPyConnection, name: str, model: Definition) -> None:
    """Replace the rows of the tests (or cells) in the table `changed`."""
    by_cell = connection.execute(
        f"select bool_and(test_id = '') from {BUILDING}.{MARKS} where model = ?",  # noqa: S608
        [name],
    ).fetchone()
    keys = ("cell_id",) if by_cell == (True,) else ("cell_id", "test_id")
    matches = " and ".join(f"rows.{key} = changed.{key}" for key in keys)
    connection.execute(f"delete from {model.place} as rows using changed where {matches}")  # noqa: S608
    connection.execute(
        f"insert into {model.place} "  # noqa: S608
        f"select rows.* from {BUILDING}.{quoted(name)} as rows semi join changed on {matches}"
    )
