"""The landing tables, the record of dbt's runs, and DuckDB's views of them."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

_STATEMENTS = (
    "create schema if not exists main",
    """create table internal._duckdb_views (
        number integer primary key, kind text not null, statement text not null
    )""",
    """create table internal._pipeline (
        singleton boolean primary key, pipeline text not null, layout integer not null, release text not null
    )""",
    """create table internal._writers (
        pipeline text not null, epoch bigint primary key, window_seconds integer not null,
        started_at timestamp not null, changes bigint not null, superseded_by bigint, kind text not null, run_id text
    )""",
    """create table internal._changes (
        epoch bigint not null, backend integer not null, changes bigint not null, primary key (epoch, backend)
    )""",
    """create table internal._commits (
        "commit" text not null, lane integer not null, seq bigint not null, writer_epoch bigint not null,
        object_key text primary key, kind text not null, "rows" bigint not null, bytes bigint not null,
        sha256 text not null, offsets jsonb not null, committed_at timestamp not null
    )""",
    'create index on internal._commits ("commit")',
    "create table internal._retired (object_key text not null, retired_at timestamptz not null default now())",
    """create table internal._progress (
        cell_id text not null, topic_id text not null, "partition" integer not null, "offset" bigint not null,
        primary key (cell_id, topic_id, "partition")
    )""",
    "create table internal._cell_state (cell_id text primary key, state text not null)",
    """create table internal._windows (
        cell_id text not null, window_start timestamp not null, reading_count bigint, flagged_count bigint,
        voltage_sum_nv numeric(38), voltage_min_v double precision, voltage_max_v double precision,
        voltage_last_v double precision, current_sum_na numeric(38), current_min_a double precision,
        current_max_a double precision, current_last_a double precision, temperature_count bigint,
        temperature_sum_nc numeric(38), temperature_min_c double precision, temperature_max_c double precision,
        temperature_last_c double precision, charge_throughput_pah numeric(38), energy_throughput_pwh numeric(38),
        is_final boolean, as_of_offset bigint,
        primary key (cell_id, window_start)
    )""",
    """create table internal._cycles (
        cell_id text not null, test_id text not null, cycle_index integer not null, reading_count bigint,
        charge_capacity_pah numeric(38), discharge_capacity_pah numeric(38), charge_energy_pwh numeric(38),
        discharge_energy_pwh numeric(38), voltage_min_v double precision, voltage_max_v double precision,
        temperature_min_c double precision, temperature_max_c double precision, resistance_count bigint,
        resistance_sum_no numeric(38), started_at timestamp, ended_at timestamp, is_final boolean, as_of_offset bigint,
        primary key (cell_id, test_id, cycle_index)
    )""",
    """create table main.battery_quarantine (
        topic_id text not null, "partition" integer not null, "offset" bigint not null, "row" integer not null,
        row_count integer not null, cell_id text, source_file text, reason text not null, detail text, payload text
    )""",
    """create table main.battery_retries (
        topic_id text not null, "partition" integer not null, "offset" bigint not null, cell_id text,
        origin_topic_id text not null, origin_partition integer not null, origin_offset bigint not null,
        origin_row integer not null
    )""",
    """create table main.battery_about (
        topic_id text not null, "partition" integer not null, "offset" bigint not null, cell_id text,
        test_id text not null, source_file text, streamed_at timestamp, reader text, assumptions text, metadata text,
        integrated text
    )""",
    """create table main.battery_cell_events (
        arrival bigint generated always as identity, topic_id text not null, "partition" integer not null,
        "offset" bigint not null, cell_id text not null, changed_at timestamp not null, metadata text, fault text,
        primary key (topic_id, "partition", "offset")
    )""",
    """create table internal._dbt_runs (
        run text primary key, started_at timestamp not null, seconds double precision, command text not null,
        failure text, built boolean not null, audited boolean not null, models text[] not null, results jsonb not null
    )""",
)


def upgrade() -> None:
    """Create them."""
    for statement in _STATEMENTS:
        op.execute(statement)
