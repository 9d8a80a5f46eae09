"""When the stream is worth a complaint, and how fresh it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import yaml
from support.places import ROOT

import refresh.status
from kernel.edges.kafka import NoBrokerError
from refresh.status import PartitionStatus, Status
from sink.care.overview import read_overview
from sink.tables import create_tables

if TYPE_CHECKING:
    from support.committed import Landed

SOURCES = ROOT / "dbt_project" / "models" / "staging" / "__sources.yml"


def status(**given: Any) -> Status:
    return Status(
        **{
            "topic": "battery_topic", "topic_id": "t", "broker": None,
            "partitions": (PartitionStatus(0, 90, 100, 10), PartitionStatus(1, 50, 50, 0)),
            "rows": 1, "cells": 1, "tests": 1, "cycles": 1, "windows": 1, "last_commit_age": 100.0,
        }
        | given
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "max_lag", "max_age", "said"),
    [
        ({}, 10, 100.0, []),
        ({}, 9, 100.0, ["10 messages of battery_topic have not landed, more than MAX_LAG_MESSAGES=9"]),
        ({}, 10, 99.0, ["10 messages of battery_topic wait and the last commit was 100 s ago, longer than"]),
        ({}, 9, 99.0, ["10 messages of battery_topic have not landed", "MAX_COMMIT_AGE_SECONDS=99"]),
        # A lab that pauses for a week has an old commit, and nothing waits.
        ({"partitions": (PartitionStatus(0, 100, 100, 0),), "last_commit_age": 604_800.0}, 0, 60.0, []),
        # What expired before it landed is missed although nothing waits.
        (
            {"partitions": (PartitionStatus(0, 100, 100, 0, gone=7),)},
            0,
            100.0,
            ["7 offsets of partition 0 of battery_topic are gone (retention?) and had not landed"],
        ),
        # A worker that has never committed may have just begun.
        ({"last_commit_age": None}, 10, 1.0, []),
        ({"broker": "no broker answers at …", "partitions": ()}, 10, 100.0, ["no broker answers at …"]),
    ],
)
def test_a_stream_is_complained_of_with_its_figures(
    given: dict[str, Any], max_lag: int, max_age: float, said: list[str]
) -> None:
    found = list(status(**given).complaints(max_lag, max_age))
    assert len(found) == len(said), found
    assert all(part in complaint for part, complaint in zip(said, found, strict=True)), found


def test_a_time_stamp_of_the_future_says_nothing_of_freshness_and_is_counted(
    landed: Landed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> None:
        raise NoBrokerError("no broker answers")

    monkeypatch.setattr(refresh.status, "open_topic", silent)
    now = "now() at time zone 'UTC'"
    landed.query(f"update battery_ts_cleaned set streamed_at = {now} - interval 90 second where rowid = 0")  # noqa: S608
    landed.query(f"update battery_ts_cleaned set streamed_at = {now} + interval 90 day where rowid in (1, 2)")  # noqa: S608
    landed.query(f"update internal._commits set committed_at = {now} - interval 60 second")  # noqa: S608
    landed.query(f"update internal._commits set committed_at = {now} + interval 60 day where seq > 5")  # noqa: S608
    found = refresh.status.status(landed.settings, read_overview(landed.warehouse))
    assert found.freshness == pytest.approx(90, abs=20)
    assert found.last_commit_age == pytest.approx(60, abs=20)
    assert "  2 readings are stamped later than now, and say nothing of freshness" in found.lines()


def test_dbts_source_freshness_goes_by_commits_that_are_not_of_the_future() -> None:
    tables = [table for source in yaml.safe_load(SOURCES.read_text())["sources"] for table in source["tables"]]
    (told,) = [table["config"] for table in tables if "freshness" in table.get("config", {})]
    connection = duckdb.connect()
    connection.execute("set timezone = 'Pacific/Auckland'")  # ahead of the UTC that the landing writes
    create_tables(connection)
    for key, at in (("old", "now() at time zone 'UTC' - interval 1 minute"), ("later", "now() + interval 1 day")):
        connection.execute(
            f"insert into internal._commits values ('{key}', 0, 1, 1, '{key}', '', 1, 1, '', [], {at})"  # noqa: S608
        )
    newest = connection.table("_commits").filter(told["freshness"]["filter"]).max(told["loaded_at_field"])
    assert newest.fetchall() == connection.table("_commits").filter("\"commit\" = 'old'")["committed_at"].fetchall()
