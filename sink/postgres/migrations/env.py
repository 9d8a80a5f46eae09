"""What Alembic runs: the steps that a database lacks, in one transaction, by one process at a time."""

from __future__ import annotations

import psycopg
from alembic import context
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

given = context.config.attributes


def connect() -> psycopg.Connection:
    """A connection to the same database, as the same role."""
    return psycopg.connect(given["conninfo"], password=given["password"] or None)


engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
with engine.begin() as connection:
    connection.execute(text("select pg_advisory_xact_lock(1650553972, 9)"))  # the second one finds nothing left to do
    connection.execute(text("create schema if not exists internal"))
    context.configure(connection=connection, version_table_schema="internal")
    with context.begin_transaction():
        context.run_migrations()
