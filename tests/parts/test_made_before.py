"""A landing that the commit before the move to floors has made goes on: `support/made_before/make.py` says how."""

from __future__ import annotations

import pickle
import sqlite3
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import support

from dataflows.position import Position
from producer.simulate import simulate_cell

if TYPE_CHECKING:
    from support.pipeline import Pipeline

MADE_BEFORE = Path(support.__path__[0]) / "made_before" / "landing-1a081d4.tar.xz"
MESSAGES = 4
LANDED = "select cell_id, count(*) from battery_ts_cleaned group by all order by all"


@pytest.fixture
def before(pipeline: Pipeline) -> Pipeline:
    """That landing, with a broker whose log is another one: the log that it has read is gone."""
    with tarfile.open(MADE_BEFORE) as archive:
        archive.extractall(pipeline.folder, filter="data")
    return pipeline


def test_its_recovery_store_says_where_the_log_it_has_read_goes_on(before: Pipeline) -> None:
    with sqlite3.connect(before.folder / "recovery" / "part-0.sqlite3") as store:
        snapshots = store.execute("select ser_change from snaps where step_id = 'battery.topic'").fetchall()
    [position] = [Position.of(pickle.loads(snapshot)) for (snapshot,) in snapshots]  # noqa: S301  # our own
    assert [(position.topic_id, position.next_offset)] == before.query(
        'select topic_id, max("offset") + 1 from _progress group by topic_id'
    )
    assert position.must_have_landed == MESSAGES


def test_its_warehouse_and_objects_take_up_more_and_are_built_again_from_the_archive(
    before: Pipeline, tmp_path: Path
) -> None:
    assert before.query(LANDED) == [("BEFORE_1", 720), ("BEFORE_2", 723)]
    simulate_cell(tmp_path, "BEFORE_1", cycles=2, seed=1)  # once more: its state knows these readings
    simulate_cell(tmp_path, "AFTER_1", cycles=2, seed=3)
    before.battery("produce", str(tmp_path))
    said = before.battery("stream", "--until-end")
    assert "the topic is a new log" in said, "the recovery store was not read"
    [after, *rest] = before.query(LANDED)
    assert rest == [("BEFORE_1", 720), ("BEFORE_2", 723)]
    assert (after[0], after[1] > 0) == ("AFTER_1", True)
    # That version knew no such table.
    assert before.query("select count(*) from battery_about where cell_id = 'BEFORE_2'") == [(0,)]
    tables = before.checksums()
    before.battery("replay", "--from-archive")
    assert before.checksums() == tables
    assert "everything adds up" in before.battery("verify")
