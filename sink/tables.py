"""The landing tables: the columns of each, and the statements of the transaction that fills them all.

Where they lie, `sink.layout` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from kernel.base.errors import BatteryError
from kernel.contract.reading import ABOUT, LANDED, QUARANTINED, RETRIED
from kernel.contract.results import CYCLE_PART, WINDOW_PART
from kernel.edges.warehouse import PostgresSession
from sink.layout import (
    INTERNAL,
    LAYOUT,
    READERS,
    SHOWN,
    find_tables,
    move_tables,
    release,
    require_known_layout,
    tables_to_move,
)
from sink.merge import SUM_UNITS, merged_columns

if TYPE_CHECKING:
    import duckdb

    from kernel.edges.warehouse import Judge

_SQL_TYPES: Final = {
    pa.string(): "varchar",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float64(): "double precision",
    pa.bool_(): "boolean",
    pa.timestamp("us"): "timestamp",
}


def full_name(table: str, database: str = "") -> str:
    """The name of a landing table with its schema, and its database where one is given.

    >>> full_name("_commits"), full_name("battery_ts_cleaned", "replayed__")
    ('internal._commits', 'replayed__.main.battery_ts_cleaned')
    """
    schema = INTERNAL if table.startswith("_") else READERS
    return f"{database}.{schema}.{table}" if database else f"{schema}.{table}"


def quoted(name: str) -> str:
    """A name in quotes for SQL; the columns of the contract have parentheses and slashes in their names."""
    return f'"{name}"'


def columns_of(schema: pa.Schema) -> str:
    """The columns of a table, in words that DuckDB and PostgreSQL both know."""
    return ", ".join(
        f"{quoted(field.name)} {_SQL_TYPES[field.type]}{'' if field.nullable else ' not null'}" for field in schema
    )


def _sums_as_hugeint(schema: pa.Schema, keys: int) -> str:
    """Columns of a table of merged parts: keys are not null, and sums of whole numbers have room not to overflow."""
    columns = []
    for index, field in enumerate(schema):
        kind = "hugeint" if field.name.endswith(SUM_UNITS) else _SQL_TYPES[field.type]
        columns.append(f"{quoted(field.name)} {kind}{' not null' if index < keys else ''}")
    return ", ".join(columns)


CREATE_PIPELINE: Final = (
    f"create schema if not exists {INTERNAL}",
    """create table if not exists internal._pipeline (
        singleton boolean primary key, pipeline varchar not null, layout integer not null, release varchar not null
    )""",
)
"""The id of the pipeline, the layout of its warehouse (`sink.layout`), and the release that has brought it there."""


def cell_latest(events: str) -> str:
    """The statement that makes the view of the last message of each cell; `rowid` of `events` is the order of landing.

    Within a topic offsets give the order, as they do where brokers compact it. Of two topics the later one is the one
    that landed last, so that one that was created again counts: the clocks of senders, and so the time stamps, may be
    wrong.
    """
    return f"""create or replace view main.battery_cell_latest as
    select
        cell_id, arg_max(metadata, place) as metadata, arg_max(changed_at, place) as changed_at,
        arg_max(topic_id, place) as topic_id
    from (
        select *, row(max(rowid) over (partition by topic_id), topic_id, "partition", "offset") as place
        from {events} where fault is null
    )
    group by cell_id"""  # noqa: S608  # our own names


CREATE_CELL_EVENTS: Final = (
    """create table if not exists battery_cell_events (
        topic_id varchar not null, "partition" integer not null, "offset" bigint not null, cell_id varchar not null,
        changed_at timestamp not null, metadata varchar, fault varchar,
        primary key (topic_id, "partition", "offset")
    )""",
    cell_latest("battery_cell_events"),
)
"""The table of what a lab has said of its cells, message by message, and the view of the last message of each cell."""

_CREATE_TABLES: Final = (
    *CREATE_PIPELINE,
    f"create table if not exists battery_ts_cleaned ({columns_of(LANDED)})",
    f"create table if not exists battery_quarantine ({columns_of(QUARANTINED)})",
    f"create table if not exists battery_retries ({columns_of(RETRIED)})",
    f"create table if not exists battery_about ({columns_of(ABOUT)})",
    f"create table if not exists internal._windows ({_sums_as_hugeint(WINDOW_PART, keys=2)})",
    f"create table if not exists internal._cycles ({_sums_as_hugeint(CYCLE_PART, keys=3)})",
    """create table if not exists internal._progress (
        cell_id varchar not null, topic_id varchar not null, "partition" integer not null, "offset" bigint not null
    )""",
    "create table if not exists internal._cell_state (cell_id varchar not null, state varchar not null)",
    """create table if not exists internal._writers (
        pipeline varchar not null, epoch bigint primary key, window_seconds integer not null,
        started_at timestamp not null, changes bigint not null, superseded_by bigint,
        kind varchar not null, run_id varchar
    )""",
    "create table if not exists internal._retired (object_key varchar not null)",
    """create table if not exists internal._commits (
        "commit" varchar not null, lane integer not null, seq bigint not null, writer_epoch bigint not null,
        object_key varchar not null, kind varchar not null, "rows" bigint not null, bytes bigint not null,
        sha256 varchar not null,
        offsets struct(topic_id varchar, "partition" integer, "first" bigint, "last" bigint, "rows" bigint)[] not null,
        committed_at timestamp not null
    )""",
    """create table if not exists internal._dbt_runs (
        run varchar not null, started_at timestamp not null, seconds double, command varchar not null,
        failure varchar, built boolean not null, audited boolean not null, models varchar[] not null,
        results struct(
            node varchar, kind varchar, status varchar, seconds double, failures bigint, message varchar
        )[] not null
    )""",
)
"""Statements that create the landing tables, and the record of dbt's runs, where they are missing.

