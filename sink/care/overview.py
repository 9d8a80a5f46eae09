"""The overview of the landing: a few small tables that can be read while another process has the warehouse.

A DuckDB file admits one process at a time, and a commit or a refresh may have it for long. So whoever has written it
leaves its overview in a small file beside it: what has landed and was quarantined, the newest commits and refused rows,
and the newest runs of dbt. A look reads that file, says how old it is, and opens the warehouse only where the file is
older than the warehouse and nobody has it. A warehouse that admits readers has no such file.
"""

from __future__ import annotations

import hashlib
import io
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa
import structlog
from pyarrow import ipc

from kernel.base.errors import BatteryError
from kernel.base.whole_files import replace_file
from kernel.edges.warehouse import HeldError, open_warehouse
from sink.care.quarantine import retriable_rows
from sink.layout import find_tables
from sink.tables import require_tables

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kernel.base.settings import Settings
    from kernel.base.warehouse_address import WarehouseAddress
    from kernel.edges.warehouse import Warehouse

_log = structlog.get_logger()

ENDING: Final = ".overview"
"""The name of the file is that of the warehouse, and this."""

VERSION: Final = "3"
"""Of the tables in the file; one of another version counts as missing."""

DIGEST_BYTES: Final = 32
"""The file begins with the SHA-256 of the rest: one that is damaged counts as missing."""

RECENT_COMMITS: Final = 500
RECENT_RUNS: Final = 50
RECENT_REFUSALS: Final = 200
"""How many of the newest entries of the quarantine there are of each reason."""

PAYLOAD_LETTERS: Final = 500
"""How many characters of a payload there are; `battery quarantine show` has the rest."""

LOOK_SECONDS: Final = 2.0
"""How long a look waits for a warehouse that another process has, where there is no overview of it, in s."""

BRIEF_SECONDS: Final = 0.2
"""The same where there is one."""

LEAST_PAUSE_SECONDS: Final = 2.0
SHARE: Final = 0.05
"""A worker takes an overview this long after the one before at the earliest, and spends this share of its time on it
at most."""

_COUNTS: Final = """
    select
        (select count(*) from battery_ts_cleaned) as "rows",
        count(distinct cell_id) as cells,
        count(distinct (cell_id, test_id)) as tests,
        count(*) as cycles,
        (select count(*) from internal._windows) as windows,
        (select count(distinct "commit") from internal._commits) as commits,
        (select max(committed_at) from internal._commits where committed_at <= $now) as last_commit,
        (select max(streamed_at) from battery_ts_cleaned where streamed_at <= $now) as streamed_at,
        (select count(*) from battery_ts_cleaned where streamed_at > $now) as stamped_later
    from internal._cycles
"""

_COMMITS: Final = """
    with newest as (
        select
            "commit",
            max(committed_at) as committed_at,
            sum("rows") filter (where kind = 'battery_ts_cleaned') as landed,
            sum(bytes) as bytes,
            count(*) as objects,
            any_value(offsets) as offsets
        from internal._commits group by "commit" order by committed_at desc, "commit" desc limit $most
    )
    select
        "commit",
        committed_at,
        coalesce(landed, 0)::bigint as landed,
        list_sum([part."rows" for part in offsets])::bigint - coalesce(landed, 0)::bigint as quarantined,
        objects,
        bytes::bigint as bytes
    from newest order by committed_at, "commit"
"""

_REASONS: Final = """
    select reason, sum(row_count)::bigint as "rows", count(*) as entries, count(distinct cell_id) as cells
    from battery_quarantine group by reason order by "rows" desc, reason
"""

_REFUSALS: Final = """
    select
        reason, cell_id, source_file, row_count as "rows", detail, left(payload, $letters) as payload,
        topic_id || ':' || "partition" || ':' || "offset" || ':' || "row" as id
    from battery_quarantine
    window newest as (partition by reason order by topic_id, "partition", "offset" desc, "row" desc)
    qualify row_number() over newest <= $most
    order by reason, topic_id, "partition", "offset" desc, "row" desc
"""

_GROWTH: Final = """
    select
        coalesce(sum(bytes), 0)::bigint as bytes,
        coalesce(sum(bytes) filter (committed_at > $now - interval 7 days), 0)::bigint as week_bytes,
        coalesce(sum("rows") filter (
            kind = 'battery_ts_cleaned' and committed_at > $now - interval 7 days
        ), 0)::bigint as week_rows,
        min(committed_at) as first_commit
    from internal._commits where committed_at <= $now
"""

