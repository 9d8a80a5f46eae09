"""The comparison of the live landing tables with those of a replay, attached as the database `replayed__`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sink.tables import full_name, quoted

if TYPE_CHECKING:
    import duckdb

REPLAYED: Final = "replayed__"
"""The name under which the warehouse of a replay is attached."""

KEYS: Final = {
    "battery_ts_cleaned": ("cell_id", "test_id", "data_point"),
    "battery_quarantine": ("topic_id", "partition", "offset", "row"),
    "battery_retries": ("topic_id", "partition", "offset"),
    "battery_about": ("topic_id", "partition", "offset"),
    "_windows": ("cell_id", "window_start"),
    "_cycles": ("cell_id", "test_id", "cycle_index"),
    "_progress": ("cell_id", "topic_id", "partition"),
    "_cell_state": ("cell_id",),
}
"""The landing tables, each with the columns that identify its rows."""


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
    """All differences.

    `reasons` holds the numbers of quarantined rows, live and replayed, for each reason with a difference. `spans` says
    that the commits account for other messages or rows.
    """

    tables: tuple[TableDifference, ...]
    reasons: dict[str, tuple[int, int]]
    spans: bool

    @property
    def identical(self) -> bool:
        """No difference, checksum for checksum."""
        return not self.tables and not self.spans


def compare(connection: duckdb.DuckDBPyConnection) -> Comparison:
    """Compare every landing table by checksum; if the checksums differ, by row and column."""
    tables = tuple(
        _difference(connection, table, keys)
        for table, keys in KEYS.items()
        if content_of(connection, full_name(table)) != content_of(connection, full_name(table, REPLAYED))
    )
    live, replayed = _reasons(connection, "battery_quarantine"), _reasons(connection, f"{REPLAYED}.battery_quarantine")
    reasons = {
        reason: (live.get(reason, 0), replayed.get(reason, 0))
        for reason in sorted({*live, *replayed})
        if live.get(reason, 0) != replayed.get(reason, 0)
    }
    return Comparison(
        tables,
        reasons,
        spans=_spans(connection, full_name("_commits")) != _spans(connection, full_name("_commits", REPLAYED)),
    )


def content_of(connection: duckdb.DuckDBPyConnection, table: str) -> tuple[int, int]:
    """The row count of a table, and a checksum of all its values that does not depend on the order of rows."""
    content = connection.execute(f"select count(*), sum(hash(t)::hugeint) from {table} as t").fetchone()  # noqa: S608
    return (int(content[0]), int(content[1] or 0)) if content else (0, 0)


def messages_missing(connection: duckdb.DuckDBPyConnection) -> list[tuple[int, int]]:
    """The first few messages (partition, offset) with rows in the live tables and none in the replayed ones."""
    sql = (
        'select kafka_partition as "partition", kafka_offset as "offset" from {0}battery_ts_cleaned '
        'union select "partition", "offset" from {0}battery_quarantine'
    )
    return connection.execute(
        f"from ({sql.format('')}) except from ({sql.format('replayed__.')}) order by all limit 5"
    ).fetchall()


def ahead_of_live(connection: duckdb.DuckDBPyConnection) -> int:
    """The number of cells of which the replay holds messages that have not landed yet."""
    count = connection.execute(
        """
        select count(*) from replayed__.internal._progress as new left join internal._progress as old
        on old.cell_id = new.cell_id and old.topic_id = new.topic_id and old."partition" = new."partition"
        where old."offset" is null or old."offset" < new."offset"
        """
    ).fetchone()
    return int(count[0]) if count else 0


def _difference(connection: duckdb.DuckDBPyConnection, table: str, keys: tuple[str, ...]) -> TableDifference:
    live, replayed = full_name(table), full_name(table, REPLAYED)
    columns = [name for name, *_ in connection.execute(f"describe {live}").fetchall() if name not in keys]
    is_in_both = "live.is_there and replayed.is_there"
    counts = [
        "count(*) filter (replayed.is_there is null)",
        "count(*) filter (live.is_there is null)",
        *(
            f"count(*) filter ({is_in_both} and live.{quoted(c)} is distinct from replayed.{quoted(c)})"
            for c in columns
        ),
    ]
    matches = " and ".join(f"live.{quoted(key)} = replayed.{quoted(key)}" for key in keys)
    row = connection.execute(
        f"select {', '.join(counts)} from (select *, true as is_there from {live}) as live "  # noqa: S608  # our own names
        f"full join (select *, true as is_there from {replayed}) as replayed on {matches}"
    ).fetchone()
    only_live, only_replayed, *differing = row or ()
    return TableDifference(
        table,
        content_of(connection, live)[0],
        content_of(connection, replayed)[0],
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
