"""News: whether readings have landed, or the code of the models has changed, since the published models were built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernel.base.errors import BatteryError
from refresh.audit import audited_models
from refresh.dbt import BUILDING
from refresh.host_models import landing_of
from refresh.project import inputs_of
from sink.layout import INTERNAL
from sink.tables import require_tables

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

    from kernel.base.settings import Settings
    from kernel.edges.warehouse import Warehouse


_RECORDS: Final = (("_dbt_runs", INTERNAL), ("_refreshed", INTERNAL), ("_refreshed", BUILDING))

_LAST_RUN: Final = """
    select failure from internal._dbt_runs where not starts_with(command, 'source') order by started_at desc limit 1
"""

_UNPUBLISHED: Final = f"""
    select count(*)
    from (select * from {BUILDING}._refreshed) as built
    full join (select * from {INTERNAL}._refreshed where model <> '_exported') as published
        using (model, cell_id, test_id)
    where built.built_by is distinct from published.built_by
"""  # noqa: S608  # names come from this module alone


def news(settings: Settings, warehouse: Warehouse) -> str | None:
    """What is new, in one line for a person; None if the published models are up to date.

    The models are as new as the scan of the readings with which their build began, so what landed during the build is
    news. Another version of the models, another BATTERY_CELLS or BATTERY_ALERT_RULES, and marts that were not exported
    are news, too.

    Raises:
        BatteryError: there is no warehouse yet, or it cannot be opened.
    """
    with landing_of(warehouse).connect("look for news", read_only=True) as connection:
        require_tables(connection)
        landed = (
            connection.execute("select watermark from internal._watermark").fetchone()
            if _has(connection, "_watermark")
            else None
        )
    with warehouse.connect("look for news", read_only=True) as connection:
        published = _published_marks(connection)
    return news_of(settings, None if landed is None else landed[0], published)


def news_of(settings: Settings, watermark: str | None, marks: Mapping[str, str]) -> str | None:
    """The same, told by what was read of a warehouse.

    Args:
        settings: what the models depend on apart from the landing.
        watermark: one value for all that has landed; None in a warehouse of an earlier version.
        marks: what the published models were built from: `_watermark`, `_inputs` and `_exported`.

    Raises:
        BatteryError: the dbt project is not installed beside the package, or one of the lab's own files cannot be read.
    """
    if watermark is None:
        return "a warehouse of an earlier version, which keeps no watermark: run `battery stream` once"
    if "_watermark" not in marks:
        return "no models have been published yet"
    if watermark != marks["_watermark"]:
        return f"landed: {watermark}; published: {marks['_watermark']}"
    if inputs_of(settings) != marks["_inputs"]:
        return "the models, or what BATTERY_CELLS or BATTERY_ALERT_RULES says, have changed"
    if marks.get("_exported") != watermark:
        return "the published marts have not been exported"
    return None


def is_up_to_date(settings: Settings, warehouse: Warehouse) -> bool:
    """Whether a refresh would build and publish what readers have already.

    It is not if anything is new, if dbt has built what was not tested or not published, or if its last run failed or
    was killed.

    Raises:
        BatteryError: there is no warehouse yet, or it cannot be opened.
    """
    with landing_of(warehouse).connect("look for news", read_only=True) as connection:
        require_tables(connection)
    with warehouse.connect("look for news", read_only=True) as connection:
        if not all(_has(connection, relation, schema) for relation, schema in _RECORDS):
            return False
        last_run = connection.execute(_LAST_RUN).fetchone()
        if last_run is None or last_run[0] is not None or connection.execute(_UNPUBLISHED).fetchone() != (0,):
            return False
        try:
            audited_models(connection)
        except BatteryError:
            return False
    return news(settings, warehouse) is None


def _published_marks(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """What the published models were built from."""
    if not _has(connection, "_refreshed"):
        return {}
    return dict(
        connection.execute(
            f"select model, version from {INTERNAL}._refreshed where model in ('_watermark', '_inputs', '_exported')"  # noqa: S608
        ).fetchall()
    )


def _has(connection: duckdb.DuckDBPyConnection, relation: str, schema: str = INTERNAL) -> bool:
    """Whether a schema, by default that of what is internal, has a table or view of that name."""
    count = connection.execute(
        "select count(*) from information_schema.tables where table_catalog = current_database() and table_schema = ? "
        "and table_name = ?",
        [schema, relation],
    ).fetchone()
    return count != (0,)
