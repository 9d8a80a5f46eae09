"""News: whether readings have landed, or the code of the models has changed, since the published models were built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refresh.dbt import PUBLISHED, inputs_of
from sink.tables import require_tables

if TYPE_CHECKING:
    import duckdb

    from kernel.base.settings import Settings
    from kernel.edges.warehouse import Warehouse


def news(settings: Settings, warehouse: Warehouse) -> str | None:
    """What is new, in one line for a person; None if the published models are up to date.

    The models are as new as the scan of the readings with which their build began, so what landed during the build is
    news. Another version of the models, another BATTERY_CELLS, and marts that were not exported are news, too.

    Raises:
        BatteryError: there is no warehouse yet, or it cannot be opened.
    """
    with warehouse.connect("look for news", read_only=True) as connection:
        require_tables(connection)
        published = _published_marks(connection)
        if not _has(connection, "_watermark"):
            return "a warehouse of an earlier version, which keeps no watermark: run `battery stream` once"
        landed = connection.execute("select watermark from _watermark").fetchone()
    if "_watermark" not in published:
        return "no models have been published yet"
    if landed is None or landed[0] != published["_watermark"]:
        return f"landed: {landed and landed[0]}; published: {published['_watermark']}"
    if inputs_of(settings) != published["_inputs"]:
        return "the models, or what BATTERY_CELLS says of the cells, have changed"
    if published.get("_exported") != published["_watermark"]:
        return "the published marts have not been exported"
    return None


def _published_marks(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
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
    count = connection.execute(
        "select count(*) from information_schema.tables where table_catalog = current_database() and table_schema = ? "
        "and table_name = ?",
        [PUBLISHED, relation],
    ).fetchone()
    return count != (0,)