`_windows` and `_cycles` hold merged parts, whose sums are whole numbers and therefore exact.
"""

CREATE_VIEWS: Final = (
    *(f"create or replace view {name} as select * from {INTERNAL}.{name}" for name in SHOWN),  # noqa: S608  # of `sink.layout`
    """create or replace view internal._watermark as
    select
        coalesce((select max(committed_at)::varchar from internal._commits), 'nothing') || ', ' || coalesce((
            select sum(s."rows") from (select distinct "commit", unnest(offsets) as s from internal._commits)
        ), 0)::varchar || ' rows' || (
            select if(count(*) > 0, ', ' || count(*) || ' changes of cell metadata', '') from battery_cell_events
        ) as watermark""",
    """create or replace view battery_cell_windows as
    select
        cell_id, window_start, reading_count,
        voltage_min_v, voltage_sum_nv / 1e9 / reading_count as voltage_mean_v, voltage_max_v, voltage_last_v,
        current_min_a, current_sum_na / 1e9 / reading_count as current_mean_a, current_max_a, current_last_a,
        temperature_min_c, temperature_sum_nc / 1e9 / nullif(temperature_count, 0) as temperature_mean_c,
        temperature_max_c, temperature_last_c,
        charge_throughput_pah / 1e12 as charge_throughput_ah, energy_throughput_pwh / 1e12 as energy_throughput_wh,
        flagged_count, is_final, as_of_offset
    from internal._windows""",
    """create or replace view battery_cell_cycles as
    select
        cell_id, test_id, cycle_index,
        charge_capacity_pah / 1e12 as charge_capacity_ah, discharge_capacity_pah / 1e12 as discharge_capacity_ah,
        charge_energy_pwh / 1e12 as charge_energy_wh, discharge_energy_pwh / 1e12 as discharge_energy_wh,
        discharge_capacity_pah / nullif(charge_capacity_pah, 0)::double as coulombic_efficiency,
        discharge_energy_pwh / nullif(charge_energy_pwh, 0)::double as energy_efficiency,
        voltage_min_v, voltage_max_v, temperature_min_c, temperature_max_c,
        resistance_sum_no / 1e9 / nullif(resistance_count, 0) as internal_resistance_ohm,
        started_at, ended_at, reading_count, is_final, as_of_offset
    from internal._cycles""",
)
"""Statements that create what stands on those tables, in DuckDB whichever kind of warehouse it reads.

