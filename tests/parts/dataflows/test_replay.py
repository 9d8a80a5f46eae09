"""Replay: what has landed is rebuilt and compared; where it differs, the replay says so and mends it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from support.harness import Log, require_sound
from support.replayed import DAMAGE, execute, manifest_keys, object_keys

import dataflows.fold.rules
from dataflows.replay.replay import replay
from dataflows.replay.report import Outcome
from dataflows.replay.start import Start
from kernel.base.errors import BatteryError
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from sink.care.verify import verify

if TYPE_CHECKING:
    from support.pipeline import Pipeline

EVERYTHING = (
    Start(beginning=True),
    Start(archive=True),
    Start(offsets={0: 0}),
    Start(offsets={0: 37}),
    Start(offsets={0: 10_000}),
    Start(time=datetime(2020, 1, 1, tzinfo=UTC)),
    Start(time=datetime(2120, 1, 1, tzinfo=UTC)),
)


@pytest.mark.parametrize("start", EVERYTHING, ids=str)
def test_a_replay_of_unchanged_code_is_identical_and_changes_nothing(live: Pipeline, log: Log, start: Start) -> None:
    before = object_keys(live)
    report = replay(live.settings, start)
    assert (report.outcome, report.messages) == (Outcome.IDENTICAL, log.messages)
    assert [*report.lines()][-1] == "identical: the live tables are what the messages say; nothing was changed"
    require_sound(live, log.tables)
    assert object_keys(live) == before
    assert not (live.folder / "replay" / "in-progress").exists()


@pytest.mark.parametrize(
    "damage",
    [
        DAMAGE,
        "delete from battery_ts_cleaned where data_point < 50",
        "insert into battery_ts_cleaned from battery_ts_cleaned where data_point = 3",
        "delete from battery_quarantine where reason = 'not_finite'",
        "delete from battery_retries",
        "update internal._windows set flagged_count = flagged_count + 1",
        "delete from internal._cycles",
        'update internal._progress set "offset" = 0',
        "update internal._cell_state set state = '{}'",
        ("update internal._commits set offsets = [{'topic_id': o.topic_id, 'partition': o.\"partition\", "
         "'first': o.\"first\", 'last': o.\"last\", 'rows': o.\"rows\" + 1} for o in offsets]"),
        "drop table battery_ts_cleaned",
    ],
)  # fmt: skip
def test_a_replay_from_the_beginning_mends_what_was_damaged(live: Pipeline, log: Log, damage: str) -> None:
    execute(live, damage)
    before = object_keys(live)
    assert replay(live.settings, Start(beginning=True)).outcome is Outcome.SWAPPED
    require_sound(live, log.tables)
    assert object_keys(live) == manifest_keys(live)
    assert not set(object_keys(live)) & set(before)


def test_a_replay_says_how_many_rows_differ_by_column_and_reason(live: Pipeline, log: Log) -> None:
    cells = "cell_id = 'CELL_1' and data_point in (3, 4)"
    execute(live, f'update battery_ts_cleaned set "voltage(v)" = 1, quality = 2 where {cells}')  # noqa: S608
    execute(live, "delete from battery_ts_cleaned where data_point = 5")
    execute(live, "update battery_quarantine set reason = 'out_of_range' where reason = 'not_finite'")
    ((refused,),) = live.query("select count(*) from battery_quarantine where reason = 'out_of_range'")
    report = replay(live.settings, Start(beginning=True), dry_run=True)
    assert report.outcome is Outcome.DIFFERENT
    lines = [*report.lines()]
    rows = log.tables["battery_ts_cleaned"][0]
    for line in (
        f"battery_ts_cleaned differs: {rows - 8} rows live, {rows} replayed",
        "  rows: 0 only live, 8 only replayed",
        "  voltage(v): 2 rows differ",
        "  quality: 2 rows differ",
        f"  reason: {refused} rows differ",
        f"quarantined as not_finite: 0 rows live, {refused} replayed",
        f"quarantined as out_of_range: {refused} rows live, 0 replayed",
        "different: nothing was changed, for this was a dry run",
    ):
        assert line in lines
    assert live.query("select count(*) from battery_ts_cleaned") == [(rows - 8,)]


def test_other_cleaning_rules_are_told_by_reason_and_column_and_hold_from_then_on(
    live: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A rule that refuses more, and one that flags more.
    monkeypatch.setattr(dataflows.fold.rules, "CLOCK_JUMP_US", -1)
    ((refused, kept),) = live.query(
        'select count(*) filter ("voltage(v)" > 3.65), count(*) filter ("voltage(v)" <= 3.65) from battery_ts_cleaned'
    )
    changed = live.settings.model_copy(update={"instrument_max_voltage_v": 3.65})
    report = replay(changed, Start(beginning=True))
    assert report.outcome is Outcome.SWAPPED
    reasons = report.comparison.reasons
    otherwise = sum(
        before - after for before, after in (reasons.get(name, (0, 0)) for name in ("duplicate", "conflict"))
    )
    assert otherwise > 0
    assert reasons["out_of_range"] == (0, refused + otherwise)
    (readings,) = [table for table in report.comparison.tables if table.table == "battery_ts_cleaned"]
    assert (readings.only_live, readings.only_replayed) == (refused, 0)
    assert 0 < readings.columns["quality"] <= kept
    checks = verify(live.settings, open_store(live.settings), open_warehouse(live.settings))
    assert [check for check in checks if not check.ok] == []
    assert replay(changed, Start(beginning=True)).outcome is Outcome.IDENTICAL
    assert replay(changed, Start(archive=True)).outcome is Outcome.IDENTICAL


def test_windows_of_another_width_are_built_by_a_replay_and_hold_from_then_on(live: Pipeline) -> None:
    live.extra["WINDOW_SECONDS"] = "120"
    assert "windows in the warehouse are 600 s wide" in live.battery("stream", "--until-end", code=2)
    report = replay(live.settings, Start(beginning=True))
    assert report.outcome is Outcome.SWAPPED
    assert {table.table for table in report.comparison.tables} - {"_cell_state"} == {"_windows"}
    live.battery("stream", "--until-end")
    checks = verify(live.settings, open_store(live.settings), open_warehouse(live.settings))
    assert [check for check in checks if not check.ok] == []


def test_an_object_that_is_lost_or_damaged_is_written_anew(live: Pipeline, log: Log) -> None:
    store = open_store(live.settings)
    lost, damaged, *_ = object_keys(live)
    store.delete(lost)
    store.put(damaged, store.get(damaged)[::-1])
    with pytest.raises(BatteryError, match=rf"the archive is damaged: {lost} is missing; .*--from-beginning"):
        replay(live.settings, Start(archive=True))
    report = replay(live.settings, Start(beginning=True))
    assert report.outcome is Outcome.SWAPPED
    assert [line for line in report.damaged if lost in line or damaged in line] == [*report.damaged]
    assert report.comparison.identical
    require_sound(live, log.tables)