_PROGRESS: Final = """
    select topic_id, "partition", max("offset") as last from internal._progress group by topic_id, "partition"
"""

_RUNS: Final = """
    select run, started_at, "seconds", command, failure, results
    from internal._dbt_runs order by started_at desc limit $most
"""

_MARKS: Final = """
    select model, version from internal._refreshed where model in ('_watermark', '_inputs', '_exported')
"""

_NO_RUNS: Final = """
    select
        '' as run, now()::timestamp as started_at, 0.0 as "seconds", '' as command, '' as failure,
        []::struct(
            node varchar, kind varchar, status varchar, seconds double, failures bigint, message varchar
        )[] as results
    limit 0
"""


@dataclass(frozen=True)
class Overview:
    """The overview of a warehouse, taken `at` some time (UTC).

    `held` is the reason why no newer one can be had, or None.

    Tables by name:
        counts: one row: `rows`, `cells`, `tests`, `cycles`, `windows` and `commits` that have landed, `last_commit` and
            `streamed_at` (UTC; the newest that are not in the future), `stamped_later` rows, `retriable` rows.
        commits: the newest, in the order of time: `landed` and `quarantined` rows, `objects`, `bytes`.
        growth: one row: `bytes` of all objects that `_commits` names, bytes and rows of those of the last week, and the
            time of the first (UTC).
        reasons: rows and entries of the quarantine by reason.
        refusals: the newest entries of each reason.
        progress: the offset of the `last` message that has landed, by topic and partition.
        runs: the newest dbt runs, the latest first, each with the results of its nodes.
        marks: what the published models were built from; and `watermark`: one value for all that has landed.
    """

    at: datetime
    tables: Mapping[str, pa.Table]
    held: str | None = None

    @property
    def watermark(self) -> str | None:
        """One value for all that has landed; None in a warehouse of an earlier version."""
        values: list[str] = self.tables["watermark"]["watermark"].to_pylist()
        return values[0] if values else None

    @property
    def marks(self) -> dict[str, str]:
        """What the published models were built from, by mark."""
        marks = self.tables["marks"]
        return dict(zip(marks["model"].to_pylist(), marks["version"].to_pylist(), strict=True))


def take_overview(connection: duckdb.DuckDBPyConnection) -> Overview:
    """Take the overview of a warehouse that is open.

    Raises:
        BatteryError: it has no landing tables, or was made by an earlier version.
        duckdb.Error: it cannot be read.
    """
    require_tables(connection)
    places = find_tables(connection)
    now = datetime.now(UTC).replace(tzinfo=None)

    def table(sql: str, **parameters: object) -> pa.Table:
        return connection.execute(sql, parameters).to_arrow_table()

    counts = table(_COUNTS, now=now)
    return Overview(
        now,
        {
            "counts": counts.append_column("retriable", pa.array([retriable_rows(connection)], pa.int64())),
            "commits": table(_COMMITS, most=RECENT_COMMITS),
            "reasons": table(_REASONS),
            "refusals": table(_REFUSALS, most=RECENT_REFUSALS, letters=PAYLOAD_LETTERS),
            "growth": table(_GROWTH, now=now),
            "progress": table(_PROGRESS),
            "runs": table(_RUNS, most=RECENT_RUNS) if "_dbt_runs" in places else table(_NO_RUNS),
            "marks": table(_MARKS) if "_refreshed" in places else table("select '' as model, '' as version limit 0"),
            "watermark": table(
                "from internal._watermark" if "_watermark" in places else "select ''::varchar as watermark limit 0"
            ),
        },
    )


