"""PostgreSQL failing under the worker in the ways of a server: gone, full, its answers lost; and a run that sleeps."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.harness import Log, finish, require_sound, wait_for
from support.postgres import PASSWORD
from support.proxy import CommitProxy
from support.warehouses import Kind, look, owned

from kernel.base.faults import VARIABLE, Point

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.forks import Process
    from support.pipeline import Pipeline
    from support.postgres import Postgres

    from kernel.base.settings import Settings

SMALL = {"COMMIT_MAX_ROWS": "700"}
"""Some four commits."""
MANY = {"COMMIT_MAX_ROWS": "60"}
"""Some dozens of commits, for a fault to come in between."""


@pytest.fixture
def kind() -> Kind:
    return Kind.POSTGRES


def state_of(process: Process) -> str:
    """What the kernel says that a process does: T is paused."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def start_and_pause(pipeline: Pipeline, place: str, *arguments: str) -> Process:
    """A worker that sleeps at a place of its commits, as where its machine is suspended."""
    pipeline.extra |= {**SMALL, VARIABLE: f"{place}:stop"}
    worker = pipeline.start("stream", *arguments)
    del pipeline.extra[VARIABLE]
    wait_for(worker, "pausing")
    while state_of(worker) != "T":  # it has said so, and does it
        assert worker.poll() is None
    return worker


@pytest.mark.parametrize("place", [f"{Point.IN_TRANSACTION}@11", f"{Point.BEFORE_COMMIT}@2"])
def test_a_run_that_sleeps_inside_its_transaction_is_taken_over_and_lands_nothing_when_it_wakes(
    pipeline: Pipeline, log: Log, place: str
) -> None:
    older = start_and_pause(pipeline, place)
    pipeline.extra |= {"RECOVERY_DIR": str(pipeline.folder / "another-recovery")}
    newer = pipeline.start("stream", "--until-end")
    said = finish(newer, 0)
    assert "ended commits of an older run" in said, "nobody was in its way"
    require_sound(pipeline, log.tables)
    assert state_of(older) == "T"
    older.send_signal(signal.SIGCONT)
    last = finish(older, 2).strip().splitlines()[-1]
    assert "this run (writer epoch 1) was superseded by run 2: only one pipeline may write a warehouse" in last
    require_sound(pipeline, log.tables)


def test_those_who_look_wait_for_no_transaction_and_see_nothing_of_it(pipeline: Pipeline, log: Log) -> None:
    worker = start_and_pause(pipeline, f"{Point.BEFORE_COMMIT}@2", "--until-end")
    with look(pipeline.settings) as connection:
        ((rows,),) = connection.execute("select count(*) from battery_ts_cleaned").fetchall()
        ((named,),) = connection.execute(
            "select sum(\"rows\") from _commits where kind = 'battery_ts_cleaned'"
        ).fetchall()
        worker.send_signal(signal.SIGCONT)
        finish(worker, 0)
        again = connection.execute("select count(*) from battery_ts_cleaned").fetchall()
    assert 0 < rows < log.tables["battery_ts_cleaned"][0]
    assert (named, again) == (rows, [(rows,)]), "one look is of one moment"
    require_sound(pipeline, log.tables)


def end_sessions(pipeline: Pipeline, _: Postgres) -> None:
    """As an administrator, a failover, or a time limit does."""
    with owned(pipeline.settings) as database:
        (ended,) = database.execute(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            "where usename = current_user and pid <> pg_backend_pid()"
        ).fetchone() or (0,)
    assert ended


def crash_and_start(_: Pipeline, server: Postgres) -> None:
    server.crash()
    server.start()


@pytest.mark.parametrize("strike", [end_sessions, crash_and_start])
def test_a_connection_that_breaks_before_commit_was_sent_lands_it_once(
    pipeline: Pipeline, log: Log, postgres_server: Postgres, strike: Callable[[Pipeline, Postgres], None]
) -> None:
    worker = start_and_pause(pipeline, f"{Point.BEFORE_COMMIT}@2", "--until-end")
    strike(pipeline, postgres_server)
    worker.send_signal(signal.SIGCONT)
    assert "the warehouse failed, trying again" in finish(worker, 0)
    require_sound(pipeline, log.tables)


