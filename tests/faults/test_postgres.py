"""PostgreSQL failing under the worker in the ways of a server: gone, full, its answers lost; and a run that sleeps."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.harness import Log, finish, require_sound, rest_of, wait_for
from support.pipeline import checksum_of
from support.postgres import PASSWORD
from support.proxy import CommitProxy
from support.replayed import damage, manifest_keys, object_keys
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


@pytest.fixture
def kind() -> Kind:
    return Kind.POSTGRES


def state_of(process: Process) -> str:
    """What the kernel says that a process does: T is paused."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def start_and_pause(pipeline: Pipeline, place: str, *command: str) -> Process:
    """A command that sleeps at a place, as where its machine is suspended."""
    pipeline.extra |= {**SMALL, VARIABLE: f"{place}:stop"}
    started = pipeline.start(*command)
    del pipeline.extra[VARIABLE]
    wait_for(started, "pausing")
    while state_of(started) != "T":  # it has said so, and does it
        assert started.poll() is None
    return started


@pytest.mark.parametrize("place", [f"{Point.IN_TRANSACTION}@11", f"{Point.BEFORE_COMMIT}@2"])
def test_a_run_that_sleeps_inside_its_transaction_is_taken_over_and_lands_nothing_when_it_wakes(
    pipeline: Pipeline, log: Log, place: str
) -> None:
    older = start_and_pause(pipeline, place, "stream")
    with owned(pipeline.settings) as database:
        sleeping = database.execute(
            "select count(*) from pg_stat_activity where datname = current_database() and state = 'idle in transaction'"
        ).fetchall()
    assert sleeping == [(1,)], "nobody is in its way"
    pipeline.extra |= {"RECOVERY_DIR": str(pipeline.folder / "another-recovery")}
    newer = pipeline.start("stream", "--until-end")
    finish(newer, 0)
    require_sound(pipeline, log.tables)
    assert state_of(older) == "T"
    older.send_signal(signal.SIGCONT)
    last = finish(older, 2).strip().splitlines()[-1]
    assert "this run (writer epoch 1) was superseded by run 2: only one pipeline may write a warehouse" in last
    require_sound(pipeline, log.tables)


def test_a_replay_that_sleeps_inside_its_swap_is_in_the_way_of_no_new_run_and_swaps_nothing_when_it_wakes(
    pipeline: Pipeline, log: Log
) -> None:
    pipeline.battery("stream", "--until-end")
    damage(pipeline)
    before = pipeline.checksums()
    replay = start_and_pause(pipeline, Point.REPLAY_SWAPPING, "replay", "--from-beginning")
    pipeline.battery("stream", "--until-end")
    assert state_of(replay) == "T"
    replay.send_signal(signal.SIGCONT)
    last = finish(replay, 2).strip().splitlines()[-1]
    assert last.endswith("the live tables are as they were")
    assert pipeline.checksums() == before
    pipeline.battery("replay", "--from-beginning")
    require_sound(pipeline, log.tables)


def test_the_worker_waits_for_no_compaction_that_sleeps_inside_its_transaction(pipeline: Pipeline, log: Log) -> None:
    pipeline.extra |= {"COMMIT_MAX_ROWS": "100", VARIABLE: f"{Point.BEFORE_COMMIT}@9:kill"}
    finish(pipeline.start("stream"), -signal.SIGKILL)
    compaction = start_and_pause(pipeline, Point.COMPACTION_SWAPPING, "compact")
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)
    assert state_of(compaction) == "T"
    compaction.send_signal(signal.SIGCONT)
    said = rest_of(compaction)  # PostgreSQL itself ends whoever sleeps in a transaction for a minute
    assert (compaction.returncode == 0 and "merged " in said) or "idle-in-transaction timeout" in said, said
    require_sound(pipeline, log.tables)


