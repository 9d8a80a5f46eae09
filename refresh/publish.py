"""Publication: models that have passed their tests, put in place of those that readers see, in one transaction.

dbt builds and tests in a schema of its own. Of its models, the large ones are kept test by test (or cell by cell), each
with the dbt run that built it (`_refreshed`): only what another run has built since is copied. Small tables are copied
whole, views are defined anew on what is published.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Final

import duckdb
import structlog

from kernel.base.errors import BatteryError
from kernel.edges.warehouse import transaction
from refresh.audit import audited_models
from refresh.dbt import BUILDING, PUBLISHED
from refresh.export import export_marts
from sink.claim import ForeignStoreError, claim_store
from sink.tables import create_tables, quoted, require_tables

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse

_log = structlog.get_logger()

MARKS: Final = "_refreshed"
"""Which version of each test (or cell) a model was built from, and by which dbt run: see macros/refresh.sql."""

EXPORTED: Final = "_exported"
"""The mark that says of which watermark the exported marts are."""

_SCHEMA: Final = re.compile(rf'(?<![\w"]){BUILDING}\.(?!{BUILDING}\.)')
"""The building schema in a statement; a database may have that name too, or one that ends in it."""

_CHANGED: Final = f"""
    create or replace temp table changed as
    select cell_id, test_id
    from (select * from {BUILDING}.{MARKS} where model = $model) as built
    full join (select * from {PUBLISHED}.{MARKS} where model = $model) as published using (cell_id, test_id)
    where built.built_by is distinct from published.built_by