@pytest.mark.parametrize("number", [1, 3])
def test_a_commit_whose_answer_is_lost_on_the_way_has_landed_once(
    pipeline: Pipeline, log: Log, postgres_server: Postgres, number: int
) -> None:
    proxy = CommitProxy(postgres_server.port, losing=number)
    proxy.start()
    direct = pipeline.extra["WAREHOUSE"]
    name = direct.rpartition("/")[2]
    pipeline.extra |= {**SMALL, "WAREHOUSE": f"postgresql://battery@127.0.0.1:{proxy.port}/{name}"}
    said = pipeline.battery("stream", "--until-end")
    assert proxy.lost.is_set()
    assert "the warehouse failed, trying again" in said
    proxy.cut()
    pipeline.extra["WAREHOUSE"] = direct
    require_sound(pipeline, log.tables)


def test_a_server_that_is_away_for_a_while_is_waited_for(
    pipeline: Pipeline, log: Log, postgres_server: Postgres
) -> None:
    pipeline.extra |= MANY
    worker = pipeline.start("stream", "--until-end")
    wait_for(worker, "committed")
    postgres_server.crash()
    wait_for(worker, "waiting for the warehouse: it does not answer")
    postgres_server.start()
    finish(worker, 0)
    require_sound(pipeline, log.tables)


def test_a_server_that_stays_away_ends_the_worker_with_nothing_lost(
    pipeline: Pipeline, log: Log, postgres_server: Postgres
) -> None:
    pipeline.extra |= {**MANY, "WAREHOUSE_LOCK_TIMEOUT_SECONDS": "0.5"}
    worker = pipeline.start("stream", "--until-end")
    wait_for(worker, "committed")
    postgres_server.crash()
    said = finish(worker, 2)
    assert re.search(r"^battery: cannot .*: WAREHOUSE=\S+ cannot be used: .*refused$", said.strip().splitlines()[-1]), (
        said
    )
    assert PASSWORD not in said
    for command in (("stream", "--until-end"), ("verify",), ("replay", "--from-archive")):  # nobody has ever seen it
        line = pipeline.battery(*command, code=2).strip().splitlines()[-1]
        assert line.startswith("battery: ")
        assert "Connection refused" in line
        assert PASSWORD not in line
    postgres_server.start()
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)


FULL = """
create function main.no_space() returns trigger language plpgsql as $$
begin
    raise exception 'could not extend file: No space left on device' using errcode = 'disk_full';
end $$;
create trigger no_space before insert on {} for each statement execute function main.no_space();
"""
FREE = "drop function main.no_space() cascade"


def execute(settings: Settings, sql: str) -> None:
    with owned(settings) as database:
        database.execute(sql.encode())


@pytest.mark.parametrize("table", ["main.battery_quarantine", "internal._commits"])
def test_a_server_without_space_ends_the_worker_with_nothing_lost(pipeline: Pipeline, log: Log, table: str) -> None:
    pipeline.extra |= MANY
    worker = pipeline.start("stream", "--until-end")
    wait_for(worker, "committed")
    execute(pipeline.settings, FULL.format(table))
    last = finish(worker, 2).strip().splitlines()[-1]
    assert re.search(r"^battery: commit \S+ failed 5 times: .*No space left on device", last), last
    execute(pipeline.settings, FREE)
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)


def test_space_that_is_free_again_in_time_lets_the_commit_happen(pipeline: Pipeline, log: Log) -> None:
    pipeline.extra |= MANY
    worker = pipeline.start("stream", "--until-end")
    wait_for(worker, "committed")
    execute(pipeline.settings, FULL.format("internal._progress"))
    wait_for(worker, "the warehouse failed, trying again")
    execute(pipeline.settings, FREE)
    finish(worker, 0)
    require_sound(pipeline, log.tables)


def test_a_server_that_takes_no_more_connections_is_waited_for(
    pipeline: Pipeline, log: Log, postgres_server: Postgres
) -> None:
    pipeline.extra |= MANY
    worker = pipeline.start("stream", "--until-end")
    wait_for(worker, "committed")
    with postgres_server.administrate() as administrator:
        administrator.execute("alter role battery connection limit 0")
        try:
            administrator.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'battery'")
            wait_for(worker, "waiting for the warehouse: it does not answer")
        finally:
            administrator.execute("alter role battery connection limit -1")
    finish(worker, 0)
    require_sound(pipeline, log.tables)


def test_a_password_that_has_been_changed_is_told_without_it(
    pipeline: Pipeline, log: Log, postgres_server: Postgres
) -> None:
    pipeline.extra |= MANY
    worker = pipeline.start("stream", "--until-end")
    wait_for(worker, "committed")
    with postgres_server.administrate() as administrator:
        administrator.execute("alter role battery password 'another'")
        try:
            administrator.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'battery'")
            said = finish(worker, 2)
        finally:
            administrator.execute(f"alter role battery password '{PASSWORD}'")
    assert "password authentication failed" in said.strip().splitlines()[-1]
    assert PASSWORD not in said
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)
