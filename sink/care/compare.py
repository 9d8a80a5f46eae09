"""What differs between the live landing tables and those of a replay, attached as the database `replayed__`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sink.tables import quoted

if TYPE_CHECKING:
    import duckdb

KEYS: Final = {
    "battery_ts_cleaned": ("cell_id", "test_id", "data_point"),
    "battery_quarantine": ("topic_id", "partition", "offset", "row"),
    "battery_retries": ("topic_id", "partition", "offset"),
    "_windows": ("cell_id", "window_start"),
    "_cycles": ("cell_id", "test_id", "cycle_index"),
    "_progress": ("cell_id", "topic_id", "partition"),
    "_cell_state": ("cell_id",),
}
"""The landing tables, and what tells their rows apart."""


@dataclass(frozen=True)
class TableDifference:
    """How a table differs: its row counts, rows that only one side has, and rows that differ, by column."""

    table: str
    live_rows: int
    replayed_rows: int
    only_live: int
    only_replayed: int
    columns: dict[str, int]


@dataclass(frozen=True)
class Comparison:
    """All differences; `reasons` are quarantined rows by reason, live and replayed, where the two differ.

    `spans` tells that the commits account for other messages or rows.
    """

    tables: tuple[TableDifference, ...]
    reasons: dict[str, tuple[int, int]]
    spans: bool

    @property
    def identical(self) -> bool:
        """No difference, checksum for checksum."""
        return not self.tables and not self.spans


def compare(connection: duckdb.DuckDBPyConnection) -> Comparison:
    """Compare every landing table by checksum, and where these differ row by row and column by column."""
    tables = tuple(
        _difference(connection, table, keys)
        for table, keys in KEYS.items()
        if content_of(connection, table) != content_of(connection, f"replayed__.{table}")
    )
    live, replayed = _reasons(connection, "battery_quarantine"), _reasons(connection, "replayed__.battery_quarantine")
    reasons = {
        reason: (live.get(reason, 0), replayed.get(reason, 0))
        for reason in sorted({*live, *replayed})
        if live.get(reason, 0) != replayed.get(reason, 0)
    }
    return Comparison(
        tables, reasons, spans=_spans(connection, "_commits") != _spans(connection, "replayed__._commits")
    )


def content_of(connection: duckdb.DuckDBPyConnection, table: str) -> tuple[int, int]:
    """Row count and an order-free checksum over every value of a table."""
    found = connection.execute(f"select count(*), sum(hash(t)::hugeint) from {table} as t").fetchone()  # noqa: S608
    return (int(found[0]), int(found[1] or 0)) if found else (0, 0)


def messages_missing(connection: duckdb.DuckDBPyConnection) -> list[tuple[int, int]]:
    """Messages (partition, offset) of which the live tables hold rows and the replayed ones none: the first few."""
    sql = (
        'select kafka_partition as "partition", kafka_offset as "offset" from {0}battery_ts_cleaned '
        'union select "partition", "offset" from {0}battery_quarantine'
    )
    return connection.execute(
        f"from ({sql.format('')}) except from ({sql.format('replayed__.')}) order by all limit 5"
    ).fetchall()


def ahead_of_live(connection: duckdb.DuckDBPyConnection) -> int:
    """For how many cells the replay holds messages that have not landed yet, though some behind them have."""
    found = connection.execute(
        """
        select count(*) from replayed__._progress as new left join _progress as old
        on old.cell_id = new.cell_id and old.topic_id = new.topic_id and old."partition" = new."partition"
        where old."offset" is null or old."offset" < new."offset"
        """
    ).fetchone()
    return int(found[0]) if found else 0


def _difference(connection: duckdb.DuckDBPyConnection, table: str, keys: tuple[str, ...]) -> TableDifference:
    columns = [name for name, *_ in connection.execute(f"describe {table}").fetchall() if name not in keys]
    both = "live.here and anew.here"
    counts = [
        "count(*) filter (anew.here is null)",
        "count(*) filter (live.here is null)",
        *(f"count(*) filter ({both} and live.{quoted(c)} is distinct from anew.{quoted(c)})" for c in columns),
    ]
    matches = " and ".join(f"live.{quoted(key)} = anew.{quoted(key)}" for key in keys)
    found = connection.execute(
        f"select {', '.join(counts)} from (select *, true as here from {table}) as live "  # noqa: S608  # our own names
        f"full join (select *, true as here from replayed__.{table}) as anew on {matches}"
    ).fetchone()
    only_live, only_replayed, *differing = found or ()
    return TableDifference(
        table,
        content_of(connection, table)[0],
        content_of(connection, f"replayed__.{table}")[0],
        only_live,
        only_replayed,
        {name: count for name, count in zip(columns, differing, strict=True) if count},
    )


def _reasons(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, int]:
    return dict(
        connection.execute(f"select reason, sum(row_count)::bigint from {table} group by reason").fetchall()  # noqa: S608
    )


def _spans(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[object, ...]]:
    spans = f'select distinct "commit", unnest(offsets) as s from {table}'  # noqa: S608
    sums = 's.topic_id, s."partition", min(s."first"), max(s."last"), sum(s."rows")'
    return connection.execute(f"select {sums} from ({spans}) group by all order by all").fetchall()  # noqa: S608