Two views compute means and efficiencies from `_windows` and `_cycles`. `_watermark` is one value for all that has
landed. It changes with every commit, with every message about a cell, and with every replay that swaps tables, but not
when objects are merged.
"""


def _merge(table: str, staged: str, schema: pa.Schema, keys: tuple[str, ...]) -> str:
    """The statement that merges staged parts with each other, and then into a table."""
    columns = merged_columns(schema, keys, "arg_max({column}, part)", "new")
    names = [*keys, *(column.name for column in columns)]
    key_list = ", ".join(keys)
    return f"""
        merge into {table} as old
        using (
            select {key_list}, {", ".join(f"{column.merged} as {column.name}" for column in columns)}
            from {staged} group by {key_list}
        ) as new
        on {" and ".join(f"old.{key} = new.{key}" for key in keys)}
        when matched then update set {", ".join(column.update for column in columns)}
        when not matched then insert ({", ".join(names)}) values ({", ".join(f"new.{name}" for name in names)})
    """  # noqa: S608  # names come from this module alone


FILL: Final = (
    "insert into battery_ts_cleaned select * from staged_landed",
    "insert into battery_quarantine select * from staged_quarantined",
    "insert into battery_retries select * from staged_retried",
    "insert into battery_about select * from staged_about",
    _merge("internal._windows", "staged_windows", WINDOW_PART, ("cell_id", "window_start")),
    _merge("internal._cycles", "staged_cycles", CYCLE_PART, ("cell_id", "test_id", "cycle_index")),
    """merge into internal._progress as old using staged_progress as new
    on old.cell_id = new.cell_id and old.topic_id = new.topic_id and old."partition" = new."partition"
    when matched then update set "offset" = new."last"
    when not matched then insert values (new.cell_id, new.topic_id, new."partition", new."last")""",
    "insert into internal._commits select * from staged_commits",
)
"""The statements of one commit, which read the staged Arrow tables."""

FILL_STATES: Final = """merge into internal._cell_state as old using staged_states as new on old.cell_id = new.cell_id
when matched then update set state = new.state
when not matched then insert values (new.cell_id, new.state)"""
"""The last statement of a commit: the states of many cells take long to write out."""

REPEATED: Final = """
select count(*) from staged_progress as new inner join internal._progress as old
on old.cell_id = new.cell_id and old.topic_id = new.topic_id and old."partition" = new."partition"
where new."first" <= old."offset" """
"""The number of cells for which a commit would land messages a second time."""


def create_tables(connection: Judge) -> None:
    """Create the landing tables where they are missing, and bring those of an earlier release to this layout.

    Args:
        connection: in a transaction, which does all of it or nothing.

    Raises:
        NewerWarehouseError: the warehouse has the layout of a later release.
    """
    if isinstance(connection, PostgresSession):
        from sink.postgres.schema import create_schema  # noqa: PLC0415  # it stands on this module

        create_schema(connection)
        _note_release(connection)
        return
    require_known_layout(connection)
    made, to_move = find_tables(connection), tables_to_move(connection)
    for statement in _CREATE_TABLES:
        connection.execute(statement)
    if to_move:
        move_tables(connection, to_move, made)
    _note_release(connection)
    for statement in (*CREATE_CELL_EVENTS, *CREATE_VIEWS):
        connection.execute(statement)


def _note_release(connection: Judge) -> None:
    connection.execute(
        f"update {INTERNAL}._pipeline set layout = $layout, release = $release "  # noqa: S608  # of `sink.layout`
        "where layout < $layout or release = ''",
        {"layout": LAYOUT, "release": release()},
    )


def create_pipeline(connection: Judge) -> None:
    """Create the table that holds the pipeline's id, where it is missing; in PostgreSQL, all tables."""
    if isinstance(connection, PostgresSession):
        create_tables(connection)
        return
    for statement in CREATE_PIPELINE:
        connection.execute(statement)


class NoTablesError(BatteryError):
    """A warehouse has no landing tables yet; the message says what to do."""


class EarlierWarehouseError(BatteryError):
    """A warehouse is of an earlier release; the message says what brings it up to date."""


def require_tables(connection: duckdb.DuckDBPyConnection, *, even_earlier: bool = False) -> None:
    """Refuse a warehouse without landing tables.

    Args:
        connection: to it.
        even_earlier: whether those of an earlier release will do.

    Raises:
        NoTablesError: it holds no landing tables.
        EarlierWarehouseError: it holds those of an earlier release.
        NewerWarehouseError: it has the layout of a later release.
    """
    places = find_tables(connection)
    if "_writers" not in places:
        raise NoTablesError("the WAREHOUSE holds no landing tables yet; run `battery stream` first")
    require_known_layout(connection)
    is_whole = places.is_current and all(name in places for name in ("battery_retries", "battery_about", "_retired"))
    if not is_whole and not even_earlier:
        raise EarlierWarehouseError(
            "the WAREHOUSE was made by an earlier version; `battery stream --until-end` adds what it lacks, run it once"
        )
