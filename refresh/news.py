"""News: has anything landed, or changed in what models depend on, since the models that readers see were built?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refresh.dbt import PUBLISHED, inputs_of
from sink.tables import require_tables

if TYPE_CHECKING:
    import duckdb

    from kernel.base.settings import Settings
    from kernel.edges.warehouse import Warehouse


def news(settings: Settings, warehouse: Warehouse) -> str | None:
    """What is new, in one line for a person; None when the published models stand where the landing stands.

    Commits are compared as of the scan of the readings that began the published build, so what landed while it ran is
    news. So are another version of the models, another BATTERY_CELLS, and marts that were not exported.

    Raises:
        BatteryError: there is no warehouse yet, or it cannot be opened.
    """
    with warehouse.connect("look for news", read_only=True) as connection:
        require_tables(connection)
        stands = _marks(connection)
        if not _has(connection, "_watermark"):
            return "a warehouse of an earlier version, which keeps no watermark: run `battery stream` once"
        landed = connection.execute("select watermark from _watermark").fetchone()
    if "_watermark" not in stands:
        return "no models have been published yet"
    if landed is None or landed[0] != stands["_watermark"]:
        return f"landed: {landed and landed[0]}; published: {stands['_watermark']}"
    if inputs_of(settings) != stands["_inputs"]:
        return "the models, or what BATTERY_CELLS says of the cells, have changed"
    if stands.get("_exported") != stands["_watermark"]:
        return "the published marts have not been exported"
    return None


def _marks(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """What the published models were built from."""
    if not _has(connection, "_refreshed"):
        return {}
    return dict(
        connection.execute(
            f"select model, version from {PUBLISHED}._refreshed where model in ('_watermark', '_inputs', '_exported')"  # noqa: S608
        ).fetchall()
    )


def _has(connection: duckdb.DuckDBPyConnection, relation: str) -> bool:
    """Whether readers have a table or view of that name."""
    found = connection.execute(
        "select count(*) from information_schema.tables where table_catalog = current_database() and table_schema = ? "
        "and table_name = ?",
        [PUBLISHED, relation],
    ).fetchone()
    return found != (0,)
