"""When the stream is worth a complaint."""

from __future__ import annotations

from typing import Any

import pytest

from sink.status import PartitionStatus, Status


def status(**given: Any) -> Status:
    return Status(
        **{
            "topic": "battery_topic", "topic_id": "t", "broker": None,
            "partitions": (PartitionStatus(0, 90, 100), PartitionStatus(1, 50, 50)),
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
        ({"partitions": (PartitionStatus(0, 100, 100),), "last_commit_age": 604_800.0}, 0, 60.0, []),
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
