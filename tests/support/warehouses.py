"""The kinds of warehouse on which the tests of faults run, and what is done to the warehouse of a pipeline by hand.

A test that asks for the fixture `kind` runs on a DuckDB file; with the mark `every_warehouse` it runs on each kind.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from support.schemas import look_in_both

from kernel.base.warehouse_address import FileAddress
from kernel.edges.warehouse import open_warehouse

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    import duckdb

    from kernel.base.settings import Settings


class Kind(StrEnum):
    """A kind of warehouse that runs here."""

    DUCKDB = "duckdb"
    POSTGRES = "postgres"


every_warehouse = pytest.mark.parametrize("kind", list(Kind))
every_warehouse_nightly = pytest.mark.parametrize(
    "kind", [Kind.DUCKDB, pytest.param(Kind.POSTGRES, marks=pytest.mark.nightly)]
)
"""By day a DuckDB file alone, since another test strikes PostgreSQL at the same place."""


def on_every_warehouse(name: str, cases: Iterable[str], by_day: Container[str]) -> pytest.MarkDecorator:
    """Run each case on each kind; on PostgreSQL only some by day, which strike where the kinds differ."""
    return pytest.mark.parametrize(
        ("kind", name),
        [
            pytest.param(kind, case, marks=() if kind is Kind.DUCKDB or case in by_day else pytest.mark.nightly)
            for kind in Kind
            for case in cases
        ],
    )


@contextmanager
def look(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse of a pipeline, to read; names without a schema are those of readers, else the internal ones."""
    with open_warehouse(settings).connect("look", read_only=True) as connection:
        look_in_both(connection)
        yield connection


def change(settings: Settings, sql: str) -> int:
    """Change control tables by hand, in SQL of the warehouse itself; how many rows were changed."""
    if isinstance(settings.warehouse_address, FileAddress):
        with open_warehouse(settings).connect("change the tables") as connection:
            changed = connection.execute(sql).fetchone()
            return 0 if changed is None else int(changed[0])
    with owned(settings) as database:
        return database.execute(sql.encode()).rowcount


def lose(settings: Settings) -> None:
    """Let a warehouse be gone: its file, or all that its role owns in the database."""
    address = settings.warehouse_address
    if address.file is not None:
        Path(address.file).unlink()
        return
    with owned(settings) as database:
        while True:
            with suppress(psycopg.errors.DeadlockDetected):  # with a commit that is under way
                database.execute("drop owned by current_user cascade")
                return


def owned(settings: Settings) -> psycopg.Connection:
    """A connection of the owner of a PostgreSQL database, each statement of which is committed by itself."""
    assert settings.warehouse_password is not None
    return psycopg.connect(settings.warehouse, password=settings.warehouse_password.get_secret_value(), autocommit=True)