def test_a_look_finds_the_objects_that_it_saw_although_they_were_merged_and_swept_meanwhile(
    pipeline: Pipeline, log: Log
) -> None:
    pipeline.extra |= SMALL
    pipeline.battery("stream", "--until-end")
    with look(pipeline.settings) as connection:
        ((named,),) = connection.execute("select list(object_key) from _commits").fetchall()
        assert "merged " in pipeline.battery("compact")
        pipeline.battery("sweep")
        assert connection.execute(checksum_of("battery_ts_cleaned")).fetchall() == [log.tables["battery_ts_cleaned"]]
    with look(pipeline.settings) as connection:
        assert set(named) - {key for (key,) in connection.execute("select object_key from _commits").fetchall()}
    pipeline.extra["OBJECT_GRACE_SECONDS"] = "0"
    pipeline.battery("sweep")
    assert object_keys(pipeline) == manifest_keys(pipeline)
    require_sound(pipeline, log.tables)


def test_a_database_brought_back_from_an_earlier_moment_lands_the_rest_again_and_removes_nothing(
    pipeline: Pipeline, log: Log, new_warehouse: Callable[..., dict[str, str]]
) -> None:
    pipeline.extra |= {**SMALL, VARIABLE: f"{Point.BEFORE_COMMIT}@3:kill"}
    finish(pipeline.start("stream"), -signal.SIGKILL)
    del pipeline.extra[VARIABLE]
    earlier = new_warehouse(pipeline.settings)
    pipeline.battery("stream", "--until-end")
    objects = object_keys(pipeline)
    pipeline.extra |= {**earlier, "RECOVERY_DIR": str(pipeline.folder / "another-recovery")}  # as the guide says
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)
    assert set(objects) <= set(object_keys(pipeline)), "another copy may name them"


@pytest.mark.parametrize("harm", ["lost", "cut", "changed inside"])
def test_an_object_that_is_lost_or_damaged_is_named_and_lands_again_from_the_log(
    pipeline: Pipeline, log: Log, harm: str
) -> None:
    pipeline.extra |= SMALL
    pipeline.battery("stream", "--until-end")
    key = min(key for key in manifest_keys(pipeline) if key.startswith("battery_ts_cleaned"))
    path = pipeline.folder / "objects" / key
    data = path.read_bytes()
    changed = {"lost": None, "cut": data[:-100], "changed inside": data[:2000] + bytes(2000) + data[4000:]}[harm]
    path.unlink()
    if changed is not None:
        path.write_bytes(changed)
    checks = json.loads(pipeline.battery("verify", "--json", code=1))["checks"]
    assert key in next(check["detail"] for check in checks if check["name"] == "objects")
    if harm != "changed inside":  # of the rest, the overview takes only what each object says of itself
        last = pipeline.battery("status", code=2).strip().splitlines()[-1]
        assert re.search(
            r"an object with rows that the WAREHOUSE names is missing or damaged .*; `battery verify`", last
        )
    pipeline.battery("stream", "--until-end")
    assert f"object {key} " in pipeline.battery("replay", "--from-beginning")
    require_sound(pipeline, log.tables)


def test_a_worker_that_reaches_another_bucket_lands_nothing_and_a_lost_bucket_comes_back_from_the_log(
    pipeline: Pipeline, log: Log
) -> None:
    pipeline.extra |= {**SMALL, VARIABLE: f"{Point.BEFORE_COMMIT}@3:kill"}
    finish(pipeline.start("stream"), -signal.SIGKILL)
    del pipeline.extra[VARIABLE]
    elsewhere = pipeline.folder / "another disk"
    pipeline.extra["OBJECT_STORE"] = f"file://{elsewhere}"
    last = pipeline.battery("stream", "--until-end", code=2).strip().splitlines()[-1]
    assert re.search(r"the OBJECT_STORE is empty, and the WAREHOUSE names \d+ objects, which are its rows", last)
    assert not any(path.is_file() for path in elsewhere.rglob("*"))
    pipeline.battery("replay", "--from-beginning")
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)


