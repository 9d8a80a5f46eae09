"""How models are created where readers look: DuckDB's own statements, with the names of other schemas in them.

What readers use is published in the schema `main`. What only other models stand on is internal: the models in dbt's
folder `intermediate`, and its seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from kernel.base.errors import BatteryError
from refresh.dbt import BUILDING, PUBLISHED
from refresh.project import internal_models
from sink.layout import INTERNAL
from sink.tables import quoted

if TYPE_CHECKING:
    import duckdb

MARKS: Final = "_refreshed"
"""The table that says which version of each test (or cell) a model was built from, and by which dbt run.

dbt_project/macros/refresh.sql keeps it up to date.
"""


@dataclass(frozen=True)
class Definition:
    """How a table or view is created where readers look.

    `statement` is the SQL; `reads` holds the names of the published relations that a view reads. `place` is its name
    with its schema.
    """

    statement: str
    is_view: bool
    reads: frozenset[str]
    place: str


def published_schema(name: str) -> str:
    """The schema in which a model is published, by its name: it begins with `_`, or dbt's folder of it says so.

    >>> published_schema("battery_cycles"), published_schema("battery_fade"), published_schema("_refreshed")
    ('main', 'internal', 'internal')
    """
    return INTERNAL if name.startswith("_") or name in internal_models() else PUBLISHED


def built_models(connection: duckdb.DuckDBPyConnection) -> dict[str, Definition]:
    """The models that dbt has built, by name."""
    return {name: model for name, model in definitions(connection, BUILDING).items() if name != MARKS}


def published_models(connection: duckdb.DuckDBPyConnection) -> dict[str, Definition]:
    """What has been published, by name; where both schemas have a name, the one that `published_schema` tells."""
    readers, internal = definitions(connection, PUBLISHED), definitions(connection, INTERNAL)
    here = {name: found for name, found in internal.items() if published_schema(name) == INTERNAL}
    return {**internal, **readers, **here}


def misplaced_models(connection: duckdb.DuckDBPyConnection) -> dict[str, Definition]:
    """Internal models in the schema of readers, where an earlier release published them, by name."""
    hidden = internal_models()
    return {name: found for name, found in definitions(connection, PUBLISHED).items() if name in hidden}


def definitions(connection: duckdb.DuckDBPyConnection, schema: str) -> dict[str, Definition]:
    """How the tables and views of a schema are created; those that dbt has built, as they are to be published."""
    rows = connection.execute(
        "select table_name, sql from duckdb_tables() "
        "where database_name = current_database() and schema_name = $schema and not temporary and not internal "
        "union all "
        "select view_name, sql from duckdb_views() "
        "where database_name = current_database() and schema_name = $schema and not temporary and not internal",
        {"schema": schema},
    ).fetchall()
    return {
        name: published_definition(sql, None if schema == BUILDING else schema)
        for name, sql in rows
        if "__dbt_" not in name  # left by a dbt run that was killed
    }


def published_definition(statement: str, schema: str | None = None) -> Definition:
    """Read a statement that creates a table or view, and turn it into one that creates it where readers look.

    DuckDB's own text stays as it is, but for the schema in the names: SQL written again by another program could mean
    something else.

    >>> published_definition("CREATE VIEW building.soh AS SELECT * FROM lab.building.cycles;").statement
    'CREATE VIEW main.soh AS SELECT * FROM lab.main.cycles;'

    Args:
        statement: as DuckDB's catalog has it.
        schema: where it stands, if it has been published; None is where its model belongs.

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
    edits: list[tuple[int, int, str]] = []
    for name in names:
        if name.args.get("db") and name.args["db"].name == BUILDING:
            place = name.args["db"].meta
            relation = name.table if isinstance(name, exp.Column) else name.name
            edits.append((place["start"], place["end"] + 1, published_schema(relation)))
    where = schema or published_schema(created.name)
    if not created.db:  # DuckDB leaves out the name of the schema that it is in
        start = created.this.meta["start"]
        edits.append((start, start, f"{where}."))
    tables = (name for name in names if isinstance(name, exp.Table) and name is not created)
    reads = frozenset(table.name for table in tables if table.db in {BUILDING, PUBLISHED, INTERNAL})
    for start, end, text in sorted(edits, reverse=True):
        statement = statement[:start] + text + statement[end:]
    return Definition(statement, create.kind == "VIEW", reads, f"{where}.{quoted(created.name)}")


def models_read(name: str, models: dict[str, Definition]) -> frozenset[str]:
    """Those of the models that one of them reads."""
    return models[name].reads & models.keys()


def in_order(models: dict[str, Definition]) -> list[str]:
    """Names of the models, each after those that it reads."""
    return list(TopologicalSorter({name: models_read(name, models) for name in models}).static_order())