class OverviewFile:
    """The file that holds the overview of a warehouse of one file.

    Args:
        path: of the file.
        warehouse: the file of the warehouse.
    """

    def __init__(self, path: Path, warehouse: Path) -> None:
        self._path = path
        self._warehouse = warehouse
        self._due = 0.0
        self._taken: tuple[Overview, str] | None = None

    @classmethod
    def of(cls, address: WarehouseAddress) -> OverviewFile | None:
        """The file of a warehouse; None where it admits readers at any time."""
        file = address.file
        return None if file is None else cls(file.with_name(file.name + ENDING), file)

    def take(self, connection: duckdb.DuckDBPyConnection, *, now: bool = True) -> None:
        """Take the overview, to be written once the connection is closed; what fails is logged, and is no harm.

        Args:
            connection: to the warehouse, with nothing left to be written.
            now: whether to take it however short ago the last one was.
        """
        started = time.monotonic()
        if not now and started < self._due:
            return
        try:
            taken = take_overview(connection)
            with suppress(duckdb.Error):  # another lane is at work; then this counts as not the newest
                connection.execute("checkpoint")  # else closing it would change the file, perhaps after another process
            self._taken = taken, self.state()
        except Exception as error:  # noqa: BLE001  # whoever writes the warehouse has done its work already
            _log.debug("no overview could be taken", error=str(error))
        took = time.monotonic() - started
        self._due = started + max(LEAST_PAUSE_SECONDS, took / SHARE)

    def write(self) -> None:
        """Write the overview that was taken last, if it is not written yet, now that the warehouse is closed."""
        taken, self._taken = self._taken, None
        if taken is not None:
            self.keep(*taken)

    def keep(self, overview: Overview, state: str) -> None:
        """Write an overview; where it cannot be written the one before stays, which says that it is not the newest.

        Args:
            overview: of the warehouse.
            state: `state()` while no other process could write the warehouse, so before its connection was closed.
        """
        named = {
            **overview.tables,
            "about": pa.table({"version": [VERSION], "at": pa.array([overview.at], pa.timestamp("us")), "of": [state]}),
        }
        content = io.BytesIO()
        for name, table in named.items():
            with ipc.new_stream(content, table.schema.with_metadata({"name": name})) as stream:
                stream.write_table(table)
        data = content.getvalue()
        try:
            replace_file(self._path, hashlib.sha256(data).digest() + data)
        except OSError as error:
            _log.debug("the overview could not be written", path=str(self._path), error=str(error))

    def read(self) -> tuple[Overview, bool] | None:
        """The overview, and whether the warehouse is still as it was then; None where there is none."""
        with suppress(OSError):
            content = self._path.read_bytes()
            if hashlib.sha256(content[DIGEST_BYTES:]).digest() != content[:DIGEST_BYTES]:
                return None
            tables = {}
            reader = pa.BufferReader(pa.py_buffer(content).slice(DIGEST_BYTES))
            while reader.tell() < reader.size():
                with ipc.open_stream(reader) as stream:
                    tables[stream.schema.metadata[b"name"].decode()] = stream.read_all()
            (about,) = tables.pop("about").to_pylist()
            if about["version"] == VERSION:
                return Overview(about["at"], tables), about["of"] == self.state()
        return None

    def state(self) -> str:
        """What changes with the warehouse, as `state_of_file` has it."""
        return state_of_file(self._warehouse)


def state_of_file(warehouse: Path) -> str:
    """What changes with each write to the file of a warehouse, or to its log: times and sizes of both."""
    states = []
    for path in (warehouse, warehouse.with_name(f"{warehouse.name}.wal")):
        with suppress(OSError):
            status = path.stat()
            states.append(f"{status.st_mtime_ns} {status.st_ctime_ns} {status.st_size}")
    return ", ".join(states)


def read_overview(warehouse: Warehouse, file: OverviewFile | None = None) -> Overview:
    """The overview of a warehouse as it is now, which is left in a file where there is one.

    Raises:
        HeldError: another process has it for too long.
        BatteryError: it cannot be opened, has no landing tables, or was made by an earlier version.
    """
    with warehouse.connect("look at the landing", read_only=True) as connection:
        overview = take_overview(connection)
        state = "" if file is None else file.state()
    if file is not None:
        file.keep(overview, state)
    return overview


def look_at_overview(settings: Settings) -> Overview:
    """The overview of the warehouse: at best as it is now, else as its file has it, with the reason.

    A look waits a moment at most for a warehouse that another process has.

    Raises:
        HeldError: another process has the warehouse, which has no overview yet.
        BatteryError: there is no warehouse yet, it was made by an earlier version, or it cannot be read.
    """
    file = OverviewFile.of(settings.warehouse_address)
    kept = None if file is None else file.read()
    if kept is not None and kept[1]:
        return kept[0]
    seconds = min(settings.warehouse_lock_timeout_seconds, BRIEF_SECONDS if kept else LOOK_SECONDS)
    try:
        return read_overview(
            open_warehouse(settings.model_copy(update={"warehouse_lock_timeout_seconds": seconds})), file
        )
    except HeldError as error:
        if kept is None:
            raise
        return replace(kept[0], held=str(error))


def renew_overview(settings: Settings) -> None:
    """Leave a newer overview of the warehouse if it has changed; where it cannot be had now, whoever looks next does.

    A look that waits no longer than a visitor would takes it.
    """
    if settings.warehouse_address.file is not None:
        try:
            look_at_overview(settings)
        except (BatteryError, duckdb.Error) as error:
            _log.debug("no overview could be taken", error=str(error))
