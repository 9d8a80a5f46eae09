"""How DuckDB shows the landing tables in PostgreSQL, and the objects: the statements that PostgreSQL keeps for it.

They are written down by the steps of `sink/postgres/migrations`, which create the tables that they show, and executed
by `kernel.edges.warehouses.postgres`. The database is attached as `judge`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernel.contract.reading import ABOUT, LANDED, QUARANTINED, RETRIED
from kernel.contract.results import CYCLE_PART, WINDOW_PART
from sink.layout import INTERNAL
from sink.manifest import LANDED_KIND
from sink.merge import SUM_UNITS
from sink.postgres.texts import unescaped
from sink.tables import CREATE_VIEWS, cell_latest, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

_OFFSETS: Final = (
    '[{"topic_id": "VARCHAR", "partition": "INTEGER", "first": "BIGINT", "last": "BIGINT", "rows": "BIGINT"}]'
)
_RESULTS: Final = (
    '[{"node": "VARCHAR", "kind": "VARCHAR", "status": "VARCHAR", "seconds": "DOUBLE", "failures": "BIGINT", '
    '"message": "VARCHAR"}]'
)

ARRIVALS: Final = "internal._cell_arrivals"
"""The view of `battery_cell_events` whose `rowid` is the order of landing, as a table of DuckDB has it by itself."""


def listed_objects(commits: str, root: str, no_rows: str) -> str:
    """The statement that lists, for the view of the readings, the objects that a manifest names.

    Args:
        commits: the table of the manifest.
        root: SQL for what stands before the key of an object.
        no_rows: SQL for the path of an object without a reading, since DuckDB can read no empty list.
    """
    return f"""set variable landed_objects = (
        select [{no_rows}] || coalesce(list({root} || object_key order by writer_epoch, seq, lane), [])
        from {commits} where kind = '{LANDED_KIND}'
    )"""  # noqa: S608  # our own names


SNAPSHOT_STATEMENTS: Final = (
    listed_objects("judge.internal._commits", "getvariable('object_root')", "getvariable('no_rows')"),
)


def _view(name: str, columns: Iterable[str], table: str = "") -> str:
    return f"create or replace view {name} as select {', '.join(columns)} from judge.{table or name}"  # noqa: S608


def _shown(schema_names: Iterable[str], texts: frozenset[str]) -> list[str]:
    columns = []
    for name in schema_names:
        column = quoted(name)
        if name.endswith(SUM_UNITS):
            columns.append(f"{column}::hugeint as {column}")
        else:
            columns.append(f"{unescaped(column)} as {column}" if name in texts else column)
    return columns


_TEXTS: Final = frozenset(
    {
        "cell_id", "test_id", "source_file", "detail", "payload", "origin_topic_id", "assumptions", "metadata",
        "integrated", "reader", "state",
    }
)  # fmt: skip

_READINGS: Final = (
    f"create or replace view main.battery_ts_cleaned as select {', '.join(map(quoted, LANDED.names))} "  # noqa: S608
    "from read_parquet(getvariable('landed_objects'), hive_partitioning = false)"
)

VIEW_STATEMENTS: Final = (
    f"create schema if not exists {INTERNAL}",
    _view("internal._pipeline", ["singleton", "pipeline", "layout", "release"]),
    _READINGS,
    _view("main.battery_quarantine", _shown(QUARANTINED.names, _TEXTS)),
    _view("main.battery_retries", _shown(RETRIED.names, _TEXTS)),
    _view("main.battery_about", _shown(ABOUT.names, _TEXTS)),
    _view("internal._windows", _shown(WINDOW_PART.names, _TEXTS)),
    _view("internal._cycles", _shown(CYCLE_PART.names, _TEXTS)),
    _view("internal._progress", _shown(["cell_id", "topic_id", "partition", "offset"], _TEXTS)),
    _view("internal._cell_state", _shown(["cell_id", "state"], _TEXTS)),
    """create or replace view internal._writers as
    select
        pipeline, epoch, window_seconds, started_at,
        (
            changes + coalesce((select sum(c.changes) from judge.internal._changes as c where c.epoch = w.epoch), 0)
        )::bigint as changes,
        superseded_by, kind, run_id
    from judge.internal._writers as w""",
    _view("internal._retired", ["object_key"]),
    _view(
        "internal._commits",
        [
            *map(quoted, ("commit", "lane", "seq", "writer_epoch", "object_key", "kind", "rows", "bytes")), "sha256",
            f"from_json(offsets, '{_OFFSETS}') as offsets", "committed_at",
        ],
    ),
    _view(
        "internal._dbt_runs",
        [
            "run", "started_at", "seconds", "command", "failure", "built", "audited", "models",
            f"from_json(results, '{_RESULTS}') as results",
        ],
    ),
    _view("internal._refreshed", ["model", "cell_id", "test_id", "version", "code", "built_by"]),
    _view(
        "main.battery_cell_events",
        ["topic_id", quoted("partition"), quoted("offset"), f"{unescaped('cell_id')} as cell_id", "changed_at",
         f"{unescaped('metadata')} as metadata", f"{unescaped('fault')} as fault"],
    ),
    _view(
        ARRIVALS,
        [
            "topic_id", quoted("partition"), quoted("offset"), f"{unescaped('cell_id')} as cell_id", "changed_at",
            f"{unescaped('metadata')} as metadata", f"{unescaped('fault')} as fault",
            "arrival as rowid",
        ],
        "main.battery_cell_events",
    ),
    cell_latest(ARRIVALS),
    *CREATE_VIEWS,
)  # fmt: skip
"""What makes the views, in order."""