"""  # noqa: S608  # names come from this module alone


@dataclass(frozen=True)
class Publication:
    """What a publication has changed for readers.

    `models` counts the tables and views that readers have; `tests` the cycler tests, and `cells` the cells, of which
    they see other rows now; `exported` the rows of the marts in the object store.
    """

    models: int
    tests: int
    cells: int
    exported: int

    def __str__(self) -> str:
        """One line for a person."""
        return (
            f"published {self.models} models, {self.tests} tests of {self.cells} cells have changed; "
            f"exported {self.exported} rows of the marts"
        )


def publish(warehouse: Warehouse, store: ObjectStore) -> Publication:
    """Show readers what was built, and export the marts.

    Readers see all of it or, where anything fails, what they saw before.

    Raises:
        ForeignStoreError: the store belongs to another pipeline.
        BatteryError: what was built has not passed all its tests, or warehouse or store cannot be used.
    """
    with warehouse.connect("look for the landing tables", read_only=True) as connection:
        require_tables(connection)
    _require_own(store, warehouse)
    with _connected(warehouse) as connection:
        create_tables(connection)  # an earlier version kept no record of dbt's runs
        models = audited_models(connection)
        with transaction(connection):
            built = {name: sql for name, sql in _built(connection).items() if name in models}
            changed = _show(connection, built)
            connection.execute(f"delete from {PUBLISHED}.{MARKS}")  # noqa: S608
            connection.execute(f"insert into {PUBLISHED}.{MARKS} from {BUILDING}.{MARKS}")
    exported = export_marts(warehouse, store)
    with _connected(warehouse) as connection, transaction(connection):
        connection.execute(f"delete from {PUBLISHED}.{MARKS} where model = '{EXPORTED}'")  # noqa: S608
        connection.execute(
            f"insert into {PUBLISHED}.{MARKS} (model, cell_id, test_id, version) "  # noqa: S608
            f"select '{EXPORTED}', '', '', version from {PUBLISHED}.{MARKS} where model = '_watermark'"
        )
    return Publication(
        models=len(built),
        tests=len({key for key in changed if key[1]}),
        cells=len({cell for cell, _ in changed}),
        exported=exported,
    )


def _require_own(store: ObjectStore, warehouse: Warehouse) -> None:
    """Refuse a store of another pipeline, whose marts the export would remove.

    A store that is away is for the export to tell: readers of the warehouse have their models by then.
    """
    try:
        claim_store(store, warehouse)
    except ForeignStoreError:
        raise
    except BatteryError as error:
        _log.debug("cannot tell whose the object store is", error=str(error))


def introduce(warehouse: Warehouse, models: Collection[str]) -> list[str]:
    """Show readers those of some models that they have had no version of; nothing that they have gives way.

    A view on models that readers have not waits for those.

    Returns:
        The names of those models.

    Raises:
        BatteryError: the warehouse cannot be used.
    """
    if not models:
        return []
    with _connected(warehouse) as connection, transaction(connection):
        there = _definitions(connection, PUBLISHED)
        built = _built(connection)
        new = {name: built[name] for name in _in_order(built) if name in models and name not in there}
        found: dict[str, str] = {}
        for name, definition in new.items():
            if _looked_at(definition, built) <= {name, *there, *found}:
                found[name] = definition
        if found:
            _show(connection, found)
        for name in found:
            connection.execute(f"delete from {PUBLISHED}.{MARKS} where model = ?", [name])  # noqa: S608
            connection.execute(
                f"insert into {PUBLISHED}.{MARKS} from {BUILDING}.{MARKS} where model = ?",
                [name],
            )
    return sorted(found)


@contextmanager
def _connected(warehouse: Warehouse) -> Iterator[duckdb.DuckDBPyConnection]:
    try:
        with warehouse.connect("publish the models") as connection:
            yield connection
    except duckdb.Error as error:
        raise BatteryError(
            f"the models could not be published, readers keep those before: {str(error).splitlines()[0]}"
        ) from error


def _built(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """The models that were built, with the statements that make them where readers look."""
    return {name: sql for name, sql in _definitions(connection, BUILDING).items() if name != MARKS}


def _show(connection: duckdb.DuckDBPyConnection, built: Mapping[str, str]) -> set[tuple[str, str]]:
    """Bring models where readers look; the cells and tests of which they have other rows now."""
    there = _definitions(connection, PUBLISHED)
    marks = _definitions(connection, BUILDING)[MARKS]
    if there.get(MARKS) != marks:  # none yet, or those of an earlier version
        connection.execute(f"drop table if exists {PUBLISHED}.{MARKS}")
        connection.execute(marks)
    marked = {
        model
        for (model,) in connection.execute(f"select distinct model from {BUILDING}.{MARKS}").fetchall()  # noqa: S608
    }
    known = {
        model
        for (model,) in connection.execute(f"select distinct model from {PUBLISHED}.{MARKS}").fetchall()  # noqa: S608
    }
    changed: set[tuple[str, str]] = set()
    for name in _in_order(built):
        definition = built[name]
        touched: list[tuple[str, str]] = []
        if name in marked:
            connection.execute(_CHANGED, {"model": name})
            touched = connection.execute("select cell_id, test_id from changed").fetchall()
            changed.update(touched)
        if name in marked and name in known and there.get(name) == definition:
            if touched:
                _copy_changed(connection, name)
        elif there.get(name) != definition or not _is_view(definition):
            if name in there:
                kind = "view" if _is_view(there[name]) else "table"
                connection.execute(f"drop {kind} {PUBLISHED}.{quoted(name)}")
            connection.execute(definition)
            if not _is_view(definition):
                connection.execute(f"insert into {PUBLISHED}.{quoted(name)} from {BUILDING}.{quoted(name)}")
    return changed


def _copy_changed(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Replace the rows of the tests (or cells) in `changed`."""
    of_cells = connection.execute(
        f"select bool_and(test_id = '') from {BUILDING}.{MARKS} where model = ?",  # noqa: S608
        [name],
    ).fetchone()
    keys = ("cell_id",) if of_cells == (True,) else ("cell_id", "test_id")
    matches = " and ".join(f"rows.{key} = changed.{key}" for key in keys)
    connection.execute(f"delete from {PUBLISHED}.{quoted(name)} as rows using changed where {matches}")  # noqa: S608
    connection.execute(
        f"insert into {PUBLISHED}.{quoted(name)} "  # noqa: S608
        f"select rows.* from {BUILDING}.{quoted(name)} as rows semi join changed on {matches}"
    )


def _definitions(connection: duckdb.DuckDBPyConnection, schema: str) -> dict[str, str]:
    """The statements that make the tables and views of a schema, as they read where readers look."""
    found = connection.execute(
        "select table_name, sql from duckdb_tables() "
        "where database_name = current_database() and schema_name = $schema and not temporary and not internal "
        "union all "
        "select view_name, sql from duckdb_views() "
        "where database_name = current_database() and schema_name = $schema and not temporary and not internal",
        {"schema": schema},
    ).fetchall()
    # DuckDB leaves out the name of the schema that it is in.
    prefix = f"{PUBLISHED}." if schema == PUBLISHED else ""
    return {
        name: _SCHEMA.sub(f"{PUBLISHED}.", re.sub(r"^CREATE (TABLE|VIEW) ", rf"CREATE \1 {prefix}", sql))
        for name, sql in found
        if "__dbt_" not in name  # what a broken-off dbt run has left
    }


def _is_view(definition: str) -> bool:
    return definition.startswith("CREATE VIEW ")


def _looked_at(definition: str, built: Iterable[str]) -> set[str]:
    """Those of the models that a definition names, itself included."""
    return {name for name in built if re.search(rf"\b{PUBLISHED}\.{name}\b", definition)}


def _in_order(built: Mapping[str, str]) -> list[str]:
    """Names of the models, each after those that it looks at."""
    looks_at = {name: _looked_at(definition, built) - {name} for name, definition in built.items()}
    return list(TopologicalSorter(looks_at).static_order())