def test_those_who_look_wait_for_no_transaction_and_see_nothing_of_it(pipeline: Pipeline, log: Log) -> None:
    worker = start_and_pause(pipeline, f"{Point.BEFORE_COMMIT}@2", "stream", "--until-end")
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
    worker = start_and_pause(pipeline, f"{Point.BEFORE_COMMIT}@2", "stream", "--until-end")
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
    worker = start_and_pause(pipeline, f"{Point.AFTER_COMMIT}@1", "stream", "--until-end")
    postgres_server.crash()
    worker.send_signal(signal.SIGCONT)
    wait_for(worker, "waiting for the warehouse: it does not answer")
    postgres_server.start()
    finish(worker, 0)
    require_sound(pipeline, log.tables)


def test_a_server_that_stays_away_ends_the_worker_with_nothing_lost(
    pipeline: Pipeline, log: Log, postgres_server: Postgres
) -> None:
    pipeline.extra |= {"WAREHOUSE_LOCK_TIMEOUT_SECONDS": "0.5"}
    worker = start_and_pause(pipeline, f"{Point.AFTER_COMMIT}@1", "stream", "--until-end")
    postgres_server.crash()
    worker.send_signal(signal.SIGCONT)
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


@pytest.mark.parametrize(
    "table", [pytest.param("main.battery_quarantine", marks=pytest.mark.nightly), "internal._commits"]
)
def test_a_server_without_space_ends_the_worker_with_nothing_lost(pipeline: Pipeline, log: Log, table: str) -> None:
    worker = start_and_pause(pipeline, f"{Point.AFTER_COMMIT}@1", "stream", "--until-end")
    execute(pipeline.settings, FULL.format(table))
    worker.send_signal(signal.SIGCONT)
    last = finish(worker, 2).strip().splitlines()[-1]
    assert re.search(r"^battery: commit \S+ failed 5 times: .*No space left on device", last), last
    execute(pipeline.settings, FREE)
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)


def test_space_that_is_free_again_in_time_lets_the_commit_happen(pipeline: Pipeline, log: Log) -> None:
    worker = start_and_pause(pipeline, f"{Point.AFTER_COMMIT}@1", "stream", "--until-end")
    execute(pipeline.settings, FULL.format("internal._progress"))
    worker.send_signal(signal.SIGCONT)
    wait_for(worker, "the warehouse failed, trying again")
    execute(pipeline.settings, FREE)
    finish(worker, 0)
    require_sound(pipeline, log.tables)


def test_a_server_that_takes_no_more_connections_is_waited_for(
    pipeline: Pipeline, log: Log, postgres_server: Postgres
) -> None:
    worker = start_and_pause(pipeline, f"{Point.AFTER_COMMIT}@1", "stream", "--until-end")
    with postgres_server.administrate() as administrator:
        administrator.execute("alter role battery connection limit 0")
        try:
            administrator.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'battery'")
            worker.send_signal(signal.SIGCONT)
            wait_for(worker, "waiting for the warehouse: it does not answer")
        finally:
            administrator.execute("alter role battery connection limit -1")
    finish(worker, 0)
    require_sound(pipeline, log.tables)


def test_a_password_that_has_been_changed_is_told_without_it(
    pipeline: Pipeline, log: Log, postgres_server: Postgres
) -> None:
    worker = start_and_pause(pipeline, f"{Point.AFTER_COMMIT}@1", "stream", "--until-end")
    with postgres_server.administrate() as administrator:
        administrator.execute("alter role battery password 'another'")
        try:
            administrator.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'battery'")
            worker.send_signal(signal.SIGCONT)
            said = finish(worker, 2)
        finally:
            administrator.execute(f"alter role battery password '{PASSWORD}'")
    assert "password authentication failed" in said.strip().splitlines()[-1]
    assert PASSWORD not in said
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)
