"""The schema of the landing tables in PostgreSQL: Alembic creates it, and brings an earlier one to this release.

The steps are in `sink/postgres/migrations/versions`. They are applied in a transaction of their own, before a run takes
its epoch.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb

from kernel.base.errors import BatteryError
from kernel.edges.warehouses.postgres import SNAPSHOT, VIEWS
from sink.postgres.views import SNAPSHOT_STATEMENTS, VIEW_STATEMENTS

if TYPE_CHECKING:
    from kernel.edges.warehouses.postgres_session import PostgresSession

HEAD: Final = "0002"
"""The last step that this release knows."""

_FOLDER: Final = Path(__file__).parent / "migrations"


def create_schema(session: PostgresSession) -> None:
    """Bring the schema to that of this release, where it is not there yet.

    Raises:
        BatteryError: it is of a later release, or PostgreSQL refuses, as where the role may not create schemas.
    """
    if version_of(session) != HEAD:
        _migrate(session)
    wanted = [
        *((SNAPSHOT, statement) for statement in SNAPSHOT_STATEMENTS),
        *(("view", statement) for statement in VIEW_STATEMENTS),
    ]
    if session.execute(f"select kind, statement from {VIEWS} order by number").fetchall() != wanted:  # noqa: S608  # ours
        session.execute(f"delete from {VIEWS}")  # noqa: S608
        for number, row in enumerate(wanted):
            session.execute(f"insert into {VIEWS} values (?, ?, ?)", [number, *row])  # noqa: S608


def version_of(session: PostgresSession) -> str | None:
    """The last step that was applied; None in a database without landing tables."""
    row = session.execute("select to_regclass('internal.alembic_version') is not null").fetchone()
    if row is None or not row[0]:
        return None
    version = session.execute("select version_num from internal.alembic_version").fetchone()
    return None if version is None else str(version[0])


def _migrate(session: PostgresSession) -> None:
    from alembic import command  # noqa: PLC0415  # of the extra, and slow to load
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["conninfo"] = session.connection.info.dsn
    config.attributes["password"] = session.connection.info.password
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise BatteryError(
            f"the WAREHOUSE has step {version_of(session)} of its schema, and this release knows steps up to {HEAD}: "
            "install the release that made it, or a later one"
        ) from None
    except (SQLAlchemyError, duckdb.Error) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise BatteryError(f"the landing tables cannot be created in the WAREHOUSE: {reason}") from error
