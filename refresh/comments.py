"""The comments of what readers see: what the models' YAML says of tables, views and columns.

dbt leaves the texts in the table `_comments` where it builds, when the code has changed
(dbt_project/macros/comments.sql). A publication sets those that readers do not have yet: of new code, and of tables
that it has made again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from refresh.dbt import BUILDING, PUBLISHED
from sink.layout import INTERNAL
from sink.tables import quoted

if TYPE_CHECKING:
    import duckdb

COMMENTS: Final = "_comments"

_IS_THERE: Final = f"""
    select count(*) from duckdb_tables()
    where database_name = current_database() and schema_name = '{BUILDING}' and table_name = '{COMMENTS}'
"""  # noqa: S608  # names come from this module alone

_MISSING: Final = f"""
    with published as (
        select 'table' as kind, database_name, schema_name, table_name as model, '' as column_name, comment
        from duckdb_tables()
        union all
        select 'view', database_name, schema_name, view_name, '', comment from duckdb_views()
        union all
        select 'column', database_name, schema_name, table_name, column_name, comment from duckdb_columns()
    )
    select published.kind, schema_name, model, column_name, wanted.comment
    from {BUILDING}.{COMMENTS} as wanted inner join published using (model, column_name)
    where database_name = current_database() and schema_name in ('{PUBLISHED}', '{INTERNAL}')
        and wanted.comment is distinct from published.comment
    order by model, column_name
"""  # noqa: S608


def set_comments(connection: duckdb.DuckDBPyConnection) -> int:
    """Comment on the tables, views and columns that readers see, where their comments differ from the models' YAML.

    Returns:
        How many comments were set.

    Raises:
        duckdb.Error: they cannot be set.
    """
    if connection.execute(_IS_THERE).fetchall() == [(0,)]:
        return 0  # a version without comments has built the models
    missing = connection.execute(_MISSING).fetchall()
    statements = []
    for kind, schema, model, column, text in missing:
        name = f"{schema}.{quoted(model)}" + (f".{quoted(column)}" if column else "")
        statements.append(f"comment on {kind} {name} is '{text.replace(chr(39), chr(39) * 2)}'")
    if statements:
        connection.execute(";\n".join(statements))
    return len(statements)
